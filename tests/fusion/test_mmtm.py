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


def influence(of, on, mmtm, features, flow):
    """Largest gradient of the gated features `on` with respect to the raw features `of`."""
    raw = {m: x.clone().requires_grad_() for m, x in features.items()}
    mmtm(raw, flow)[on].sum().backward()
    return 0.0 if raw[of].grad is None else raw[of].grad.abs().max().item()


def test_gating_keeps_shapes(mmtm, features):
    assert {m: x.shape for m, x in mmtm(features).items()} == {
        m: x.shape for m, x in features.items()
    }


def test_gates_follow_equations_1_and_2(mmtm, features):
    squeezes = torch.cat([features[m].flatten(2).mean(-1) for m in mmtm.modalities], 1)
    code = torch.clamp(squeezes @ mmtm.squeeze.weight.T + mmtm.squeeze.bias, min=0)
    for m, gated in mmtm(features).items():
        layer = mmtm.excite[m]
        gate = 2 / (1 + torch.exp(-(code @ layer.weight.T + layer.bias)))
        expected = features[m].flatten(2) * gate[:, :, None]
        torch.testing.assert_close(gated.flatten(2), expected)


def test_the_joint_code_is_half_as_wide_as_the_squeezes_at_ratio_four():
    mmtm = MMTM({"a": 6, "b": 4}, squeeze_ratio=4, gate_scale=2)
    assert mmtm.squeeze.out_features == 5


def test_a_branch_may_be_named_by_a_plain_number(mmtm, features):
    mmtm(features)  # so that the running means are not zero
    mmtm.eval()
    for branch in range(-1, len(mmtm.modalities)):
        plain, tensor = mmtm(features, Flow(rebalance=branch)), mmtm(features, rebalance(branch))
        for m in mmtm.modalities:
            torch.testing.assert_close(plain[m], tensor[m], rtol=0, atol=0)


@pytest.mark.parametrize("branch", [-2, 3, "color"])
def test_a_branch_that_is_not_there_is_refused(branch, mmtm, features):
    with pytest.raises(ValueError, match="names no branch of"):
        mmtm(features, Flow(rebalance=branch))


def test_modalities_see_each_other(mmtm, features):
    assert influence("color", "depth", mmtm, features, Flow()) > 0
    assert influence("depth", "color", mmtm, features, Flow()) > 0


def test_a_rebalanced_branch_sees_only_itself_and_the_others_still_see_it(mmtm, features):
    assert influence("color", "depth", mmtm, features, rebalance(1)) == 0
    assert influence("depth", "color", mmtm, features, rebalance(1)) > 0


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


def test_without_cross_modal_flow_no_branch_sees_another(mmtm, features):
    mmtm(features, Flow(record=True))
    assert influence("color", "depth", mmtm, features, ISOLATED) == 0
    assert influence("depth", "color", mmtm, features, ISOLATED) == 0
    assert influence("depth", "depth", mmtm, features, ISOLATED) > 0


def test_an_isolated_gate_uses_the_mean_squeezes_of_the_others(mmtm, features):
    mmtm.eval()
    mmtm(features, Flow(record=True))
    means = {m: x.flatten(2).mean((0, 2)) for m, x in features.items()}
    alike = {
        m: x if m == "color" else means[m][None, :, None].expand(5, -1, 4)
        for m, x in features.items()
    }
    torch.testing.assert_close(mmtm(features, ISOLATED)["color"], mmtm(alike)["color"])


def test_mean_squeezes_weigh_samples_not_batches(mmtm, features):
    parts = [{m: x[s] for m, x in features.items()} for s in (slice(0, 4), slice(4, 5))]
    mmtm.reset_recording()
    for part in parts:
        mmtm(part, Flow(record=True))
    expected = features["color"].flatten(2).mean((0, 2))
    torch.testing.assert_close(mmtm.mean_squeeze_color, expected)


def test_the_constant_gate_is_the_mean_over_the_samples_of_regular_steps(mmtm, features):
    parts = [{m: x[s] for m, x in features.items()} for s in (slice(0, 4), slice(4, 5))]
    for part in parts:
        mmtm(part, rebalance(-1))
    squeezes = torch.cat([features[m].flatten(2).mean(-1) for m in mmtm.modalities], 1)
    expected = mmtm.excite["depth"](mmtm.squeeze(squeezes).relu()).mean(0)
    torch.testing.assert_close(mmtm.mean_gate_depth, expected)
    gated = mmtm(features, rebalance(1))["depth"]
    torch.testing.assert_close(
        gated, features["depth"] * 2 * expected.sigmoid()[:, None, None, None]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pass_that_overflows_leaves_the_running_means_alone(mmtm, features, value):
    """A scaler of mixed precision skips such a step; the means would hold NaN for good."""
    mmtm(features)
    before = {k: v.clone() for k, v in mmtm.named_buffers()}
    mmtm(features | {"depth": torch.full_like(features["depth"], value)})
    mmtm({m: x[:0] for m, x in features.items()})  # nor does an empty batch
    assert all(torch.equal(before[k], v) for k, v in mmtm.named_buffers())


@pytest.mark.parametrize("flow", [rebalance(0), rebalance(1)])
def test_rebalancing_steps_leave_the_running_means_alone(mmtm, features, flow):
    mmtm(features)
    before = {k: v.clone() for k, v in mmtm.named_buffers()}
    mmtm({m: 2 * x for m, x in features.items()}, flow)
    assert all(torch.equal(before[k], v) for k, v in mmtm.named_buffers())


def test_evaluation_leaves_the_running_means_alone(mmtm, features):
    mmtm.eval()
    before = {k: v.clone() for k, v in mmtm.named_buffers()}
    mmtm(features)
    assert all(torch.equal(before[k], v) for k, v in mmtm.named_buffers())


def test_in_a_rebalancing_step_the_constant_gate_gets_no_gradient(mmtm, features):
    mmtm(features)
    gated = mmtm(features, rebalance(1))
    sum(x.sum() for x in gated.values()).backward()
    assert all(p.grad.abs().max() == 0 for p in mmtm.own_parameters("depth"))
    assert all(p.grad.abs().max() > 0 for p in mmtm.own_parameters("color"))
    assert all(p.grad.abs().max() > 0 for p in mmtm.shared_parameters())


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
