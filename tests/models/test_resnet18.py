import re

import torch

from equimodal.models.resnet18 import ResNet18Branch
from equimodal.study.expansion import expand_runs
from equimodal.study.params import load_params
from equimodal.study.runs.build import build_network
from equimodal.study.spec import Modality, Normalization, ResNet18
from tests.conftest import ROOT
from tests.training.conftest import VANILLA

VIEW = Modality(
    source="view", channels=3, normalization=Normalization(mean=(0, 0, 0), std=(1, 1, 1))
)


def network(views):
    spec = expand_runs(load_params(ROOT / "params.yaml", "demo"))[VANILLA]
    settings = ResNet18(kind="resnet18", width=1.0, fused_after=(2, 3, 4))
    modalities = dict.fromkeys(views, VIEW)
    changes = {"network": settings, "modalities": modalities, "classes": 40}
    return build_network(spec.model_copy(update=changes))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_only_jobs_that_train_this_network_import_torchvision():
    """It takes as long as torch; the module is imported by its name where a spec has it."""
    found = r"^ *(import|from) (torchvision|equimodal\.models\.resnet18)"
    sources = (ROOT / "src").rglob("*.py")
    importing = [f.name for f in sources if re.search(found, f.read_text(), re.MULTILINE)]
    assert importing == ["resnet18.py"]


def test_the_two_view_network_has_the_paper_s_number_of_parameters():
    net = network(["front", "rear"])
    assert parameters(net) == 23_773_008
    assert [f.squeeze.out_features for f in net.fusions.values()] == [128, 256, 512]


def test_a_three_view_network_joins_all_three():
    three_views = network(["front", "left", "right"])
    assert [f.squeeze.in_features for f in three_views.fusions.values()] == [384, 768, 1536]
    inputs = {m: torch.rand(2, 3, 32, 32) for m in three_views.modalities}
    assert {m: z.shape for m, z in three_views(inputs).items()} == dict.fromkeys(inputs, (2, 40))


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
    blocks = [stage[-1] for stage in (narrow.stages[0][1], *narrow.stages[1:])]
    assert [block.conv2.out_channels for block in blocks] == [8, 16, 32, 64] == [*narrow.widths]
