"""Figure 5 (Sec. 6.4): greediness of each training algorithm."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.analysis.names import DATASETS
from equimodal.study.figures.greediness_sweep import draw_legend, draw_rows, summary
from equimodal.study.figures.parts import models_of, say, tried, why_empty
from equimodal.study.figures.style import BLUE, GREEN, VERMILION, new_figure

POLICIES = {"vanilla": (BLUE, "o"), "random": (GREEN, "^"), "guided": (VERMILION, "s")}
EXPERIMENTS = {"vanilla": "sweep", "random": "sweep_balanced", "guided": "sweep_balanced"}


def draw(runs: pd.DataFrame, greediness: pd.DataFrame) -> Figure:
    """Show d_util of every model with distinct modalities, by the algorithm that trained it."""
    swept = {
        dataset: {policy: _distinct(runs, dataset, policy) for policy in POLICIES}
        for dataset in ("modelnet40", "nvgesture")
    }
    every = {dataset: pd.concat(rows.values()) for dataset, rows in swept.items()}
    empty = why_empty(every, "sweep and sweep_balanced")
    swept = {d: rows for d, rows in swept.items() if len(tried(every[d]))}
    figure = new_figure(4 + 2 * len(swept), 3.8)
    panels = figure.subplots(1, len(swept), squeeze=False)[0]
    for axes, (dataset, rows) in zip(panels, swept.items(), strict=True):
        axes.set_title(DATASETS[dataset])
        if empty[dataset]:
            say(axes, empty[dataset])
            continue
        means = {policy: summary(greediness, dataset, "distinct", policy) for policy in POLICIES}
        draw_rows(axes, rows, means, "d_util", POLICIES)
    draw_legend(figure, greediness[greediness["dataset"].isin(swept)])
    return figure


def _distinct(runs: pd.DataFrame, dataset: str, policy: str) -> pd.DataFrame:
    models = models_of(runs, EXPERIMENTS[policy], dataset, policy)
    return models[models["inputs"] == "distinct"]
