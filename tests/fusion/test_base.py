"""Fusion modules of a network of one's own."""

import pytest
import torch
from torch import nn

from equimodal.fusion.base import Flow, fusion_parameters, held_parameters, reset_recording, squeeze
from equimodal.fusion.film import FiLM
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeezed import RunningMean

PAIR = MMTM({"audio": 4, "table": 4})
THREE = MMTM({"image": 4, "audio": 4, "table": 4})


def ids(parameters):
    return {id(p) for p in parameters}


def test_a_branch_is_served_by_the_fusion_modules_that_join_it():
    model = nn.ModuleList([PAIR, THREE])
    both = [*PAIR.shared_parameters(), *PAIR.own_parameters("audio")]
    third = [*THREE.shared_parameters(), *THREE.own_parameters("audio")]
    assert ids(fusion_parameters(model, "audio")) == ids([*both, *third])
    image = [*THREE.shared_parameters(), *THREE.own_parameters("image")]
    assert ids(fusion_parameters(model, "image")) == ids(image)


def test_usually_the_flow_and_the_running_means_are_the_paper_s():
    assert Flow() == Flow(rebalance=None, isolated=False, zeroed=False, record=False, frozen=False)
    assert RunningMean() == RunningMean("pre_sigmoid", "own", "regular_steps", "samples")
    assert (PAIR.gate_scale, PAIR.running_mean) == (2, RunningMean())  # Eq. 2
    assert PAIR.squeeze.out_features == FiLM({"a": 4, "b": 4}).squeeze.out_features == 2 * 8 / 4


def test_fusion_modules_that_join_different_modalities_are_not_rebalanced():
    """Mode 1 would be the audio branch to the one and the table branch to the other."""
    message = r"has to join all modalities in one order.*\['audio', 'table'\], \['image', 'audio'"
    with pytest.raises(ValueError, match=message):
        held_parameters(nn.ModuleList([PAIR, THREE]))


def test_a_network_without_fusion_modules_holds_nothing():
    """It is trained in regular steps, as a baseline of one branch or of several."""
    assert held_parameters(nn.Linear(2, 2)) == []


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("space", [(3, 5), (2, 3, 5)])
def test_the_gradient_of_a_squeeze_lies_in_memory_as_the_features_do(space, last):
    """Layers before it would read features and gradient in two orders, at several times the cost."""
    torch.manual_seed(0)
    laid = {2: torch.channels_last, 3: torch.channels_last_3d}[len(space)]
    laid = laid if last else torch.contiguous_format
    x = torch.rand(2, 4, *space).contiguous(memory_format=laid).requires_grad_()
    h = squeeze(x)
    (gradient,) = torch.autograd.grad(h.sum(), x)
    assert gradient.is_contiguous(memory_format=laid)
    torch.testing.assert_close(h, x.mean(tuple(range(2, x.ndim))))
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / x[0, 0].numel()))


@pytest.mark.parametrize("fuse", [MMTM, FiLM])
def test_features_of_16_bits_stay_so(fuse):
    """Under autocast: what follows is then as fast as what came before."""
    fusion = fuse({"a": 4, "b": 4})
    with torch.autocast("cpu", torch.bfloat16):
        fused = fusion({m: torch.rand(2, 4, 3, 3).bfloat16() for m in "ab"})
    assert {x.dtype for x in fused.values()} == {torch.bfloat16}
    assert fusion.mean_gate_a.dtype == torch.float32


@pytest.mark.parametrize("fuse", [MMTM, FiLM])
def test_a_padded_example_is_fused_as_if_it_were_alone(fuse):
    """Or its gate would depend on how long the others of its batch are."""
    torch.manual_seed(0)
    fusion = fuse({"sound": 4, "film": 3}).eval()
    short = {"sound": torch.rand(1, 4, 5), "film": torch.rand(1, 3, 2, 6, 6)}
    long = short | {"sound": torch.full((1, 4, 9), torch.nan)}
    long["sound"][..., :5] = short["sound"]
    masks = {"sound": torch.arange(9)[None] < 5}
    alone, padded = fusion(short), fusion(long, masks=masks)
    torch.testing.assert_close(padded["sound"][..., :5], alone["sound"])
    torch.testing.assert_close(padded["film"], alone["film"])
    frames = {"film": torch.ones(1, 2)}  # of 0 and 1, and of time alone, is a mask too
    torch.testing.assert_close(fusion(short, masks=frames)["film"], alone["film"])


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"film": torch.ones(1, 3)}, r"mask of shape \(1, 3\) does not fit features of shape \(1, 3, 2"),
        ({"film": torch.ones(2).bool()}, r"mask of shape \(2,\) does not fit"),
        ({"sound": torch.tensor([[0, 0, 0, 0, -torch.inf]])}, "other numbers than 0 and 1"),
        ({"sound": torch.tensor([5])}, r"of lengths make a mask, torch.arange\(time\) < lengths"),
        ({"smell": torch.ones(1, 3)}, r"joins \['sound', 'film'\], given .* masks of \['smell'\]"),
    ],
)  # fmt: skip
def test_a_mask_that_does_not_fit_is_refused(masks, said):
    features = {"sound": torch.rand(1, 4, 5), "film": torch.rand(1, 3, 2, 6, 6)}
    with pytest.raises(ValueError, match=said):
        MMTM({"sound": 4, "film": 3})(features, masks=masks)


def test_what_is_all_padding_is_squeezed_to_zero():
    fusion = MMTM({"sound": 4, "film": 3}).eval()
    given = {"sound": torch.full((1, 4, 5), torch.nan), "film": torch.rand(1, 3, 2)}
    silent = {"sound": torch.zeros(1, 4, 5), "film": given["film"]}
    masks = {"sound": torch.zeros(1, 5)}
    assert torch.equal(fusion(given, masks=masks)["film"], fusion(silent)["film"])


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4)])
def test_a_modality_may_be_missing_in_some_examples(shape):
    """Its squeeze is zero there, and the other examples are fused as if it were never missing."""
    fusion = MMTM({"sound": 4, "film": 3}).eval()
    given = {"sound": torch.rand(shape), "film": torch.rand(2, 3)}
    silent = given | {"sound": given["sound"].clone()}
    silent["sound"][1] = 0
    masks = {"sound": torch.tensor([True, False])}
    assert torch.equal(fusion(given, masks=masks)["film"], fusion(silent)["film"])


def test_a_code_has_a_unit_at_least():
    """2 * 8 channels / 16 is one unit."""
    assert MMTM({"a": 4, "b": 4}, squeeze_ratio=16).squeeze.out_features == 1
    with pytest.raises(ValueError, match="squeeze_ratio 17 leaves no code of 8 channels"):
        MMTM({"a": 4, "b": 4}, squeeze_ratio=17)


def test_what_was_recorded_is_forgotten_whatever_it_was():
    """An overflow as well, of which a mean would keep NaN."""
    fusion = MMTM({"a": 4, "b": 4})
    fusion({m: torch.full((2, 4), torch.inf) for m in "ab"}, Flow(record=True))
    reset_recording(nn.ModuleList([fusion]))
    recorded = [fusion.squeezes_seen, fusion.mean_squeeze_a, fusion.mean_squeeze_b]
    assert all(not x.any() for x in recorded)
