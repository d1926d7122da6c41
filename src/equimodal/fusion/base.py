"""What a fusion module must offer so that it can be measured and re-balanced."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

Features = dict[str, Float[Tensor, "batch _channels *_space"]]  # channels before space and time
Masks = Mapping[str, Bool[Tensor, "batch ..."]]  # true where features are, false on padding


@dataclass(frozen=True)
class Flow:
    """How information flows between the branches in one forward pass.

    The default is the regular flow: every branch sees what the fusion makes of all modalities.

    Attributes:
        rebalance: Index of the branch that gets a constant in place of what the fusion makes for
            it, as in a re-balancing step on that modality (Eqs. 13, 14); -1 for none. As a tensor,
            the choice can stay on the device; None is -1 without the cost of asking.
        isolated: Whether each branch sees its own features and the training-set mean of the
            others' (Eq. 7): no cross-modal flow at all.
        zeroed: Whether an isolated branch sees zeros in place of that mean.
        record: Whether the pass adds to the training-set means that an isolated pass needs (Eq. 6).
        frozen: Whether the pass leaves the running means of re-balancing alone in any case.
        apart: Whether a late fusion gives each branch its own share of the answer in place of the answer.
            The shares' mean is the answer. Other fusions know no shares.
    """

    rebalance: Int64[Tensor, ""] | int | None = None
    isolated: bool = False
    zeroed: bool = False
    record: bool = False
    frozen: bool = False
    apart: bool = False


REGULAR = Flow()


class Fusion(nn.Module, ABC):
    """Features of all modalities in, features of the same shapes out.

    While training, each regular pass updates what a re-balancing step will use in place of the
    live fusion; a re-balancing pass leaves it alone, unless `RunningMean.updates` has it otherwise.
    """

    modalities: tuple[str, ...]  # in the order of the network's: a mode is an index of it

    @abstractmethod
    def forward(
        self, features: Features, flow: Flow = REGULAR, masks: Masks | None = None
    ) -> Features:
        """Return the fused features, each of the shape it came in.

        Args:
            features: Of each modality.
            flow: Between the branches.
            masks: Of modalities whose examples are padded, or the fusion of an example would depend on
                its batch. As large as the features' time, or time and space; (batch) where an example may
                lack the modality.
        """

    @abstractmethod
    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that act on the features of every modality."""

    @abstractmethod
    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """Parameters that act on the features of one modality only.

        They get no gradient in a re-balancing step on that modality.
        """

    @abstractmethod
    def reset_recording(self) -> None:
        """Forget the training-set means of earlier passes with `Flow(record=True)`."""


def squeeze(
    x: Float[Tensor, "batch channels *space"], mask: Bool[Tensor, "batch ..."] | None = None
) -> Float[Tensor, "batch channels"]:
    """Return the mean of each feature map over space (and time); a vector is its own.

    With a mask the mean over where that is true, and zero of an example where it is nowhere. A mask of the
    batch alone says of which examples the modality is there.

    Looking at a mask of floats waits for the device, so give one of booleans on a GPU.

    Raises:
        ValueError: If the mask is not as large as the features, has other numbers than 0 and 1, or is one of lengths.
    """
    if mask is None and x.ndim > 2:
        # The gradient of a mean lies in memory as the view does that was averaged. It has to lie as the
        # features do: layers that read both in two orders take several times as long.
        last = x.movedim(1, -1)
        return last.flatten(1, -2).mean(1) if last.is_contiguous() else x.flatten(2).mean(-1)
    if mask is None:
        return x
    if mask.is_floating_point() and not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            "a mask has other numbers than 0 and 1, as one that is added to scores has, where 0 means no padding:"
            " give one of booleans, true where features are"
        )
    if mask.ndim == 1 and mask.dtype != torch.bool:
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} has the type {mask.dtype}: of lengths make a mask,"
            " torch.arange(time) < lengths[:, None]; of examples that lack the modality, a mask of booleans"
        )
    if x.ndim == 2:
        x = x[..., None]
    if mask.ndim < 1 or mask.shape != (len(x), *x.shape[2 : mask.ndim + 1]):
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} does not fit features of shape {tuple(x.shape)}:"
            " expected (batch), (batch, time) or (batch, time, space ...), as long as the features are here"
        )
    mask = mask.bool().view(len(x), 1, *mask.shape[1:], *[1] * (x.ndim - 1 - mask.ndim))
    mask = mask.expand(-1, -1, *x.shape[2:]).flatten(2)
    return x.flatten(2).where(mask, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)


def fusion_modules(model: nn.Module) -> list[Fusion]:
    """Return the fusion modules of any network."""
    return [module for module in model.modules() if isinstance(module, Fusion)]


def require_names(modalities: Iterable[str]) -> None:
    """Check that torch's modules can hold something under each name; ValueError if not."""
    for m in modalities:
        kept = isinstance(m, str) and (hasattr(nn.ModuleDict, m) or m == "training")
        if not isinstance(m, str) or not m or "." in m or kept:
            raise ValueError(
                f"{m!r} can not name a modality: torch keeps names such as 'type', and '.' for itself;"
                " choose another name"
            )


def require_whole(model: nn.Module) -> None:
    """Check that no process holds but a part of a parameter, whose norm would be that of the part.

    Raises:
        ValueError: If the network is in FSDP, or its parameters are torch's distributed tensors.
    """
    kinds = {type(x).__name__ for x in (*model.modules(), *model.parameters())}
    if sharded := kinds & {"FullyShardedDataParallel", "FlatParameter", "DTensor"}:
        raise ValueError(
            f"the parameters are sharded ({', '.join(sorted(sharded))}), and speeds need whole ones: train in"
            " DistributedDataParallel"
        )


def joined_modalities(model: nn.Module) -> list[tuple[str, ...]]:
    """Return what the fusion modules join; one entry if all join the same in one order."""
    return list(dict.fromkeys(tuple(f.modalities) for f in fusion_modules(model)))


def fusion_parameters(model: nn.Module, modality: str) -> list[nn.Parameter]:
    """Return theta_b' of the paper: fusion parameters that act on a branch, shared ones included.

    Raises:
        ValueError: If no fusion module joins the modality.
    """
    fusions = [f for f in fusion_modules(model) if modality in f.modalities]
    if not fusions:
        raise ValueError(f"no fusion module of the model joins the modality {modality!r}")
    return [p for f in fusions for p in (*f.shared_parameters(), *f.own_parameters(modality))]


def held_parameters(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return for each mode the parameters without a gradient in a re-balancing step of that mode.

    Empty for a model without fusion modules, which has no such step.

    Raises:
        ValueError: If the fusion modules do not all join the same modalities in one order, as a mode
            is an index of them.
    """
    joined = joined_modalities(model)
    if len(joined) > 1:
        raise ValueError(
            "every fusion module has to join all modalities in one order, since the mode of a step is"
            f" an index of them; these join {', '.join(str(list(m)) for m in joined)}"
        )
    fusions = fusion_modules(model)
    return [[p for f in fusions for p in f.own_parameters(m)] for names in joined for m in names]


def reset_recording(model: nn.Module) -> None:
    """Forget the training-set means of all fusion modules."""
    for fusion in fusion_modules(model):
        fusion.reset_recording()
