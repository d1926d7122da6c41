"""Conditional learning speed: how fast the fusion learns, set against the branch it serves."""

from collections.abc import Iterable, Mapping
from math import log

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


class LearningSpeed:
    """Running conditional learning speeds of a network (Eqs. 11, 12).

    For each branch b, after the counted steps up to t,

        speed_b(t) = log10 [ sum_i mu(theta_b'; i) / sum_i mu(theta_b; i) ],

    with theta_b the parameters of the branch, theta_b' the fusion parameters that act on it, and mu
    the effective update. `speed_0` is the paper's s(m1|m0), how fast branch 0 learns from m1 through
    the fusion; `speed_1` is s(m0|m1). 0 means that fusion and branch move at the same pace.

    Works in any training loop: call `update` after `backward` and before the optimizer's step. All
    sums stay on the device; nothing waits for it.
    """

    def __init__(
        self,
        branch: Mapping[str, Iterable[nn.Parameter]],
        fusion: Mapping[str, Iterable[nn.Parameter]],
    ):
        """Start with empty sums.

        Args:
            branch: theta_b of each modality.
            fusion: theta_b' of each modality.

        Raises:
            ValueError: If the two do not name the same modalities or a group is empty.
        """
        if list(branch) != list(fusion):
            raise ValueError(f"branches {list(branch)} do not match fusions {list(fusion)}")
        self.modalities = tuple(branch)
        self._groups = [[list(g[m]) for m in self.modalities] for g in (fusion, branch)]
        if not all(parameters for row in self._groups for parameters in row):
            raise ValueError("every modality needs parameters of its branch and of its fusion")
        device = self._groups[0][0][0].device
        self.sums = torch.zeros(2, len(self.modalities), dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, counted: Bool[Tensor, ""] | None = None) -> None:
        """Add the effective updates of the current gradients.

        Args:
            counted: Whether the step counts: only regular steps do. None counts it.
        """
        updates = torch.stack(
            [torch.stack([effective_update(p) for p in row]) for row in self._groups]
        )
        self.sums += updates if counted is None else updates.where(counted, 0.0)

    @property
    def values(self) -> Float64[Tensor, " modalities"]:
        """Speed of each branch so far, in log10 units; NaN before the first update."""
        fusion, branch = self.sums
        return (fusion / branch).log() / log(10)


@torch.no_grad()
def effective_update(parameters: Iterable[nn.Parameter]) -> Float64[Tensor, ""]:
    """Return mu = |G|^2 / |theta|^2 over all the parameters taken as one vector (Sec. 5.1).

    A parameter without a gradient counts as one with a zero gradient.

    # ASSUME: theta before the step, as in the official code; the paper divides by theta after it.
    """
    parameters = list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    size = get_total_norm(parameters).double().square()
    return get_total_norm(gradients).double().to(size.device).square() / size
