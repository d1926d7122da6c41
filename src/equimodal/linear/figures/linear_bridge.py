"""The measures of the first paper on the networks of the second."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import RATIO, RHO, A, B, level, shades_of
from equimodal.study.figures.parts import legend_below, number
from equimodal.study.figures.style import GRAY, new_figure


def draw(linear_bridge: pd.DataFrame) -> Figure:
    """Show the ratio that speeds predict, utilization in the phase, and what guided training makes of it."""
    figure = new_figure(10, 3.6)
    left, middle, right = figure.subplots(1, 3)
    late = linear_bridge[linear_bridge["ratio_from_speeds"].notna()]
    both = late[["ratio_from_speeds", "ratio"]].to_numpy()
    if both.size:
        ends = np.nanmin(both) * 0.95, np.nanmax(both) * 1.05
        left.plot(ends, ends, color=GRAY, lw=1)
    left.set(xlabel=f"{RATIO} from speeds", ylabel=f"{RATIO}, simulated")
    left.set_title("(a) two-layer late fusion")

    cells = linear_bridge.groupby(["depth", "L_f"])
    x = cells.ngroup()
    for column, color, shift in (("u_a_mid", A, -0.12), ("u_b_mid", B, 0.12)):
        label = f"{column[2].upper()}, half-way"
        middle.plot(x + shift, linear_bridge[column], "o", ms=3, color=color, label=label)
    middle.plot(x - 0.12, linear_bridge["u_a_theory"], "x", ms=5, color="black", label="A, theory")
    level(middle, 0)
    middle.set(ylabel="utilization (share of the loss)")
    middle.set_title("(b) half-way between the times")
    legend_below(middle, ncols=3)

    for rho, color in shades_of(sorted(linear_bridge["rho"].unique())).items():
        look = {"ls": "none", "marker": "o", "color": color, "label": number(rho, 1)}
        some = late[late["rho"] == rho]
        left.plot(some["ratio_from_speeds"], some["ratio"], ms=4, **look)
        some = linear_bridge[linear_bridge["rho"] == rho]
        right.plot(x[some.index], some["phase_factor"], ms=3, **look)
    level(right, 1)
    right.set(yscale="log", ylabel="length of the phase, guided / vanilla")
    censored = int((linear_bridge["censored_balanced"] != "neither").sum())
    right.set_title(f"(c) guided training: {len(linear_bridge)} runs, {censored} censored")
    for axes in (left, right):
        legend_below(axes, ncols=3, title=RHO)
    for axes in (middle, right):
        axes.set_xticks(range(len(cells)), [f"{depth}, {fusion}" for depth, fusion in cells.groups])
        axes.set_xlabel("$L$, $L_f$")
    return figure
