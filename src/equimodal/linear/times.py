"""When each modality is learned, and what the networks are like between the two times."""

from itertools import compress

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from equimodal.linear import theory
from equimodal.linear.descent import Trajectory
from equimodal.linear.moments import Moments
from equimodal.linear.theory import PerRun, norm


def first_crossing(
    steps: Float64[ndarray, " records"], values: Float64[ndarray, "records runs"], level: PerRun
) -> PerRun:
    """Return the step at which each run first reaches its level, between records by a straight line.

    NaN where it never does.
    """
    reached = values >= level
    after = reached.argmax(0)
    before = np.maximum(after - 1, 0)
    runs = np.arange(values.shape[1])
    low, high = values[before, runs], values[after, runs]
    share = np.divide(level - low, high - low, out=np.zeros_like(level), where=after > before)
    crossing = steps[before] + share * (steps[after] - steps[before])
    return np.where(reached.any(0), crossing, np.nan)


def at(
    steps: Float64[ndarray, " records"],
    values: Float64[ndarray, "records runs ..."],
    when: PerRun,
) -> Float64[ndarray, "runs ..."]:
    """Return the values of each run at a step of its own, the record before it; NaN where unknown."""
    record = np.searchsorted(steps, np.nan_to_num(when), side="right") - 1
    found = values[record, np.arange(values.shape[1])]
    found[np.isnan(when)] = np.nan
    return found


def half_plateaus(moments: Moments) -> tuple[PerRun, PerRun]:
    """Return |W_A^uni| / 2 and |W_B*| / 2, at which A and B count as learned, A being the first.

    Half of a plateau is the authors' definition. Early fusion has no plateau of A; the authors' code
    takes the same level, and so do we.
    """
    a, b = theory.unimodal_solution(moments), theory.joint_solution(moments)[1]
    return norm(a) / 2, norm(b) / 2


def learning_times(trajectory: Trajectory, moments: Moments) -> pd.DataFrame:
    """Read off each run when A and B are learned, and how A stands between the two.

    Columns, one row a run in the order of the runs:

    - `t_a`, `t_b`: steps of gradient descent, between two steps by interpolation; NaN where never.
    - `ratio`: t_b / t_a; NaN where censored. `at_least`: a lower bound of it where B is censored,
      the steps taken over t_a.
    - `censored`: the modalities that were not learned in the steps taken, "neither", "A", "B" or "A and B".
      Such runs stay in the table.
    - `converged`: whether training ended at the global minimum, within the tolerance.
    - `mid_loss`: loss half-way between the times, over the loss of zero weights.
    - `mid_b`: |W_B^tot| there, over |W_B*|.
    - `mis_attribution`: (W_A^tot there less W_A*) / |W_A*|, along W_A*.
    """
    t_a, t_b = (
        first_crossing(trajectory.steps, norm(w), level)
        for w, level in zip((trajectory.w_a, trajectory.w_b), half_plateaus(moments), strict=True)
    )
    middle = (t_a + t_b) / 2
    w_a, w_b = (at(trajectory.steps, w, middle) for w in (trajectory.w_a, trajectory.w_b))
    best_a, best_b = theory.joint_solution(moments)
    along = np.einsum("ri,ri->r", w_a, best_a) / (best_a**2).sum(1)
    return pd.DataFrame(
        {
            "t_a": t_a,
            "t_b": t_b,
            "ratio": t_b / t_a,
            "at_least": np.where(np.isnan(t_b), trajectory.steps[-1] / t_a, np.nan),
            "censored": censored(A=t_a, B=t_b),
            "converged": trajectory.converged,
            "mid_loss": theory.loss(moments, w_a, w_b) / (0.5 * moments.yy),
            "mid_b": norm(w_b) / norm(best_b),
            "mis_attribution": along - 1,
        }
    )


def censored(**times: PerRun) -> list[str]:
    """Say which times of each run are unknown, by their names: `neither`, `A`, `A and B`."""
    unknown = zip(*(np.isnan(time) for time in times.values()), strict=True)
    return [" and ".join(compress(times, run)) or "neither" for run in unknown]


def onset_of_b(b: Float64[ndarray, "records runs"]) -> Int64[ndarray, " runs"]:
    """Return the record at which |W_B^tot| first exceeds 5 % of what it is in the end."""
    return (b > 0.05 * b[-1]).argmax(0)


def permanently_biased(
    error: Float64[ndarray, "records runs"], b: Float64[ndarray, "records runs"]
) -> Bool[ndarray, " runs"]:
    """Say whether early stopping returns a unimodal network, with the generalization error E_g.

    E_g is lowest before the onset of |W_B^tot| (`b`), and is above that minimum in the end. Found for
    late fusion with D_A < P < D noisy examples; no formula is known.
    """
    return (error.argmin(0) < onset_of_b(b)) & (error[-1] > error.min(0))
