"""How d_util is distributed over the models of a sweep: its signs and its sizes."""

import numpy as np
import pandas as pd

from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import NAN, Estimate, ends, present, wilson_interval
from equimodal.study.analysis.sweeps import vanilla_models
from equimodal.study.params import Analysis

CELL = ["dataset", "fidelity", "inputs"]
COLUMNS = [
    *(*CELL, "n", *ends("sign_balance", "greedy"), "largest"),
    *(*ends("sign_balance_by_label", "greedy_by_label"), "largest_by_label"),
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Count the vanilla models of each sweep by the sign and by the size of their d_util (Sec. 6.2).

    `sign_balance` leaves out a d_util of 0.
    """
    models = in_order(vanilla_models(runs, "distinct", "identical"), *CELL)
    rows = []
    for cell, group in by_cell(models, CELL):
        row = cell | {"n": len(present(group["d_util"]))}
        for end in ("", "_by_label"):
            row |= _of_measure(group[f"d_util{end}"], end, settings)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_measure(values: pd.Series, end: str, settings: Analysis) -> dict[str, float]:
    sizes, signs = np.abs(present(values)), np.sign(present(values))
    signs = signs[signs != 0]
    large = sizes > settings.greedy_above
    positive = wilson_interval(int((signs > 0).sum()), len(signs), settings.confidence)
    greedy = wilson_interval(int(large.sum()), len(sizes), settings.confidence)
    return {
        **Estimate(*(2 * share - 1 for share in positive)).named(f"sign_balance{end}"),
        **greedy.named(f"greedy{end}"),
        f"largest{end}": float(sizes.max()) if len(sizes) else NAN,
    }
