"""How d_util is distributed over the models of a sweep: its signs and its sizes."""

import numpy as np
import pandas as pd

from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import NAN, Estimate, present, wilson_interval
from equimodal.study.analysis.sweeps import vanilla_models
from equimodal.study.params import Analysis

CELL = ["dataset", "fidelity", "inputs"]
SHARES = ("sign_balance", "greedy")
COLUMNS = [
    *(*CELL, "n"),
    *(f"{share}{end}" for share in SHARES for end in ("", "_low", "_high")),
    "largest",
    *(f"{share}_by_label{end}" for share in SHARES for end in ("", "_low", "_high")),
    "largest_by_label",
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Count the vanilla models of each sweep by the sign and by the size of their d_util (Sec. 6.2).

    `sign_balance`: share of models with d_util above 0 less that with d_util below 0, zeros left out;
    0 if d_util is symmetric about 0, 1 or -1 if all have one sign. `greedy`: share of models with
    |d_util| above `greedy_above`. Both with Wilson's interval. `largest`: the largest |d_util|. `..._by_label`:
    of d_util on the same test examples, biased as those for training are.
    """
    models = in_order(vanilla_models(runs, "distinct", "identical"), *CELL)
    rows = [
        cell
        | {"n": len(present(group["d_util"]))}
        | _of_measure(group["d_util"], "", settings)
        | _of_measure(group["d_util_by_label"], "_by_label", settings)
        for cell, group in by_cell(models, CELL)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_measure(values: pd.Series, end: str, settings: Analysis) -> dict[str, float]:
    sizes, signs = np.abs(present(values)), np.sign(present(values))
    signs = signs[signs != 0]
    positive = wilson_interval(int((signs > 0).sum()), len(signs), settings.confidence)
    greedy = wilson_interval(
        int((sizes > settings.greedy_above).sum()), len(sizes), settings.confidence
    )
    return {
        **Estimate(*(2 * share - 1 for share in positive)).named(f"sign_balance{end}"),
        **greedy.named(f"greedy{end}"),
        f"largest{end}": float(sizes.max()) if len(sizes) else NAN,
    }
