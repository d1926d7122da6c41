"""The measures of Wu et al. on networks whose answer is known: utilization, learning speed, balance.

The linear network has no flow between branches to switch off; its modality is switched off by its
mean, 0, as theirs is, and losses stand for accuracies. The speed of a branch is theirs, without their
ratio to a fusion: the effective update |G|^2 / |theta|^2 of the layers before the fusion.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from equimodal.linear import theory
from equimodal.linear.descent import Trajectory, check_step_size
from equimodal.linear.moments import Moments
from equimodal.linear.networks import (
    Architecture,
    Layers,
    errors,
    gradient_factors,
    output_rows,
    pad,
    stability_limit,
)

PerRun = Float64[ndarray, " runs"]


def utilization(
    moments: Moments, w_a: Float64[ndarray, "*records runs da"], w_b: ndarray
) -> dict[Literal["a", "b"], Float64[ndarray, "*records runs"]]:
    """Return what the network owes to each modality: loss added by switching it off, over L(M_0).

    In the unimodal phase R^2_A for A and 0 for B; in the end, without noise, W_b* Sigma_b W_b*' /
    <y^2>. Above 1 is possible with rho < 0.
    """
    whole = theory.loss(moments, w_a, w_b)
    zero = 0.5 * moments.yy
    return {
        "a": (theory.loss(moments, 0 * w_a, w_b) - whole) / zero,
        "b": (theory.loss(moments, w_a, 0 * w_b) - whole) / zero,
    }


def explained_alone(moments: Moments) -> PerRun:
    """Return R^2_A = s_A Sigma_A^-1 s_A' / <y^2>, theory of A's utilization in the unimodal phase."""
    losses = theory.fixed_point_losses(moments)
    return 1 - losses["M_A"] / losses["M_0"]


def conditional_gain(moments: Moments) -> PerRun:
    """Return W_B* Sch_B W_B*' / <y^2>: what B adds to a network retrained without it.

    Switching B off by its mean says 1 / (1 - rho^2) times as much for scalar modalities.
    """
    w_b = theory.joint_solution(moments)[1]
    return np.einsum("ri,rij,rj->r", w_b, theory.schur_complement(moments), w_b) / moments.yy


def branch_speeds(
    architecture: Architecture, moments: Moments, layers: Layers
) -> Float64[ndarray, "runs 2"]:
    """Return sqrt(mu) of A and B, mu = |G|^2 / |theta|^2 over the layers before the fusion.

    The step size is left out. Two-layer late fusion of scalar modalities: |s_A| and |s_B| as long as
    nothing is learned, and |s~_B| for B in the unimodal phase.
    """
    above, below, _ = gradient_factors(layers, pad(moments))
    return np.sqrt(_effective_updates(architecture, layers, above, below))


def _effective_updates(
    architecture: Architecture, layers: Layers, above: list[ndarray], below: list[ndarray]
) -> Float64[ndarray, "runs 2"]:
    before = range(architecture.fusion)
    squared = [_squares(above[i]) * _squares(below[i]) for i in before]  # of a rank-one gradient
    return np.sum(squared, axis=0) / np.sum([_squares(layers[i]) for i in before], axis=0)


def _squares(x: Float64[ndarray, "runs branches rows columns"]) -> ndarray:
    return np.einsum("rbij,rbij->rb", x, x)


def ratio_from_speeds(
    at_start: Float64[ndarray, "runs 2"], unimodal: Float64[ndarray, "runs 2"]
) -> PerRun:
    """Return t_B / t_A as two readings of the speeds tell it (R7), without knowledge of the data.

    1 + (sqrt(mu_A) - sqrt(mu_B)) / sqrt(mu_B in the unimodal phase), the first two at the start. For
    two-layer late fusion; exact for scalar modalities with s_B and s~_B of one sign.
    """
    return 1 + (at_start[:, 0] - at_start[:, 1]) / unimodal[:, 1]


def descend_balanced(
    architecture: Architecture,
    moments: Moments,
    layers: Layers,
    *,
    step_size: float,
    steps: int,
    power: Literal[1, 2],
) -> Trajectory:
    """Train as `descend`, but hold the branch still whose cumulative speed leads.

    In each step a branch moves if the sum over its own moves of mu^(power / 2) is not above that of
    the other; layers after the fusion always move. power = 2 sums effective updates, as Wu et al.
    do; power = 1 their roots.

    ASSUME: a strict form of guided training, with tolerance 0 and a window of one step; the paper's
    algorithm has warm-up, tolerance and window, and compares fusions with branches.
    """
    check_step_size(step_size, stability_limit(architecture, moments))
    data = pad(moments)
    layers = [layer.copy() for layer in layers]
    sums = np.zeros((len(moments), 2))
    records = np.empty((steps + 1, len(moments), 2, layers[0].shape[3]))
    for step in range(steps):
        above, below, total = gradient_factors(layers, data)
        records[step] = total[:, :, 0]
        moves = sums <= sums[:, ::-1]
        sums += moves * _effective_updates(architecture, layers, above, below) ** (power / 2)
        held = moves[:, :, None, None]
        for i, (layer, up, down) in enumerate(zip(layers, above, below, strict=True)):
            change = step_size * up.swapaxes(2, 3) * down
            layer += change * held if i < architecture.fusion else change
    total = output_rows(layers)[0]
    records[steps] = total[:, :, 0]
    return Trajectory(
        steps=np.arange(steps + 1.0),
        w_a=records[:, :, 0, : moments.a.shape[1]],
        w_b=records[:, :, 1, : moments.b.shape[1]],
        converged=np.abs(errors(total, data)).max(axis=(1, 2, 3)) <= 1e-4,
        layers=layers,
    )
