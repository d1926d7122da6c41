"""Multi-modal transfer module (MMTM; Joze et al., 2020; paper, Sec. 3)."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from equimodal.fusion.squeezed import PAPER, RunningMean, SqueezeFusion


class MMTM(SqueezeFusion):
    """Gate the channels of each modality by what all modalities see (Eq. 2).

        A_b <- gate_scale * sigmoid(w_b) * A_b

    with one entry of `w_b` for each channel.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        *,
        squeeze_ratio: float = 4,
        gate_scale: float = 2,
        running_mean: RunningMean = PAPER,
    ):
        """Build the module; the arguments that are not here are `SqueezeFusion`'s.

        Args:
            channels: Channels of each modality's feature map, two modalities or more.
            squeeze_ratio: Sets the width of the joint code.
            gate_scale: Factor on the sigmoid: 2 in the paper's Eq. 2, 1 in its code.
            running_mean: What a re-balancing step uses.
        """
        super().__init__(channels, squeeze_ratio=squeeze_ratio, running_mean=running_mean)
        self.gate_scale = gate_scale

    def activation(self, w: Float[Tensor, "*batch outputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the gate without its scale, in (0, 1)."""
        return w.sigmoid()

    def modulate(
        self, x: Float[Tensor, "batch channels *space"], by: Float[Tensor, "batch channels ..."]
    ) -> Float[Tensor, "batch channels *space"]:
        """Return the gated features."""
        return x * (self.gate_scale * by)
