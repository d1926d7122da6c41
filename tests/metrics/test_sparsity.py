import pytest
import torch
from torch import nn

from equimodal.metrics.sparsity import add_l1_gradient, fraction_below, l1_norm


@pytest.fixture
def parameters():
    return [nn.Parameter(torch.tensor([3.0, -0.5])), nn.Parameter(torch.tensor([[0.0], [-4.0]]))]


def test_the_norm_sums_absolute_values_over_all_parameters(parameters):
    assert l1_norm(parameters).item() == 7.5


def test_the_gradient_is_that_of_the_penalty(parameters):
    (2 * parameters[0]).sum().backward()  # the other parameter has no gradient yet
    add_l1_gradient(parameters, 0.1)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([2.1, 1.9]))
    torch.testing.assert_close(parameters[1].grad, torch.tensor([[0.0], [-0.1]]))


def test_frozen_parameters_get_no_gradient(parameters):
    parameters[1].requires_grad_(False)
    add_l1_gradient(parameters, 0.1)
    assert parameters[1].grad is None


@pytest.mark.parametrize(("threshold", "share"), [(0.1, 0.25), (0.5, 0.25), (0.6, 0.5), (10, 1.0)])
def test_the_fraction_below_counts_strictly_smaller_absolute_values(parameters, threshold, share):
    assert fraction_below(parameters, threshold) == share
