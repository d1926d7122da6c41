"""The branch for ModelNet40: ResNet-18 (paper, Sec. 6.1).

Written here, not taken from torchvision: importing that takes longer than importing torch, and its
compiled operators, of which we use none, bind a project to one version of torch.
"""

import torch
from torch import nn

from equimodal.spec import ResNet18


class BasicBlock(nn.Module):
    """Residual block of two 3×3 convolutions: relu(x + f(x)) (He et al. 2016, Fig. 2 and Table 1).

    Where width or resolution changes, a 1×1 convolution changes x as well. The parameters have the
    names of torchvision's.
    """

    def __init__(self, inputs: int, width: int, stride: int = 1):
        """Build the block, from `inputs` channels to `width`; the first convolution has the stride."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images of shape (batch, inputs, height, width), the latter two divided by the stride."""
        inner = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet18Branch(nn.Module):
    """ResNet-18, untrained, cut into its four groups of residual blocks.

    The stem belongs to the first stage. With MMTMs after stages 2, 3 and 4 two such branches have the
    23,773,008 parameters of the paper's network (40 classes).
    """

    def __init__(self, channels: int, classes: int, width: float = 1.0):
        """Build the branch.

        Args:
            channels: Of the input.
            classes: How many there are.
            width: Factor of the number of channels of every convolution.
        """
        super().__init__()
        self.widths = tuple(max(1, round(width * w)) for w in (64, 128, 256, 512))
        stem = nn.Sequential(
            nn.Conv2d(channels, self.widths[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(self.widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        inputs = (self.widths[0], *self.widths)
        groups = [_group(inputs[i], w, stride=2 if i else 1) for i, w in enumerate(self.widths)]
        self.stages = nn.ModuleList([nn.Sequential(stem, groups[0]), *groups[1:]])
        pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(pool, nn.Flatten(), nn.Linear(self.widths[-1], classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _group(inputs: int, width: int, *, stride: int) -> nn.Sequential:
    """Two residual blocks; the first changes width and resolution."""
    return nn.Sequential(BasicBlock(inputs, width, stride), BasicBlock(width, width))


def build(settings: ResNet18, *, channels: int, classes: int) -> ResNet18Branch:
    """Build a branch from its settings."""
    return ResNet18Branch(channels, classes, settings.width)
