"""Deep networks: the deeper the fusion, the longer the unimodal phase (F12 to F15)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import RATIO, RHO, R, colors_of, how_many, ratios
from equimodal.study.figures.style import GRAY, new_figure

AXES = {"rho": RHO, "r": R, "scale": "initial scale $u_0$"}


def draw(
    linear_deep_curves: pd.DataFrame,
    linear_deep_ratio: pd.DataFrame,
    linear_deep_theory: pd.DataFrame,
) -> Figure:
    """Show the loss, and time ratios by correlation, ratio of SDs and initial scale."""
    figure = new_figure(8, 6)
    panels = figure.subplots(2, 2).ravel()
    for fusion, color in colors_of(sorted(linear_deep_ratio["L_f"].unique())).items():
        look = {"color": color, "label": f"$L_f$ = {fusion}"}
        curve = linear_deep_curves.query("L_f == @fusion")
        panels[0].plot(curve["step"], curve["loss"], **look)
        for axes, varied in zip(panels[1:], AXES, strict=True):
            line = linear_deep_theory.query("L_f == @fusion and varied == @varied")
            runs = linear_deep_ratio.query("L_f == @fusion and varied == @varied")
            axes.plot(line[varied], line["ratio"], **look)
            ratios(axes, runs, varied, color)
    panels[0].set(xlabel="step", ylabel="loss / loss at 0")
    depth = linear_deep_ratio["L_f"].max()  # late fusion is at the last layer
    panels[0].set_title(f"(a) loss at depth $L$ = {depth}")
    varied_runs = linear_deep_ratio.groupby("varied")
    for axes, letter, (varied, label) in zip(panels[1:], "bcd", AXES.items(), strict=True):
        runs = how_many(varied_runs.get_group(varied))
        axes.set(yscale="log", xlabel=label, ylabel=RATIO, title=f"({letter}) {runs}")
    panels[0].legend(fontsize=8)
    panels[1].plot([], [], color=GRAY, label="theory")
    panels[1].plot([], [], "o", ms=4, color=GRAY, label="simulated, mean ± SD")
    panels[1].legend(handles=panels[1].lines[-2:], fontsize=8)
    return figure
