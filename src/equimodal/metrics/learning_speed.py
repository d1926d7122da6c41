"""Conditional learning speed: how fast the fusion learns, set against the branch it serves."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import e, log
from typing import Any, Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from equimodal.fusion.base import (
    fusion_modules,
    fusion_parameters,
    joined_modalities,
    require_whole,
)
from equimodal.state import Stateful


class LearningSpeed(Stateful):
    """Running conditional learning speeds of a network (Eqs. 11, 12).

    For each branch b, after the counted steps up to t,

        speed_b(t) = log [ sum_i mu(theta_b'; i) / sum_i mu(theta_b; i) ],

    with theta_b the parameters of the branch, theta_b' the fusion parameters that act on it, and the
    effective update mu = |G|^2 / |theta|^2 of a group of parameters as one vector (Sec. 5.1).
    `values[0]` is the paper's s(m1|m0), how fast branch 0 learns from m1 through the fusion; `values[1]` is
    s(m0|m1). 0 means that fusion and branch move at the same pace.

    Works in any training loop: call `update` after `backward`, before gradients are clipped and before
    the optimizer's step. All sums stay on the device; nothing but the first update waits for it.
    Parameters that are frozen when the meter is built count in no sum: a branch would else look slow for
    what it may not learn.
    """

    kept = ("sums",)

    def __init__(
        self,
        branch: Mapping[str, Iterable[nn.Parameter]],
        fusion: nn.Module | Mapping[str, Iterable[nn.Parameter]],
        *,
        log_base: Literal["10", "e"] = "10",
        norm: Literal["before_step", "after_step"] = "before_step",
    ):
        """Start with empty sums.

        Args:
            branch: theta_b of each modality.
            fusion: The network, of whose fusion modules theta_b' is found; or theta_b' of each modality.
            log_base: Of the logarithm. The paper says "log"; its code, and so its tolerances, take
                base 10.
            norm: Which theta divides the gradient: the one that the gradient belongs to (official
                code), or the one after the step (paper); the latter asks for `after_step`.

        Raises:
            ValueError: If the two do not name the same modalities in the same order, a branch holds parameters
                of the fusion, a fusion module does not tell one of its own, or nothing of a group is trained.
        """
        if isinstance(fusion, nn.Module):
            require_whole(fusion)
            joined = joined_modalities(fusion)
            if len(joined) == 1 and joined[0] != tuple(branch):
                raise ValueError(
                    f"the branches are {list(branch)}, the fusion modules join {list(joined[0])}; name the"
                    " same in the same order, as a mode is an index of both"
                )
            of_fusions = {id(p) for f in fusion_modules(fusion) for p in f.parameters()}
            branch = {m: list(parameters) for m, parameters in branch.items()}
            if mixed := [m for m, ps in branch.items() if of_fusions & {id(p) for p in ps}]:
                raise ValueError(
                    f"the branches {mixed} hold parameters of the fusion: give each the parameters of its own"
                    " layers alone"
                )
            for f in fusion_modules(fusion):
                lists = [f.shared_parameters(), *map(f.own_parameters, f.modalities)]
                told = {id(p) for p in chain.from_iterable(lists)}
                if untold := [name for name, p in f.named_parameters() if id(p) not in told]:
                    raise ValueError(
                        f"{type(f).__name__} has the parameters {untold[:3]}, which neither shared_parameters nor"
                        " own_parameters returns: the speeds would not count them"
                    )
            fusion = {m: fusion_parameters(fusion, m) for m in branch}
        if list(branch) != list(fusion):
            raise ValueError(f"branches {list(branch)} do not match fusions {list(fusion)}")
        self.modalities = tuple(branch)
        given = [[list(g[m]) for m in self.modalities] for g in (fusion, branch)]
        self._groups = [[[p for p in ps if p.requires_grad] for ps in row] for row in given]
        self._frozen = [p for row in given for ps in row for p in ps if not p.requires_grad]
        for of, row in zip(("fusion", "branch"), self._groups, strict=True):
            for m, parameters in zip(self.modalities, row, strict=True):
                if not parameters:
                    raise ValueError(
                        f"{m!r} has no parameters of its {of} that are trained, so no speed"
                    )
        self.norm = norm
        self._log_base = 10.0 if log_base == "10" else e
        device = self._groups[0][0][0].device
        self.sums = torch.zeros(2, len(self.modalities), dtype=torch.float64, device=device)
        self._begun = False
        self._pending: Tensor | None = None  # gradients of a step whose norm is not known yet

    @classmethod
    def of(cls, model: nn.Module, **settings: Any) -> "LearningSpeed":
        """Return the meter of a network, whose fusion modules name the modalities in their order.

        theta_b is what the method `branch_parameters` returns for b, of the network or of a module in it. Without
        one it is the parameters that have b in their name and are not of a fusion module: `low.color.weight`
        and `color_head.bias` are of color.

        Args:
            model: Any that has fusion modules, in torch's wrappers or not.
            settings: `log_base` and `norm`.

        Raises:
            ValueError: If there is no fusion module, the parameters are sharded, or the name of one that is
                trained has no modality or more than one; else as the constructor.
        """
        require_whole(model)
        names = list(dict.fromkeys(chain.from_iterable(joined_modalities(model))))
        if not names:
            raise ValueError(
                f"{type(model).__name__} has no fusion module, so no speed can be measured: join its branches by"
                " MMTM, FiLM or LateFusion"
            )
        own = (x.branch_parameters for x in model.modules() if hasattr(x, "branch_parameters"))
        of_branch: Any = next(own, None) or _named(model, names).__getitem__
        return cls({m: of_branch(m) for m in names}, model, **settings)

    def require_of(self, network: nn.Module) -> None:
        """Check that it measures parameters of the network, and none of a copy or that were replaced.

        Raises:
            ValueError: If not: gradients that nobody clears would count in each step.
        """
        there = {id(p) for p in network.parameters()}
        if not all(id(p) in there for row in self._groups for ps in row for p in ps):
            raise ValueError(
                "the speeds are of other parameters than the network's, a copy's or replaced ones: build LearningSpeed"
                " anew for this network, or the Balancer, and give it the state_dict of this one to go on"
            )

    def update(self, mode: Int64[Tensor, ""] | None = None) -> None:
        """Add the effective updates of the current gradients.

        Gradients of which one is not finite are left out: a step of mixed precision that a
        `GradScaler` skips would else leave NaN in the sums for good.

        Args:
            mode: Of the step: -1 for a regular one, and only those count; None counts it.

        Raises:
            TypeError: If given whether the step counts, or a number, not its mode.
            ValueError: If there are no gradients, parameters were frozen or unfrozen, or `after_step` was left
                out; at the first update, if all gradients are zero.
        """
        if mode is not None and (not isinstance(mode, Tensor) or mode.dtype == torch.bool):
            raise TypeError(
                "update takes the mode of the step, the policy's tensor (-1: regular), not whether it"
                " counts or a number"
            )
        if self._pending is not None:
            raise ValueError(
                "norm='after_step' needs after_step() after each step of the optimizer"
            )
        measured = [p for row in self._groups for group in row for p in group]
        if any(p.requires_grad for p in self._frozen) or not all(p.requires_grad for p in measured):
            raise ValueError(
                "parameters were frozen or unfrozen since LearningSpeed was built: build it anew, or the Balancer,"
                " and give it the state_dict of this one to go on"
            )
        gradients = self._of_groups(squared_gradient)
        no_gradient = all(p.grad is None for p in measured)
        if no_gradient or not (self._begun or gradients.any()):  # looking at values waits: once
            raise ValueError(
                "no gradients, or all are zero: update comes after backward() and before zero_grad(),"
                " of the parameters that the network had when LearningSpeed was built"
            )
        self._begun = True
        self.sums = self.sums.to(gradients.device)  # where the network may have gone since
        gradients = gradients.where(gradients.isfinite().all(), 0.0)
        if mode is not None:
            gradients = gradients.where(mode < 0, 0.0)
        if self.norm == "before_step":
            self._add(gradients)
        else:
            self._pending = gradients

    def after_step(self) -> None:
        """Finish the update after the optimizer's step; needed if `norm` is `after_step`."""
        if self._pending is not None:
            self._add(self._pending)
            self._pending = None

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave; a step under way is given up."""
        super().load_state_dict(state)
        self._pending = None

    @property
    def values(self) -> Float64[Tensor, " modalities"]:
        """Speed of each branch so far; NaN before the first update."""
        fusion, branch = self.sums
        return (fusion / branch).log() / log(self._log_base)

    def _add(self, gradients: Float64[Tensor, "2 modalities"]) -> None:
        norms = self._of_groups(squared_norm)
        # ASSUME: parameters that are all zero have no pace yet; Eq. 11 would make it infinite for good.
        self.sums += (gradients / norms).where(norms > 0, 0.0)

    def _of_groups(
        self, measure: Callable[[list[nn.Parameter]], Tensor]
    ) -> Float64[Tensor, "2 modalities"]:
        return torch.stack([torch.stack([measure(p) for p in row]) for row in self._groups])


def _named(model: nn.Module, modalities: list[str]) -> dict[str, list[nn.Parameter]]:
    """The parameters of each branch, by their names."""
    of_fusions = {id(p) for f in fusion_modules(model) for p in f.parameters()}
    found: dict[str, dict[int, nn.Parameter]] = {m: {} for m in modalities}
    unclear = []
    for name, p in model.named_parameters(remove_duplicate=False):
        of = [m for m in modalities if re.search(rf"(?<![^._]){re.escape(m)}(?![^._])", name)]
        if id(p) in of_fusions:
            continue
        if len(of) == 1 and not any(id(p) in found[m] for m in modalities if m != of[0]):
            found[of[0]][id(p)] = p
        elif p.requires_grad:
            unclear.append(name)
    if unclear:
        raise ValueError(
            f"the names of {len(unclear)} parameters, such as {unclear[0]!r}, do not tell which one of the branches"
            f" {modalities} has them: give the network a method branch_parameters(modality)"
        )
    return {m: list(parameters.values()) for m, parameters in found.items()}


@torch.no_grad()
def squared_gradient(parameters: list[nn.Parameter]) -> Float64[Tensor, ""]:
    """Return |G|^2 of the parameters as one vector; one without a gradient adds nothing."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros((), dtype=torch.float64, device=parameters[0].device)
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    return get_total_norm(dense).double().square()


@torch.no_grad()
def squared_norm(parameters: list[nn.Parameter]) -> Float64[Tensor, ""]:
    """Return |theta|^2 of the parameters as one vector."""
    return get_total_norm(parameters).double().square()
