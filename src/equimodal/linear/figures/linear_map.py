"""Theory of two-layer late fusion over the plane of data statistics (F7, F9)."""

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import RHO, R
from equimodal.study.figures.style import BLUE, ORANGE, VERMILION, new_figure


def draw(linear_ratio_map: pd.DataFrame) -> Figure:
    """Show time ratio and mis-attribution over (rho, r), and where preference is superficial."""
    figure = new_figure(9, 3)
    left, middle, right = figure.subplots(1, 3)
    for axes, column, look in (
        (left, "ratio", {"norm": LogNorm(), "cmap": "Greys"}),
        (middle, "mis_attribution", {"cmap": "RdBu_r", "vmin": -0.92, "vmax": 0.92}),
    ):
        plane = linear_ratio_map.pivot(index="r", columns="rho", values=column)
        image = axes.pcolormesh(plane.columns, plane.index, plane, rasterized=True, **look)
        figure.colorbar(image, ax=axes)
        axes.set(xlabel=RHO, ylabel=R)
    left.set_title("(a) $t_B / t_A$")
    middle.set_title("(b) mis-attribution")
    r = np.geomspace(0.3, 3, 200)
    right.plot(r, r**-2, color=BLUE, label="equal signals: which is first")
    right.plot(r, 1 / r, color=VERMILION, label="equal contributions")
    right.fill_between(r, r**-2, 1 / r, color=ORANGE, alpha=0.4, lw=0, label="superficial")
    right.set(xscale="log", yscale="log", xlabel=R, ylabel="$w_A / w_B$")
    for axis, ticks in ((right.xaxis, [0.3, 1, 3]), (right.yaxis, [0.1, 1, 10])):
        axis.set_ticks([], minor=True)
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    right.set_title(r"(c) preference, $\rho$ = 0")
    right.legend(fontsize=7)
    return figure
