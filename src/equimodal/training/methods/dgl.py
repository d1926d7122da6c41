"""Disentangled gradient learning (DGL; ICCV 2025)."""

from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Features
from equimodal.models.network import Logits, Network
from equimodal.training.methods import Method, with_shares


class DGL(Method):
    """Encoders learn from sum_u CE(y, z_u) alone, classifiers from CE(y, z) on detached features alone.

    Source: its README. Detaching the features changes nothing for the classifiers, so one forward pass
    serves both.

    # ASSUME: fusion modules belong to the encoders.
    """

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return CE(y, z), and CE(y, z_u) of each branch."""
        return with_shares(logits, labels)

    def backward(self, terms: Float[Tensor, " terms"], network: Network) -> None:
        """Take a backward pass for the classifiers, and one for all others."""
        heads = {p for p in network.head_parameters() if p.requires_grad}
        others = [p for p in network.parameters() if p.requires_grad and p not in heads]
        terms[0].backward(inputs=list(heads), retain_graph=True)
        terms[1:].sum().backward(inputs=others)


METHOD = DGL
