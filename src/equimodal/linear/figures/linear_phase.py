"""Phase portraits of two-layer early and late fusion (F3)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.figures.style import GRAY, VERMILION, Look, new_figure


def draw(linear_phase: pd.DataFrame) -> Figure:
    """Show the direction of learning in the plane of total weights, a path, and the fixed points."""
    figure = new_figure(7, 3.6)
    for axes, fusion in zip(figure.subplots(1, 2), ("early", "late"), strict=True):
        arrows = linear_phase.query("fusion == @fusion and kind == 'arrow'")
        path = linear_phase.query("fusion == @fusion and kind == 'path'")
        length = (arrows["flow_a"] ** 2 + arrows["flow_b"] ** 2) ** 0.5
        flow = arrows[["flow_a", "flow_b"]].div(length.where(length > 1e-9), axis=0)
        look: Look = {"color": GRAY, "scale": 24, "width": 0.004}
        axes.quiver(arrows["w_a"], arrows["w_b"], flow["flow_a"], flow["flow_b"], **look)
        axes.plot(path["w_a"], path["w_b"], color=VERMILION, lw=2)
        named = {"$M_0$": (0, 0), "$M_*$": (1, 1)}
        if fusion == "late":
            named |= {"$M_A$": (1, 0), "$M_B$": (0, 1)}
        for name, (x, y) in named.items():
            axes.plot(x, y, "o", color="black", ms=5)
            axes.annotate(name, (x, y), (5, 5), textcoords="offset points")
        axes.set(xlabel=r"$W_A$", ylabel=r"$W_B$", title=f"{fusion} fusion", aspect="equal")
    return figure
