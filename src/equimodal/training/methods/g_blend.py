"""Gradient blending with weights from runs of before (offline G-Blend; Wang et al., CVPR 2020)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Features
from equimodal.models.network import Logits, Network
from equimodal.training.methods import Method, with_shares

JOINT = "joint"
Losses = tuple[Sequence[float], Sequence[float]]  # on training and validation examples, by epoch


class GBlend(Method):
    """L = sum_k w_k L_k over the loss of the answer and of each branch, with weights from other runs.

        w_k proportional to G_k / O_k^2, and of sum 1,

    from the run of k alone (each modality, and joint training): G_k is how much the validation loss fell from
    the first epoch to that where it is lowest, and O_k how much validation less training loss grew meanwhile.

    # ASSUME: from memory of the paper, not checked: which epochs are compared, and the sum. A run whose
    # validation loss never fell has weight 0; all have equal weights where none fell.
    """

    def __init__(self, network: Network, *, histories: Mapping[str, Losses], **common: Any):
        """Work the weights out, from the losses of the run of each modality alone, and of `joint`."""
        super().__init__(network, **common)
        weights = blend_weights([histories[k] for k in (JOINT, *self.modalities)])
        self.weights = torch.tensor(weights, dtype=torch.float64, device=self.device)

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return w_0 CE(y, z), and w_u CE(y, z_u) of each branch."""
        terms = with_shares(logits, labels)
        return self.weights.to(terms.dtype) * terms


def blend_weights(histories: Sequence[Losses]) -> list[float]:
    """Return the weight of each run's loss, of sum 1."""
    raw = []
    for train, validation in histories:
        best = min(range(len(validation)), key=validation.__getitem__)
        fell = validation[0] - validation[best]
        overfit = (validation[best] - train[best]) - (validation[0] - train[0])
        raw.append(fell / max(overfit**2, 1e-12))  # without any overfitting it takes all weight
    total = sum(raw)
    return [x / total for x in raw] if total > 0 else [1 / len(raw)] * len(raw)


METHOD = GBlend
