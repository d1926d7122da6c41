"""Balancing methods: test accuracy against the size of d_util."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.analysis.names import DATASETS
from equimodal.study.analysis.statistics import Estimate, magnitude
from equimodal.study.figures.parts import NothingToShow, labeled, legend_above, saying
from equimodal.study.figures.style import Look, new_figure

MARKERS = "osD^v<>ph*XP8d"


def draw(methods: pd.DataFrame) -> Figure:
    """Show one point a method, a panel a preset."""
    known = methods.dropna(subset=["d_util", "accuracy"])
    if not methods["accuracy"].notna().any():
        raise NothingToShow("No run of methods has finished.")
    if known.empty:
        return saying("No method has a d_util.")
    panels = list(known.groupby(["dataset", "fidelity"], sort=False))
    figure = new_figure(4.5 * len(panels), 5)
    names = list(dict.fromkeys(known["method"]))
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    of_several = known["dataset"].nunique() > 1
    for axes, ((dataset, preset), rows) in zip(every, panels, strict=True):
        for row in rows.itertuples():
            place = names.index(row.method)
            look: Look = {"color": f"C{place % 10}", "marker": MARKERS[place % len(MARKERS)]}
            size = magnitude(Estimate(row.d_util, row.d_util_low, row.d_util_high))
            errors = {"xerr": _ends(size), "yerr": _ends(Estimate(row.accuracy, row.low, row.high))}
            look |= errors | {"ls": "", "elinewidth": 1, "label": row.method}
            axes.errorbar([size.value], [row.accuracy], **look)
        title = f"{DATASETS.get(dataset, dataset)}, {preset}" if of_several else preset
        axes.set(xlabel=r"$|d_{\mathrm{util}}|$", ylabel="test accuracy (%)", title=title)
    legend_above(figure, labeled(every), ncols=7)
    return figure


def _ends(x: Estimate) -> list[list[float]] | None:
    return None if pd.isna(x.low) else [[x.value - x.low], [x.high - x.value]]
