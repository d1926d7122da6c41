"""The branch for data of one's own: images, sequences or features, in networks that join any of them."""

from itertools import pairwise

from torch import nn

from equimodal.models.network import Pool

LAYERS = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d}  # by axes of space or time
STRIDES = (1, 2, 2, 2)


class FourLayersBranch(nn.Module):
    """Four layers of as many axes as the modality has, the mean over these, and a linear classifier.

    A layer is a convolution with kernels of side 3, or linear for features; then a layer norm over the
    example, which a batch of one passes as any other, and ReLU. ASSUME: the paper has no such branch; this is the
    one of Colored-and-gray-MNIST without what is of its size of image.
    """

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...], *, axes: int | None):
        """Build the branch, with `widths` for the channels after each layer.

        `axes` counts those of space or time: 2 for images, which None stands for, 1 for sequences, 0 for features.
        """
        super().__init__()
        self.widths = widths
        axes = 2 if axes is None else axes
        self.stages = nn.ModuleList(
            nn.Sequential(
                LAYERS[axes](c_in, c_out, **_of_convolution(stride) if axes else {}),
                nn.GroupNorm(1, c_out),
                nn.ReLU(inplace=True),
            )
            for (c_in, c_out), stride in zip(pairwise((channels, *widths)), STRIDES, strict=True)
        )
        self.head = nn.Sequential(Pool(), nn.Linear(widths[-1], classes))


def _of_convolution(stride: int) -> dict[str, int]:
    return {"kernel_size": 3, "stride": stride, "padding": 1}
