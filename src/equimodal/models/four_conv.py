"""The branch for Colored-and-gray-MNIST: four convolutions (paper, Sec. 6.1)."""

from itertools import pairwise
from typing import Literal

from torch import nn

from equimodal.models.network import Pool

STRIDES = (1, 1, 2, 1)


class FourConvBranch(nn.Module):
    """Four convolutions, global average pooling and a linear classifier.

    ASSUME: the paper gives no layer table. Resolutions follow the public four-convolution network
    of Kim et al.: 28 -> 14 by max-pooling after the first convolution, 14 -> 7 by the stride of the
    third.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: tuple[int, ...],
        *,
        kernels: tuple[int, ...] = (3, 3, 3, 3),
        input_norm: bool = False,
        batch_norm: bool = True,
        convolutions_from: Literal["torch", "he_fan_out"] = "torch",
    ):
        """Build the branch, with `widths` for the channels after each convolution.

        `input_norm` is a batch norm of the input, as in Kim et al.'s network. With `batch_norm` one follows each
        convolution, which then has no bias. The weights of convolutions are drawn as torch does, or from
        N(0, 2 / (kernel^2 c_out)), as in Kim et al.'s code.
        """
        super().__init__()
        self.widths = widths
        stages = [
            _convolution(c_in, c_out, kernel, stride, batch_norm=batch_norm)
            for (c_in, c_out), kernel, stride in zip(
                pairwise((channels, *widths)), kernels, STRIDES, strict=True
            )
        ]
        if convolutions_from == "he_fan_out":
            for convolution in (m for s in stages for m in s if isinstance(m, nn.Conv2d)):
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        if input_norm:
            stages[0].insert(0, nn.BatchNorm2d(channels))
        stages[0].append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.ModuleList(stages)
        self.head = nn.Sequential(Pool(), nn.Linear(widths[-1], classes))


def _convolution(
    c_in: int, c_out: int, kernel: int, stride: int, *, batch_norm: bool
) -> nn.Sequential:
    convolution = nn.Conv2d(
        c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=not batch_norm
    )
    norm = [nn.BatchNorm2d(c_out)] if batch_norm else []
    return nn.Sequential(convolution, *norm, nn.ReLU(inplace=True))
