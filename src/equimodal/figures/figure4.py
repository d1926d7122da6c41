"""Figure 4 (Sec. 6.3): L1 regularization, sparsity and greediness on ModelNet40."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equimodal.figures.parts import (
    D_SPEED,
    D_UTIL,
    count,
    finished,
    mark_mean,
    models_of,
    saying,
    why_empty,
    with_interval,
)
from equimodal.figures.style import BLUE, GRAY, Look, new_figure

SPARSITY = "below_0.001"  # column of the headline threshold
LAMBDA = r"weight of the L1 penalty, $\lambda$"
DOTS: Look = {"marker": "o", "ls": "", "ms": 4, "color": BLUE, "alpha": 0.6, "mec": "none"}
MEANS: Look = {"marker": "s", "ls": "-", "ms": 4.5, "lw": 1, "color": "black", "mfc": "white"}
LABELS = {
    SPARSITY: "sparsity\n(parameters below 0.001, share)",
    "d_util": D_UTIL,
    "d_speed": D_SPEED.replace(" (", "\n("),
    "l1": LAMBDA,
}


def draw(runs: pd.DataFrame, l1_study: pd.DataFrame, l1_trends: pd.DataFrame) -> Figure:
    """Show sparsity, d_util and d_speed against λ, and the latter two against sparsity.

    Args:
        runs: The `runs` table; its runs of the L1 study are drawn.
        l1_study: The `l1_study` table: means of the models of one λ, with intervals.
        l1_trends: The `l1_trends` table: Spearman's rank correlations over models.
    """
    models = models_of(runs, "l1", "modelnet40", "vanilla")
    if finished(models).empty:
        return saying(why_empty(models, "l1", "modelnet40"))
    figure = new_figure(9, 5.4)
    panels = figure.subplots(2, 3, sharey="col")
    for axes, y in zip(panels[0], (SPARSITY, "d_util", "d_speed"), strict=True):
        draw_against(axes, models, l1_study, "l1", y)
        axes.set_xscale("log")
    for axes, y in zip(panels[1, 1:], ("d_util", "d_speed"), strict=True):
        draw_against(axes, models, l1_study, SPARSITY, y)
    panels[0, 0].set_title(f"(a) {_trend(l1_trends, 'l1', 'sparsity')}")
    panels[0, 1].set_title("(b)")
    panels[0, 2].set_title("(c)")
    panels[1, 1].set_title(f"(d) {_trend(l1_trends, 'sparsity', 'd_util')}")
    panels[1, 2].set_title(f"(e) {_trend(l1_trends, 'sparsity', 'd_speed')}")
    panels[1, 0].set_axis_off()
    panels[1, 0].legend(
        handles=handles(models),
        loc="center",
        fontsize=8,
        title="ρ: Spearman's rank correlation over models",
        title_fontsize=8,
    )
    return figure


def draw_against(axes: Axes, models: pd.DataFrame, means: pd.DataFrame, x: str, y: str) -> None:
    """Draw one dot a model, and the mean of each λ with its interval where the table has one."""
    line = "-" if x == "l1" else ""  # means go along λ
    axes.plot(finished(models)[x], finished(models)[y], **DOTS)
    none = pd.Series(float("nan"), means.index)
    low, high = (means.get(f"{y}_{end}", none) for end in ("low", "high"))
    mark_mean(axes, means[x], means[y], low, high, **MEANS | {"ls": line})
    axes.set(xlabel=LABELS[x], ylabel=LABELS[y])
    if y != SPARSITY:
        axes.axhline(0, color=GRAY, lw=0.6, zorder=0)


def handles(models: pd.DataFrame) -> list[Line2D]:
    """Return what the legend explains, with the number of models."""
    return [
        Line2D([], [], label=f"one of {count(models)}", **DOTS),
        Line2D([], [], label=r"mean of one $\lambda$, with interval", **MEANS),
    ]


def _trend(trends: pd.DataFrame, x: str, y: str) -> str:
    """Word Spearman's ρ of two columns."""
    rows = trends[(trends["x"] == x) & (trends["y"] == y)]
    if rows.empty or pd.isna(rows.iloc[0]["spearman"]):
        return "ρ missing"
    row = rows.iloc[0]
    return f"ρ = {with_interval(row['spearman'], row['low'], row['high'])}"
