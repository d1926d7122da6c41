"""Costs: the figures that the issue asks for, in seconds of CPU, which others on the machine do not use up."""

from itertools import pairwise
from time import process_time

import numpy as np
import pytest
import torch
from torch import nn

from equimodal.linear.descent import descend
from equimodal.linear.moments import repeated, toy_moments
from equimodal.linear.networks import Architecture, start
from tests.linear.conftest import LATE, RHO


def best_of_ten(work):
    """Seconds of CPU of a call of `work`: the least of ten, as a busy neighbor slows a core."""
    seconds = []
    for _ in range(10):
        began = process_time()
        work()
        seconds.append(process_time() - began)
    return min(seconds)


def seconds_of_descent(moments, architecture, layers, steps):
    return best_of_ten(lambda: descend(architecture, moments, layers, step_size=0.01, steps=steps))


def test_a_step_of_a_deep_wide_network_costs_at_most_150_microseconds():
    moments = repeated(toy_moments(RHO, 2.0), 3)
    for fusion in (1, 2, 3, 4):
        architecture = Architecture(4, fusion, 100)
        layers = start(architecture, moments, "frobenius", 0.1, 0)
        assert seconds_of_descent(moments, architecture, layers, 50) / 50 / len(moments) <= 150e-6


@pytest.mark.parametrize(
    ("architecture", "init", "scale"),
    [(LATE, "iid", 1e-9), (Architecture(4, 3, 20), "frobenius", 0.1)],
)
def test_many_networks_in_one_call_are_5_times_as_fast_as_one_by_one(architecture, init, scale):
    moments = repeated(toy_moments(RHO, 2.0), 12)
    layers = start(architecture, moments, init, scale, 0)
    together = seconds_of_descent(moments, architecture, layers, 200) / len(moments)
    alone = seconds_of_descent(moments[[0]], architecture, [x[:1] for x in layers], 200)
    assert alone >= 5 * together


class Plain(nn.Module):
    """A network as anyone would write it: `nn.Linear` without biases, of scalar modalities."""

    def __init__(self, depth, fusion, width):
        super().__init__()
        sizes = [1, *[width] * (depth - 1), 1]
        layers, twins = ([nn.Linear(i, o, bias=False) for i, o in pairwise(sizes)] for _ in "ab")
        self.a = nn.Sequential(*layers[:fusion])
        self.b = nn.Sequential(*twins[:fusion])
        self.after = nn.Sequential(*layers[fusion:])

    def forward(self, x_a, x_b):
        return self.after(self.a(x_a) + self.b(x_b))


def seconds_of_plain_torch(fusion, steps):
    """Of autograd and SGD on two examples that have the moments of the toy data."""
    torch.manual_seed(0)
    network = Plain(4, fusion, 100)
    m = toy_moments(0.3, 2.0)
    examples = np.linalg.cholesky(m.covariance[0]).T * np.sqrt(2)  # two rows have the same moments
    x_a, x_b = torch.tensor(examples, dtype=torch.float32).split(1, dim=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001)

    def train():
        for _ in range(steps):
            loss = 0.5 * ((network(x_a, x_b) - (x_a + x_b)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return best_of_ten(train)


@pytest.mark.parametrize("fusion", [1, 2, 3, 4])
def test_many_deep_wide_networks_are_faster_by_far_than_autograd_one_by_one(fusion):
    """L = 4, N = 100: about 5 to 16 times (docs/linear.md); 3 where the machine is busy."""
    moments = repeated(toy_moments(RHO, 2.0), 3)
    architecture = Architecture(4, fusion, 100)
    layers = start(architecture, moments, "frobenius", 0.1, 0)
    together = seconds_of_descent(moments, architecture, layers, 50) / 50 / len(moments)
    alone = seconds_of_descent(moments[[0]], architecture, [x[:1] for x in layers], 200) / 200
    plain = seconds_of_plain_torch(fusion, 200) / 200
    print(
        f"\nL_f = {fusion}: {1e6 * together:.0f} us a run and step together, {1e6 * alone:.0f} one by"
        f" one ({alone / together:.1f} times), {1e6 * plain:.0f} with autograd ({plain / together:.1f})"
    )
    assert plain >= 3 * together
