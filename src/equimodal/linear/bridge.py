"""The measures of Wu et al. on networks whose answer is known: utilization, learning speed, balance.

The linear network has no flow between branches to switch off; its modality is switched off by its
mean, 0, as theirs is, and losses stand for accuracies. The speed of a branch is theirs, without their
ratio to a fusion: the effective update |G|^2 / |theta|^2 of the layers before the fusion.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from equimodal.linear import theory
from equimodal.linear.descent import Guide
from equimodal.linear.moments import Moments
from equimodal.linear.networks import Layers, gradient_factors, pad
from equimodal.linear.theory import PerRun


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
    return theory.explained_by_b_alone(moments) / moments.yy


def branch_speeds(moments: Moments, layers: Layers) -> Float64[ndarray, "runs 2"]:
    """Return sqrt(mu) of A and B, mu = |G|^2 / |theta|^2 over the layers before the fusion.

    The step size is left out. Two-layer late fusion of scalar modalities: |s_A| and |s_B| as long as
    nothing is learned, and |s~_B| for B in the unimodal phase.
    """
    above, below, _ = gradient_factors(layers, pad(moments))
    return np.sqrt(_effective_updates(layers, above, below))


def _effective_updates(
    layers: Layers, above: list[ndarray], below: list[ndarray]
) -> Float64[ndarray, "runs 2"]:
    before = [i for i, layer in enumerate(layers) if layer.shape[1] == 2]
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


def guided(runs: int, *, tolerance: float, window: int) -> Guide:
    """Return Wu et al.'s guided algorithm on the branches, for `descend` of so many runs, once.

    A regular step moves all and adds mu of each branch to its sum. Where the log10 of the sums then
    differ by more than the tolerance (alpha), the branch that leads is held for the next `window` (Q)
    steps, which add nothing to the sums; then a regular step follows. Layers after the fusion always
    move.

    ASSUME: holding its layers stands for isolating a branch, and its speed for the conditional one;
    there is no flow between these branches to cut, and no fusion parameter of one branch alone.
    """
    sums = np.zeros((runs, 2))
    held = np.zeros(runs, int)  # re-balancing steps to come
    moves = np.ones((runs, 2), bool)

    def guide(
        some: Int64[ndarray, " runs"], layers: Layers, above: list[ndarray], below: list[ndarray]
    ) -> Bool[ndarray, "runs 2"]:
        regular = held[some] == 0
        moving = moves[some] | regular[:, None]
        sums[some] += np.where(regular[:, None], _effective_updates(layers, above, below), 0)
        gap = np.log10(sums[some, 0]) - np.log10(sums[some, 1])
        again = np.where(np.abs(gap) > tolerance, window, 0)
        held[some] = np.where(regular, again, held[some] - 1)
        moves[some[regular]] = np.stack([gap < 0, gap > 0], axis=1)[regular]
        return moving

    return guide
