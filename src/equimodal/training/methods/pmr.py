"""Prototypical modal rebalance (PMR; Fan et al., CVPR 2023)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Features, Flow, squeeze
from equimodal.models.network import Logits, Network
from equimodal.training.batch import Batch
from equimodal.training.methods import Method


class PMR(Method):
    """Pull the features of the slow branch to the prototypes of their classes.

    With h_u the pooled last features and c_u^k their mean over the training examples of class k,

        q_u = softmax_k(-|h_u - c_u^k|),  slow: the branch with the least sum_batch q_u(y), fast: the most,
        L = CE(y, z) + alpha mean(-log q_slow(y)) - entropy mean H(q_fast).

    # ASSUME: prototypes are those of the epoch before, of all training examples in evaluation mode, so that
    # the first epoch has none. The last term is in the paper's text, not in its code: 0 leaves it out.
    """

    def __init__(
        self, network: Network, *, alpha: float, entropy: float, last_epoch: int, **common: Any
    ):
        """Start without prototypes; after the last epoch, the loss is CE(y, z)."""
        super().__init__(network, **common)
        self.alpha, self.entropy, self.last_epoch = alpha, entropy, last_epoch
        self.kept = tuple(f"_prototypes_{m}" for m in self.modalities)
        for m in self.modalities:
            shape = (self.classes, network.width(m))
            zeros = torch.zeros(shape, dtype=self.dtype, device=self.device)
            setattr(self, f"_prototypes_{m}", zeros)

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return CE(y, z) and, once there are prototypes, the weighted terms of them."""
        joint = super().losses(logits, features, labels)
        if not self.numbers(self.epoch):
            return joint
        log_q = torch.stack([self._log_q(m, features[m]) for m in self.modalities])
        of_label = log_q.gather(2, labels.expand(len(log_q), -1)[..., None])[..., 0]
        sums = of_label.exp().sum(1)
        pull = -of_label.mean(1).gather(0, sums.argmin()[None])
        entropies = -(log_q.exp() * log_q).sum(2).mean(1)
        spread = entropies.gather(0, sums.argmax()[None])
        return torch.cat([joint, self.alpha * pull, -self.entropy * spread])

    def _log_q(
        self, m: str, x: Float[Tensor, "batch channels *space"]
    ) -> Float[Tensor, "batch classes"]:
        prototypes = getattr(self, f"_prototypes_{m}")
        distance = torch.cdist(squeeze(x).to(prototypes.dtype)[None], prototypes[None])[0]
        return (-distance).log_softmax(1)

    @torch.no_grad()
    def end_epoch(self, network: Network, splits: Mapping[str, Iterable[Batch]]) -> None:
        """Take the means of the features of each class."""
        super().end_epoch(network, splits)
        if not self.numbers(self.epoch):
            return
        network.eval()
        sums = {m: getattr(self, f"_prototypes_{m}").zero_() for m in self.modalities}
        counts = torch.zeros(self.classes, dtype=self.dtype, device=self.device)
        for batch in splits["train"]:
            _, features = network(batch.inputs, Flow(frozen=True), with_features=True)
            counts += batch.labels.bincount(minlength=self.classes)
            for m, h in sums.items():
                h.index_add_(0, batch.labels, squeeze(features[m]).to(h.dtype))
        for h in sums.values():
            h /= counts.clamp(min=1)[:, None]

    def numbers(self, epoch: int) -> bool:
        """Whether there are prototypes that count."""
        return 1 < epoch <= self.last_epoch


METHOD = PMR
