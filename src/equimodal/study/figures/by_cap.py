"""Table 1 of Colored-and-gray-MNIST by the cap of training; no figure of the paper."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equimodal.study.analysis.names import DATASETS, METHODS
from equimodal.study.figures.parts import NothingToShow, labeled, legend_above, panels_of
from equimodal.study.figures.style import BLUE, GRAY, GREEN, ORANGE, PURPLE, VERMILION, Look

DATASET = "colored_mnist"
LINES: dict[tuple[str, str], tuple[str, str]] = {  # method and output -> label and color
    ("guided", "m1"): (f"{METHODS['guided']}, gray branch", PURPLE),
    ("guided", "fused"): (METHODS["guided"], BLUE),
    ("random", "fused"): (METHODS["random"], GREEN),
    ("rubi", "fused"): (METHODS["rubi"], ORANGE),
    ("vanilla", "fused"): (METHODS["vanilla"], VERMILION),
}
REGULAR: Look = {"ls": ":", "lw": 1.2}
REBALANCED = ("random", "guided")  # the other methods take regular steps only
READING = (18, 32)  # caps of docs/preregistration.md


def draw(by_cap: pd.DataFrame) -> Figure:
    """Show the accuracy at the best epoch up to each cap, beside what was published; a panel a preset."""
    table = by_cap[(by_cap["dataset"] == DATASET) & by_cap["mean"].notna()]
    if table.empty:
        raise NothingToShow(f"No run of table1 on {DATASETS[DATASET]} has finished.")
    figure, panels = panels_of(table, "fidelity", "preset", (5.4, 4.2, 4.2))
    for axes, rows in panels:
        _draw_preset(axes, rows, int(table["cap"].max()))
    figure.axes[0].set_ylabel("test accuracy (%), best epoch up to the cap")
    legend_above(figure, labeled(figure.axes), ncols=2)
    return figure


def _draw_preset(axes: Axes, table: pd.DataFrame, last: int) -> None:
    left_behind = (table["evaluation"] == "left_behind").any()
    reported = "left_behind" if left_behind else "regular"
    if last >= READING[0]:
        axes.axvspan(*READING, color="#EEEEEE", lw=0, zorder=0, label="caps that were expected")
    for (method, output), (label, color) in LINES.items():
        of_line = table[(table["method"] == method) & (table["output"] == output)]
        if of_line.empty:
            continue
        mean, sd = of_line[["published_mean", "published_sd"]].iloc[0]
        axes.axhspan(mean - 2 * sd, mean + 2 * sd, color=color, alpha=0.2, lw=0, zorder=1)
        shown = _by_cap(of_line, reported, last)
        axes.fill_between(shown.index, shown["low"], shown["high"], color=color, alpha=0.2, lw=0)
        counted = f"{label}, n = {shown['n'].iloc[-1]:.0f}"
        axes.plot(shown.index, shown["mean"], color=color, lw=1.6, label=counted)
        if left_behind and method in REBALANCED:
            shown = _by_cap(of_line, "regular", last)
            axes.plot(shown.index, shown["mean"], color=color, **REGULAR)
    if left_behind:
        dotted = "dotted: only epochs that end in the regular mode"
        axes.plot([], [], color=GRAY, lw=1.6, label="solid: the mode that the epoch left behind")
        axes.plot([], [], color=GRAY, label=dotted, **REGULAR)
    axes.fill_between([], [], [], color=GRAY, alpha=0.3, lw=0, label="flat: published ± 2 SD")
    if table["low"].notna().any():
        axes.fill_between([], [], [], color=GRAY, alpha=0.2, lw=0, label="around a line: interval")
    axes.set(xlabel="cap: the last epoch that may be chosen", xlim=(1, max(2, last)))
    axes.set_ylim(20, 101)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _by_cap(of_line: pd.DataFrame, evaluation: str, last: int) -> pd.DataFrame:
    """The rows of a way of evaluating, one for every cap."""
    rows = of_line[of_line["evaluation"] == evaluation].set_index("cap").sort_index()
    return rows.reindex(range(int(rows.index[0]), last + 1), method="ffill") if len(rows) else rows
