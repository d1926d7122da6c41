"""Every way of evaluating a network, and the conditional utilization rates that follow."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import SupportsFloat

import numpy as np
import torch
from numpy import ndarray
from torch import nn

from equimodal.fusion.base import (
    Flow,
    Fusion,
    fusion_modules,
    joined_modalities,
    require_whole,
    reset_recording,
)
from equimodal.fusion.squeezed import SqueezeFusion
from equimodal.metrics.utilization import accuracy, utilization_rate
from equimodal.training.own import (
    batches_of,
    finite_logits,
    inputs_and_labels,
    inputs_of,
    require_classes,
    require_flow,
    unwrapped,
)

Metric = Callable[[ndarray, ndarray], float]  # of logits and labels, the larger the better


@torch.no_grad()
def conditional_utilization(
    model: nn.Module, train: Iterable[object], test: Iterable[object], *, metric: Metric = accuracy
) -> dict[str, float]:
    """Return the conditional utilization rate of each branch of any network (Eqs. 6 to 10).

    For a branch b it is (A(f_b) - A(f_b')) / A(f_b), the share of its test accuracy that it owes to
    the other modalities. With two branches, d_util is the first less the second, in the order of the fusion
    modules, as of the speeds.

    Args:
        model: Takes inputs by modality and a `Flow`, passes the flow to its fusion modules, and
            returns the logits of each branch, (batch, classes). Its training mode is left as it was.
            What torch's wrappers hold is called without them, so that one process can measure alone.
        train: Batches of the training set, for the mean squeezes: as those of the test set, or inputs
            alone.
        test: Batches of the test set, as `inputs_and_labels` takes them; labels are class indices,
            (batch,).
        metric: What stands in for the accuracy A: balanced accuracy, say, or of a regression max(0, R²). Any
            but the accuracy gets logits and labels of whatever shape. Where it is 0, the rate is NaN.

    Raises:
        ValueError: If the model has no fusion module, its flow does not reach one, a set is empty,
            logits or labels have another shape, a logit is not finite or of no modality, a label is no class, a
            metric is negative or NaN, or parameters are sharded.
        TypeError: If a set does not hold batches of inputs by modality, the model does not return logits by
            modality, or the metric is no function or returns no number.
    """
    model = unwrapped(model)
    require_whole(model)
    fusions = fusion_modules(model)
    if not fusions:
        raise ValueError(
            "the model has no equimodal.fusion.base.Fusion, so nothing can be switched off"
        )
    require_flow(model)
    if not callable(metric):
        raise TypeError(f"metric takes a function of logits and labels, given {metric!r}")
    modalities = dict.fromkeys(m for f in fusions for m in f.modalities)
    with _evaluating(model):
        _record(model, fusions, train, modalities)
        answers: dict[str, tuple[list[ndarray], list[ndarray]]] = {}
        truth: list[ndarray] = []
        for batch in batches_of(test, "test"):
            inputs, labels = inputs_and_labels(batch)
            truth.append(labels.cpu().numpy())
            for way, flow in enumerate((Flow(frozen=True), Flow(isolated=True, frozen=True))):
                for m, z in finite_logits(model(inputs, flow), inputs, modalities).items():
                    if metric is accuracy:
                        require_classes(m, z, labels.to(z.device))
                    answers.setdefault(m, ([], []))[way].append(z.double().cpu().numpy())
    if not sum(map(len, truth)):
        raise ValueError("the test set is empty, or an iterator that was used up before")
    of_own = [f for f in fusions if not isinstance(f, SqueezeFusion) and len(f.modalities) > 1]
    if of_own and all(
        np.array_equal(a, b) for ways in answers.values() for a, b in zip(*ways, strict=True)
    ):
        raise ValueError(
            f"isolated, every answer is the same to the last digit: {type(of_own[0]).__name__} ignores the flow,"
            " and the network would come out as not greedy; docs/own-network.md says what a fusion does"
        )
    every = np.concatenate(truth)
    rates = {}
    for m in [m for m in modalities if m in answers]:
        given = [metric(np.concatenate(z), every) for z in answers[m]]
        if not all(isinstance(value, SupportsFloat) and np.ndim(value) == 0 for value in given):
            raise TypeError(f"the metric of {m!r} is {given[0]!r}: it has to return one number")
        found = [float(value) for value in given]
        if not min(found) >= 0:
            raise ValueError(
                f"the metric of {m!r} is {found[0]:g}, and {found[1]:g} isolated: a rate is a share of it, so it has"
                " to be 0 or more, the larger the better; of R² take max(0, R²)"
            )
        rates[m] = utilization_rate(*found)
    return rates


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module is in the mode that it was in."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was


def _record(
    model: nn.Module, fusions: list[Fusion], train: Iterable[object], modalities: Collection[str]
) -> None:
    reset_recording(model)
    batches = 0
    for batch in batches_of(train, "training"):
        inputs = inputs_of(batch)
        finite_logits(model(inputs, Flow(record=True, frozen=True)), inputs, modalities)
        batches += 1
    if not batches:
        raise ValueError("the training set is empty, or an iterator that was used up before")
    for fusion in fusions:
        if isinstance(fusion, SqueezeFusion) and not fusion.squeezes_seen:
            raise ValueError(
                f"the flow did not reach a {type(fusion).__name__} of {list(fusion.modalities)}:"
                " pass it on to every fusion module in `forward`"
            )


def evaluations(network: nn.Module) -> dict[str, Flow]:
    """Every way of evaluating a network, any that has fusion modules, by name.

    `regular`; `rebalance_<m>`, the gates of branch m at their running means, as in a re-balancing
    step on m, if all fusion modules join the same modalities in one order; `isolated`, no cross-modal
    flow; `zeroed`, the same with zeros in place of the others' means. A uni-modal network has the
    first only. Call `network.eval()` before you use them.
    """
    flows = {"regular": Flow(frozen=True)}
    joined = joined_modalities(network)
    if len(joined) == 1 and len(joined[0]) > 1:
        for b, m in enumerate(joined[0]):
            flows[f"rebalance_{m}"] = Flow(
                rebalance=torch.tensor(b, device=_device(network)), frozen=True
            )
    if any(len(modalities) > 1 for modalities in joined):
        flows["isolated"] = Flow(isolated=True, frozen=True)
        flows["zeroed"] = Flow(isolated=True, zeroed=True, frozen=True)
    return flows


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
