"""Two-modality deep linear networks: their layers, how they start, and their gradients by hand.

The network of depth L, fused at layer L_f, is

    y = ( prod_{j=L}^{L_f+1} W^j ) ( prod_{i=L_f}^1 W_A^i x_A + prod_{i=L_f}^1 W_B^i x_B )
      = W_A^tot x_A + W_B^tot x_B.

L_f = 1 is early fusion (the first layer reads both), L_f = L late fusion (the branches meet in the
sum of their outputs), what is between intermediate.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from numpy.typing import ArrayLike

from equimodal.linear.moments import Moments
from equimodal.linear.theory import joint_solution, norm, shortest_solution

# One array a layer, of shape (runs, branches, outputs, inputs); `branches` is 2 up to the fusion
# (A, then B) and 1 after it. Inputs of unequal size are padded with inputs that are always 0.
Layers = list[Float64[ndarray, "runs branches outputs inputs"]]
Init = Literal["iid", "frobenius"]


@dataclass(frozen=True)
class Architecture:
    """Depth L >= 2, fusion layer L_f in 1..L, and hidden width, of each branch and after fusion."""

    depth: int
    fusion: int
    width: int

    def shapes(self, inputs: int) -> list[tuple[int, int, int]]:
        """(branches, outputs, inputs) of each layer."""
        sizes = [inputs, *[self.width] * (self.depth - 1), 1]
        return [
            (2 if layer <= self.fusion else 1, sizes[layer], sizes[layer - 1])
            for layer in range(1, self.depth + 1)
        ]


def start(
    architecture: Architecture,
    moments: Moments,
    init: Init,
    scale: ArrayLike,
    seed: int,
    draws: Int64[ndarray, " runs"] | None = None,
) -> Layers:
    """Draw the initial weights of one network a run.

    Args:
        architecture: Of all networks.
        moments: One row a run; only their number and sizes matter.
        init: `iid`: every weight is N(0, scale^2), the authors' two-layer networks. `frobenius`:
            Gaussian, with the expected Frobenius norm `scale` for each matrix of a branch and
            sqrt(2) scale for each after the fusion, the authors' deep networks.
        scale: gamma, or u_0 in the theory; > 0. One for all runs or one each.
        seed: Of all draws.
        draws: Which draw each run starts from, counted from 0: runs of one draw differ in the scale of
            their weights only. By default each has its own.
    """
    scales = np.broadcast_to(np.asarray(scale, float), len(moments))[:, None, None, None]
    runs, inputs = len(moments), max(moments.a.shape[1], moments.b.shape[1])
    draws = np.arange(runs) if draws is None else draws
    rng = np.random.default_rng(seed)
    shapes = architecture.shapes(inputs)
    spread = [1.0] * len(shapes)
    if init == "frobenius":
        spread = [(1 if b == 2 else 2**0.5) / np.sqrt(outs * ins) for b, outs, ins in shapes]
    layers = [
        scales * s * rng.standard_normal((draws.max(initial=-1) + 1, *shape))[draws]
        for s, shape in zip(spread, shapes, strict=True)
    ]
    layers[0][:, 0, :, moments.a.shape[1] :] = 0
    layers[0][:, 1, :, moments.b.shape[1] :] = 0
    return layers


class Padded(NamedTuple):
    """Moments with inputs of both modalities padded to one size, as `descend` takes them."""

    sigma: Float64[ndarray, "runs 2*d 2*d"]
    cross: Float64[ndarray, "runs 2*d"]


def pad(moments: Moments) -> Padded:
    """Pad the smaller modality with inputs that are always 0, whose weights never move."""
    sizes = moments.a.shape[1], moments.b.shape[1]
    size = max(sizes)
    kept = np.r_[0 : sizes[0], size : size + sizes[1]]
    sigma = np.zeros((len(moments), 2 * size, 2 * size))
    sigma[:, kept[:, None], kept] = moments.covariance
    cross = np.zeros((len(moments), 2 * size))
    cross[:, kept] = moments.cross
    return Padded(sigma, cross)


def output_rows(layers: Layers) -> list[Float64[ndarray, "runs branches 1 inputs"]]:
    """Products from the output down: rows[l] = W^L ... W^{l+1}; rows[0] are the total weights."""
    rows = [np.ones((len(layers[0]), 1, 1, 1))]
    for layer in reversed(layers):
        rows.append(rows[-1] @ layer)
    return rows[::-1]


def errors(total: Float64[ndarray, "runs 2 1 d"], data: Padded) -> Float64[ndarray, "runs 2 1 d"]:
    """Return e = s - W^tot Sigma, the correlation of the residual with the inputs."""
    joined = total.reshape(len(total), 1, 2 * total.shape[3])  # -1 is no size of no runs
    return (data.cross[:, None] - joined @ data.sigma).reshape(total.shape)


def gradient_factors(
    layers: Layers, data: Padded
) -> tuple[list[ndarray], list[ndarray], Float64[ndarray, "runs 2 1 d"]]:
    """Return the downward gradient of each layer as two rows, and the total weights.

    With the loss 1/2 <(y - W^tot x)^2>, the gradient of layer l is of rank one,

        -dLoss/dW^l = (W^L ... W^{l+1})' (e (W^{l-1} ... W^1)'),

    an outer product of the l-th of the first rows and the l-th of the second; after the fusion, e
    times what is below is the sum over both branches.
    """
    rows = output_rows(layers)
    total = rows[0]
    below = [errors(total, data)]
    for layer, above in pairwise(layers):
        row = below[-1] @ layer.swapaxes(2, 3)
        if row.shape[1] > above.shape[1]:  # the fusion
            row = row.sum(1, keepdims=True)
        below.append(row)
    return rows[1:], below, total


def stability_limit(architecture: Architecture, moments: Moments) -> Float64[ndarray, " runs"]:
    """Return the step size beyond which gradient descent leaves the solution of each run.

    2 over the largest curvature of the loss at the balanced solution and at the unimodal ones. The
    curvature is that of W^tot: the largest eigenvalue of Sigma K, where K, in blocks,

        K_b = t_b^2 (1 + (L_f - 1) w_b w_b'),  t_b = u^(L - L_f) u_b^(L_f - 1),

    plus (L - L_f) u^(2(L - L_f - 1)) h h' after the fusion, h = [u_A^L_f w_A, u_B^L_f w_B]; w_b is
    the direction of W_b^tot, u_b the norm of each layer of branch b, u^2 = u_A^2 + u_B^2. An
    unbalanced start changes it somewhat; a run may be unstable slightly below the limit.
    """
    whole, (w_a, w_b) = moments.covariance, joint_solution(moments)
    points = [(w_a, w_b)]
    if architecture.fusion > 1:
        a, b = shortest_solution(moments.a, moments.y_a), shortest_solution(moments.b, moments.y_b)
        points += [(a, 0 * b), (0 * a, b)]
    return 2 / np.max([_curvature(architecture, whole, *p) for p in points], axis=0)


def _curvature(
    architecture: Architecture, sigma: ndarray, w_a: ndarray, w_b: ndarray
) -> Float64[ndarray, " runs"]:
    after, fusion = architecture.depth - architecture.fusion, architecture.fusion
    of = np.repeat([0, 1], [w_a.shape[1], w_b.shape[1]])  # the modality of each input
    sizes = np.stack([norm(w_a), norm(w_b)], axis=1)
    unit = np.concatenate([w_a, w_b], axis=1) / np.maximum(sizes, 1e-300)[:, of]
    roots = sizes ** (1 / fusion)
    most = np.maximum(norm(roots), 1e-100)  # 0 at a modality without a signal of its own
    norms = most[:, None] ** (-after / architecture.depth) * roots
    u = norm(norms)[:, None]
    t = (u**after * norms ** (fusion - 1))[:, of, None]
    block = np.eye(len(of)) + (fusion - 1) * unit[:, :, None] * unit[:, None]
    kernel = (of[:, None] == of) * t**2 * block
    if after:
        h = u ** (after - 1) * norms[:, of] ** fusion * unit
        kernel += after * h[:, :, None] * h[:, None]
    return np.abs(np.linalg.eigvals(sigma @ kernel)).max(axis=1)
