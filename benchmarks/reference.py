"""The usual way to write the same: what ours is timed against.

A `Dataset` that transforms one example at a time, a `DataLoader`, modules as their formulas read, norms
that Python reads one by one, and torch's defaults elsewhere. Modules have the names of ours, so that
both train the same weights. Nothing of ours is used but the table of I3D's widths.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from equimodal.models.i3d import HEAD_POOL, STAGES, Conv, Mixed, Pool

Tensors = dict[str, Tensor]


class Examples(Dataset):
    """Arrays of bytes, of which each example is turned into normalized tensors when it is asked for."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        labels: np.ndarray,
        scale: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    ):
        """Keep arrays (n, *space, channels), labels, and mean and standard deviation of each channel."""
        self.arrays, self.labels, self.scale = arrays, labels, scale

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensors, int]:
        inputs = {m: self._transformed(x[i], *self.scale[m]) for m, x in self.arrays.items()}
        return inputs, int(self.labels[i])

    @staticmethod
    def _transformed(x: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        space = [1] * (x.ndim - 1)
        image = torch.from_numpy(x).movedim(-1, 0).contiguous().float() / 255
        return (image - torch.tensor(mean).view(-1, *space)) / torch.tensor(std).view(-1, *space)


class MMTM(nn.Module):
    """Eqs. 1 and 2; in a re-balancing step one gate is that of the mean w of regular steps (13, 14)."""

    def __init__(self, channels: Mapping[str, int], dimensions: int):
        """Build the layers of g, for images or (three dimensions) videos."""
        super().__init__()
        total = sum(channels.values())
        self.pool = nn.AdaptiveAvgPool2d(1) if dimensions == 2 else nn.AdaptiveAvgPool3d(1)
        self.squeeze = nn.Linear(total, 2 * total // 4)
        self.excite = nn.ModuleDict({m: nn.Linear(2 * total // 4, c) for m, c in channels.items()})
        self.relu, self.sigmoid = nn.ReLU(), nn.Sigmoid()
        self.sums: Tensors = {}
        self.seen = 0

    def forward(self, features: Tensors, rebalance: str | None = None) -> Tensors:
        """Return the gated features."""
        squeezes = [self.pool(x).flatten(1) for x in features.values()]
        code = self.relu(self.squeeze(torch.cat(squeezes, dim=1)))
        counts = self.training and rebalance is None
        self.seen += len(code) if counts else 0
        gated = {}
        for m, x in features.items():
            if m == rebalance:
                gate = self.sigmoid(self.sums[m] / self.seen).expand(len(x), -1)
            else:
                w = self.excite[m](code)
                gate = self.sigmoid(w)
                if counts:
                    self.sums[m] = self.sums.get(m, 0) + w.detach().sum(0)
            gated[m] = 2 * gate.reshape(*gate.shape, *[1] * (x.ndim - 2)) * x
        return gated


class Branch(nn.Module):
    """Stages and a classifier."""

    def __init__(self, stages: Iterable[nn.Module], head: nn.Module, widths: Sequence[int]):
        """Keep them, and the channels after each stage."""
        super().__init__()
        self.stages, self.head, self.widths = nn.ModuleList(stages), head, widths


class TwoBranches(nn.Module):
    """Eq. 5: the logits of each branch, with an MMTM after some stages (counted from 1)."""

    def __init__(self, branches: Mapping[str, Branch], fused_after: Iterable[int], dimensions: int):
        """Join the branches."""
        super().__init__()
        self.branches = nn.ModuleDict(branches)
        widths = {
            s: {m: branch.widths[s - 1] for m, branch in branches.items()} for s in fused_after
        }
        self.fusions = nn.ModuleDict({str(s): MMTM(w, dimensions) for s, w in widths.items()})

    def forward(self, inputs: Tensors, rebalance: str | None = None) -> Tensors:
        """Return the logits of each branch."""
        features, branches = dict(inputs), dict[str, Any](self.branches)
        for stage in range(len(branches[next(iter(branches))].stages)):
            for m, branch in branches.items():
                features[m] = branch.stages[stage](features[m])
            if str(stage + 1) in self.fusions:
                features = self.fusions[str(stage + 1)](features, rebalance)
        return {m: branch.head(features[m]) for m, branch in branches.items()}


def four_conv(channels: int, classes: int, widths: Sequence[int]) -> Branch:
    """Four convolutions with batch norms, for digits."""
    stages, before = [], channels
    for i, width in enumerate(widths):
        convolution = nn.Conv2d(before, width, 3, stride=2 if i == 2 else 1, padding=1, bias=False)
        stages.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU()))
        before = width
    stages[0].append(nn.MaxPool2d(3, stride=2, padding=1))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(pool, nn.Linear(before, classes))
    return Branch(stages, head, widths)


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, before: int, width: int, stride: int):
        """Build the layers."""
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = nn.Sequential()
        if stride != 1 or before != width:
            change = nn.Conv2d(before, width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(change, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations."""
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.downsample(x))


def resnet18(channels: int, classes: int) -> Branch:
    """ResNet-18, in its four groups."""
    widths, before = (64, 128, 256, 512), 64
    stem = nn.Sequential(
        nn.Conv2d(channels, before, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(before),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    groups = []
    for width in widths:
        first = Residual(before, width, 1 if width == 64 else 2)
        groups.append(nn.Sequential(first, Residual(width, width, 1)))
        before = width
    groups[0] = nn.Sequential(stem, groups[0])
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(pool, nn.Linear(before, classes))
    return Branch(groups, head, widths)


def same(x: Tensor, kernels: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Pad a video with zeros, so that ceil(size / stride) places come out."""
    pads: list[int] = []
    for size, kernel, stride in zip(x.shape[:1:-1], kernels[::-1], strides[::-1], strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, width: int, kernel: int, stride: int, momentum: float):
        """Build the layers."""
        super().__init__()
        self.kernel, self.stride = [kernel] * 3, [stride] * 3
        self.conv = nn.Conv3d(before, width, kernel, stride=stride, bias=False)
        self.bn = nn.BatchNorm3d(width, eps=1e-3, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations."""
        return F.relu(self.bn(self.conv(same(x, self.kernel, self.stride))))


class MaxPool(nn.Module):
    """Max-pooling of what is not negative, padded with zeros."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]):
        """Build the layer."""
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.pool = nn.MaxPool3d(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maximum of each window."""
        return self.pool(same(x, self.kernel, self.stride))


class Inception(nn.Module):
    """Four paths, joined over channels."""

    def __init__(self, before: int, w: Mixed, momentum: float):
        """Build the paths."""
        super().__init__()

        def unit(c_in: int, c_out: int, kernel: int) -> Unit:
            return Unit(c_in, c_out, kernel, 1, momentum)

        self.paths = nn.ModuleList(
            [
                nn.Sequential(unit(before, w.b0, 1)),
                nn.Sequential(unit(before, w.b1a, 1), unit(w.b1a, w.b1b, 3)),
                nn.Sequential(unit(before, w.b2a, 1), unit(w.b2a, w.b2b, 3)),
                nn.Sequential(MaxPool((3, 3, 3), (1, 1, 1)), unit(before, w.b3b, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all paths."""
        return torch.cat([path(x) for path in self.paths], dim=1)


class VideoHead(nn.Module):
    """Mean-pool, drop out, classify each place, mean."""

    def __init__(self, before: int, classes: int, dropout: float):
        """Build the layers."""
        super().__init__()
        self.dropout, self.logits = nn.Dropout(dropout), nn.Conv3d(before, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        window = [min(k, size) for k, size in zip(HEAD_POOL, x.shape[2:], strict=True)]
        return self.logits(self.dropout(F.avg_pool3d(x, window, 1))).mean((2, 3, 4))


def i3d(channels: int, classes: int, dropout: float, momentum: float) -> Branch:
    """I3D for clips."""
    stages, widths, c = [], [], channels
    for table in STAGES:
        stage = nn.Sequential()
        for name, layer in table.items():
            match layer:
                case Conv(width, kernel, stride):
                    stage.add_module(name, Unit(c, width, kernel, stride, momentum))
                    c = width
                case Pool(window, strides):
                    stage.add_module(name, MaxPool(window, strides))
                case Mixed():
                    stage.add_module(name, Inception(c, layer, momentum))
                    c = layer.b0 + layer.b1b + layer.b2b + layer.b3b
        stages.append(stage)
        widths.append(c)
    return Branch(stages, VideoHead(c, classes, dropout), widths)


class Guide:
    """Algorithm 1, in Python on Python's numbers: the modality that the next step favors, or None."""

    def __init__(self, network: TwoBranches, tolerance: float, window: int):
        """Start with a regular step."""
        self.network, self.tolerance, self.window = network, tolerance, window
        self.modalities = list(network.branches)
        self.of_fusion = dict.fromkeys(self.modalities, 0.0)
        self.of_branch = dict.fromkeys(self.modalities, 0.0)
        self.rebalance: str | None = None
        self.taken = 0

    def look(self) -> str | None:
        """Read the gradients of the step after its backward pass; return what the next one favors."""
        if self.rebalance is not None:
            self.taken += 1
            return None if self.taken == self.window else self.rebalance
        speeds = {}
        for m in self.modalities:
            mmtms: list[Any] = list(self.network.fusions.values())
            layers = [layer for mmtm in mmtms for layer in (mmtm.squeeze, mmtm.excite[m])]
            fusion = [p for layer in layers for p in layer.parameters()]
            self.of_fusion[m] += effective_update(fusion)
            self.of_branch[m] += effective_update(self.network.branches[m].parameters())
            speeds[m] = math.log10(self.of_fusion[m] / self.of_branch[m])
        fastest = max(self.modalities, key=lambda m: speeds[m])
        self.taken = 0
        apart = max(speeds.values()) - min(speeds.values()) > self.tolerance
        return fastest if apart else None


def effective_update(parameters: Iterable[nn.Parameter]) -> float:
    """Return mu = |G|^2 / |theta|^2 of parameters as one vector, a number of each at a time."""
    gradient = norm = 0.0
    for p in parameters:
        if p.grad is not None:
            gradient += p.grad.norm().item() ** 2
        norm += p.detach().norm().item() ** 2
    return gradient / norm


class Training:
    """A network, its loader and its optimizer; with a guide where training is guided."""

    def __init__(
        self,
        network: TwoBranches,
        loader: DataLoader,
        *,
        rate: float,
        momentum: float,
        guide: Guide | None = None,
    ):
        """Start before the first step."""
        self.network, self.loader, self.guide = network, loader, guide
        self.optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)

    def step(self, inputs: Tensors, labels: Tensor) -> float:
        """Take one step; return its loss (Eq. 4)."""
        self.network.train()
        logits = self.network(inputs, self.guide.rebalance if self.guide else None)
        loss = sum(F.cross_entropy(z, labels) for z in logits.values())
        assert isinstance(loss, Tensor)
        self.optimizer.zero_grad()
        loss.backward()
        following = self.guide.look() if self.guide else None
        self.optimizer.step()
        if self.guide:
            self.guide.rebalance = following
        return loss.item()

    def epoch(self) -> list[float]:
        """Take a step with each batch of the loader; return the losses."""
        return [self.step(inputs, labels) for inputs, labels in self.loader]


@torch.no_grad()
def evaluate(network: TwoBranches, loader: DataLoader) -> float:
    """Return the accuracy of the mean of the branches' logits (Eq. 3)."""
    network.eval()
    hits = 0
    for inputs, labels in loader:
        prediction = torch.stack(list(network(inputs).values())).mean(0)
        hits += (prediction.argmax(1) == labels).sum().item()
    return hits / len(loader.dataset)  # type: ignore[arg-type]


def color_digits(
    images: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    variance: float,
    bias: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Tint each digit in the color of its label, or of a class drawn at random, one by one."""
    tinted = []
    for image, label in zip(images, labels, strict=True):
        own = generator.random() < bias
        mean = palette[label if own else generator.integers(len(palette))] / 255
        color = generator.normal(mean, np.sqrt(variance))
        while color.min() < 0 or color.max() > 1:
            color = generator.normal(mean, np.sqrt(variance))
        tinted.append(np.stack([np.rint(image * c) for c in color], axis=-1).astype(np.uint8))
    return np.stack(tinted)
