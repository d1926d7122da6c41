"""Adaptive gradient modulation (AGM; Li et al., ICCV 2023)."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call

from equimodal.fusion.base import Features, Flow
from equimodal.metrics.shapley import shapley_values
from equimodal.models.network import Logits, Network, fused
from equimodal.training.methods import Method
from equimodal.training.policies import modality_losses


class AGM(Method):
    """Speed or slow each modality's part of the answer by how well it does (Eqs. 1 and 3).

    With f(S) the answer to the modalities S, the inputs of the others zero, the part of a modality is its
    Shapley value, f of none being 0. Of two: m_a = (f(a, v) - f(0, v) + f(a, 0)) / 2. The parts add up to
    the answer. With M modalities, s_u = CE(y, m_u) and its running mean S_u,

        r_u = exp(M / (M - 1) (mean s - s_u)),  tau_u likewise of S,
        L = CE(y, sum_u m_u), its gradient into m_u times exp(alpha (tau_u - r_u)).

    # ASSUME: the running mean takes in the step itself; masked passes move no running statistics, such as
    # those of batch norm, which would else be of networks that see zeros.
    """

    apart = False
    kept = ("_mean", "_steps")

    def __init__(self, network: Network, *, alpha: float, **common: Any):
        """Start with no mean, for two modalities or more; M of them take 2^M - 1 passes."""
        super().__init__(network, **common)
        self.alpha = alpha
        self._mean = torch.zeros(len(self.modalities), dtype=torch.float64, device=self.device)
        self._steps = torch.zeros((), dtype=torch.float64, device=self.device)

    def forward(
        self, network: nn.Module, inputs: Mapping[str, Tensor], flow: Flow
    ) -> tuple[Logits, Features]:
        """Return M times the part of each modality, so that their mean is the answer; and the features."""
        answer, features = super().forward(network, inputs, flow)
        answers = {frozenset(self.modalities): fused(answer)}
        for size in range(1, len(self.modalities)):
            for seen in combinations(self.modalities, size):
                masked = {m: x if m in seen else torch.zeros_like(x) for m, x in inputs.items()}
                aside = {name: b.clone() for name, b in network.named_buffers()}
                answers[frozenset(seen)] = fused(functional_call(network, aside, (masked, flow)))
        answers[frozenset()] = torch.zeros_like(fused(answer))
        parts = shapley_values(answers)
        return {m: len(parts) * parts[m] for m in self.modalities}, features

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return CE(y, z), with the factors on its gradient."""
        parts = {m: z / len(logits) for m, z in logits.items()}
        s = modality_losses(parts, labels).detach().double()
        self._steps += 1
        self._mean += (s - self._mean) / self._steps
        factors = (self.alpha * (_ratios(self._mean) - _ratios(s))).exp()
        scaled = [
            p.detach() + k.to(p.dtype) * (p - p.detach())
            for p, k in zip(parts.values(), factors, strict=True)
        ]
        return F.cross_entropy(torch.stack(scaled).sum(0), labels)[None]


def _ratios(s: Float[Tensor, " modalities"]) -> Float[Tensor, " modalities"]:
    return (len(s) / (len(s) - 1) * (s.mean() - s)).exp()


METHOD = AGM
