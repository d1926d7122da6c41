"""The L1 study: the penalty, and how sparse it leaves a network (paper, Sec. 6.3)."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@torch.no_grad()
def l1_norm(parameters: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
    """Return |theta|_1, the sum of absolute values over all parameters."""
    return torch.stack([p.abs().sum() for p in parameters]).sum()


@torch.no_grad()
def add_l1_gradient(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Add the gradient of `factor * |theta|_1`, which is `factor * sign(theta)`, to the gradients.

    Frozen parameters get none.
    """
    for p in parameters:
        if not p.requires_grad:
            continue
        sign = p.sign()
        p.grad = factor * sign if p.grad is None else p.grad.add_(sign, alpha=factor)


@torch.no_grad()
def fraction_below(parameters: Iterable[nn.Parameter], threshold: float) -> float:
    """Return the share of all parameters whose absolute value is below `threshold`."""
    parameters = list(parameters)
    small = sum(int((p.abs() < threshold).sum()) for p in parameters)
    return small / sum(p.numel() for p in parameters)
