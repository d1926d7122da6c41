import copy

import pytest
import torch
from torch import nn

from equimodal.fusion.base import Flow, fusion_parameters
from equimodal.fusion.mmtm import MMTM
from equimodal.models.network import Network, fused
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.params import load_params
from equimodal.study.runs.build import build_network, start_from
from tests.conftest import ROOT
from tests.training.conftest import GRAY, VANILLA

RUNS = expand_runs(load_params(ROOT / "params.yaml", "demo"))
DISTINCT = RUNS[VANILLA]
IDENTICAL = next(r for n, r in RUNS.items() if n.startswith("colored_mnist/identical/"))
OF_GRAY = RUNS[GRAY]
CLIPS = RUNS["nvgesture/color/vanilla/paper/lr0.01/seed0"]


@pytest.fixture
def network():
    return build_network(DISTINCT)


def images(examples=3):
    torch.manual_seed(0)
    return {"color": torch.rand(examples, 3, 28, 28), "gray": torch.rand(examples, 1, 28, 28)}


def test_each_branch_predicts_and_the_prediction_is_the_mean_of_the_logits(network):
    logits = network(images())
    assert {m: tuple(z.shape) for m, z in logits.items()} == {"color": (3, 10), "gray": (3, 10)}
    torch.testing.assert_close(fused(logits), (logits["color"] + logits["gray"]) / 2)


def test_there_are_three_fusion_modules_in_the_paper_s_widths(network):
    widths = DISTINCT.network.widths
    assert [f.squeeze.in_features for f in network.fusions.values()] == [2 * w for w in widths[1:]]
    assert [f.squeeze.out_features for f in network.fusions.values()] == list(widths[1:])


def test_resolutions_are_28_14_14_7_7(network):
    x, sizes = images()["gray"], []
    for stage in network.branches["gray"].stages:
        x = stage(x)
        sizes.append(x.shape[-1])
    assert sizes == [14, 14, 7, 7]


def test_branch_and_fusion_parameters_are_all_parameters(network):
    named = {id(p): n for n, p in network.named_parameters()}
    groups = [network.branch_parameters(m) for m in network.modalities]
    groups += [fusion_parameters(network, m) for m in network.modalities]
    assert {named[id(p)] for group in groups for p in group} == set(named.values())
    shared = {named[id(p)] for p in groups[2]} & {named[id(p)] for p in groups[3]}
    assert shared == {n for n in named.values() if ".squeeze." in n}


def test_a_uni_modal_network_gates_itself_with_a_code_as_wide_as_a_pair_s():
    network = build_network(OF_GRAY)
    assert set(network({"gray": images()["gray"]})) == {"gray"}
    codes = [f.excite[0].out_features for f in network.fusions.values()]
    assert codes == list(OF_GRAY.network.widths[1:])


@pytest.mark.parametrize("inputs", [["color"], ["color", "gray", "sound"], ["color", "grey"]])
def test_inputs_that_do_not_match_the_network_are_refused_by_name(network, inputs):
    with pytest.raises(ValueError, match=r"inputs have modalities .* the network has"):
        network({m: torch.rand(2, 3, 28, 28) for m in inputs})


def branch_of(stages):
    branch = nn.Module()
    branch.stages = stages
    return branch


@pytest.mark.parametrize(
    ("gray", "fusions", "said"),
    [
        # torch would see none of the parameters in a plain list
        (branch_of([nn.Identity()]), {}, r"stages of branch 'gray' have to be an nn\.ModuleList"),
        (branch_of(nn.ModuleList([nn.Identity()])), {}, "branches need as many stages each"),
        (None, {2: nn.Identity()}, "after stage 2 is a Identity"),
        (None, {2: MMTM({"a": 4, "b": 4})}, r"joins \['a', 'b'\], the branches are"),
        # the policy's mode 0 would hold the gate of one branch and mean the other
        (None, {2: MMTM({"gray": 4, "color": 4})}, r"joins \['gray', 'color'\].* the same order"),
        (None, {5: MMTM({"color": 4, "gray": 4})}, "no stage 5"),
        (None, {0: MMTM({"color": 4, "gray": 4})}, "no stage 0"),
    ],
)
def test_branches_and_fusions_that_do_not_fit_are_refused_by_name(network, gray, fusions, said):
    branches = dict(network.branches) | ({"gray": gray} if gray else {})
    with pytest.raises((TypeError, ValueError), match=said):
        Network(branches, fusions)


def test_a_branch_without_stages_is_refused():
    with pytest.raises(ValueError, match="one at least"):
        Network({"color": nn.Identity()}, {})


def test_the_width_of_a_branch_is_that_of_its_last_features(network):
    _, features = network(images(), with_features=True)
    assert network.width("color") == DISTINCT.network.widths[-1] == features["color"].shape[1]


