import numpy as np
import pytest

from equimodal.linear import theory
from equimodal.linear.bridge import (
    branch_speeds,
    conditional_gain,
    explained_alone,
    guided,
    ratio_from_speeds,
    utilization,
)
from equimodal.linear.descent import descend
from equimodal.linear.moments import toy_moments
from equimodal.linear.networks import start
from tests.linear.conftest import EARLY, LATE, grid, train

SETTINGS = {"step_size": 0.01, "steps": 6000}


@pytest.fixture(scope="module")
def unimodal():
    """Late fusion of (rho, r) = (0.4, 2), half-way between the times: moments, start, networks then."""
    moments = toy_moments(0.4, 2.0)
    layers = start(LATE, moments, "iid", 1e-9, 0)
    times, _ = train(moments, LATE, **SETTINGS)
    middle = int((times["t_a"][0] + times["t_b"][0]) / 2)
    return moments, layers, descend(LATE, moments, layers, step_size=0.01, steps=middle)


def test_speeds_at_the_start_are_the_signals():
    moments, _, _ = grid((3.0, 2.0))
    layers = start(LATE, moments, "iid", 1e-9, 0)
    np.testing.assert_allclose(branch_speeds(moments, layers), np.abs(moments.cross))


def test_speed_in_the_unimodal_phase_is_what_b_correlates_with_what_a_leaves(unimodal):
    moments, _, phase = unimodal
    speed = branch_speeds(moments, phase.layers)[0, 1]
    assert speed == pytest.approx(1 - 0.4**2, rel=1e-3)


def test_two_readings_of_the_speeds_tell_the_time_ratio(unimodal):
    """R7."""
    moments, layers, phase = unimodal
    told = ratio_from_speeds(*(branch_speeds(moments, w) for w in (layers, phase.layers)))
    assert told[0] == pytest.approx(theory.time_ratio(moments, 2, 2)[0], rel=1e-3)


def test_in_the_unimodal_phase_only_a_is_utilized(unimodal):
    moments, _, phase = unimodal
    u = utilization(moments, phase.w_a[-1], phase.w_b[-1])
    assert u["a"][0] == pytest.approx(explained_alone(moments)[0], abs=3e-4)
    assert u["b"][0] == pytest.approx(0, abs=1.5e-4)


def test_switching_off_by_the_mean_overstates_what_b_adds():
    """By 1 / (1 - rho^2); and its share can be above 1: at rho = -0.4, r = 3, of A, 1.18."""
    moments = toy_moments([0.5, -0.4], [2.0, 3.0])
    u = utilization(moments, *theory.joint_solution(moments))
    np.testing.assert_allclose(conditional_gain(moments) / u["b"], 1 - np.array([0.25, 0.16]))
    assert u["a"][1] == pytest.approx(9 / 7.6)


def test_guided_training_slows_the_faster_of_two_uncorrelated_modalities_by_the_window():
    """One step in Q + 1 moves A; B learns as if A were not there."""
    moments = toy_moments(0.0, [1.5, 2.0, 3.0])
    vanilla, _ = train(moments, LATE, **SETTINGS)
    guide = guided(3, tolerance=0.01, window=5)
    slowed, trajectory = train(moments, LATE, step_size=0.01, steps=8000, guide=guide)
    np.testing.assert_allclose(slowed["t_a"] / vanilla["t_a"], 6, rtol=0.01)
    np.testing.assert_allclose(slowed["t_b"] / vanilla["t_b"], 1, rtol=0.01)
    assert trajectory.converged.all()


def test_with_a_boundless_tolerance_guided_training_is_vanilla():
    moments = toy_moments(0.3, 2.0)
    how = {"step_size": 0.01, "steps": 2000}
    for architecture in (EARLY, LATE):
        _, vanilla = train(moments, architecture, **how)
        _, same = train(moments, architecture, **how, guide=guided(1, tolerance=np.inf, window=5))
        np.testing.assert_array_equal(same.w_b, vanilla.w_b)
