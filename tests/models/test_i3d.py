import pytest
import torch
import torch.nn.functional as F

from equimodal.models.i3d import ConvUnit, I3DBranch, SameMaxPool, same_padding


def small(channels=3, **settings):
    torch.manual_seed(0)
    return I3DBranch(channels, 5, width=0.05, **settings).eval()


def features(branch, video):
    """Feature maps after each stage."""
    maps = []
    for stage in branch.stages:
        video = stage(video)
        maps.append(video)
    return maps


@pytest.fixture(scope="module")
def standard():
    with torch.device("meta"):
        return I3DBranch(3, 400)


def test_the_six_fused_modules_have_the_paper_s_widths(standard):
    assert standard.widths == (512, 512, 512, 528, 832, 832, 1024)
    ends = [list(dict(stage.named_children()))[-1] for stage in standard.stages]
    assert ends == [f"Mixed_{x}" for x in ("4b", "4c", "4d", "4e", "4f", "5b", "5c")]


def test_stages_give_the_channels_and_sizes_of_the_paper_s_network(standard):
    maps = features(standard, torch.empty(2, 3, 64, 224, 224, device="meta"))
    sizes = [(16, 14, 14)] * 5 + [(8, 7, 7)] * 2
    expected = [(2, c, *size) for c, size in zip(standard.widths, sizes, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected
    assert standard.head(maps[-1]).shape == (2, 400)


def test_there_are_12_3_million_parameters_before_the_classifier(standard):
    assert sum(p.numel() for p in standard.stages.parameters()) == 12_287_264
    assert sum(p.numel() for p in standard.head.parameters()) == 1025 * 400


def test_width_scales_every_layer():
    assert small().widths == tuple(
        x.shape[1] for x in features(small(), torch.rand(1, 3, 8, 32, 32))
    )
    units = [m for m in small().modules() if isinstance(m, ConvUnit)]
    with torch.device("meta"):
        full = [m for m in I3DBranch(3, 5).modules() if isinstance(m, ConvUnit)]
    assert [u.conv.out_channels for u in units] == [
        max(1, round(0.05 * u.conv.out_channels)) for u in full
    ]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (4, 3, 2, (0, 1)),  # windows at 0 and 2 reach to 5: one is missing
        (5, 3, 2, (1, 1)),  # windows at 0, 2, 4 reach to 7
        (224, 7, 2, (2, 3)),  # 111 steps of 2 and 7 more are 229
        (5, 2, 2, (0, 1)),
        (6, 2, 2, (0, 0)),
        (9, 3, 1, (1, 1)),
        (4, 1, 1, (0, 0)),
    ],
)
def test_same_padding_is_what_the_windows_lack_and_one_more_after(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


def test_a_strided_convolution_sees_the_windows_of_same_padding():
    unit = ConvUnit(1, 1, kernel=3, stride=2).eval()
    with torch.no_grad():
        unit.conv.weight.zero_()
        # Of height and width: the middle.
        unit.conv.weight[0, 0, 1, 1] = torch.tensor([100.0, 10.0, 1.0])
    for row, expected in (
        ([1.0, 2, 3, 4], [123, 340]),  # (1 2 3) (3 4 0)
        ([1.0, 2, 3, 4, 5], [12, 234, 450]),  # (0 1 2) (2 3 4) (4 5 0)
    ):
        video = torch.tensor(row).view(1, 1, 1, 1, -1)
        found = unit(video).flatten() * (1 + 1e-3) ** 0.5
        torch.testing.assert_close(found, torch.tensor(expected).float())


@pytest.mark.parametrize("size", [1, 2, 5, 8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), (3, 1), (1, 2)])
def test_max_pooling_sees_the_windows_of_same_padding(size, kernel, stride):
    row = torch.randn(1, 1, 1, 1, size)
    padded = F.pad(row, same_padding(size, kernel, stride), value=-torch.inf)
    expected = padded.unfold(-1, kernel, stride).amax(-1)
    pool = SameMaxPool((1, 1, kernel), (1, 1, stride))
    assert torch.equal(pool(row), expected)
    assert expected.shape[-1] == -(-size // stride)


@pytest.mark.parametrize("sizes", [(16, 64, 64), (9, 33, 65), (17, 40, 50), (1, 1, 1)])
def test_time_is_8_and_space_32_times_coarser_at_the_end_rounded_up(sizes):
    *_, last = features(small(), torch.rand(1, 3, *sizes))
    frames, height, width = sizes
    assert tuple(last.shape[2:]) == (-(-frames // 8), -(-height // 32), -(-width // 32))


@pytest.mark.parametrize("sizes", [(8, 7, 7), (1, 7, 7), (8, 2, 1), (3, 9, 8)])
def test_the_head_gives_one_vector_of_logits_whatever_the_size(sizes):
    branch = small()
    x = torch.rand(2, branch.widths[-1], *sizes)
    assert branch.head(x).shape == (2, 5)


def test_the_logits_are_the_mean_over_windows_of_two_frames():
    head = small().head
    x = torch.rand(1, head.logits.in_channels, 3, 7, 7)
    pairs = [head(x[:, :, i : i + 2]) for i in (0, 1)]
    torch.testing.assert_close(head(x), torch.stack(pairs).mean(0))


def test_dropout_acts_while_training_only():
    head = small(dropout=0.9).head
    x = torch.rand(1, head.logits.in_channels, 8, 7, 7)
    assert torch.equal(head(x), head(x))
    head.train()
    assert not torch.equal(head(x), head(x))
