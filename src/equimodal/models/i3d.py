"""The branch for NVGesture: I3D, inception-v1 inflated to video (paper, Sec. 6.1).

Carreira & Zisserman, Quo vadis, action recognition?, CVPR 2017.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Size = tuple[int, int, int]  # time, height, width
Video = Float[Tensor, "batch _channels _time _height _width"]


class Conv(NamedTuple):
    """A unit of convolution, batch normalization and ReLU."""

    width: int
    kernel: int
    stride: int = 1


class Pool(NamedTuple):
    """Max-pooling."""

    kernel: Size
    stride: Size


class Mixed(NamedTuple):
    """An inception module: widths of its convolutions; `b1a` is the first in path 1."""

    b0: int
    b1a: int
    b1b: int
    b2a: int
    b2b: int
    b3b: int


# Stage by stage, under the names of the TensorFlow release: a stage ends where a fusion module can
# follow, so that a pooling between two modules begins the later stage.
STAGES: tuple[dict[str, Conv | Pool | Mixed], ...] = (
    {
        "Conv3d_1a_7x7": Conv(64, kernel=7, stride=2),
        "MaxPool3d_2a_3x3": Pool((1, 3, 3), stride=(1, 2, 2)),
        "Conv3d_2b_1x1": Conv(64, kernel=1),
        "Conv3d_2c_3x3": Conv(192, kernel=3),
        "MaxPool3d_3a_3x3": Pool((1, 3, 3), stride=(1, 2, 2)),
        "Mixed_3b": Mixed(64, 96, 128, 16, 32, 32),
        "Mixed_3c": Mixed(128, 128, 192, 32, 96, 64),
        "MaxPool3d_4a_3x3": Pool((3, 3, 3), stride=(2, 2, 2)),
        "Mixed_4b": Mixed(192, 96, 208, 16, 48, 64),
    },
    {"Mixed_4c": Mixed(160, 112, 224, 24, 64, 64)},
    {"Mixed_4d": Mixed(128, 128, 256, 24, 64, 64)},
    {"Mixed_4e": Mixed(112, 144, 288, 32, 64, 64)},
    {"Mixed_4f": Mixed(256, 160, 320, 32, 128, 128)},
    {
        "MaxPool3d_5a_2x2": Pool((2, 2, 2), stride=(2, 2, 2)),
        "Mixed_5b": Mixed(256, 160, 320, 32, 128, 128),
    },
    {"Mixed_5c": Mixed(384, 192, 384, 48, 128, 128)},
)
HEAD_POOL: Size = (2, 7, 7)


class I3DBranch(nn.Module):
    """I3D, cut after `Mixed_4b` and each of the six inception modules that follow.

    `stages[1:]` are the "six final inception modules" that the paper fuses after (Sec. 6.1):
    `Mixed_4c`, `4d`, `4e`, `4f`, `5b`, `5c`. At `Mixed_5c` time is 8 and space 32 times coarser
    than in the input, which TensorFlow's "same" padding rounds up, so that any size goes in.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        dropout: float = 0.5,
        width: float = 1.0,
        norm_momentum: float = 0.01,
    ):
        """Build the branch, of 3 channels for color and 1 for depth.

        `width` is a factor on the channels of every layer, and `norm_momentum` the share of a step's moments in the
        running ones of batch normalization.
        """
        super().__init__()

        def scaled(c: int) -> int:
            return max(1, round(width * c))

        stages, widths, c = [], [], channels
        for table in STAGES:
            stage, c = _stage(c, table, scaled)
            stages.append(stage)
            widths.append(c)
        self.stages = nn.ModuleList(stages)
        self.widths = tuple(widths)
        self.head = Head(c, classes, dropout)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = norm_momentum


class PointwiseConv(nn.Conv3d):
    """A convolution by a kernel of one place: the matrix product that it is.

    On one CPU thread torch's own takes a slow way for batches of up to 16 clips. It also lays the result out
    with its channels first, so that all that follows is slower.
    """

    def forward(self, x: Video) -> Video:
        """Return the channels of each place, mixed."""
        return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


