"""What comes from a loop or a network of one's own: taken as it is meant, or refused in a sentence."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from equimodal.fusion.base import REGULAR
from equimodal.training.batch import Batch


def unwrapped(model: nn.Module, *, training: bool = False) -> nn.Module:
    """Return the module within torch's wrappers, compiled or distributed.

    ValueError if it is for `training`, and the wrappers are such that running means or gradients would be those of a
    part of the batch.
    """
    distributed = False
    while not (inner := _inner(model)) is model:
        if training and isinstance(model, DataParallel):
            raise ValueError(
                "DataParallel keeps the running means of its first device only; wrap the network in"
                " DistributedDataParallel"
            )
        distributed |= isinstance(model, DistributedDataParallel)
        model = inner
    if training and not distributed and processes() > 1:
        raise ValueError(
            f"the network is bare in a group of {processes()} processes, which would drift apart, their"
            " gradients not averaged; pass the DistributedDataParallel itself, not its `module`"
        )
    return model


def _inner(model: nn.Module) -> nn.Module:
    if isinstance(model, DistributedDataParallel | DataParallel):
        return model.module
    return getattr(model, "_orig_mod", model)  # of torch.compile


def processes() -> int:
    """Return how many processes train together."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1


def require_training(network: nn.Module) -> None:
    """Check that a network is in training mode; ValueError if not: no running mean would move."""
    if not network.training:
        raise ValueError("the network is in evaluation mode: call network.train() before the step")


def require_all_parameters(
    network: nn.Module, optimizer: torch.optim.Optimizer, of_policy: Iterable[nn.Parameter] = ()
) -> None:
    """Check that an optimizer moves all that is trained, of the network and of the policy.

    Raises:
        ValueError: If not: nobody would clear the gradients of the others, which would add up in the speeds.
    """
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trained = [*network.named_parameters(), *((f"policy.{i}", p) for i, p in enumerate(of_policy))]
    others = [name for name, p in trained if p.requires_grad and id(p) not in moved]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise ValueError(
            f"the optimizer does not move {others[:3]}{more}: give it all parameters of the network and the policy, themselves and no copies, and call"
            " requires_grad_(False) on those that are not to be trained"
        )


def require_flow(model: nn.Module) -> None:
    """Check that a model is called with inputs and a flow; TypeError if its `forward` takes no second argument."""
    try:
        signature(model.forward).bind({}, REGULAR)
    except TypeError:
        raise TypeError(
            f"forward of {type(model).__name__} has to take (inputs, flow) and to pass the flow on to every"
            " fusion module"
        ) from None


def batches_of(given: Any, what: str) -> Iterator[Any]:
    """Return an iterator of the batches of a set.

    Raises:
        TypeError: If it is none.
    """
    try:
        return iter(given)
    except TypeError:
        raise TypeError(
            f"the {what} set is a {type(given).__name__}: expected batches; put a single one into a list"
        ) from None


def inputs_of(batch: Any) -> Mapping[str, Tensor]:
    """Return the inputs of a batch that may come with labels or without; raises as `inputs_and_labels`."""
    if isinstance(batch, Mapping) and "labels" not in batch:
        return batch
    return inputs_and_labels(batch)[0]


def inputs_and_labels(batch: Any) -> tuple[Mapping[str, Tensor], Tensor]:
    """Return the inputs by modality, and the labels as a tensor.

    TypeError if it is no `Batch`, pair of inputs and labels, or dict that has the labels as `labels`.
    """
    inputs: Any
    match batch:
        case Batch(inputs=inputs, labels=labels):
            pass
        case {"labels": labels, **inputs}:
            pass
        case [Mapping() as inputs, labels, *_]:
            pass
        case _:
            raise TypeError(
                f"a batch is a {type(batch).__name__}: expected batches, each (inputs, labels) with inputs a"
                " dict of modality -> tensor, or one dict with `labels` in it; put a single batch into a list"
            )
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"the labels are no tensor and make none ({error}): pass numbers") from None
    if labels.ndim == 0:
        raise TypeError(
            "a batch has one label: a set holds batches, not examples; take a loader of it"
        )
    of_numbers = labels.is_floating_point() or labels.is_complex()
    return inputs, labels if of_numbers else labels.long()  # as class indices of torch are


def finite_logits(
    output: Any, inputs: Mapping[str, Tensor], modalities: Collection[str]
) -> Mapping[str, Tensor]:
    """Return what a network answered to inputs, if it is finite logits of its modalities.

    Raises:
        TypeError: If it is no dict of tensors.
        ValueError: If it has other names than modalities, or a logit is NaN or infinite.
    """
    expected = "it has to return the logits of each branch, a dict of modality -> tensor"
    if not isinstance(output, Mapping):
        raise TypeError(f"the model returned {type(output).__name__}: {expected}")
    if not output or output.keys() - modalities:
        raise ValueError(
            f"the model answered for {list(output)}, but its fusion modules join {sorted(modalities)}:"
            f" {expected}, and nothing else"
        )
    if others := sorted({type(z).__name__ for z in output.values() if not isinstance(z, Tensor)}):
        raise TypeError(f"the model returned a dict of {', '.join(others)}: {expected}")
    for m, z in output.items():
        if not z.isfinite().all():
            bad = [n for n, x in inputs.items() if isinstance(x, Tensor) and not x.isfinite().all()]
            why = ": the network has diverged, and it would come out as not greedy"
            if bad:
                why = f", as the inputs {bad} are not: mend the data"
            raise ValueError(f"the logits of {m!r} are not finite{why}")
    return output


def require_classes(m: str, z: Tensor, labels: Tensor) -> None:
    """Check that logits are (batch, classes) and labels class indices, (batch,).

    Raises:
        ValueError: If not: they would be compared all the same.
    """
    require_shapes(m, z, labels)
    if ((labels < 0) | (labels >= z.shape[1])).any():
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()} where {m!r} has {z.shape[1]} logits: expected"
            f" class indices from 0 to {z.shape[1] - 1}"
        )


def require_shapes(m: str, z: Tensor, labels: Tensor) -> None:
    """Check the same as far as that does not wait for the device: shapes and types; ValueError if they do not fit."""
    advice = None
    if labels.ndim == 2 and labels.shape[1] > 1:
        advice = (
            "of one-hot labels take labels.argmax(1); for several labels an example measure with metric=,"
            " and train with a loss of your own and a Balancer"
        )
    elif labels.ndim != 1:
        advice = "flatten the labels"
    elif labels.is_floating_point() or labels.is_complex():
        advice = (
            "make integers of the labels: labels.long(), if they are class indices; for a regression measure"
            " with metric=, and train with a loss of your own and a Balancer"
        )
    elif z.ndim < 2 or z.shape[1] < 2:
        advice = "of a single logit z per example make two: z = z.flatten(); torch.stack([torch.zeros_like(z), z], 1)"
    elif z.ndim > 2:
        advice = "pool the logits over space or time to one row an example"
    elif len(z) != len(labels):
        advice = "give the labels of the examples that the inputs hold"
    if advice:
        raise ValueError(
            f"the logits of {m!r} have shape {tuple(z.shape)}, the labels {tuple(labels.shape)} and type"
            f" {labels.dtype}: expected (batch, two classes or more), and class indices (batch,); {advice}"
        )
