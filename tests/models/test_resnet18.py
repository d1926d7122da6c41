from pathlib import Path

import pytest
import torch

from equimodal.fusion.base import Flow
from equimodal.models.network import build_network
from equimodal.models.resnet18 import ResNet18Branch
from equimodal.params import expand_runs, load_params
from equimodal.spec import Modality, Normalization, ResNet18

ROOT = Path(__file__).parents[2]
RUN = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
VIEW = Modality(
    source="view", channels=3, normalization=Normalization(mean=(0, 0, 0), std=(1, 1, 1))
)


def network(views):
    spec = expand_runs(load_params(ROOT / "params.yaml", "demo"))[RUN]
    settings = ResNet18(kind="resnet18", width=1.0, fused_after=(2, 3, 4))
    modalities = dict.fromkeys(views, VIEW)
    changes = {"network": settings, "modalities": modalities, "classes": 40}
    return build_network(spec.model_copy(update=changes))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_the_two_view_network_has_the_paper_s_number_of_parameters():
    net = network(["front", "rear"])
    assert parameters(net) == 23_773_008
    assert [f.squeeze.out_features for f in net.fusions.values()] == [128, 256, 512]


@pytest.fixture(scope="module")
def three_views():
    return network(["front", "left", "right"])


def test_a_three_view_network_joins_all_three_and_can_isolate_each(three_views):
    assert [f.squeeze.in_features for f in three_views.fusions.values()] == [384, 768, 1536]
    three_views.eval()
    torch.manual_seed(0)
    inputs = {m: torch.rand(2, 3, 32, 32) for m in three_views.modalities}
    with torch.no_grad():
        logits = three_views(inputs)
        assert {m: tuple(z.shape) for m, z in logits.items()} == dict.fromkeys(inputs, (2, 40))
        three_views(inputs, Flow(record=True))
        alone = three_views(inputs, Flow(isolated=True))
        changed = three_views({**inputs, "left": torch.rand(2, 3, 32, 32)}, Flow(isolated=True))
    assert torch.equal(alone["front"], changed["front"])
    assert not torch.equal(alone["left"], changed["left"])


def test_a_gray_view_changes_the_first_convolution_only():
    color, gray = ResNet18Branch(3, 40), ResNet18Branch(1, 40)
    assert parameters(color) - parameters(gray) == 2 * 64 * 7 * 7


@torch.no_grad()
def test_the_branch_computes_what_torchvision_s_resnet18_does():
    import torchvision  # after our module, which lets it be imported beside any torch

    torch.manual_seed(0)
    theirs, ours = torchvision.models.resnet18(num_classes=5), ResNet18Branch(3, 5)
    values = [x.clone() for x in theirs.state_dict().values()]
    names = list(ours.state_dict())
    ours.load_state_dict(dict(zip(names, values, strict=True)))
    theirs.eval()
    ours.eval()
    x = torch.rand(2, 3, 64, 64)
    features = x
    for stage in ours.stages:
        features = stage(features)
    torch.testing.assert_close(ours.head(features), theirs(x))


def test_a_narrow_branch_has_as_much_of_every_width():
    narrow = ResNet18Branch(3, 5, width=0.125)
    assert narrow.widths == (8, 16, 32, 64)
    assert [s[-1].conv2.out_channels for s in (narrow.stages[0][1], *narrow.stages[1:])] == [
        8,
        16,
        32,
        64,
    ]
