"""Tests of the block of uni-modal networks."""

import torch

from equimodal.fusion.squeeze_excite import SqueezeExcite


def test_a_vector_is_gated_like_a_feature_map_of_one_place():
    block = SqueezeExcite("a", 4, squeeze_ratio=4, gate_scale=2)
    x = torch.rand(3, 4)
    assert torch.equal(block({"a": x})["a"], block({"a": x[..., None]})["a"][..., 0])
