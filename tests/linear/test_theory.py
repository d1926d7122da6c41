import numpy as np
import pytest

from equimodal.linear import theory
from equimodal.linear.moments import (
    Moments,
    planted_moments,
    random_moments,
    sample_moments,
    toy_moments,
)
from tests.linear.conftest import RHO, needs_reference, reference


def toy_ratio(rho, r):
    """R2: the two-layer late-fusion ratio of y = x_A + x_B."""
    return 1 + (r**2 - 1) / (1 - rho**2)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_late_fusion_has_one_ratio_at_every_depth(depth):
    rho, r = np.array([0.0, 0.5, -0.9]), np.array([2.0, 1.5, 3.0])
    found = theory.time_ratio(toy_moments(rho, r), depth, depth)
    np.testing.assert_allclose(found, toy_ratio(rho, r), rtol=1e-12)


@needs_reference
def test_ratios_are_those_of_the_authors_code():
    """T2: 1,296 settings, to 1e-9."""
    table = reference("theory_table")
    assert len(table) == 1296
    for (depth, fusion), rows in table.groupby(["L", "Lf"]):
        moments = toy_moments(rows["rho"], rows["ratio"])
        finite = theory.time_ratio(moments, depth, fusion, scale=rows["u0"].to_numpy())
        np.testing.assert_allclose(finite, rows["authors_lag_depth"], rtol=1e-9)
        np.testing.assert_allclose(finite, rows["closed_form_finite"], rtol=1e-9)


def test_numbers_worked_out_for_four_layers():
    """rho = 0, r = 2, u_0 = 0.1; section 4.5 of the specification."""
    m = toy_moments(0.0, 2.0)
    found = [theory.time_ratio(m, 4, fusion, scale=0.1)[0] for fusion in (1, 2, 3, 4)]
    assert found == pytest.approx([1, 1.213, 1.748, 4], abs=1e-3)


@pytest.mark.parametrize(("fusion", "time"), [(2, 205.31), (3, 253.63), (4, 312.37)])
def test_time_of_the_first_modality_in_four_layers(fusion, time):
    found = theory.time_of_first(toy_moments(0.0, 2.0), 4, fusion, scale=0.02)
    assert found[0] == pytest.approx(time, abs=0.01)


def test_times_of_two_layers_give_their_ratio():
    m = toy_moments([0.3, -0.9], [2.0, 3.0])
    first = theory.time_of_first(m, 2, 2, scale=1e-6)
    between = theory.time_between(m, 2, 2, scale=1e-6)
    np.testing.assert_allclose(1 + between / first, theory.time_ratio(m, 2, 2))


def test_the_unimodal_phase_is_longer_the_deeper_the_fusion():
    m = toy_moments(0.0, 2.0)
    lengths = [theory.time_between(m, 4, fusion, scale=0.02)[0] for fusion in (2, 3, 4)]
    assert lengths == sorted(lengths)


def test_a_phase_that_starts_with_the_wrong_sign_is_longer():
    """T13, the formula: signed where B is a scalar (43.1), not where its sign cannot tell (25.2)."""
    m = toy_moments(-0.9, 3.0)
    assert theory.time_ratio(m, 2, 2)[0] == pytest.approx(43.105, abs=1e-3)
    wider = np.concatenate([m.ab, 0 * m.ab], axis=2)  # B beside a copy of nothing: a vector
    doubled = planted_moments(m.a, np.eye(2)[None], wider, np.array([[1.0, 1.0, 0.0]]))
    assert theory.time_ratio(doubled, 2, 2)[0] == pytest.approx(25.21, abs=0.01)


def test_finite_steps_shorten_the_ratio():
    """The authors' step size alone lowers 4.00 to 3.78."""
    found = theory.time_ratio(toy_moments(0.0, 2.0), 2, 2, step_size=0.04)
    assert found[0] == pytest.approx(3.78, abs=0.01)


def test_coordinates_within_a_modality_do_not_matter_to_the_fixed_points():
    m = random_moments(5, 3, 1)
    change = np.random.default_rng(0).standard_normal((3, 3))
    turned = Moments(change @ m.a @ change.T, m.b, change @ m.ab, m.y_a @ change.T, m.y_b, m.yy)
    for name, value in theory.fixed_point_losses(m).items():
        np.testing.assert_allclose(theory.fixed_point_losses(turned)[name], value, atol=1e-9)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5])
def test_losses_at_the_fixed_points_of_the_toy_data(rho):
    losses = theory.fixed_point_losses(toy_moments(rho, 2.0))
    zero = 0.5 * (5 + 4 * rho)
    assert losses["M_0"][0] == pytest.approx(zero)
    assert losses["M_A"][0] == pytest.approx(0.5 * (1 - rho**2))
    assert losses["M_B"][0] == pytest.approx(0.5 * 4 * (1 - rho**2))
    assert losses["M_*"][0] == pytest.approx(0, abs=1e-12)


def test_mis_attribution_is_rho_over_r():
    r = np.array([3.0, 2.0, 1.5])[:, None]
    found = theory.mis_attribution(toy_moments(RHO, r))[:, 0]
    np.testing.assert_allclose(found, (RHO / r).ravel(), atol=1e-12)


def test_mis_attribution_is_what_b_shares_with_a_even_with_noise():
    m = random_moments(4, 3, 0)
    noisy = Moments(m.a, m.b, m.ab, m.y_a, m.y_b, m.yy + 0.3)
    _, w_b = theory.joint_solution(noisy)
    shared = np.einsum("ri,rij,rjk->rk", w_b, m.ab.swapaxes(1, 2), np.linalg.inv(m.a))
    np.testing.assert_allclose(theory.mis_attribution(noisy), shared, atol=1e-10)


def test_cost_of_stopping_in_the_unimodal_phase_is_that_of_least_squares_on_a():
    """2.11 against 200 samples of 40 examples."""
    rng = np.random.default_rng(0)
    runs, p, d = 200, 40, 5
    x_a = 3**0.5 * rng.standard_normal((runs, p, d))
    x_b = rng.standard_normal((runs, p, d))
    y = 0.4 * (x_a.sum(2) + x_b.sum(2)) + 0.5 * rng.standard_normal((runs, p))
    one = np.eye(d)[None]
    population = planted_moments(3 * one, one, 0 * one, np.full((1, 2 * d), 0.4), 0.5)
    w_a = theory.unimodal_solution(sample_moments(x_a, x_b, y))
    measured = theory.generalization_error(population, w_a[:, None], np.zeros((runs, 1, d)))
    predicted = theory.unimodal_generalization_error(population, p)[0]
    assert predicted == pytest.approx(0.4 + 0.5 * (0.25 + 0.8) * 5 / 34)
    assert measured.mean() == pytest.approx(predicted, rel=0.03)