def test_kim_et_al_s_network_is_a_setting():
    settings = DISTINCT.network.model_copy(
        update={
            "kernels": (5, 3, 3, 3),
            "input_norm": True,
            "batch_norm": False,
            "widths": (32, 32, 64, 64),
        }
    )
    network = build_network(DISTINCT.model_copy(update={"network": settings}))
    norms = [m for m in network.branches["color"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert [n.num_features for n in norms] == [3]
    assert isinstance(network.branches["color"].stages[0][0], nn.BatchNorm2d)  # of the input
    assert network(images())["color"].shape == (3, 10)
    convolutions = [m for m in network.branches["color"].modules() if isinstance(m, nn.Conv2d)]
    assert [c.kernel_size[0] for c in convolutions] == [5, 3, 3, 3]
    assert all(c.bias is not None for c in convolutions)


def test_convolutions_lie_in_channels_last_memory(network):
    kernels = [p for p in network.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


def test_every_branch_starts_from_the_stages_of_a_run_and_keeps_its_classifier(tmp_path):
    donor, taker = build_network(OF_GRAY), build_network(IDENTICAL)
    with torch.no_grad():
        for p in donor.parameters():
            p.add_(1)
    before = copy.deepcopy(taker.state_dict())
    torch.save(donor.state_dict(), tmp_path / "model.pt")
    start_from(taker, "four_conv", tmp_path / "model.pt")
    for m in taker.modalities:
        for name, x in donor.branches["gray"].stages.state_dict().items():
            assert torch.equal(taker.branches[m].stages.state_dict()[name], x)
        for name, x in taker.branches[m].head.state_dict().items():
            assert torch.equal(x, before[f"branches.{m}.head.{name}"])
    fusions = {n: x for n, x in taker.state_dict().items() if n.startswith("fusions.")}
    assert all(torch.equal(x, before[n]) for n, x in fusions.items())


def test_what_is_in_a_file_tells_whether_it_is_that_of_a_run(tmp_path):
    """Weights of pytorch-i3d have the suffix of ours, and other keys."""
    foreign = {"Conv3d_1a_7x7.conv3d.weight": torch.zeros(1)}
    torch.save(foreign, tmp_path / "seed0.pt")
    with pytest.raises(UserError, match=r"can not be loaded into branches of kind four_conv"):
        start_from(build_network(OF_GRAY), "four_conv", tmp_path / "seed0.pt")
    with pytest.raises(UserError, match=r"seed0\.pt: Conv3d_1a_7x7.conv3d.weight has shape"):
        start_from(build_network(CLIPS), "i3d", tmp_path / "seed0.pt")


def test_weights_that_do_not_fit_are_refused_by_file(tmp_path):
    donor, taker = build_network(OF_GRAY), build_network(DISTINCT)
    torch.save(donor.state_dict(), tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt does not fit the network: .*size mismatch"):
        start_from(taker, "four_conv", tmp_path / "model.pt")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/model.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"bad/model\.pt is damaged"):
        start_from(taker, "four_conv", tmp_path / "bad/model.pt")
    with pytest.raises(
        UserError, match=r"none/model\.pt is missing; if it is that of a run, train that run first"
    ):
        start_from(taker, "four_conv", tmp_path / "none/model.pt")
    with pytest.raises(UserError, match=r"can not be loaded into branches of kind four_conv"):
        start_from(taker, "four_conv", tmp_path / "kinetics.ckpt")


def test_branches_that_nothing_joins_are_uni_modal_networks_whose_logits_are_averaged():
    without = DISTINCT.network.model_copy(update={"fused_after": ()})
    plain = build_network(OF_GRAY.model_copy(update={"network": without})).eval()
    x = images()
    for classifier in ("own", "shared"):
        settings = without.model_copy(update={"classifier": classifier})
        network = build_network(DISTINCT.model_copy(update={"network": settings})).eval()
        network.branches["gray"].stages.load_state_dict(plain.branches["gray"].stages.state_dict())
        logits, features = network(x, Flow(frozen=True, apart=True), with_features=True)
        torch.testing.assert_close(fused(logits), network(x)["color"])
        of_gray = plain({"gray": x["gray"]}, with_features=True)[1]["gray"]
        torch.testing.assert_close(features["gray"], of_gray)
        parts = [network.encoder_parameters(m) for m in x] + [network.head_parameters()]
        assert [id(p) for part in parts for p in part] == [id(p) for p in network.parameters()]
    assert "classifier" not in without.model_dump()
    with pytest.raises(ValueError, match="classifier: shared is of networks with fused_after"):
        type(without).model_validate(DISTINCT.network.model_dump() | {"classifier": "shared"})


def test_the_classifier_of_clips_takes_a_vector_for_a_clip_of_one_place():
    without = CLIPS.network.model_copy(update={"fused_after": ()})
    head = build_network(CLIPS.model_copy(update={"network": without})).branches["color"].head
    h = torch.rand(2, head.logits.in_channels)
    torch.testing.assert_close(head(h), head(h[..., None, None, None]))
