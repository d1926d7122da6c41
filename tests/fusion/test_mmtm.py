import pytest
import torch

from equimodal.fusion.base import Flow
from equimodal.fusion.mmtm import MMTM

CHANNELS = {"color": 6, "depth": 4, "sound": 3}
ISOLATED = Flow(isolated=True)


def rebalance(branch):
    return Flow(rebalance=torch.tensor(branch))


@pytest.fixture(params=[2, 3], ids=["two modalities", "three modalities"])
def mmtm(request):
    torch.manual_seed(0)
    channels = dict(list(CHANNELS.items())[: request.param])
    return MMTM(channels, squeeze_ratio=4, gate_scale=2)


@pytest.fixture
def features(mmtm):
    """Feature maps whose spaces differ: an image, a clip, a sound."""
    torch.manual_seed(1)
    shapes = {"color": (5, 6, 7, 7), "depth": (5, 4, 3, 2, 2), "sound": (5, 3, 9)}
    return {m: torch.rand(shapes[m]) for m in mmtm.modalities}


def test_a_branch_may_be_named_by_a_plain_number(mmtm, features):
    mmtm(features)  # so that the running means are not zero
    mmtm.eval()
    for branch in range(-1, len(mmtm.modalities)):
        plain, tensor = mmtm(features, Flow(rebalance=branch)), mmtm(features, rebalance(branch))
        for m in mmtm.modalities:
            torch.testing.assert_close(plain[m], tensor[m], rtol=0, atol=0)


@pytest.mark.parametrize("branch", [-2, 3, "color", True, torch.tensor(True), torch.tensor(0.5)])
def test_a_branch_that_is_not_there_is_refused(branch, mmtm, features):
    with pytest.raises(ValueError, match="names no branch of"):
        mmtm(features, Flow(rebalance=branch))


def test_vectors_are_fused_like_feature_maps_of_one_place(mmtm, features):
    vectors = {m: x.mean(tuple(range(2, x.ndim))) for m, x in features.items()}
    places = {m: x[..., None] for m, x in vectors.items()}
    for m, x in mmtm(vectors).items():
        assert torch.equal(x, mmtm(places)[m][..., 0])


def test_features_with_other_channels_are_refused_by_name(mmtm, features):
    tokens = features["color"].flatten(2).transpose(1, 2)
    with pytest.raises(ValueError, match=r"'color' as \(batch, \d+ channels, .*transpose tokens"):
        mmtm(features | {"color": tokens})
    with pytest.raises(ValueError, match=r"joins .*'color'.*, given \['color'\]"):
        mmtm({"color": features["color"]})


def test_an_isolated_pass_before_any_recorded_one_is_refused(mmtm, features):
    with pytest.raises(RuntimeError, match="pass the training set with"):
        mmtm(features, ISOLATED)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pass_that_overflows_leaves_the_running_means_alone(mmtm, features, value):
    """A scaler of mixed precision skips such a step; the means would hold NaN for good."""
    mmtm(features)
    before = {k: v.clone() for k, v in mmtm.named_buffers()}
    mmtm(features | {"depth": torch.full_like(features["depth"], value)})
    mmtm({m: x[:0] for m, x in features.items()})  # nor does an empty batch
    assert all(torch.equal(before[k], v) for k, v in mmtm.named_buffers())


def test_one_modality_is_refused():
    with pytest.raises(ValueError, match="two modalities or more"):
        MMTM({"color": 6}, squeeze_ratio=4, gate_scale=2)


@pytest.mark.parametrize("flow", [Flow(), Flow(record=True, frozen=True)], ids=["train", "record"])
def test_means_are_not_taken_in_half_precision(mmtm, features, flow):
    """A float16 counter ends at 65,504 samples, counted by ones a bfloat16 one at 256."""
    halves = {m: x.bfloat16() for m, x in features.items()}
    mmtm.bfloat16().train()
    with pytest.raises(TypeError, match=r"cast to torch\.bfloat16.*use torch\.autocast"):
        mmtm(halves, flow)
    mmtm(halves, Flow(frozen=True))  # to answer only is fine


def test_a_gate_that_overflows_leaves_the_running_means_alone(mmtm, features):
    mmtm(features)
    before = {k: v.clone() for k, v in mmtm.named_buffers()}
    torch.nn.init.constant_(mmtm.excite["color"].bias[:1], torch.inf)
    mmtm(features)
    assert all(torch.equal(before[k], v) for k, v in mmtm.named_buffers())


def test_before_the_first_regular_step_the_running_means_are_zero(mmtm, features):
    mmtm(features, rebalance(0))
    assert not any(mmtm.get_buffer(f"mean_gate_{m}").any() for m in mmtm.modalities)


def test_a_sample_counts_after_however_many(mmtm, features):
    """In single precision 2^24 + 1 is 2^24: a counter would stand still."""
    mmtm.gates_seen.fill_(2**24)
    mmtm.squeezes_seen.fill_(2**24)
    one = {m: x[:1] for m, x in features.items()}
    mmtm(one, Flow(record=True))
    assert float(mmtm.gates_seen) == float(mmtm.squeezes_seen) == 2**24 + 1


def test_zeroed_a_branch_sees_zeros_of_the_others_and_needs_no_recording(mmtm, features):
    mmtm.eval()
    isolated = mmtm(features, Flow(isolated=True, zeroed=True))
    for m, x in features.items():
        alone = {n: x if n == m else torch.zeros_like(y) for n, y in features.items()}
        torch.testing.assert_close(isolated[m], mmtm(alone)[m])
