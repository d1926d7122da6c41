"""Tests of the block of uni-modal networks."""

import pytest
import torch

from equimodal.fusion.base import Flow
from equimodal.fusion.squeeze_excite import SqueezeExcite


@pytest.fixture
def block():
    torch.manual_seed(0)
    return SqueezeExcite("a", 3, squeeze_ratio=2, gate_scale=3)


def test_a_channel_is_gated_by_what_all_channels_see(block):
    x = torch.rand(2, 3, 4, 5)
    enter, _, leave, _ = block.excite
    gate = 3 * leave(enter(x.mean((2, 3))).relu()).sigmoid()
    torch.testing.assert_close(block({"a": x})["a"], gate[..., None, None] * x)
    assert (enter.out_features, leave.in_features) == (6, 6)  # 2 * (2 * 3) / 2
    assert torch.equal(block({"a": x}, Flow(rebalance=0))["a"], block({"a": x})["a"])


def test_a_vector_is_gated_like_a_feature_map_of_one_place(block):
    x = torch.rand(3, 3)
    assert torch.equal(block({"a": x})["a"], block({"a": x[..., None]})["a"][..., 0])


def test_padding_does_not_change_a_gate(block):
    short = torch.rand(1, 3, 5)
    long = torch.cat([short, torch.full((1, 3, 4), torch.nan)], -1)
    padded = block({"a": long}, masks={"a": torch.arange(9)[None] < 5})["a"]
    torch.testing.assert_close(padded[..., :5], block({"a": short})["a"])
