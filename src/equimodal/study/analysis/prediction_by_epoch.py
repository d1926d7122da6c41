"""How early the sign of d_speed tells the sign of d_util."""

import pandas as pd

from equimodal.study.analysis.names import in_order
from equimodal.study.analysis.statistics import sign_agreement
from equimodal.study.analysis.sweeps import vanilla_models
from equimodal.study.params import Analysis

CELL = ["dataset", "fidelity"]
COLUMNS = [*CELL, "epoch", "n", "sign_agreement", "low", "high"]


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Compare the sign of d_speed after each epoch with the sign of d_util of the chosen epoch.

    A model that has stopped keeps its last d_speed: left out, it would change the share by stopping.
    """
    speeds = histories.reindex(columns=["run", "epoch", "speed_m0", "speed_m1"])
    models = vanilla_models(runs, "distinct")[["run", *CELL, "d_util"]]
    epochs = models.merge(speeds, on="run", validate="one_to_many")
    epochs["d_speed"] = epochs["speed_m0"] - epochs["speed_m1"]
    rows = []
    for cell, group in epochs.groupby(CELL):
        d_util = group.groupby("run")["d_util"].first()
        by_epoch = group.pivot(index="epoch", columns="run", values="d_speed").ffill()
        for epoch, d_speed in by_epoch.iterrows():
            n, agreement = sign_agreement(d_speed, d_util[d_speed.index], settings.confidence)
            rows.append((*cell, epoch, n, *agreement))
    return in_order(pd.DataFrame(rows, columns=COLUMNS), *CELL)
