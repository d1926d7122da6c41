"""The models of the greediness sweeps."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment

# What two models share that start from the same weights and see the same batches.
DRAW = ["dataset", "start", "inputs", "fidelity", "learning_rate", "seed"]


def vanilla_models(runs: pd.DataFrame, *inputs: str) -> pd.DataFrame:
    """Return the finished vanilla runs of the experiment `sweep`, of the pairs named by `inputs`."""
    sweep = of_experiment(runs, "sweep")
    chosen = (sweep["policy"] == "vanilla") & sweep["inputs"].isin(inputs)
    return sweep[chosen & (sweep["status"] == "finished")]


def of_vanilla(models: pd.DataFrame, runs: pd.DataFrame, column: str) -> pd.Series:
    """Return for each model what the vanilla model of the sweep has that shares its rate and seed; NaN if none does."""
    sweep = of_experiment(runs, "sweep")
    same = sweep[sweep["policy"] == "vanilla"].groupby(DRAW)[column].mean()
    return models[DRAW].join(same, on=DRAW)[column]
