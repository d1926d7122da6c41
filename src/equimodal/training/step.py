"""One update of a network: a regular step or a re-balancing step (paper, Sec. 5.2)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from equimodal.data.split import Batch
from equimodal.fusion.base import Flow
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.models.network import Logits, Network
from equimodal.training.balance import REGULAR_MODE, Mode, Policy


@dataclass(frozen=True)
class StepRecord:
    """What one step leaves behind, all of it on the device."""

    losses: Float[Tensor, " modalities"]  # cross-entropy of each branch
    logits: Logits
    mode: Mode | None  # of this step
    speeds: Float64[Tensor, " modalities"] | None  # after this step; None for one modality


def train_step(
    network: Network,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    policy: Policy,
    speeds: LearningSpeed | None,
    *,
    epoch: int,
) -> StepRecord:
    """Take one step in the policy's current mode and let the policy choose the next one.

    The loss is the sum of the branches' cross-entropies, L = sum_b CE(y, y_b) (Eq. 4). In a
    re-balancing step on modality b the gates of branch b are their running means, and the parameters
    that make those gates are left as they are, momentum included: they have no gradient. The
    conditional learning speeds count regular steps only.

    Args:
        network: In training mode; updated in place.
        batch: The examples of this step.
        optimizer: Holds the parameters of `network`.
        policy: Updated in place.
        speeds: Updated in place; None for a uni-modal network.
        epoch: Counted from 1.
    """
    mode = policy.mode
    logits = network(batch.inputs, Flow(rebalance=mode))
    losses = modality_losses(logits, batch.labels)
    optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()
    if speeds is not None:
        speeds.update(counted=None if mode is None else mode == REGULAR_MODE)
    _step_with_held(optimizer, network, mode)
    values = None if speeds is None else speeds.values
    policy.advance(values, epoch=epoch)
    return StepRecord(losses.detach(), {m: z.detach() for m, z in logits.items()}, mode, values)


def modality_losses(
    logits: Logits, labels: Int64[Tensor, " batch"]
) -> Float[Tensor, " modalities"]:
    """Return the cross-entropy of each branch's logits (the terms of Eq. 4)."""
    return torch.stack([F.cross_entropy(z, labels) for z in logits.values()])


def _step_with_held(optimizer: torch.optim.Optimizer, network: Network, mode: Mode | None) -> None:
    """Step, but leave the parameters that the mode holds, and their momentum, as they were.

    Their gradient is zero, not absent, since the mode is decided on the device: momentum alone
    would still move them.
    """
    if mode is None:
        optimizer.step()
        return
    held = [
        (mode == b, t)
        for b, m in enumerate(network.modalities)
        for p in network.held_parameters(m)
        for t in (p.detach(), *_states(optimizer, p))
    ]
    before = [t.clone() for _, t in held]
    optimizer.step()
    for (is_held, t), old in zip(held, before, strict=True):
        t.copy_(torch.where(is_held, old, t))


def _states(optimizer: torch.optim.Optimizer, p: nn.Parameter) -> Iterable[Tensor]:
    values = optimizer.state[p].values() if p in optimizer.state else ()
    return [v for v in values if isinstance(v, Tensor) and v.shape == p.shape]
