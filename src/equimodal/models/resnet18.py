"""The branch for ModelNet40: ResNet-18 (paper, Sec. 6.1), of torchvision's residual blocks.

Not torchvision's `resnet18` as a whole: that is of one width and of images in color.
"""

import torch
from torch import nn

from equimodal.models.network import Pool

try:
    from torchvision.models.resnet import BasicBlock
except RuntimeError:
    # Its compiled operators, of which we use none, are of another build of torch than the one that is
    # here. Of these two it asks for the declaration.
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.models.resnet import BasicBlock


class ResNet18Branch(nn.Module):
    """ResNet-18, untrained, cut into its four groups of residual blocks.

    The stem belongs to the first stage. With MMTMs after stages 2, 3 and 4 two such branches have the
    23,773,008 parameters of the paper's network (40 classes).
    """

    def __init__(self, channels: int, classes: int, width: float = 1.0):
        """Build the branch; `width` is a factor on the number of channels of every convolution."""
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
        self.head = nn.Sequential(Pool(), nn.Linear(self.widths[-1], classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _group(inputs: int, width: int, *, stride: int) -> nn.Sequential:
    """Two residual blocks; the first changes width and resolution, if any does."""
    change = None
    if stride != 1 or inputs != width:
        change = nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )
    return nn.Sequential(BasicBlock(inputs, width, stride, change), BasicBlock(width, width))
