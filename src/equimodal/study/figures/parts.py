"""What several figures choose, word and draw alike."""

import textwrap
from collections.abc import Collection, Iterable, Mapping
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
FEWEST = 3  # values of which an interval is drawn: two say next to nothing of their spread


class NothingToShow(Exception):  # noqa: N818  no fault of anybody
    """A figure has no data; the message says why."""


def as_drawn(table: pd.DataFrame, stand_ins: Collection[str]) -> pd.DataFrame:
    """Return a table without intervals of fewer than `FEWEST` values, and published values beside stand-in data."""
    table = table.copy()
    if "n" in table:
        ends = [c for c in table if c.endswith(("low", "high"))]
        table.loc[table["n"] < FEWEST, ends] = float("nan")
    if "dataset" in table:
        published = [c for c in table if c.startswith("published")]
        table.loc[table["dataset"].isin(stand_ins), published] = float("nan")
    return table


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that did not fail."""
    return runs[runs["status"] == "finished"]


def of_one_preset(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the fidelity preset `paper`, or of the first by name if none is of it."""
    presets = set(table["fidelity"])
    chosen = PRESET if PRESET in presets or not presets else min(presets)
    return table[table["fidelity"] == chosen]


def tried(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that finished or failed."""
    return runs[runs["status"] != "missing"]


def count(runs: pd.DataFrame) -> str:
    """Say how many runs finished, and of how many if not all did."""
    done = len(finished(runs))
    of_all = f" of {len(runs)}" if done < len(runs) else ""
    return f"{done}{of_all} model{'s' * (len(runs) != 1)}"


def why_empty(models: Mapping[str, pd.DataFrame], experiment: str) -> dict[str, str]:
    """Say of each data set why it has no model of one or more experiments, by the runs to be drawn; nothing if it has one.

    Raises NothingToShow with all of these words if none has one.
    """
    said = {}
    for dataset, runs in models.items():
        of = f"of {experiment} on {DATASETS[dataset]}"
        lacking = f"None of {len(runs)} runs {of} has finished." if finished(runs).empty else ""
        said[dataset] = lacking if len(runs) else f"This scale asks for no run {of}."
    if all(said.values()):
        raise NothingToShow(" ".join(said.values()))
    return said


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


def panels_of(
    table: pd.DataFrame, column: str, words: str, size: tuple[float, float, float], **shared: Any
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """Return a figure with a panel for each value of a column, such as `(a) preset paper`, and its rows.

    `size`: the least width of the figure, that of a panel, and the height. One panel alone needs no letter.
    """
    names = list(dict.fromkeys(table[column]))
    least, width, height = size
    figure = new_figure(max(least, width * len(names)), height)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False, **shared)[0]
    letters = [f"({letter}) " for letter in "abcdefgh"] if len(names) > 1 else [""]
    for letter, axes, name in zip(letters, panels, names, strict=False):
        axes.set_title(f"{letter}{words} {name}")
    parts = [table[table[column] == name] for name in names]
    return figure, list(zip(panels, parts, strict=True))


def legend_below(axes: Axes, **options: Any) -> None:
    """Put the legend below the label of the x axis."""
    place: Look = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
    axes.legend(fontsize=8, title_fontsize=8, **place, **options)


def labeled(panels: Iterable[Axes]) -> list[Any]:
    """Return what has a label in some panels, each label once."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= {label: h for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(handles.values())


def legend_above(figure: Figure, handles: list[Any], ncols: int, title: str | None = None) -> None:
    """Put one legend above all panels, in so many columns or as many as there is room for."""
    look: Look = {"handles": handles, "title": title, "fontsize": 8, "title_fontsize": 9}
    # Drawing the figure itself would lay it out twice. A legend without a frame needs no pad.
    blank = Figure(figsize=(figure.get_figwidth(), figure.get_figheight()))
    tried = blank.legend(ncols=ncols, borderpad=0, **look)
    blank.draw_without_rendering()
    if ncols > 1 and tried.get_window_extent().width > blank.bbox.width:
        return legend_above(figure, handles, ncols - 1, title)
    figure.legend(loc="outside upper center", ncols=ncols, **look)


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
