"""Noisy MNIST: accuracy of each modality alone, by fusion layer (F17)."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import colors_of
from equimodal.study.figures.parts import labeled, legend_above
from equimodal.study.figures.style import new_figure

PANELS = {
    "loss": "(a) training loss, first batch",
    "accuracy": "(b) A and B, under noise",
    "accuracy_a": "(c) A alone",
    "accuracy_b": "(d) B alone",
}
DASHES = ["-", "--", "-.", ":"]


def draw(linear_mnist: pd.DataFrame) -> Figure:
    """Show loss and test accuracies by epochs trained, one line a fusion layer."""
    figure = new_figure(10, 3.2)
    panels = figure.subplots(1, len(PANELS))
    trained = linear_mnist[linear_mnist["epoch"] > 0]
    colors = colors_of(sorted(trained["L_f"].unique()))
    for axes, (column, title) in zip(panels, PANELS.items(), strict=True):
        for (fusion, run), dashes in zip(trained.groupby("L_f"), cycle(DASHES), strict=False):
            share = run[column] if column == "loss" else 100 * run[column]
            look = {"color": colors[fusion], "ls": dashes, "lw": 1.5}
            axes.plot(run["epoch"], share, label=f"$L_f$ = {fusion}", **look)
        axes.set(xscale="log", xlabel="epochs trained", title=title)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("cross-entropy, nats" if column == "loss" else "test accuracy, %")
        if column != "loss":
            axes.set_ylim(0, 100)
    first = linear_mnist.iloc[0]
    made_of = f"{first['examples']:,.0f} training digits, {first['width']:.0f} units a layer"
    legend_above(figure, labeled(panels), ncols=len(colors), title=made_of)
    return figure
