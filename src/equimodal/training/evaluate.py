"""What a network answers, on a whole split, under each way of evaluating it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from equimodal.data.split import Split
from equimodal.fusion.base import REGULAR, Flow
from equimodal.models.network import Logits, Network, fused
from equimodal.training.policies import modality_losses

Flips = dict[str, Bool[Tensor, " n"]]

BATCH = 500  # examples at a time; in evaluation mode the size does not change the result


@torch.no_grad()
def predict(
    network: Network, split: Split, flow: Flow = REGULAR, flips: Flips | None = None
) -> Logits:
    """Return the logits of each branch for all examples; leaves the network in evaluation mode."""
    network.eval()
    parts = [network(split.batch(index, flips).inputs, flow) for index in _slices(split)]
    return {m: torch.cat([part[m] for part in parts]) for m in network.modalities}


@torch.no_grad()
def record_mean_squeezes(network: Network, train: Split, flips: Flips | None = None) -> None:
    """Take the training-set means that an isolated pass needs (Eq. 6), with the regular flow.

    Batch norm is frozen; there is no augmentation unless `flips` asks for it.
    """
    network.eval()
    network.reset_recording()
    for index in _slices(train):
        network(train.batch(index, flips).inputs, Flow(record=True, frozen=True))


@dataclass(frozen=True)
class Score:
    """Accuracy (share of 1) and loss of a network on a split."""

    accuracy: dict[str, float]  # of each branch, and of their mean as `fused`
    loss: float  # sum of the branches' mean cross-entropies


def score(
    network: Network, split: Split, flow: Flow = REGULAR, flips: Flips | None = None
) -> Score:
    """Evaluate the network on a split."""
    logits = predict(network, split, flow, flips)
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


def _slices(split: Split) -> list[Int64[Tensor, " batch"]]:
    return list(torch.arange(len(split), device=split.labels.device).split(BATCH))
