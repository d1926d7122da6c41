"""What a network answers, on a whole split, under each way of evaluating it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from equimodal.data.split import Split, Views
from equimodal.fusion.base import REGULAR, Flow, reset_recording
from equimodal.metrics.utilization import utilization_rate
from equimodal.models.network import Logits, Network, fused
from equimodal.training.policies import modality_losses

# Examples at a time, and values of them: clips are large. The size changes no result unless passes
# move running means.
BATCH = 500
VALUES = 2**24


@torch.no_grad()
def predict(
    network: Network,
    split: Split,
    flow: Flow = REGULAR,
    views: Views | None = None,
    *,
    batch_size: int = BATCH,
) -> Logits:
    """Return the logits of each branch for all examples; leaves the network in evaluation mode."""
    network.eval()
    slices = _slices(split, batch_size)
    parts = [network(split.batch(index, views).inputs, flow) for index in slices]
    return {m: torch.cat([part[m] for part in parts]) for m in network.modalities}


@torch.no_grad()
def record_mean_squeezes(network: Network, train: Split, views: Views | None = None) -> None:
    """Take the training-set means that an isolated pass needs (Eq. 6), with the regular flow.

    Batch norm is frozen; there is no augmentation unless `views` asks for it.
    """
    network.eval()
    reset_recording(network)
    for index in _slices(train):
        network(train.batch(index, views).inputs, Flow(record=True, frozen=True))


@torch.no_grad()
def conditional_utilization(
    model: nn.Module,
    train: Iterable[dict[str, Tensor]],
    test: Iterable[tuple[dict[str, Tensor], Tensor]],
) -> dict[str, float]:
    """Return the conditional utilization rate of each branch of any network (Eqs. 6 to 10).

    For a branch b it is (A(f_b) - A(f_b')) / A(f_b), the share of its test accuracy that it owes to
    the other modalities. With two branches, d_util is the first less the second.

    Args:
        model: Takes inputs by modality and a `Flow`, passes the flow to its fusion modules, and
            returns the logits of each branch. Left in evaluation mode.
        train: Inputs of the training set, for the mean squeezes.
        test: Inputs and labels of the test set.
    """
    model.eval()
    reset_recording(model)
    for inputs in train:
        model(inputs, Flow(record=True, frozen=True))
    hits: dict[str, list[int]] = {}
    examples = 0
    for inputs, labels in test:
        examples += len(labels)
        for way, flow in enumerate((Flow(frozen=True), Flow(isolated=True, frozen=True))):
            for m, z in model(inputs, flow).items():
                hits.setdefault(m, [0, 0])[way] += int((z.argmax(-1) == labels).sum())
    return {m: utilization_rate(a / examples, alone / examples) for m, (a, alone) in hits.items()}


@dataclass(frozen=True)
class Score:
    """Accuracy (share of 1) and loss of a network on a split."""

    accuracy: dict[str, float]  # of each branch, and of their mean as `fused`
    loss: float  # sum of the branches' mean cross-entropies


def score(
    network: Network,
    split: Split,
    flow: Flow = REGULAR,
    views: Views | None = None,
    *,
    batch_size: int = BATCH,
) -> Score:
    """Evaluate the network on a split."""
    logits = predict(network, split, flow, views, batch_size=batch_size)
    loss = modality_losses(logits, split.labels).sum()
    hits = {m: (z.argmax(-1) == split.labels).float().mean() for m, z in with_fused(logits).items()}
    return Score({m: float(x) for m, x in hits.items()}, float(loss))


def with_fused(logits: Logits) -> Logits:
    """Add the network's prediction to the branches' as `fused`."""
    return {**logits, "fused": fused(logits)}


def evaluations(network: Network) -> dict[str, Flow]:
    """Every way of evaluating a network, by name.

    `regular`; `rebalance_<m>`, the gates of branch m at their running means, as in a re-balancing
    step on m; `isolated`, no cross-modal flow. A uni-modal network has the first only.
    """
    flows = {"regular": Flow(frozen=True)}
    if len(network.modalities) > 1:
        for b, m in enumerate(network.modalities):
            flows[f"rebalance_{m}"] = Flow(
                rebalance=torch.tensor(b, device=_device(network)), frozen=True
            )
        flows["isolated"] = Flow(isolated=True, frozen=True)
    return flows


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device


def _slices(split: Split, batch_size: int = BATCH) -> list[Int64[Tensor, " batch"]]:
    values = sum(x[0].numel() for x in split.arrays.values())
    size = min(batch_size, max(1, VALUES // values))
    return list(torch.arange(len(split), device=split.labels.device).split(size))