class ConvUnit(nn.Sequential):
    """Convolution without bias, batch normalization, ReLU, to `ceil(size / stride)` of each size."""

    conv: nn.Conv3d
    bn: nn.BatchNorm3d

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if stride > 1:
            layers["pad"] = SamePad(kernel, stride)
        padding = "same" if stride == 1 else "valid"
        convolution = PointwiseConv if kernel == stride == 1 else nn.Conv3d
        layers["conv"] = convolution(c_in, c_out, kernel, stride, padding, bias=False)
        layers["bn"] = nn.BatchNorm3d(c_out, eps=1e-3)
        layers["relu"] = nn.ReLU(inplace=True)
        super().__init__(layers)


class Inception(nn.Module):
    """Four parallel paths, joined over channels.

    The place of a unit in `paths` gives its name in the TensorFlow release: `paths[1][0]` is
    `Branch_1/Conv3d_0a_1x1`, `paths[1][1]` is `Branch_1/Conv3d_0b_3x3`.
    """

    def __init__(self, c_in: int, widths: Mixed):
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        pool = SameMaxPool((3, 3, 3), stride=(1, 1, 1))
        self.paths = nn.ModuleList(
            [
                nn.Sequential(ConvUnit(c_in, b0, 1)),
                nn.Sequential(ConvUnit(c_in, b1a, 1), ConvUnit(b1a, b1b, 3)),
                nn.Sequential(ConvUnit(c_in, b2a, 1), ConvUnit(b2a, b2b, 3)),
                nn.Sequential(pool, ConvUnit(c_in, b3b, 1)),
            ]
        )

    def forward(self, x: Video) -> Video:
        """Return the outputs of the paths, in their order."""
        return torch.cat([path(x) for path in self.paths], dim=1)


class SamePad(nn.Module):
    """Zeros around a video, as `same_padding` has it for a cubic kernel."""

    def __init__(self, kernel: int, stride: int):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Video) -> Video:
        """Return the padded video."""
        pairs = [same_padding(size, self.kernel, self.stride) for size in x.shape[2:]]
        return F.pad(x, [n for pair in reversed(pairs) for n in pair])


class SameMaxPool(nn.Module):
    """Max-pooling to `ceil(size / stride)` of each size, padded as `same_padding` has it.

    Padding is never the maximum, as in TensorFlow. That is the same as zeros, which pytorch-i3d
    pads with, wherever features are not negative: after a ReLU and after the gate of an MMTM.
    """

    def __init__(self, kernel: Size, stride: Size):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Video) -> Video:
        """Return the maximum of each window."""
        sizes = zip(x.shape[2:], self.kernel, self.stride, strict=True)
        before = [same_padding(*size)[0] for size in sizes]  # ceil_mode adds an odd one after
        return F.max_pool3d(x, self.kernel, self.stride, before, ceil_mode=True)


class Head(nn.Module):
    """Mean-pool, drop out, classify each place, and take the mean of the logits.

    The pooling window is 2 frames by 7x7, or the whole feature map where that is smaller: clips of
    less than 9 frames or 193 pixels work as well.

    ASSUME: the paper says nothing of head, dropout and how time is reduced: all as in
    pytorch-i3d, where 64 frames of 224x224 give 7 logit vectors.
    """

    def __init__(self, channels: int, classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Conv3d(channels, classes, 1)

    def forward(self, x: Float[Tensor, "batch channels *space"]) -> Float[Tensor, "batch classes"]:
        """Return one vector of logits a clip; a vector of means is a clip of one place."""
        x = x.view(*x.shape, *[1] * (5 - x.ndim))
        window = [min(k, size) for k, size in zip(HEAD_POOL, x.shape[2:], strict=True)]
        pooled = F.avg_pool3d(x, window, stride=1)
        return self.logits(self.dropout(pooled)).mean((2, 3, 4))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after, so that `ceil(size / stride)` places come out: TensorFlow's "same".

    An odd total has one more after than before.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _stage(
    c: int, table: Mapping[str, Conv | Pool | Mixed], scaled: Callable[[int], int]
) -> tuple[nn.Sequential, int]:
    """Build the layers of a stage for `c` channels; returns them and the channels after them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in table.items():
        match layer:
            case Conv():
                layers[name] = ConvUnit(c, scaled(layer.width), layer.kernel, layer.stride)
                c = scaled(layer.width)
            case Pool():
                layers[name] = SameMaxPool(layer.kernel, layer.stride)
            case Mixed():
                widths = Mixed(*map(scaled, layer))
                layers[name] = Inception(c, widths)
                c = widths.b0 + widths.b1b + widths.b2b + widths.b3b
    return nn.Sequential(layers), c
