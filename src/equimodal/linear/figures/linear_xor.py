"""The heterogeneous XOR task with ReLU units (F16)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import level
from equimodal.study.figures.parts import number
from equimodal.study.figures.style import BLUE, GRAY, VERMILION, Look, new_figure

FUSIONS = {"early": BLUE, "late": VERMILION}
COLORED_TO = 0.4  # |W_A| of the ends of the color scale


def draw(
    linear_xor: pd.DataFrame, linear_xor_curves: pd.DataFrame, linear_xor_units: pd.DataFrame
) -> Figure:
    """Show losses and first-layer weights, one column a variance of the linear modality."""
    variances = sorted(linear_xor["variance"].unique())
    figure = new_figure(3.2 * len(variances), 8.4)
    grid = figure.subplots(3, len(variances), squeeze=False)
    for column, v in enumerate(variances):
        runs, curves, units = (
            t[t["variance"] == v] for t in (linear_xor, linear_xor_curves, linear_xor_units)
        )
        _draw_losses(grid[0, column], runs, curves)
        reach = 1.15 * units[["w_b1", "w_b2"]].abs().to_numpy().max()
        for row, fusion in enumerate(FUSIONS, start=1):
            axes = grid[row, column]
            marks = _draw_units(axes, units[units["fusion"] == fusion], reach)
            axes.set_title(f"{fusion} fusion, $v$ = {v:g}: hidden units", fontsize=8)
    bar = figure.colorbar(marks, ax=grid[1:], shrink=0.5, extend="both")
    bar.set_label("$W_A^1$ of the unit")
    grid[0, 0].legend(fontsize=8)
    return figure


def _draw_losses(axes: Axes, runs: pd.DataFrame, curves: pd.DataFrame) -> None:
    words = []
    for fusion, color in FUSIONS.items():
        for seed, curve in curves[curves["fusion"] == fusion].groupby("seed"):
            name = f"{fusion} fusion" if seed == 0 else None
            axes.plot(curve["step"], curve["loss"], color=color, lw=1, label=name)
        of_it = runs[runs["fusion"] == fusion]
        words.append(f"{fusion} {int(of_it['t_xor'].notna().sum())} of {len(of_it)}")
    late = runs[runs["fusion"] == "late"]
    level(axes, late["theory_loss"].iloc[0])
    axes.set(xlabel="step", ylabel="loss / loss at 0")
    axes.set_title(
        f"$v$ = {late['variance'].iloc[0]:g}; XOR learned: {', '.join(words)}\nlate: $t_{{XOR}}/t_A$ ="
        f" {number(late['ratio'].mean())} (theory {number(late['theory'].iloc[0])})",
        fontsize=8,
    )


def _draw_units(axes: Axes, units: pd.DataFrame, reach: float) -> PathCollection:
    """Mark each unit by its weights of x_B, colored by that of x_A; dotted: the directions of the XOR."""
    for slope in (-1, 1):
        axes.axline((0, 0), slope=slope, color=GRAY, ls=":", lw=1, zorder=0)
    look: Look = {"cmap": "PuOr", "vmin": -COLORED_TO, "vmax": COLORED_TO}
    marks = axes.scatter(
        units["w_b1"], units["w_b2"], c=units["w_a"], s=22, edgecolors="black", lw=0.4, **look
    )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="$W_{B1}^1$ of a unit", ylabel="$W_{B2}^1$ of a unit")
    return marks
