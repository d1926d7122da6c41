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


def gradient_cosines(
    whole: Float[Tensor, ""],
    parts: Float[Tensor, " modalities"],
    encoders: Sequence[Sequence[nn.Parameter]],
) -> Float[Tensor, " modalities"]:
    """Return for each encoder the cosine between the gradients of the answer's loss and its branch's own.

    Below 0 they pull apart. It takes two backward passes for each encoder, and leaves the graph.
    """
    pairs = zip(parts, encoders, strict=True)
    return torch.stack([cosine(gradients_of(whole, e), gradients_of(p, e)) for p, e in pairs])


def cosine(a: Iterable[Tensor], b: Iterable[Tensor]) -> Float[Tensor, ""]:
    """Return the cosine between two gradients, each of all its tensors as one vector; 0 if one is zero."""
    a, b = [*a], [*b]
    return (dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())).nan_to_num(0.0)


def dot(a: Iterable[Tensor], b: Iterable[Tensor]) -> Float[Tensor, ""]:
    """Return the inner product of two gradients; tensor by tensor, as one vector of all would be copied first."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()
