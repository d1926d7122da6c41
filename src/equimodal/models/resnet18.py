"""The branch for ModelNet40: ResNet-18 (paper, Sec. 6.1)."""

from torch import nn

from equimodal.models import torchvision_compat
from equimodal.spec import ResNet18

torchvision_compat.install()  # before torchvision is imported

from torchvision.models.resnet import BasicBlock, conv1x1


class ResNet18Branch(nn.Module):
    """ResNet-18 of torchvision's residual blocks, untrained, cut into its four groups of them.

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
    """Two residual blocks; the first changes width and resolution, its shortcut with it."""
    shortcut = None
    if stride != 1 or inputs != width:
        shortcut = nn.Sequential(conv1x1(inputs, width, stride), nn.BatchNorm2d(width))
    return nn.Sequential(BasicBlock(inputs, width, stride, shortcut), BasicBlock(width, width))


def build(settings: ResNet18, *, channels: int, classes: int) -> ResNet18Branch:
    """Build a branch from its settings."""
    return ResNet18Branch(channels, classes, settings.width)
