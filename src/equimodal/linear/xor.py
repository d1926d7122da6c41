"""The heterogeneous XOR task: a linear modality beside one that needs hidden ReLU units.

y = x_A + XOR(x_B), x_A of N(0, v), x_B one of the four corners (+-1, +-1), XOR = -1 for equal signs,
1 otherwise. Two-layer bias-free ReLU networks, early or late fusion. A small unit with first-layer
weights along d grows at the rate |E[y relu(d.x)]|.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from scipy.stats import norm as normal

from equimodal.linear.descent import Moved, Step, check_step_size, follow
from equimodal.linear.networks import Layers
from equimodal.linear.theory import PerRun

CORNERS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
XOR = -CORNERS.prod(1)


@dataclass(frozen=True)
class XorRun:
    """How two-layer ReLU networks learn the task, one run a row or column."""

    loss: Float64[ndarray, "records runs"]  # over that of zero weights
    linear: Float64[ndarray, "records runs"]  # weight of x_A in the output: <y_hat x_A> / v
    xor: Float64[ndarray, "records runs"]  # weight of the XOR: <y_hat XOR>
    first: Float64[ndarray, "runs units 3"]  # first-layer weights at the end; columns x_A, x_B
    second: Float64[ndarray, "runs units"]


def predicted_ratio(variance: PerRun) -> PerRun:
    """Return t_XOR / t_A of late fusion, sqrt(2) v, in the limit of small weights.

    Rates of growth: v / 2 for the unit that reads x_A, sqrt(2) / 4 for those along the XOR
    directions (+-1, +-1) / sqrt(2). Domain: v > 1 / sqrt(2), where x_A is learned first.
    """
    return np.sqrt(2) * variance


def plateau_loss(variance: PerRun) -> PerRun:
    """Return the loss with x_A learned only, over that of zero weights: 1 / (1 + v)."""
    return 1 / (1 + variance)


def train_xor(
    fusion: Literal["early", "late"],
    variances: PerRun,
    *,
    width: int,
    scale: float,
    step_size: float,
    steps: int,
    quantiles: int,
    seed: int,
    draws: Int64[ndarray, " runs"] | None = None,
) -> XorRun:
    """Train one network a run by full-batch gradient descent, on the distribution itself.

    Late fusion has `width` units for each modality, early fusion as many that read both. So many `quantiles`
    stand for N(0, v), scaled to its variance. Weights start as N(0, scale^2). Runs of one of the `draws`,
    counted from 0, start from the same; by default each run has its own. Every step is recorded.

    Raises:
        UserError: If the step size is beyond 2 / v, the stability limit of the units that read x_A
            (those of the XOR allow more).
    """
    check_step_size(step_size, 2 / variances)
    grid = normal.ppf((np.arange(quantiles) + 0.5) / quantiles)
    grid /= grid.std()
    runs, points = len(variances), 4 * quantiles
    x = np.empty((runs, points, 3))
    x[:, :, 0] = np.sqrt(variances)[:, None] * np.repeat(grid, 4)
    x[:, :, 1:] = np.tile(CORNERS, (quantiles, 1))
    xor = np.tile(XOR, quantiles)
    y = x[:, :, 0] + xor
    sees = np.ones((width, 3))
    if fusion == "late":
        sees = np.repeat([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], width, axis=0)
    draws = np.arange(runs) if draws is None else draws
    rng = np.random.default_rng(seed)
    first = scale * rng.standard_normal((draws.max() + 1, *sees.shape))[draws] * sees
    second = scale * rng.standard_normal((draws.max() + 1, len(sees)))[draws]

    def step_of(runs: Int64[ndarray, " runs"]) -> Step:
        own_x, own_y, own_v = x[runs], y[runs], variances[runs]

        def step(layers: Layers) -> Moved:
            first, second = layers
            active = own_x @ first.swapaxes(1, 2)
            np.maximum(active, 0, out=active)
            output = (active @ second[:, :, None])[:, :, 0]
            residual = (own_y - output) / points
            measured = (
                points * (residual**2).sum(1) / (1 + own_v),
                (output * own_x[:, :, 0]).mean(1) / own_v,
                output @ xor / points,
            )
            up = (residual[:, None] @ active)[:, 0]
            through = np.sign(active) * residual[:, :, None]
            down = (through.swapaxes(1, 2) @ own_x) * second[:, :, None] * sees
            return [step_size * down, step_size * up], np.stack(measured, axis=1), residual

        return step

    records, _, layers = follow(step_of, [first, second], (3,), steps=steps)
    return XorRun(*np.moveaxis(records, 2, 0), *layers)


def share_on_xor_axes(run: XorRun) -> PerRun:
    """Return the share of units that read x_B whose weights of it lie within 10 degrees of (+-1, +-1).

    They read it if |first-layer weights of x_B| times |second-layer weight| is at least a tenth of the
    largest such product, of all three inputs, in the run. NaN where none does.
    """
    of_b, out = run.first[:, :, 1:], np.abs(run.second)
    length = np.linalg.norm(of_b, axis=2)
    largest = (np.linalg.norm(run.first, axis=2) * out).max(1, keepdims=True)
    reads = length * out >= 0.1 * largest
    along = np.abs(of_b).sum(2) / np.sqrt(2) / np.where(length > 0, length, 1)
    near = along >= np.cos(np.radians(10))
    units = reads.sum(1)
    return np.divide((near & reads).sum(1), units, out=np.full(len(units), np.nan), where=units > 0)
