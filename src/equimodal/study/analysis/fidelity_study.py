"""What each difference between the paper and its official code does to the accuracy."""

from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment, unfinished
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import (
    holm,
    mean_t_interval,
    paired_difference,
    present,
    sample_sd,
)
from equimodal.study.params import BUT, Analysis

CELL = ["dataset", "method", "base", "switch"]
COLUMNS = [
    *(*CELL, "n", "unfinished", "accuracy", "sd", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
]


def build(runs: pd.DataFrame, evaluations: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Compare presets that differ from their base in one switch with that base, seed by seed.

    A preset of the study is named `<base>_but_<switch>`; the bases themselves have no switch. `accuracy`
    ± `sd`: test accuracy of the prediction in percent with its t interval, evaluated as the preset
    reports it. `difference`: mean over seeds of the preset less its base, percentage points, with its t
    interval and the paired t-test's `p`; `p_holm`: corrected (Holm) for all switches of a method and base.
    """
    study = with_reported_accuracy(of_experiment(runs, "fidelity"), evaluations)
    names = [str(preset).partition(BUT) for preset in study["fidelity"]]
    study = study.assign(base=[n[0] for n in names], switch=[n[2] for n in names])
    rows: list[dict[str, Any]] = []
    for cell, group in by_cell(in_order(study, *CELL), CELL):
        accuracy, low, high = mean_t_interval(group["reported_accuracy"], settings.confidence)
        row = cell | {"n": len(present(group["reported_accuracy"]))}
        row |= {"unfinished": unfinished(group)}
        row |= {"accuracy": accuracy, "sd": sample_sd(group["reported_accuracy"])}
        row |= {"low": low, "high": high}
        if row["switch"]:
            row |= _against_base(group, study, settings)
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    families = table.groupby(["dataset", "method", "base"], sort=False)["p"]
    return table.assign(p_holm=families.transform(holm).astype(float))


def with_reported_accuracy(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Add `reported_accuracy`: the prediction's, in percent, under the preset's own way of evaluating."""
    fused = evaluations[evaluations["output"] == "fused"]
    of_preset = runs[["run", "reported"]].merge(
        fused, left_on=["run", "reported"], right_on=["run", "evaluation"]
    )
    return runs.assign(
        reported_accuracy=100 * runs["run"].map(of_preset.set_index("run")["accuracy"])
    )


def _against_base(group: pd.DataFrame, study: pd.DataFrame, settings: Analysis) -> dict[str, float]:
    first = group.iloc[0]
    same = (study["dataset"] == first["dataset"]) & (study["method"] == first["method"])
    base = study[same & (study["base"] == first["base"]) & (study["switch"] == "")]
    other = group["seed"].map(base.set_index("seed")["reported_accuracy"])
    _, value, low, high, p = paired_difference(
        group["reported_accuracy"], other, settings.confidence
    )
    return {"difference": value, "difference_low": low, "difference_high": high, "p": p}
