"""Costs, as best of three: the figures that the issue asks for. Idle cores are faster by far."""

from time import perf_counter

import pytest

from equimodal.linear.descent import descend
from equimodal.linear.moments import repeated, toy_moments
from equimodal.linear.networks import Architecture, start
from tests.linear.conftest import LATE, RHO


def best_of_three(moments, architecture, layers, steps):
    """Seconds of a call of `descend`."""
    seconds = []
    for _ in range(3):
        began = perf_counter()
        descend(architecture, moments, layers, step_size=0.01, steps=steps)
        seconds.append(perf_counter() - began)
    return min(seconds)


def test_a_step_of_a_deep_wide_network_costs_at_most_150_microseconds():
    moments = repeated(toy_moments(RHO, 2.0), 3)
    for fusion in (1, 2, 3, 4):
        architecture = Architecture(4, fusion, 100)
        layers = start(architecture, moments, "frobenius", 0.1, 0)
        assert best_of_three(moments, architecture, layers, 50) / 50 / len(moments) <= 150e-6


@pytest.mark.parametrize(
    ("architecture", "init", "scale"),
    [(LATE, "iid", 1e-9), (Architecture(4, 3, 20), "frobenius", 0.1)],
)
def test_many_networks_in_one_call_are_5_times_as_fast_as_one_by_one(architecture, init, scale):
    moments = repeated(toy_moments(RHO, 2.0), 12)
    layers = start(architecture, moments, init, scale, 0)
    together = best_of_three(moments, architecture, layers, 200) / len(moments)
    alone = best_of_three(moments[[0]], architecture, [x[:1] for x in layers], 200)
    assert alone >= 5 * together
