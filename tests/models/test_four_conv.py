import math

import pytest
import torch
from torch import nn

from equimodal.models.four_conv import FourConvBranch


def test_the_largest_of_three_by_three_is_kept_at_every_other_place():
    branch = FourConvBranch(1, 2, (1, 1, 1, 1), kernels=(1, 1, 1, 1), batch_norm=False)
    nn.init.ones_(branch.stages[0][0].weight)
    nn.init.zeros_(branch.stages[0][0].bias)
    image = torch.zeros(1, 1, 5, 5)
    image[..., 1, 1] = 7.0  # in four windows
    image[..., 2, 4] = 3.0  # in one
    assert branch.stages[0](image)[0, 0].tolist() == [[7, 7, 0], [7, 7, 3], [0, 0, 0]]


def test_usually_kernels_are_three_by_three_with_batch_norm_after_each_and_none_before():
    branch = FourConvBranch(1, 2, (4, 4, 4, 4))
    assert [m.kernel_size for m in branch.modules() if isinstance(m, nn.Conv2d)] == [(3, 3)] * 4
    assert [type(stage[0]) for stage in branch.stages] == [nn.Conv2d] * 4
    assert [type(stage[1]) for stage in branch.stages] == [nn.BatchNorm2d] * 4


@pytest.mark.parametrize(
    ("source", "deviations"),
    [
        # N(0, 2 / (9 * 64)), and uniform up to 1 / sqrt(9 * c_in), whatever c_out
        ("he_fan_out", [math.sqrt(2 / (9 * 64))] * 4),
        ("torch", [1 / math.sqrt(3 * 9 * c) for c in (16, 64, 64, 64)]),
    ],
)
def test_kim_et_al_s_weights_are_drawn_by_the_channels_that_come_out(source, deviations):
    torch.manual_seed(0)
    branch = FourConvBranch(16, 2, (64, 64, 64, 64), convolutions_from=source)
    weights = [m.weight for m in branch.modules() if isinstance(m, nn.Conv2d)]
    assert [w.std().item() for w in weights] == pytest.approx(deviations, rel=0.03)
