"""Whether the conditional learning speed tells the conditional utilization rate."""

import pandas as pd

from equimodal.study.analysis.names import EVERY, in_order
from equimodal.study.analysis.statistics import Estimate, Tested, ends, sign_agreement, spearman
from equimodal.study.analysis.sweeps import vanilla_models
from equimodal.study.params import Analysis

PAIRS = {"distinct": ("distinct",), "both": ("distinct", "identical")}
COLUMNS = [
    *("dataset", "fidelity", "inputs", "n", "spearman", "low", "high", "p"),
    *ends("sign_agreement", "spearman_by_label", "sign_agreement_by_label"),
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Rank-correlate d_speed at the chosen epoch with d_util over the vanilla models of the sweeps.

    A row for each data set and preset, and for `all` data sets together; `inputs` says whether the models of
    the distinct pair count or those of `both` pairs.
    """
    rows = []
    for inputs, pairs in PAIRS.items():
        models = in_order(vanilla_models(runs, *pairs), "dataset", "fidelity")
        models = pd.concat([models, models.assign(dataset=EVERY)])
        for cell, group in models.groupby(["dataset", "fidelity"], sort=False):
            (tested, agreement), (by_label, agreement_by_label) = (
                _compare(group["d_speed"], group[measure], settings)
                for measure in ("d_util", "d_util_by_label")
            )
            rows.append((*cell, inputs, *tested, *agreement, *by_label[1:4], *agreement_by_label))
    return pd.DataFrame(rows, columns=COLUMNS)


def _compare(speeds: pd.Series, rates: pd.Series, settings: Analysis) -> tuple[Tested, Estimate]:
    """Return the rank correlation and the share of equal signs."""
    tested = spearman(speeds, rates, settings)
    return tested, sign_agreement(speeds, rates, settings.confidence)[1]
