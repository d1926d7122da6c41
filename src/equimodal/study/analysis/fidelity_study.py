"""What each difference between the paper and its official code does to the accuracy."""

from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import Estimate, ends, holm, over_seeds, paired_difference
from equimodal.study.params import BUT, Analysis

CELL = ["dataset", "method", "base", "switch"]
COLUMNS = [
    *(*CELL, "n", "unfinished", "accuracy", "sd", "low", "high"),
    *(*ends("difference"), "p", "p_holm"),
]


def build(runs: pd.DataFrame, evaluations: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Compare presets that differ from their base in one switch with that base, seed by seed.

    A preset of the study is named `<base>_but_<switch>`; the bases themselves have no switch.
    """
    study = with_reported_accuracy(of_experiment(runs, "fidelity"), evaluations)
    names = [str(preset).partition(BUT) for preset in study["fidelity"]]
    study = study.assign(base=[n[0] for n in names], switch=[n[2] for n in names])
    rows: list[dict[str, Any]] = []
    for row, group in by_cell(in_order(study, *CELL), CELL):
        row |= over_seeds(group["reported_accuracy"], settings.confidence, "accuracy")
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
    percent = 100 * of_preset.set_index("run")["accuracy"]
    return runs.assign(reported_accuracy=runs["run"].map(percent))


def _against_base(group: pd.DataFrame, study: pd.DataFrame, settings: Analysis) -> dict[str, float]:
    first = group.iloc[0]
    same = (study["dataset"] == first["dataset"]) & (study["method"] == first["method"])
    base = study[same & (study["base"] == first["base"]) & (study["switch"] == "")]
    other = group["seed"].map(base.set_index("seed")["reported_accuracy"])
    ours = group["reported_accuracy"]
    _, *estimate, p = paired_difference(ours, other, settings.confidence)
    return Estimate(*estimate).named("difference") | {"p": p}
