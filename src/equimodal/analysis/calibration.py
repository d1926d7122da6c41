"""Which way of drawing colors agrees with the accuracies that Kim et al. publish."""

import pandas as pd

from equimodal.analysis.collect import of_experiment, unfinished
from equimodal.params import Analysis

COLUMNS = [
    *(
        "sampling",
        "variance",
        "seed",
        "n",
        "unfinished",
        "accuracy",
        "published_mean",
        "difference",
    ),
]


def build(
    runs: pd.DataFrame, published_calibration: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Put the accuracy of Kim et al.'s own network on colors alone beside their baselines.

    A row for each way of drawing a color that falls outside [0, 1], each variance and each seed, in percent at the best
    epoch; last, for each way and seed, the mean of the absolute differences (variance `all`), by which the
    way is chosen (docs/preregistration.md).
    """
    study = of_experiment(runs, "calibration")
    named = study["fidelity"].str.extract(r"(?P<sampling>clip|redraw)_(?P<digits>\d+)")
    study = study.assign(
        sampling=named["sampling"], variance=named["digits"].astype(float) / 1000
    ).merge(published_calibration, on="variance", how="left")
    rows = []
    for (sampling, seed), of_way in study.groupby(["sampling", "seed"]):
        way = {"sampling": sampling, "seed": seed}
        differences = 100 * of_way["accuracy"].astype(float) - of_way["published_mean"]
        for run, difference in zip(of_way.itertuples(), differences, strict=True):
            rows.append(
                way
                | {"variance": f"{run.variance:.3f}", "accuracy": 100 * run.accuracy}
                | {"published_mean": run.published_mean, "difference": difference}
                | {"n": int(run.status == "finished"), "unfinished": int(run.status != "finished")}
            )
        count = {"n": int(differences.notna().sum()), "unfinished": unfinished(of_way)}
        whole = differences.abs().mean(skipna=False)
        rows.append(way | count | {"variance": "mean absolute", "difference": whole})
    return pd.DataFrame(rows, columns=COLUMNS)
