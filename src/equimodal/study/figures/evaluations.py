"""Table 1 of Colored-and-gray-MNIST under each way of evaluating; no figure of the paper."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from equimodal.study.analysis.names import DATASETS, METHODS, in_order
from equimodal.study.figures.parts import NothingToShow, labeled, legend_above, panels_of
from equimodal.study.figures.style import BLUE, GRAY, GREEN, ORANGE, PURPLE, VERMILION, Look

DATASET = "colored_mnist"
BRANCHES = {"m0": "color", "m1": "gray"}  # of that data set's distinct pair
WAYS: dict[str, tuple[str, Look]] = {
    "regular": ("regular flow", {"color": VERMILION, "marker": "o"}),
    "rebalance_m0": ("color branch's gate at its mean", {"color": ORANGE, "marker": "v"}),
    "rebalance_m1": ("gray branch's gate at its mean", {"color": BLUE, "marker": "^"}),
    "isolated": ("no flow between branches", {"color": GREEN, "marker": "s"}),
    "as_trained": ("each mode as often as in training", {"color": PURPLE, "marker": "D"}),
}
LEFT_BEHIND: Look = {"marker": "o", "ms": 12, "mfc": "none", "mec": "black", "mew": 0.8, "ls": ""}
PUBLISHED: Look = {"facecolor": "#DDDDDD", "lw": 0, "label": "published mean ± 2 SD"}
HEIGHT = 0.36  # of a row's band to each side


def draw(table1_evaluations: pd.DataFrame) -> Figure:
    """Show the accuracies that the paper prints a number for, a panel a preset.

    Rows are the methods and outputs with a published number; branches beside the prediction are named.
    """
    table = table1_evaluations
    rows = table[(table["dataset"] == DATASET) & table["published_mean"].notna()]
    if rows["mean"].isna().all():
        raise NothingToShow(f"No run of table1 on {DATASETS[DATASET]} has finished.")
    ordered = rows.sort_values("output", key=lambda output: output != "fused", kind="stable")
    ordered = in_order(ordered, "method")
    shown = list(dict.fromkeys(zip(ordered["method"], ordered["output"], strict=True)))
    figure, panels = panels_of(rows, "fidelity", "preset", (5.4, 4.4, 1.3 + 0.42 * len(shown)))
    for axes, of_preset in panels:
        axes.set(xlabel="test accuracy (%)", xlim=(0, 102))
        for place, (method, output) in enumerate(shown):
            of_row = (of_preset["method"] == method) & (of_preset["output"] == output)
            _draw_row(axes, place, of_preset[of_row])
    first = figure.axes[0]
    if rows["low"].notna().any():
        first.plot([], [], color="black", lw=1, label="interval of our mean")
    first.set_yticks(range(len(shown)), [_name(*row) for row in shown])
    first.set_ylim(len(shown) - 0.5, -0.5)
    legend_above(figure, labeled(figure.axes), ncols=2 * min(2, len(panels)))
    return figure


def _draw_row(axes: Axes, place: int, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    mean, sd = rows[["published_mean", "published_sd"]].iloc[0]
    corner = (mean - 2 * sd, place - HEIGHT)
    axes.add_patch(Rectangle(corner, 4 * sd, 2 * HEIGHT, zorder=0, **PUBLISHED))
    axes.vlines(mean, place - HEIGHT, place + HEIGHT, color=GRAY, lw=1, zorder=1)
    of_way = rows.set_index("evaluation")
    if rows["mean"].isna().all():
        axes.text(2, place, "missing", color=GRAY, va="center", fontsize=8)
    ways = [way for way in WAYS if way in of_way.index and pd.notna(of_way["mean"][way])]
    for i, way in enumerate(ways):
        label, look = WAYS[way]
        at = place + 0.16 * (i - (len(ways) - 1) / 2)
        axes.hlines(at, of_way["low"][way], of_way["high"][way], color=look["color"], lw=1)
        axes.plot(of_way["mean"][way], at, ls="", ms=5, label=label, **look)
    if "left_behind" in of_way.index and pd.notna(of_way["mean"]["left_behind"]):
        label = "as the last training step left it"
        low, high = of_way["low"]["left_behind"], of_way["high"]["left_behind"]
        at = place + 0.08  # between two of the others, or its interval would lie under theirs
        axes.hlines(at, low, high, color="black", lw=0.6)
        axes.plot(of_way["mean"]["left_behind"], at, label=label, **LEFT_BEHIND)


def _name(method: str, output: str) -> str:
    branch = "" if output == "fused" else f", {BRANCHES[output]} branch"
    return f"{METHODS[method]}{branch}"
