"""How early the sign of d_speed tells the sign of d_util."""

import pandas as pd

from equimodal.analysis.names import in_order
from equimodal.analysis.statistics import sign_agreement
from equimodal.analysis.sweeps import vanilla_models
from equimodal.params import Analysis

CELL = ["dataset", "fidelity"]
COLUMNS = [*CELL, "epoch", "n", "sign_agreement", "low", "high"]


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Compare the sign of d_speed after each epoch with the sign of d_util of the chosen epoch.

    Over the vanilla models of the sweeps, distinct pair. `sign_agreement`: share of the `n` models
    that were still in training in which the two have the same sign, with Wilson's interval.
    """
    speeds = histories.reindex(columns=["run", "epoch", "speed_m0", "speed_m1"])
    models = vanilla_models(runs, "distinct")[["run", *CELL, "d_util"]]
    epochs = in_order(models.merge(speeds, on="run", validate="one_to_many"), *CELL)
    rows = []
    for cell, group in epochs.groupby([*CELL, "epoch"], sort=False):
        d_speed = group["speed_m0"] - group["speed_m1"]
        n, agreement = sign_agreement(d_speed, group["d_util"], settings.confidence)
        rows.append((*cell, n, *agreement))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return in_order(table.sort_values("epoch", kind="stable"), *CELL)
