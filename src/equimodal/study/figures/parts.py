"""What several figures choose, word and draw alike."""

import textwrap
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import DATASETS
from equimodal.study.figures.style import GRAY, Look, new_figure

D_UTIL = r"$d_{\mathrm{util}} = u(m_1|m_0) - u(m_0|m_1)$"
D_SPEED = r"$d_{\mathrm{speed}} = s(m_1|m_0) - s(m_0|m_1)$ (log$_{10}$ units)"
PRESET = "paper"


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that did not fail."""
    return runs[runs["status"] == "finished"]


def of_one_preset(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the fidelity preset `paper`, or of the first by name if none is of it."""
    presets = set(table["fidelity"])
    chosen = PRESET if PRESET in presets or not presets else min(presets)
    return table[table["fidelity"] == chosen]


def count(runs: pd.DataFrame) -> str:
    """Say how many runs finished, and of how many if not all did."""
    done = len(finished(runs))
    of_all = f" of {len(runs)}" if done < len(runs) else ""
    return f"{done}{of_all} model{'s' * (len(runs) != 1)}"


def why_empty(runs: pd.DataFrame, experiment: str, dataset: str) -> str:
    """Say why there is no model of an experiment on a data set.

    Args:
        runs: The runs that would have been drawn, none of which finished.
        experiment: Its name in params.yaml, or several.
        dataset: Its name in params.yaml.
    """
    name = DATASETS[dataset]
    if len(runs):
        return f"None of {len(runs)} runs of {experiment} on {name} has finished."
    return f"Nothing to show: this scale asks for no run of {experiment} on {name}."


def number(x: float, digits: int = 2) -> str:
    """Write a number with a true minus sign; `missing` where there is none."""
    return "missing" if pd.isna(x) else f"{x:z.{digits}f}".replace("-", "−")


def with_interval(mean: float, low: float, high: float) -> str:
    """Write a mean and its interval with as many digits as tell its ends apart, or say that there is none."""
    if pd.isna(mean):
        return number(mean)
    if pd.isna(low):
        return f"{number(mean)} (no interval)"
    digits = 3 if number(low) == number(high) else 2
    return f"{number(mean, digits)} [{number(low, digits)}, {number(high, digits)}]"


def say(axes: Axes, sentence: str, width: int = 44) -> None:
    """Put a sentence in place of data."""
    axes.set_axis_off()
    text = textwrap.fill(sentence, width)
    axes.text(0.5, 0.5, text, color=GRAY, ha="center", va="center", transform=axes.transAxes)


def saying(sentence: str) -> Figure:
    """Return a figure that is a sentence, where there is nothing to draw."""
    figure = new_figure(7, 1)
    say(figure.subplots(), sentence, width=80)
    return figure


def legend_below(axes: Axes, **options: Any) -> None:
    """Put the legend below the label of the x axis."""
    place: Look = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
    axes.legend(fontsize=8, title_fontsize=8, **place, **options)


def legend_above(
    figure: Figure, panels: Iterable[Axes], ncols: int, title: str | None = None
) -> None:
    """Put one legend above all panels, each label once."""
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles=list(handles.values()),
        loc="outside upper center",
        ncols=ncols,
        title=title,
        fontsize=8,
        title_fontsize=9,
    )


def models_of(runs: pd.DataFrame, experiment: str, dataset: str, policy: str) -> pd.DataFrame:
    """Return an experiment's runs on a data set with a policy, of one preset."""
    runs = of_experiment(runs, experiment)
    return of_one_preset(runs[(runs["dataset"] == dataset) & (runs["policy"] == policy)])


def mark_mean(
    axes: Axes, x: pd.Series, y: pd.Series, low: pd.Series, high: pd.Series, **look: Any
) -> None:
    """Mark means of y at x, with their intervals where there are any."""
    mean, below, above = (column.to_numpy(dtype=float) for column in (y, low, high))
    known = ~pd.isna(below)
    axes.plot(x, mean, **look)
    axes.errorbar(
        x[known],
        mean[known],
        yerr=[mean[known] - below[known], above[known] - mean[known]],
        fmt="none",
        ecolor="black",
        elinewidth=1,
        capsize=2.5,
    )
