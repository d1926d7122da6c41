"""The branch for ModelNet40: ResNet-18 (paper, Sec. 6.1)."""

from torch import nn

from equimodal.models import torchvision_compat
from equimodal.spec import ResNet18

torchvision_compat.install()  # before torchvision is imported

from torchvision.models import resnet18


class ResNet18Branch(nn.Module):
    """Torchvision's ResNet-18, untrained, cut into its four groups of residual blocks.

    The stem belongs to the first stage. With MMTMs after stages 2, 3 and 4 two such branches have the
    23,773,008 parameters of the paper's network (40 classes).
    """

    widths = (64, 128, 256, 512)

    def __init__(self, channels: int, classes: int):
        """Build the branch; other than three channels change the first convolution only."""
        super().__init__()
        net = resnet18(num_classes=classes)
        if channels != 3:
            net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList(
            [nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4]
        )
        self.head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)


def build(settings: ResNet18, *, channels: int, classes: int) -> ResNet18Branch:
    """Build a branch from its settings."""
    return ResNet18Branch(channels, classes)
