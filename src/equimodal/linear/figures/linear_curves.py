"""Learning curves of two-layer early and late fusion, with and without correlation (F1, F2, F4, F10)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import A, B, level
from equimodal.study.figures.parts import number
from equimodal.study.figures.style import new_figure


def draw(linear_curves: pd.DataFrame, linear_superficial: pd.DataFrame) -> Figure:
    """Show loss and total weights by step, one column a correlation, one row a fusion."""
    columns = linear_curves["rho"].nunique() + 1
    figure = new_figure(2.4 * columns, 4.6)
    grid = figure.subplots(2, columns)
    runs = linear_curves.groupby(["fusion", "rho"])
    for axes, ((fusion, rho), run) in zip(grid[:, :-1].flat, runs, strict=True):
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
    end = run.iloc[-1]
    axes.plot(run["step"], run["w_a"] / end["w_a"], color=A, label="$W_A$ / at the end")
    axes.plot(run["step"], run["w_b"] / end["w_b"], color=B, label="$W_B$ / at the end")
    if plateaus:
        level(axes, end["loss_plateau"], label="theory: loss with A alone")
        level(axes, end["w_a_plateau"] / end["w_a"], color=A, label="theory: $W_A$ alone")
    axes.set_ylim(-0.05, 1.4)
