"""Feature-wise linear modulation (FiLM; Perez et al., 2018), between modalities."""

from jaxtyping import Float
from torch import Tensor

from equimodal.fusion.squeezed import SqueezeFusion


class FiLM(SqueezeFusion):
    """Scale and shift the channels of each modality by what all modalities see.

        A_b <- (1 + gamma_b) * A_b + beta_b,    [gamma_b, beta_b] = w_b.

    Not in the paper: it shows that measures and re-balancing work for fusions other than MMTM.
    """

    outputs = 2

    def modulate(
        self, x: Float[Tensor, "batch channels *space"], by: Float[Tensor, "batch outputs ..."]
    ) -> Float[Tensor, "batch channels *space"]:
        """Return the scaled and shifted features."""
        gamma, beta = by.chunk(2, dim=1)
        return (1 + gamma) * x + beta
