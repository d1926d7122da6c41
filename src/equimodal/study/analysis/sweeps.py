"""The models of the greediness sweeps."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment


def vanilla_models(runs: pd.DataFrame, *inputs: str) -> pd.DataFrame:
    """Return the finished vanilla runs of the experiment `sweep`, of the pairs named by `inputs`."""
    sweep = of_experiment(runs, "sweep")
    chosen = (sweep["policy"] == "vanilla") & sweep["inputs"].isin(inputs)
    return sweep[chosen & (sweep["status"] == "finished")]
