"""On-the-fly gradient modulation with generalization enhancement (OGM-GE; Peng et al., CVPR 2022)."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.models.network import Logits, Network
from equimodal.training.methods import Method


class OGMGE(Method):
    """Slow the branch that answers better (Eq. 10).

    After the backward pass of CE(y, z),

        s_u = sum_batch softmax(z_u)[y],  rho_u = s_u / s_v of the other branch v,
        k_u = 1 - tanh(alpha rho_u) if rho_u > 1, else 1,
        g_u <- k_u g_u + eps,  eps ~ N(0, std(g_u)^2), by tensor.

    # ASSUME: std is that of the gradient before it is scaled; the branch is its encoder, without classifier.
    """

    draws_on_device = True

    def __init__(
        self,
        network: Network,
        *,
        alpha: float,
        last_epoch: int,
        scaled: Literal["branch", "convolutions"],
        noise: bool,
        **common: Any,
    ):
        """Take the settings; ValueError if there are not two modalities, as the ratio is of two.

        `alpha` says how much the better branch is slowed. After `last_epoch`, gradients are left alone. `scaled` says which
        parameters of the branch are: all (paper), or those of four dimensions (code). `noise` adds eps, the GE of the name.
        """
        super().__init__(network, **common)
        if len(self.modalities) != 2:
            raise ValueError(f"OGM-GE is defined for two modalities, given {list(self.modalities)}")
        self.alpha, self.last_epoch, self.scaled, self.noise = alpha, last_epoch, scaled, noise

    def coefficients(
        self, logits: Logits, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " modalities"]:
        """Return k of each branch."""
        of_label = [z.softmax(-1).gather(1, labels[:, None]).sum() for z in logits.values()]
        s = torch.stack(of_label)
        rho = s / s.flip(0)
        return torch.where(rho > 1, 1 - torch.tanh(self.alpha * rho), 1.0)

    def modulate(self, network: Network, logits: Logits, labels: Int64[Tensor, " batch"]) -> None:
        """Scale the gradients of each branch, and add the noise."""
        if self.epoch > self.last_epoch:
            return
        for m, k in zip(self.modalities, self.coefficients(logits, labels), strict=True):
            for p in network.encoder_parameters(m):
                if p.grad is None or (self.scaled == "convolutions" and p.ndim != 4):
                    continue
                std = p.grad.std(correction=min(1, p.numel() - 1))
                p.grad.mul_(k)
                if self.noise:
                    p.grad.addcmul_(_noise_like(p.grad), std)


def _noise_like(x: Tensor) -> Tensor:
    """Draw N(0, 1) for each value, in the order of memory: channels last, `randn_like` takes eight times as long."""
    noise = torch.randn(x.numel(), dtype=x.dtype, device=x.device)
    return noise.as_strided(x.shape, x.stride())


METHOD = OGMGE
