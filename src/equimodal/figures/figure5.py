"""Figure 5 (Sec. 6.4): greediness of each training algorithm."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.figures.greediness_sweep import draw_rows, legend_handles, summary
from equimodal.figures.parts import DATASETS, finished, models_of, say, why_empty
from equimodal.figures.style import BLUE, GREEN, VERMILION, new_figure

POLICIES = {"vanilla": (BLUE, "o"), "random": (GREEN, "^"), "guided": (VERMILION, "s")}
EXPERIMENTS = {"vanilla": "sweep", "random": "sweep_balanced", "guided": "sweep_balanced"}


def draw(runs: pd.DataFrame, greediness: pd.DataFrame) -> Figure:
    """Show d_util of every model with distinct modalities, by the algorithm that trained it.

    Args:
        runs: The `runs` table; its runs of the sweeps on ModelNet40 and NVGesture are drawn.
        greediness: The `greediness` table, for the means, their intervals and the published means.
    """
    figure = new_figure(8, 3.8)
    for axes, dataset in zip(figure.subplots(1, 2), ("modelnet40", "nvgesture"), strict=True):
        axes.set_title(DATASETS[dataset])
        rows = {policy: _distinct(runs, dataset, policy) for policy in POLICIES}
        everything = pd.concat(rows.values())
        if finished(everything).empty:
            say(axes, why_empty(everything, "sweep", dataset))
            continue
        means = {policy: summary(greediness, dataset, "distinct", policy) for policy in POLICIES}
        draw_rows(axes, rows, means, "d_util", POLICIES)
    figure.legend(handles=legend_handles(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _distinct(runs: pd.DataFrame, dataset: str, policy: str) -> pd.DataFrame:
    models = models_of(runs, EXPERIMENTS[policy], dataset, policy)
    return models[models["inputs"] == "distinct"]
