"""Learning curves of two-layer early and late fusion, with and without correlation (F1, F2, F4, F10)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import A, B, level
from equimodal.study.figures.parts import number
from equimodal.study.figures.style import GRAY, new_figure


def draw(linear_curves: pd.DataFrame, linear_superficial: pd.DataFrame) -> Figure:
    """Show loss and total weights by step, one column a correlation, one row a fusion.

    Args:
        linear_curves: The table of that name.
        linear_superficial: The table of that name; drawn last, if a slot is free beside late fusion.
    """
    correlations = sorted(linear_curves["rho"].unique())
    figure = new_figure(2.4 * (len(correlations) + 1), 4.6)
    grid = figure.subplots(2, len(correlations) + 1)
    for row, fusion in zip(grid, ("early", "late"), strict=True):
        for axes, rho in zip(row, correlations, strict=False):
            run = linear_curves.query("fusion == @fusion and rho == @rho")
            _draw_run(axes, run, plateaus=fusion == "late")
            axes.set_title(rf"{fusion} fusion, $\rho$ = {number(rho, 1)}")
    _draw_run(grid[1, -1], linear_superficial, plateaus=True)
    other = linear_superficial["other_plateau"].iloc[0]
    level(grid[1, -1], other, ls="-.", label="theory: loss with B alone")
    grid[1, -1].set_title("late, superficial preference")
    for axes in grid[1]:
        axes.set_xlabel("step")
    legend = grid[0, -1]
    legend.set_axis_off()
    legend.legend(*grid[1, -1].get_legend_handles_labels(), loc="center", fontsize=8)
    return figure


def _draw_run(axes: Axes, run: pd.DataFrame, plateaus: bool) -> None:
    axes.plot(run["step"], run["loss"], color="black", label="loss / loss at 0")
    axes.plot(run["step"], run["w_a"] / run["w_a"].iloc[-1], color=A, label=r"$W_A$ / at the end")
    axes.plot(run["step"], run["w_b"] / run["w_b"].iloc[-1], color=B, label=r"$W_B$ / at the end")
    if plateaus:
        level(axes, run["loss_plateau"].iloc[0], color=GRAY, label="theory: loss with A alone")
        uni = run["w_a_plateau"].iloc[0] / run["w_a"].iloc[-1]
        level(axes, uni, color=A, label=r"theory: $W_A$ alone")
    axes.set_ylim(-0.05, 1.4)
