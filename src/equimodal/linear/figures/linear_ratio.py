"""Time ratio and mis-attribution of two-layer late fusion by correlation (F5, F6)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import (
    RATIO,
    RHO,
    R,
    colors_of,
    how_many,
    level,
    points,
    ratios,
)
from equimodal.study.figures.parts import legend_below
from equimodal.study.figures.style import GRAY, new_figure


def draw(linear_ratio: pd.DataFrame, linear_ratio_theory: pd.DataFrame) -> Figure:
    """Show simulated ratios and mis-attributions as points, theory as lines (dotted: at the step size)."""
    figure = new_figure(8, 4)
    left, right = figure.subplots(1, 2)
    for r, color in colors_of(sorted(linear_ratio["r"].unique(), reverse=True)).items():
        line = linear_ratio_theory.query("r == @r")
        left.plot(line["rho"], line["ratio"], color=color, label=f"{R} = {r:g}")
        left.plot(line["rho"], line["ratio_finite"], ls=":", lw=1, color=color)
        if r > 1:  # at 1 either modality may be the first
            right.plot(line["rho"], line["mis_attribution"], color=color, label=f"{R} = {r:g}")
        for units, marker in (("linear", "o"), ("relu", "x")):
            runs = linear_ratio.query(f"r == @r and units == '{units}'")
            ratios(left, runs, "rho", color, marker)
            if r > 1:
                points(right, runs, "rho", "mis_attribution", marker=marker, color=color)
    for axes in (left, right):
        axes.plot([], [], color=GRAY, label="theory")
        axes.plot([], [], "o", ms=4, color=GRAY, label="simulated, linear")
        axes.plot([], [], "x", ms=4, color=GRAY, label="simulated, ReLU")
    left.plot([], [], ls=":", color=GRAY, label="theory, finite steps")
    left.set(yscale="log", xlabel=RHO, ylabel=RATIO)
    left.set_title(f"(a) time ratio: {how_many(linear_ratio)}")
    right.set(xlabel=RHO, ylabel=r"$(W_A - W_A^*) / W_A^*$ between the times")
    right.set_title("(b) mis-attribution")
    level(right, 0)
    for axes in (left, right):
        legend_below(axes, ncols=2)
    return figure
