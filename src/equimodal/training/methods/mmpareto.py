"""MMPareto: gradients of the answer and of each branch, integrated (Wei and Hu, ICML 2024)."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from equimodal.fusion.base import Features
from equimodal.metrics.gradients import dot, gradients_of
from equimodal.models.network import Logits, Network
from equimodal.training.methods import Method, with_shares

Scalar = Float[Tensor, ""]


class MMPareto(Method):
    """Combine, for each encoder, g_m of CE(y, z) and g_u of CE(y, z_u), each as one vector.

        w_m = w_u = 1/2 if cos(g_m, g_u) > 0, else the weights of least |w_m g_m + w_u g_u|:
        w_m = clip((g_u - g_m) . g_u / |g_m - g_u|^2, 0, 1),  w_u = 1 - w_m;
        h = 2 (w_m g_m + w_u g_u),  g <- gamma h max(1, |g_m + g_u| / |h|).

    gamma is a factor on the gradients of the encoders. All other parameters, classifiers and fusion, get the
    gradient of the sum of all losses.
    """

    def __init__(self, network: Network, *, gamma: float, **common: Any):
        super().__init__(network, **common)
        self.gamma = gamma
        # Between g_m and g_u of each encoder, in the last step.
        self.cosines = torch.zeros(len(self.modalities), dtype=self.dtype, device=self.device)

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return CE(y, z), and CE(y, z_u) of each branch."""
        return with_shares(logits, labels)

    def backward(self, terms: Float[Tensor, " terms"], network: Network) -> None:
        """Take a backward pass for each term, that of a branch through its own encoder only."""
        encoders = [
            [p for p in network.encoder_parameters(m) if p.requires_grad] for m in self.modalities
        ]
        inside = {p for encoder in encoders for p in encoder}
        others = [p for p in network.parameters() if p.requires_grad and p not in inside]
        of_answer = _by_parameter(terms[0], [*others, *inside])
        summed = {p: of_answer[p] for p in others}
        for u, encoder in enumerate(encoders):
            of_branch = _by_parameter(terms[1 + u], [*others, *encoder])
            for p in others:
                summed[p] = summed[p] + of_branch[p]
            g_m, g_u = ([g[p] for p in encoder] for g in (of_answer, of_branch))
            self.cosines[u], a, b = _integrated(dot(g_m, g_m), dot(g_m, g_u), dot(g_u, g_u))
            for p, of_m, of_u in zip(encoder, g_m, g_u, strict=True):
                p.grad = self.gamma * (a * of_m + b * of_u)
        for p, g in summed.items():
            p.grad = g


def _by_parameter(loss: Tensor, parameters: list[nn.Parameter]) -> dict[nn.Parameter, Tensor]:
    return dict(zip(parameters, gradients_of(loss, parameters), strict=True))


def _integrated(mm: Scalar, mu: Scalar, uu: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return cos(g_m, g_u), and the factors of g_m and g_u in g / gamma, all from their inner products."""
    similarity = (mu / (mm.sqrt() * uu.sqrt())).nan_to_num(0.0)
    least = ((uu - mu) / (mm - 2 * mu + uu)).clamp(0, 1).nan_to_num(0.5)
    w_m = torch.where(similarity > 0, 0.5, least)
    w_u = 1 - w_m
    hh = 4 * (w_m**2 * mm + 2 * w_m * w_u * mu + w_u**2 * uu)
    longer = torch.where(hh > 0, ((mm + 2 * mu + uu) / hh).clamp(min=1).sqrt(), 1.0)
    return similarity, 2 * longer * w_m, 2 * longer * w_u


METHOD = MMPareto
