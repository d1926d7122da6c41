"""Sensitivity of guided training to its tolerance and its window."""

from itertools import product

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell
from equimodal.study.analysis.statistics import ends, mean_t_interval, over_seeds
from equimodal.study.params import Analysis

FIXED = {"tolerance": "window", "window": "tolerance"}  # what is held while the other varies
OF_THE_PAPER = {"tolerance": 0.01, "window": 5}  # on ModelNet40 (Sec. 6.4)
COLUMNS = [
    *("fidelity", "setting", "held", "value", "n", "unfinished"),
    *("accuracy", "sd", "low", "high", *ends("d_util")),
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the guided runs of each preset by the tolerance alpha, and by the window Q (Fig. 9).

    `held`: the value of the other, which does not vary.
    """
    study = of_experiment(runs, "sensitivity")
    guided = study[study["method"] == "guided"]
    rows = []
    for (fidelity, of_preset), setting in product(guided.groupby("fidelity"), FIXED):
        cell = [FIXED[setting], setting]
        for row, group in by_cell(_varied(of_preset, setting).sort_values(cell), cell):
            held, value = (row[key] for key in cell)
            row |= {"fidelity": fidelity, "setting": setting, "held": held, "value": value}
            row |= over_seeds(100 * group["accuracy"], settings.confidence, "accuracy")
            d_util = mean_t_interval(group["d_util"], settings.confidence)
            rows.append(row | d_util.named("d_util"))
    return pd.DataFrame(rows, columns=COLUMNS)


def _varied(runs: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Return the runs in which `setting` varies while the other keeps its usual value.

    The usual value is the one under which the setting takes most values; of several such the paper's,
    if it is among them. If the setting takes one value only, there is no curve, and no run is returned.
    """
    other = FIXED[setting]
    values = runs.groupby(other)[setting].nunique()
    if values.empty or values.max() < 2:
        return runs.head(0)
    most = values.index[values == values.max()]
    return runs[runs[other] == (OF_THE_PAPER[other] if OF_THE_PAPER[other] in most else most[0])]
