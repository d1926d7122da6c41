"""Rows of models with their mean and the published one: Figures 2, 5 and 7."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equimodal.study.analysis.names import DATASETS
from equimodal.study.analysis.statistics import ends
from equimodal.study.figures.parts import (
    D_SPEED,
    D_UTIL,
    count,
    finished,
    legend_above,
    models_of,
    of_one_preset,
    say,
    tried,
    why_empty,
    with_interval,
)
from equimodal.study.figures.style import BLUE, GRAY, ORANGE, Look, new_figure

PAIRS = {"distinct": (BLUE, "o"), "identical": (ORANGE, "s")}  # color and marker
TITLES = {"d_util_by_label": "the same, colored by label", "d_speed": "learning speed"}
ABOVE, BELOW = -0.36, 0.36  # places of the published mean and of ours within a row


def draw_sweep(runs: pd.DataFrame, greediness: pd.DataFrame, datasets: Sequence[str]) -> Figure:
    """Show d_util and d_speed of every model of the vanilla sweep, a line of panels a data set."""
    asked = {dataset: models_of(runs, "sweep", dataset, "vanilla") for dataset in datasets}
    empty = why_empty(asked, "sweep")
    swept = {dataset: models for dataset, models in asked.items() if len(tried(models))}
    heights = [0.6 if empty[dataset] else 2.5 for dataset in swept]
    twice = any(models["d_util_by_label"].notna().any() for models in swept.values())
    measures = ["d_util", "d_util_by_label", "d_speed"] if twice else ["d_util", "d_speed"]
    figure = new_figure(7 + 3 * twice, 0.5 + sum(heights))
    panels = figure.subplots(len(swept), len(measures), squeeze=False, height_ratios=heights)
    letters = ["(a) ", "(b) "] if len(swept) > 1 else [""]
    for of_line, letter, (dataset, models) in zip(panels, letters, swept.items(), strict=True):
        of_line[0].set_title(f"{letter}{DATASETS[dataset]}: utilization")
        if empty[dataset]:
            say(of_line[0], empty[dataset])
            for axes in of_line[1:]:
                axes.set_axis_off()
            continue
        rows = {pair: models[models["inputs"] == pair] for pair in PAIRS}
        summaries = {pair: summary(greediness, dataset, pair, "vanilla") for pair in PAIRS}
        for axes, measure in zip(of_line, measures, strict=True):
            draw_rows(axes, rows, summaries, measure, PAIRS)
            if axes is not of_line[0]:
                axes.set_title(TITLES[measure])
                axes.tick_params(labelleft=False)
    draw_legend(figure, greediness[greediness["dataset"].isin(swept)])
    return figure


def summary(greediness: pd.DataFrame, dataset: str, pair: str, policy: str) -> pd.Series | None:
    """Return the row of the `greediness` table, None if it has none."""
    asked = (greediness["dataset"] == dataset) & (greediness["inputs"] == pair)
    rows = of_one_preset(greediness[asked & (greediness["policy"] == policy)])
    return None if rows.empty else rows.iloc[0]


def draw_rows(
    axes: Axes,
    rows: dict[str, pd.DataFrame],
    summaries: dict[str, pd.Series | None],
    measure: str,
    looks: dict[str, tuple[str, str]],
) -> None:
    """Draw a row of dots for each group of runs, with our mean below and the published one above.

    `summaries` has each group's row of the `greediness` table, and `looks` its color and marker.
    """
    for y, (group, runs) in enumerate(rows.items()):
        _dots(axes, y, finished(runs).dropna(subset=measure), measure, looks[group])
        if (means := summaries[group]) is None:
            continue
        mean, low, high = means[ends(measure)].astype(float)
        axes.plot([low, high], [y + BELOW] * 2, "k-", lw=1.2)
        axes.plot([low, high], [y + BELOW] * 2, "k|", ms=6)
        axes.plot(mean, y + BELOW, "kD", ms=5)
        if measure == "d_util":
            for published in published_means(means):
                axes.plot(published, y + ABOVE, "*", color="white", mec="black", ms=10)
    labels = [_label(group, rows[group], summaries[group]) for group in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=D_SPEED if measure == "d_speed" else D_UTIL)
    axes.axvline(0, color=GRAY, lw=0.6, zorder=0)
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=5)


def published_means(means: pd.Series) -> list[float]:
    """Return the published E[d_util]; both of its possible values where its sign is not known."""
    if pd.notna(means["published_d_util"]):
        return [float(means["published_d_util"])]
    size = float(means["published_abs_d_util"])
    return [] if pd.isna(size) else [size] if size == 0 else [-size, size]


def draw_legend(figure: Figure, greediness: pd.DataFrame) -> None:
    """Explain a model, our mean and the published one where there is any."""
    published = r"published E[$d_{\mathrm{util}}$]"
    model = "one network; the higher, the larger its learning rate"
    handles = [
        Line2D([], [], color=GRAY, marker="o", ms=4, mec="none", ls="", label=model),
        Line2D([], [], color="black", marker="D", ms=5, lw=1.2, label="our mean, with interval"),
    ]
    if greediness[["published_d_util", "published_abs_d_util"]].notna().any(axis=None):
        handles += [Line2D([], [], color="white", mec="black", marker="*", ms=10, label=published)]
    legend_above(figure, handles, ncols=3)


def _label(group: str, runs: pd.DataFrame, means: pd.Series | None) -> str:
    lines = [group, count(runs)]
    if unknown := int(finished(runs)["d_util"].isna().sum()):
        lines.append(f"{unknown} without d_util")  # a branch with accuracy 0 has no rate
    if means is not None:
        lines.append(f"ours {with_interval(*means[ends('d_util')])}")
        if published := published_means(means):
            size = f"{published[-1]:.1f}".replace("-", "−")  # as printed: there is a −0.0
            lines.append(f"published {size if len(published) == 1 else f'±{size}, sign lost'}")
    return "\n".join(lines)


def _dots(axes: Axes, y: int, models: pd.DataFrame, measure: str, look: tuple[str, str]) -> None:
    """One dot a model, raised by its learning rate."""
    if models.empty:
        middle = axes.get_yaxis_transform()  # x in shares of the axes
        words: Look = {"color": GRAY, "ha": "center", "va": "center", "fontsize": 8}
        axes.text(0.5, y, "no model", transform=middle, **words)
        return
    rates = np.log10(models["learning_rate"].to_numpy())
    spread = np.ptp(rates)
    height = 0.4 * (rates - rates.min()) / spread - 0.2 if spread > 0 else 0 * rates
    color, marker = look
    axes.plot(models[measure], y - height, marker, ms=4, color=color, alpha=0.7, mec="none")
