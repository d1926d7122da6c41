"""What one switch between the paper's reading and its official code changes; no figure of the paper."""

from itertools import chain

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.study.analysis.names import METHODS
from equimodal.study.figures.parts import NothingToShow, labeled, legend_above, panels_of
from equimodal.study.figures.style import GRAY, GREEN, VERMILION, Look

LOOKS: dict[str, Look] = {
    "vanilla": {"color": GRAY, "marker": "o", "ls": "", "ms": 5},
    "random": {"color": GREEN, "marker": "^", "ls": "", "ms": 5},
    "guided": {"color": VERMILION, "marker": "s", "ls": "", "ms": 5},
}


def draw(fidelity_study: pd.DataFrame) -> Figure:
    """Show, for each base preset, how far each switch moves each method's accuracy."""
    thrown = fidelity_study[fidelity_study["switch"].notna() & (fidelity_study["switch"] != "")]
    compared = thrown[thrown["difference"].notna()]
    if compared.empty:
        raise NothingToShow("No run of a switch has finished beside one of its base.")
    thrown = thrown[thrown["base"].isin(compared["base"])]
    of_methods = [rows["switch"] for _, rows in thrown.groupby("method", sort=False)]
    # In the order of the study, which the method with most of them has.
    switches = list(dict.fromkeys(chain(*sorted(of_methods, key=len, reverse=True))))
    size = (8, 0, 1.6 + 0.45 * len(switches))
    figure, panels = panels_of(thrown, "base", "from the preset", size, sharex=True)
    for axes, rows in panels:
        _draw_base(axes, rows, switches)
    figure.axes[0].set_yticks(range(len(switches)), switches)
    figure.axes[0].set_ylim(len(switches) - 0.5, -0.5)
    legend_above(figure, labeled(figure.axes), ncols=len(LOOKS) + 1)
    return figure


def _draw_base(axes: Axes, rows: pd.DataFrame, switches: list[str]) -> None:
    axes.set_xlabel("difference in test accuracy (points)")
    axes.axvline(0, color=GRAY, lw=0.8, zorder=0)
    note: Look = {"transform": axes.get_yaxis_transform(), "color": GRAY, "va": "center"}
    for place, switch in enumerate(switches):
        if switch not in set(rows["switch"]):
            axes.text(0.02, place, "not varied here", fontsize=8, **note)
    methods = [m for m in LOOKS if m in set(rows["method"])]
    for i, method in enumerate(methods):
        look = LOOKS[method]
        for row in rows[rows["method"] == method].itertuples():
            at = switches.index(row.switch) + 0.2 * (i - (len(methods) - 1) / 2)
            if pd.isna(row.difference):
                axes.text(0.02, at, f"{METHODS[method]}: missing", fontsize=6, **note)
                continue
            axes.hlines(at, row.difference_low, row.difference_high, color=look["color"], lw=1)
            axes.plot(row.difference, at, **look | ({"mfc": "white"} if row.unfinished else {}))
        axes.plot([], [], label=METHODS[method], **look)
    if rows["unfinished"].any():
        label = "hollow: fewer seeds than asked for"
        axes.plot([], [], "o", color="black", mfc="white", ms=5, label=label)
