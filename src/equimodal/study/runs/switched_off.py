"""What each branch answers where the others are switched off, on whole splits."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from equimodal.fusion.base import Flow, reset_recording
from equimodal.models.network import Logits, Network
from equimodal.study.data.split import Split, Views
from equimodal.study.runs.score import predict, slices


@torch.no_grad()
def record_mean_squeezes(
    network: Network,
    train: Split,
    views: Views | None = None,
    *,
    index: Int64[Tensor, " n"] | None = None,
) -> None:
    """Take the training-set means that an isolated pass needs (Eq. 6), with the regular flow.

    Batch norm is frozen; there is no augmentation unless `views` asks for it. An index takes some of the training set.
    """
    network.eval()
    reset_recording(network)
    for part in slices(train, index):
        network(train.batch(part, views).inputs, Flow(record=True, frozen=True))


@torch.no_grad()
def predict_permuted(network: Network, split: Split, seed: int) -> Logits:
    """Return each branch's logits where the others are given other examples of the split.

    The order of those is drawn once for all branches; what of an example is seen stays its own.
    """
    network.eval()
    order = np.random.default_rng(seed).permutation(len(split))
    permuted = torch.from_numpy(order).to(split.labels.device)
    logits: dict[str, list[Tensor]] = {m: [] for m in network.modalities}
    for part in slices(split):
        own, other = split.batch(part).inputs, split.batch(permuted[part]).inputs
        for m in network.modalities:
            logits[m].append(network(other | {m: own[m]}, Flow(frozen=True))[m])
    return {m: torch.cat(parts) for m, parts in logits.items()}


@torch.no_grad()
def predict_with_class_means(
    network: Network, train: Split, test: Split, views: Views | None = None
) -> Logits:
    """Return each branch's logits where it sees of the others the mean of the example's class.

    That is Eq. 7 with the training-set mean squeezes of the true class in place of those over all
    classes; a class without training examples gets the latter. It changes what is recorded.
    """
    logits: dict[str, Tensor] = {}
    for label in test.labels.unique().tolist():
        shown, index = _of_class(train, label), _of_class(test, label)
        record_mean_squeezes(network, train, views, index=shown if len(shown) else None)
        isolated = Flow(isolated=True, frozen=True)
        for m, z in predict(network, test, isolated, index=index).items():
            logits.setdefault(m, z.new_zeros(len(test), z.shape[1]))[index] = z
    return logits


def _of_class(split: Split, label: int) -> Int64[Tensor, " n"]:
    return (split.labels == label).nonzero()[:, 0]
