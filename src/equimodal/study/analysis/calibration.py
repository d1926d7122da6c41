"""Which way of drawing colors agrees with the accuracies that Kim et al. publish."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.params import Analysis

DIFFERENCE = "mean_absolute_difference"
PUBLISHED = "published"


def build(
    runs: pd.DataFrame, published_calibration: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Put the accuracy of Kim et al.'s own network on colors alone beside their baselines.

    A row for the baselines, then one for each way of drawing a color that falls outside [0, 1] and each seed; a
    column for each variance. `mean_absolute_difference` is missing while a network lacks.
    """
    study = of_experiment(runs, "calibration")
    named = study["fidelity"].str.extract(r"(?P<sampling>clip|redraw)_(?P<digits>\d+)")
    variance = named["digits"].astype(float) / 1000
    study = study.assign(sampling=named["sampling"], variance=variance)
    baselines = published_calibration.set_index("variance")["published_mean"]
    ours = 100 * study.pivot(
        index=["sampling", "seed"], columns="variance", values="accuracy"
    ).reindex(columns=baselines.index).astype(float)
    differences = (ours - baselines).abs().mean(axis=1, skipna=False)
    rows = ours.assign(**{DIFFERENCE: differences}).reset_index()
    first = pd.DataFrame([{"sampling": PUBLISHED, **baselines}] if len(study) else [])
    table = pd.concat([first, rows], ignore_index=True)
    table = table.reindex(columns=["sampling", "seed", *baselines.index, DIFFERENCE])
    return table.rename(columns={v: f"variance_{v:.3f}" for v in baselines.index})
