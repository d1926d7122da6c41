"""Three views: guided training of a network with three branches."""

import pandas as pd

from equimodal.analysis.collect import of_experiment, unfinished
from equimodal.analysis.comparisons import paired_with_vanilla
from equimodal.analysis.names import in_order
from equimodal.analysis.statistics import mean_t_interval, paired_difference, present, sample_sd
from equimodal.params import Analysis

BRANCHES = ["accuracy_m0", "accuracy_m1", "accuracy_m2"]
COLUMNS = [
    *("method", "n", "unfinished", "accuracy", "sd", "low", "high", *BRANCHES),
    *("difference", "difference_low", "difference_high"),
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the test accuracy of each method in percent, and compare it with vanilla by seed.

    `accuracy` ± `sd` of the prediction with its t interval, of the branches the mean; `difference`:
    method less vanilla at the same seed, percentage points, with its t interval.
    """
    study = of_experiment(runs, "three_views")
    study = study.reindex(columns=[*study.columns.union(BRANCHES)])
    pairs = paired_with_vanilla(study)
    rows = []
    for method, group in in_order(study, "method").groupby("method", sort=False):
        percent = 100 * group["accuracy"]
        mean, low, high = mean_t_interval(percent, settings.confidence)
        of_method = pairs[pairs["method"] == method]
        difference = paired_difference(
            of_method["accuracy"], of_method["accuracy_vanilla"], settings.confidence
        )
        branches = 100 * group[BRANCHES].mean()
        counts = (method, len(present(percent)), unfinished(group))
        rows.append((*counts, mean, sample_sd(percent), low, high, *branches, *difference[1:4]))
    return pd.DataFrame(rows, columns=COLUMNS)
