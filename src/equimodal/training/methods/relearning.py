"""Diagnosing and re-learning (Wei et al., ECCV 2024)."""

from collections.abc import Iterable, Mapping
from math import tanh
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Flow, squeeze
from equimodal.models.network import Network
from equimodal.training.batch import Batch
from equimodal.training.methods import Method

ROUNDS = 100  # of k-means at most


class Relearning(Method):
    """Every so many epochs, take each encoder back toward its start, the more the more it overfits.

        P = purity of k-means on the pooled features h_u, with a cluster for each class,
        alpha_u = tanh(strength |P_train - P_validation|),
        theta_u <- (1 - alpha_u) theta_u + alpha_u theta_u(start).

    # ASSUME: L = CE(y, z); running statistics and momenta stay; k-means starts at k-means++'s choice.
    """

    def __init__(self, network: Network, *, strength: float, every: int, times: int, **common: Any):
        """Remember the start; `strength` is lambda of the paper, `every` how many epochs lie between two `times`."""
        super().__init__(network, **common)
        self.strength, self.every, self.times = strength, every, times
        encoders = {m: network.encoder_parameters(m) for m in self.modalities}
        self._start = {m: [p.detach().clone() for p in ps] for m, ps in encoders.items()}

    @torch.no_grad()
    def end_epoch(self, network: Network, splits: Mapping[str, Iterable[Batch]]) -> None:
        """Diagnose and take back, if it is time; ValueError if there is no validation split."""
        ended = self.epoch
        super().end_epoch(network, splits)
        if ended % self.every or ended > self.every * self.times:
            return
        if "validation" not in splits:
            raise ValueError("re-learning needs a validation split beside the test set")
        purities = {name: self._purities(network, splits[name]) for name in ("train", "validation")}
        for m in self.modalities:
            gap = abs(purities["train"][m] - purities["validation"][m])
            share = tanh(self.strength * gap)
            for p, start in zip(network.encoder_parameters(m), self._start[m], strict=True):
                p.lerp_(start, share)

    def _purities(self, network: Network, batches: Iterable[Batch]) -> dict[str, float]:
        network.eval()
        found: dict[str, list[Tensor]] = {m: [] for m in self.modalities}
        labels = []
        for batch in batches:
            _, features = network(batch.inputs, Flow(frozen=True), with_features=True)
            labels.append(batch.labels)
            for m, h in found.items():
                h.append(squeeze(features[m]).double())
        y = torch.cat(labels)
        return {m: purity(torch.cat(h), y, self.classes, self.seed) for m, h in found.items()}


def purity(
    h: Float[Tensor, "n channels"], labels: Int64[Tensor, " n"], clusters: int, seed: int
) -> float:
    """Return the share of examples whose label is the commonest of their cluster (k-means)."""
    nearest = k_means(h, clusters, seed)
    counts = torch.zeros(clusters, int(labels.max()) + 1, device=h.device)
    counts.index_put_((nearest, labels), torch.ones(len(h), device=h.device), accumulate=True)
    return float(counts.max(1).values.sum()) / len(h)


def k_means(h: Float[Tensor, "n channels"], clusters: int, seed: int) -> Int64[Tensor, " n"]:
    """Return the cluster of each example: Lloyd's algorithm from k-means++'s start, on the CPU's draws."""
    generator = torch.Generator().manual_seed(seed)
    centers = h[torch.randint(len(h), (1,), generator=generator).to(h.device)]
    while len(centers) < clusters:
        chance = torch.cdist(h, centers).min(1).values.square().cpu() + 1e-30
        drawn = torch.multinomial(chance, 1, generator=generator).to(h.device)
        centers = torch.cat([centers, h[drawn]])
    nearest = torch.cdist(h, centers).argmin(1)
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centers).index_add_(0, nearest, h)
        counts = nearest.bincount(minlength=clusters)[:, None]
        centers = torch.where(counts > 0, sums / counts.clamp(min=1), centers)
        before, nearest = nearest, torch.cdist(h, centers).argmin(1)
        if torch.equal(before, nearest):
            break
    return nearest


METHOD = Relearning
