"""Where the hidden units of early fusion go: first along the signal, then to the solution (F1)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from equimodal.study.figures.parts import labeled, legend_above, number
from equimodal.study.figures.style import BLUE, GRAY, GREEN, ORANGE, VERMILION, new_figure

MARKS = {"at t_A": (ORANGE, "o", "units at $t_A$"), "in the end": (BLUE, "x", "units in the end")}


def draw(linear_units: pd.DataFrame) -> Figure:
    """Show the first-layer weights of each unit, one panel a correlation, over the spread of the data."""
    correlations = sorted(linear_units["rho"].unique())
    figure = new_figure(3.1 * len(correlations), 3.6)
    panels = figure.subplots(1, len(correlations), squeeze=False)[0]
    for axes, rho in zip(panels, correlations, strict=True):
        units = linear_units[linear_units["rho"] == rho]
        reach = 1.2 * units[["w_a", "w_b"]].abs().to_numpy().max()
        _draw_data(axes, rho, float(units["r"].iloc[0]), reach)
        for when, (color, marker, label) in MARKS.items():
            some = units[units["when"] == when]
            look = {"ls": "none", "marker": marker, "color": color, "ms": 4, "mfc": "none"}
            axes.plot(some["w_a"], some["w_b"], label=label, **look)
        signal = units[["s_a", "s_b"]].iloc[0].to_numpy(float)
        for direction, color, label in (
            (signal, GREEN, "$s$: growth from small weights"),
            (np.ones(2), VERMILION, "$W^*$: the solution"),
        ):
            tip = reach * direction / np.linalg.norm(direction)
            axes.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "->", "color": color})
            axes.plot([], [], color=color, label=label)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set(xlabel=r"$W_A^1$ of a unit", ylabel=r"$W_B^1$ of a unit")
        axes.set_title(rf"$\rho$ = {number(rho, 1)}")
    legend_above(figure, labeled(panels), ncols=4)
    return figure


def _draw_data(axes: Axes, rho: float, r: float, reach: float) -> None:
    """Draw the ellipse of one and two SDs of (x_A, x_B), scaled to the panel."""
    values, vectors = np.linalg.eigh([[r**2, rho * r], [rho * r, 1]])
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    unit = 0.9 * reach / (2 * np.sqrt(values[1]))
    for deviations in (1, 2):
        size = 2 * deviations * unit * np.sqrt(values)
        axes.add_patch(Ellipse((0, 0), size[1], size[0], angle=angle, color=GRAY, alpha=0.12, lw=0))
