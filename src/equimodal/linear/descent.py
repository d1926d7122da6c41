"""Full-batch gradient descent on many networks at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from equimodal.linear.moments import Moments
from equimodal.linear.networks import (
    Architecture,
    Layers,
    gradient_factors,
    pad,
    stability_limit,
)
from equimodal.study.errors import UserError

LOOK_EVERY = 100  # steps between two looks at which runs have converged
TOGETHER = 2**20  # bytes of weights that move on together; with as many of scratch they fit a cache

Records = Float64[ndarray, "records runs ..."]
# The change of each layer in a step of some runs, what is recorded of each run, what is left for it to learn.
Moved = tuple[Iterable[ndarray], ndarray, ndarray]
Step = Callable[[Layers], Moved]
# Of some runs, their layers and the factors of their gradients: whether the layers of A and of B move in this step.
Guide = Callable[
    [Int64[ndarray, " runs"], Layers, list[ndarray], list[ndarray]], Bool[ndarray, "runs 2"]
]


@dataclass(frozen=True)
class Trajectory:
    """The total weights of many runs in the course of training."""

    steps: Float64[ndarray, " records"]  # of gradient descent, at each record
    w_a: Float64[ndarray, "records runs da"]  # W_A^tot
    w_b: Float64[ndarray, "records runs db"]
    converged: Bool[ndarray, " runs"]  # whether the errors fell below the tolerance
    layers: Layers  # at the end

    @classmethod
    def of(
        cls,
        moments: Moments,
        followed: tuple[Records, Bool[ndarray, " runs"], Layers],
        every: int = 1,
    ) -> "Trajectory":
        """Read off what `follow` returns of steps that record the total weights of A and B."""
        records, converged, layers = followed
        return cls(
            steps=every * np.arange(len(records), dtype=float),
            w_a=records[:, :, 0, : moments.a.shape[1]],
            w_b=records[:, :, 1, : moments.b.shape[1]],
            converged=converged,
            layers=layers,
        )


def descend(
    architecture: Architecture,
    moments: Moments,
    layers: Layers,
    step_size: float,
    *,
    steps: int | Int64[ndarray, " runs"],
    every: int = 1,
    tolerance: float = 0.0,
    guide: Guide | None = None,
) -> Trajectory:
    """Train one network a run, all of one architecture, from given weights; leaves those alone.

    Runs are independent: moments and weights may differ between them in any way. A step of one run
    costs two products of a row with each matrix and one outer product; examples play no part.

    The weights at the start are `networks.start`'s, tau is 1 / step_size steps, and what is left to learn
    is |s - W^tot Sigma|. A guide may hold the layers of a branch before the fusion. Else as `follow`.

    Raises:
        UserError: If the step size is beyond the stability limit of a run.
    """
    check_step_size(step_size, stability_limit(architecture, moments))

    def step_of(runs: Int64[ndarray, " runs"]) -> Step:
        own = pad(moments[runs])

        def step(layers: Layers) -> Moved:
            above, below, total = gradient_factors(layers, own)
            left = below[0]
            if guide:
                moves = guide(runs, layers, above, below)[:, :, None, None]
                below = [down * moves if down.shape[1] == 2 else down for down in below]
            changes = (
                step_size * up.swapaxes(2, 3) * down for up, down in zip(above, below, strict=True)
            )
            return changes, total[:, :, 0], left

        return step

    size = 2, max(moments.a.shape[1], moments.b.shape[1])
    followed = follow(step_of, layers, size, steps=steps, every=every, tolerance=tolerance)
    return Trajectory.of(moments, followed, every)


def follow(
    step_of: Callable[[Int64[ndarray, " runs"]], Step],
    layers: Layers,
    size: tuple[int, ...],
    *,
    steps: int | Int64[ndarray, " runs"],
    every: int = 1,
    tolerance: float = 0.0,
) -> tuple[Records, Bool[ndarray, " runs"], Layers]:
    """Change the weights of many runs step by step, and leave the given ones alone.

    Most of a step is passing over weights. Only as many runs move on together as stay in the cache
    (`TOGETHER`); more gain nothing.

    Args:
        step_of: Gives the step of some runs.
        layers: The weights at the start.
        size: Of what is recorded of a run.
        steps: At most so many, of all runs or of each.
        every: Steps between two records.
        tolerance: A run stops once nothing that is left for it to learn is above it.

    Returns:
        The records, in which a run that has stopped stays as it is until the last one stops; which runs
        stopped by the tolerance; the weights at the end.
    """
    runs = len(layers[0])
    limits = np.broadcast_to(steps, runs)
    ends = {*limits.tolist()}
    together = max(1, TOGETHER * runs // max(1, sum(layer.nbytes for layer in layers)))
    final = [layer.copy() for layer in layers]
    converged = np.zeros(runs, bool)
    records = np.empty((limits.max(initial=0) // every + 1, runs, *size))
    last = 0
    for first in range(0, max(1, runs), together):
        active = np.arange(runs)[first : first + together]
        moving, take, step = [layer[active] for layer in layers], step_of(active), 0
        while True:
            changes, seen, left = take(moving)
            if step % every == 0:
                records[step // every, active] = seen
            if step % LOOK_EVERY == 0 or step in ends:
                learned = np.abs(left).max(axis=tuple(range(1, left.ndim))) <= tolerance
                stops = (learned & (step % LOOK_EVERY == 0)) | (limits[active] <= step)
                stopped = active[stops]
                converged[stopped] = learned[stops]
                records[-(-step // every) :, stopped] = seen[stops]
                for whole, layer in zip(final, moving, strict=True):
                    whole[stopped] = layer[stops]
                active = active[~stops]
                if not len(active):
                    break
                moving = [layer[~stops] for layer in moving]
                changes, take = [change[~stops] for change in changes], step_of(active)
            for layer, change in zip(moving, changes, strict=True):
                layer += change
            step += 1
        last = max(last, step)
    return records[: -(-last // every) + 1], converged, final


def check_step_size(step_size: float, limits: Float64[ndarray, " runs"]) -> None:
    """Raise UserError if the step size is not between 0 and the limit of every run."""
    if not len(limits):
        return
    run = int(limits.argmin())
    if not 0 < step_size < limits[run]:
        raise UserError(
            f"step size {step_size:g} is out of range: expected more than 0 and less than"
            f" {limits[run]:.4g}, the stability limit of run {run}; choose a smaller one"
        )
