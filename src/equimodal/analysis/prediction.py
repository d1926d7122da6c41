"""Whether the conditional learning speed tells the conditional utilization rate."""

import pandas as pd

from equimodal.analysis.names import in_order
from equimodal.analysis.statistics import sign_agreement, spearman
from equimodal.analysis.sweeps import vanilla_models
from equimodal.params import Analysis

PAIRS = {"distinct": ("distinct",), "both": ("distinct", "identical")}
COLUMNS = [
    *("dataset", "fidelity", "inputs", "n"),
    *("spearman", "low", "high", "p", "sign_agreement"),
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Rank-correlate d_speed at the chosen epoch with d_util over the vanilla models of the sweeps.

    A row for each data set and preset, and for `all` data sets together; `inputs` says whether the models of
    the distinct pair count or those of `both` pairs. `sign_agreement`: share of the models in which
    the two have the same sign.
    """
    rows = []
    for inputs, pairs in PAIRS.items():
        models = in_order(vanilla_models(runs, *pairs), "dataset", "fidelity")
        models = pd.concat([models, models.assign(dataset="all")])
        for cell, group in models.groupby(["dataset", "fidelity"], sort=False):
            speeds, rates = group["d_speed"], group["d_util"]
            tested = spearman(speeds, rates, settings.confidence, settings.resamples, settings.seed)
            _, agreement = sign_agreement(speeds, rates, settings.confidence)
            rows.append((*cell, inputs, *tested, agreement.value))
    return pd.DataFrame(rows, columns=COLUMNS)
