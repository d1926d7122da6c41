"""Full-batch gradient descent on many linear networks at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from equimodal.linear.moments import Moments
from equimodal.linear.networks import (
    Architecture,
    Layers,
    Padded,
    errors,
    gradient_factors,
    output_rows,
    pad,
    stability_limit,
)
from equimodal.study.errors import UserError

LOOK_EVERY = 100  # steps between two looks at which runs have converged
TOGETHER = 2**20  # bytes of weights that move on together; with as many of scratch they fit a cache


@dataclass(frozen=True)
class Trajectory:
    """The total weights of many runs in the course of training."""

    steps: Float64[ndarray, " records"]  # of gradient descent, at each record
    w_a: Float64[ndarray, "records runs da"]  # W_A^tot
    w_b: Float64[ndarray, "records runs db"]
    converged: Bool[ndarray, " runs"]  # whether the errors fell below the tolerance
    layers: Layers  # at the end


def descend(
    architecture: Architecture,
    moments: Moments,
    layers: Layers,
    *,
    step_size: float,
    steps: int,
    every: int = 1,
    tolerance: float = 0.0,
) -> Trajectory:
    """Train one network a run, all of one architecture, from given weights; leaves those alone.

    Runs are independent: moments and weights may differ between them in any way. A step of one run
    costs two products of a row with each matrix and one outer product; examples play no part. So most
    of a step is passing over weights. Only as many runs move on together as stay in the cache
    (`TOGETHER`); more gain nothing.

    Args:
        architecture: Of all runs.
        moments: One row a run.
        layers: The weights at the start (`networks.start`).
        step_size: Of gradient descent; tau = 1 / step_size steps.
        steps: At most so many.
        every: Steps between two records of the total weights.
        tolerance: A run stops once no |s - W^tot Sigma| is above it; its last weights are recorded
            until the last run stops.

    Raises:
        UserError: If the step size is beyond the stability limit of a run.
    """
    check_step_size(step_size, stability_limit(architecture, moments))
    data, runs = pad(moments), len(moments)
    chunk = max(1, TOGETHER * runs // max(1, sum(layer.nbytes for layer in layers)))
    parts = [
        _descend_together(
            data[first : first + chunk],
            [layer[first : first + chunk].copy() for layer in layers],
            step_size=step_size,
            steps=steps,
            every=every,
            tolerance=tolerance,
        )
        for first in range(0, max(1, runs), chunk)
    ]
    last = max(len(part.records) for part in parts)
    records = np.concatenate([part.until(last) for part in parts], axis=1)
    return Trajectory(
        steps=every * np.arange(last, dtype=float),
        w_a=records[:, :, 0, : moments.a.shape[1]],
        w_b=records[:, :, 1, : moments.b.shape[1]],
        converged=np.concatenate([part.converged for part in parts]),
        layers=[
            np.concatenate(of_runs) for of_runs in zip(*(p.layers for p in parts), strict=True)
        ],
    )


@dataclass(frozen=True)
class _Part:
    """What some of the runs of a trajectory came to."""

    records: Float64[ndarray, "records runs 2 d"]  # total weights until the last one stopped
    converged: Bool[ndarray, " runs"]
    layers: Layers

    def until(self, records: int) -> Float64[ndarray, "records runs 2 d"]:
        """Return so many records: those that are lacking are the last one."""
        return np.pad(self.records, ((0, records - len(self.records)), *[(0, 0)] * 3), mode="edge")


def _descend_together(
    data: Padded, layers: Layers, *, step_size: float, steps: int, every: int, tolerance: float
) -> _Part:
    """Train some runs as `descend` does, all in one array a layer; changes `layers`."""
    runs = len(data.cross)
    final = [layer.copy() for layer in layers]
    scratch = [np.empty_like(layer) for layer in layers]
    active = np.arange(runs)
    converged = np.zeros(runs, bool)
    size = layers[0].shape[3]
    records = np.empty((steps // every + 1, runs, 2, size))
    stops: list[tuple[int, ndarray, ndarray]] = []  # from which record on runs stay as they are
    for step in range(steps + 1):
        if step % LOOK_EVERY == 0:
            total = output_rows(layers)[0]
            done = np.abs(errors(total, data)).max(axis=(1, 2, 3)) <= tolerance
            if done.any():
                stopped = active[done]
                converged[stopped] = True
                stops.append((-(-step // every), stopped, total[done, :, 0]))
                for kept, layer in zip(final, layers, strict=True):
                    kept[stopped] = layer[done]
                layers = [layer[~done] for layer in layers]
                scratch = [s[: len(layers[0])] for s in scratch]
                active, data = active[~done], data[~done]
            if not len(active):
                records = records[: -(-step // every) + 1]
                break
        above, below, total = gradient_factors(layers, data)
        if step % every == 0:
            records[step // every, active] = total[:, :, 0]
        if step == steps:
            break
        for layer, up, down, product in zip(layers, above, below, scratch, strict=True):
            np.multiply(step_size * up.swapaxes(2, 3), down, out=product)
            layer += product
    for record, stopped, total in stops:
        records[record:, stopped] = total
    for kept, layer in zip(final, layers, strict=True):
        kept[active] = layer
    return _Part(records, converged, final)


def networks_at(
    architecture: Architecture,
    moments: Moments,
    layers: Layers,
    when: Int64[ndarray, " runs"],
    *,
    step_size: float,
) -> Layers:
    """Return the weights of each run after a number of steps of its own, as `descend` takes them."""
    found = [layer.copy() for layer in layers]
    done, order = 0, np.argsort(when, kind="stable")
    layers = [layer[order] for layer in layers]
    for position, run in enumerate(order):
        if when[run] > done:  # the runs still to be read move on together
            layers = descend(
                architecture,
                moments[order[position:]],
                layers,
                step_size=step_size,
                steps=int(when[run] - done),
            ).layers
            done = when[run]
        for kept, layer in zip(found, layers, strict=True):
            kept[run] = layer[0]
        layers = [layer[1:] for layer in layers]
    return found


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
