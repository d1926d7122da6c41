"""Figure 9 (App. B): sensitivity of guided training to the tolerance α and the window Q."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from equimodal.study.analysis.sensitivity import OF_THE_PAPER
from equimodal.study.figures.parts import (
    D_UTIL,
    NothingToShow,
    legend_above,
    mark_mean,
    of_one_preset,
    say,
)
from equimodal.study.figures.style import BLUE, GRAY, VERMILION, Look, new_figure

SETTINGS = {"tolerance": r"tolerance $\alpha$ (log$_{10}$ units)", "window": "window $Q$ (steps)"}
HELD = {"tolerance": "$Q$ = {:g}", "window": r"$\alpha$ = {:g}"}
LOOKS: dict[str, Look] = {
    "accuracy": {"color": BLUE, "marker": "o", "ls": "-", "lw": 1, "ms": 5},
    "d_util": {"color": VERMILION, "marker": "s", "ls": "--", "lw": 1, "ms": 5},
}


def draw(sensitivity: pd.DataFrame) -> Figure:
    """Show test accuracy and d_util of guided models against α and against Q."""
    if not (sensitivity["n"] > 0).any():
        raise NothingToShow("No run of sensitivity on ModelNet40 has finished.")
    sensitivity = of_one_preset(sensitivity)
    figure = new_figure(8, 5)
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    for letter, column, (setting, words) in zip("ab", panels.T, SETTINGS.items(), strict=True):
        rows = sensitivity[sensitivity["setting"] == setting].sort_values("value")
        title = f"({letter}) ModelNet40, against {words.split(' (')[0]}"
        if (rows["n"] > 0).any():
            title += f" at {HELD[setting].format(rows['held'].iloc[0])}"
            _draw_setting(column, rows, setting)
        else:
            _say_nothing(column, rows, setting)
        column[0].set_title(title)
    paper = Line2D([], [], color=GRAY, lw=1, ls="--", label="the paper's choice")
    ends = ", with interval" if sensitivity["low"].notna().any() else ""
    mean = Line2D([], [], color="black", marker="o", ms=5, label=f"mean over seeds{ends}")
    legend_above(figure, [mean, paper], ncols=2)
    panels[0, 0].set_ylabel("test accuracy (%)")
    panels[1, 0].set_ylabel(D_UTIL)
    return figure


def _draw_setting(column: list[Axes], rows: pd.DataFrame, setting: str) -> None:
    top, bottom = column
    ends = {"accuracy": ("low", "high"), "d_util": ("d_util_low", "d_util_high")}
    for axes, measure in ((top, "accuracy"), (bottom, "d_util")):
        low, high = (rows[end] for end in ends[measure])
        mark_mean(axes, rows["value"], rows[measure], low, high, **LOOKS[measure])
        axes.axvline(OF_THE_PAPER[setting], color=GRAY, lw=1, ls="--", zorder=0)
        axes.margins(x=0.1, y=0.15)
    bottom.axhline(0, color=GRAY, lw=0.6, zorder=0)
    bottom.set(xscale="log", xlabel=SETTINGS[setting])
    bottom.set_xticks(rows["value"], [_tick(row) for row in rows.itertuples()], fontsize=7)
    bottom.xaxis.set_minor_locator(NullLocator())


def _tick(row: Any) -> str:
    of_all = f" of {row.n + row.unfinished}" if row.unfinished else ""
    return f"{row.value:g}\nn = {row.n}{of_all}"


def _say_nothing(column: list[Axes], rows: pd.DataFrame, setting: str) -> None:
    if unfinished := int(rows["unfinished"].sum()):
        sentence = f"None of {unfinished} runs with other values of the {setting} has finished."
    else:
        sentence = f"Nothing to show: no experiment asks for other values of the {setting} here."
    say(column[0], sentence)
    column[1].set_axis_off()
