"""The branch for Colored-and-gray-MNIST: four convolutions (paper, Sec. 6.1)."""

from itertools import pairwise

from torch import nn

STRIDES = (1, 1, 2, 1)


class FourConvBranch(nn.Module):
    """Four 3x3 convolutions, global average pooling and a linear classifier.

    ASSUME: the paper gives no layer table. Resolutions follow the public four-convolution network
    of Kim et al.: 28 -> 14 by max-pooling after the first convolution, 14 -> 7 by the stride of the
    third.
    """

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...], *, batch_norm: bool):
        """Build the branch; `widths` are the channels after each convolution."""
        super().__init__()
        self.widths = widths
        stages = [
            _convolution(c_in, c_out, stride, batch_norm=batch_norm)
            for (c_in, c_out), stride in zip(pairwise((channels, *widths)), STRIDES, strict=True)
        ]
        stages[0].append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.ModuleList(stages)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes)
        )


def _convolution(c_in: int, c_out: int, stride: int, *, batch_norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=not batch_norm)
    norm = [nn.BatchNorm2d(c_out)] if batch_norm else []
    return nn.Sequential(convolution, *norm, nn.ReLU())
