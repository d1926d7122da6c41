"""One loss of the answer and one of each branch, all alike."""

from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Features
from equimodal.models.network import Logits
from equimodal.training.methods import Method, with_shares


class Uniform(Method):
    """L = CE(y, z) + sum_u CE(y, z_u). Source: README of MMPareto (ICML 2024), "uniform baseline".

    Wu et al.'s conventional training (`Vanilla`) has the sum over branches alone.
    """

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return CE(y, z), and CE(y, z_u) of each branch."""
        return with_shares(logits, labels)


METHOD = Uniform
