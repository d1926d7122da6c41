"""Whether two losses pull the same way: the cosine of their gradients."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def gradients_of(loss: Float[Tensor, ""], parameters: Sequence[nn.Parameter]) -> tuple[Tensor, ...]:
    """Return the gradient of a loss by each parameter, zero where there is none; the graph stays."""
    return torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )


def cosine(a: Iterable[Tensor], b: Iterable[Tensor]) -> Float[Tensor, ""]:
    """Return the cosine between two gradients, each of all its tensors as one vector; 0 if one is zero."""
    u, v = (torch.cat([g.flatten() for g in gradient]) for gradient in (a, b))
    return ((u @ v) / (u.norm() * v.norm())).nan_to_num(0.0)
