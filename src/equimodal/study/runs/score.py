"""What a network answers on a whole split, and how well."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from equimodal.fusion.base import REGULAR, Flow
from equimodal.metrics.gradients import gradient_cosines
from equimodal.models.network import Logits, Network, fused
from equimodal.study.data.split import Split, Views
from equimodal.training.policies import modality_losses

# Examples at a time, and values of them: clips are large. The size changes no result unless passes
# move running means.
BATCH = 500
VALUES = 2**24
COSINE_BATCHES = 20  # [ours] in every step the passes cost more than the training itself


@torch.no_grad()
def predict(
    network: Network,
    split: Split,
    flow: Flow = REGULAR,
    views: Views | None = None,
    *,
    index: Int64[Tensor, " n"] | None = None,
    batch_size: int = BATCH,
) -> Logits:
    """Return the logits of each branch for all examples, or those of an index. Leaves the network in evaluation mode."""
    network.eval()
    parts = [
        network(split.batch(part, views).inputs, flow) for part in slices(split, index, batch_size)
    ]
    return {m: torch.cat([part[m] for part in parts]) for m in network.modalities}


@dataclass(frozen=True)
class Score:
    """Accuracy (share of 1) and loss of a network on a split."""

    accuracy: dict[str, float]  # of each branch, and of their mean as `fused`
    loss: float  # sum of the branches' mean cross-entropies, or that of the prediction


def score(
    network: Network,
    split: Split,
    flow: Flow = REGULAR,
    views: Views | None = None,
    *,
    batch_size: int = BATCH,
    of_prediction: bool = False,
) -> Score:
    """Evaluate the network on a split; what is mirrored in `views` may have another label."""
    logits = predict(network, split, flow, views, batch_size=batch_size)
    labels = split.labels if views is None or views.labels is None else views.labels
    losses = {"fused": fused(logits)} if of_prediction else logits
    loss = modality_losses(losses, labels).sum()
    hits = {m: (z.argmax(-1) == labels).float().mean() for m, z in with_fused(logits).items()}
    return Score({m: float(x) for m, x in hits.items()}, float(loss))


def mean_cosines(network: Network, split: Split, batch_size: int) -> dict[str, float]:
    """Say for each encoder how far the answer's loss and its branch's own pull the same way.

    It is the cosine between the gradients of CE(y, z) and CE(y, z_u), the mean over the first batches of a split, of the
    network as it stands: in evaluation mode and with frozen means, so that nothing of it moves.
    """
    network.eval()
    encoders = [network.encoder_parameters(m) for m in network.modalities]
    found = []
    for index in slices(split, batch_size=batch_size)[:COSINE_BATCHES]:
        batch = split.batch(index)
        shares = network(batch.inputs, Flow(apart=True, frozen=True))
        answer = modality_losses({"fused": fused(shares)}, batch.labels).sum()
        parts = modality_losses(shares, batch.labels)
        found.append(gradient_cosines(answer, parts, encoders))
    return dict(zip(network.modalities, torch.stack(found).mean(0).tolist(), strict=True))


def with_fused(logits: Logits) -> Logits:
    """Add the network's prediction to the branches' as `fused`."""
    return {**logits, "fused": fused(logits)}


def slices(
    split: Split, index: Int64[Tensor, " n"] | None = None, batch_size: int = BATCH
) -> list[Int64[Tensor, " batch"]]:
    """Cut an index, or all examples, into batches that fit into memory."""
    values = sum(x[0].numel() for x in split.arrays.values())
    size = min(batch_size, max(1, VALUES // values))
    if index is None:
        index = torch.arange(len(split), device=split.labels.device)
    return list(index.split(size))
