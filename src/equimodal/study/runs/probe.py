"""Linear probes: what a classifier of its own can read from the last features of each branch."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Flow, squeeze
from equimodal.models.network import Logits, Network
from equimodal.study.data.split import Split
from equimodal.study.runs.score import slices

ROUNDS = 100  # [ours] of L-BFGS at most
DECAY = 1e-4  # [ours] half the factor of |W|^2, so that separable features give finite weights


def linear_probes(network: Network, train: Split, test: Split, classes: int) -> Logits:
    """Return the logits on test examples of a logistic regression for each branch.

    It is fitted to the pooled last features of the training examples, with the regular flow and without
    augmentation; features are scaled to mean 0 and standard deviation 1.
    """
    seen, shown = (_features(network, split) for split in (train, test))
    return {m: _fitted(seen[m], train.labels, shown[m], classes) for m in network.modalities}


@torch.no_grad()
def _features(network: Network, split: Split) -> dict[str, Tensor]:
    network.eval()
    found: dict[str, list[Tensor]] = {m: [] for m in network.modalities}
    for part in slices(split):
        inputs = split.batch(part).inputs
        _, features = network(inputs, Flow(frozen=True), with_features=True)
        for m, h in found.items():
            h.append(squeeze(features[m]).double())
    return {m: torch.cat(h) for m, h in found.items()}


def _fitted(
    h: Float[Tensor, "n channels"],
    labels: Int64[Tensor, " n"],
    shown: Float[Tensor, "k channels"],
    classes: int,
) -> Float[Tensor, "k classes"]:
    mean, deviation = h.mean(0), h.std(0).clamp(min=1e-6)
    h, shown = (h - mean) / deviation, (shown - mean) / deviation
    w = h.new_zeros(classes, h.shape[1]).requires_grad_()
    b = h.new_zeros(classes).requires_grad_()
    optimizer = torch.optim.LBFGS([w, b], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(h, w, b), labels) + DECAY * w.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return F.linear(shown, w, b).detach()
