"""Balancing methods: test accuracy against the size of d_util."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.analysis.methods import UTILIZATIONS
from equimodal.study.analysis.names import DATASETS
from equimodal.study.analysis.statistics import Estimate, magnitude
from equimodal.study.figures.parts import NothingToShow, labeled, legend_above, saying
from equimodal.study.figures.style import Look, new_figure

MARKERS = "osD^v<>ph*XP8d"
TITLES = {"d_util_by_label": ", colored by label"}


def draw(methods: pd.DataFrame) -> Figure:
    """Show one point a method, a column of panels a preset, and a row a coloring of the test examples."""
    if not methods["accuracy"].notna().any():
        raise NothingToShow("No run of methods has finished.")
    measures = [u for u in UTILIZATIONS if methods[u].notna().any()]
    if not measures:
        return saying("No method has a d_util.")
    known = methods.dropna(subset=measures, how="all")
    presets = list(known.groupby(["dataset", "fidelity"], sort=False))
    of_several = known["dataset"].nunique() > 1
    figure = new_figure(4.5 * len(presets), 0.5 + 4 * len(measures))
    names = list(dict.fromkeys(known["method"]))
    panels = figure.subplots(len(measures), len(presets), squeeze=False)
    for measure, of_measure in zip(measures, panels, strict=True):
        for axes, ((dataset, preset), rows) in zip(of_measure, presets, strict=True):
            for _, row in rows.dropna(subset=[measure, "accuracy"]).iterrows():
                place = names.index(row["method"])
                look: Look = {"color": f"C{place % 10}", "marker": MARKERS[place % len(MARKERS)]}
                look["fillstyle"] = "full" if place < 10 else "none"  # there are ten colors
                size = magnitude(Estimate(*row[[measure, f"{measure}_low", f"{measure}_high"]]))
                accuracy = Estimate(*row[["accuracy", "low", "high"]])
                look |= {"ls": "", "elinewidth": 1, "label": row["method"]}
                errors = {"xerr": _ends(size), "yerr": _ends(accuracy)}
                axes.errorbar([size.value], [accuracy.value], **look, **errors)
            of = f"{DATASETS.get(dataset, dataset)}, " if of_several else ""
            title = f"{of}{preset}{TITLES.get(measure, '')}"
            axes.set(xlabel=r"$|d_{\mathrm{util}}|$", ylabel="test accuracy (%)", title=title)
    legend_above(figure, labeled(panels.flat), ncols=7)
    return figure


def _ends(x: Estimate) -> list[list[float]] | None:
    return None if pd.isna(x.low) else [[x.value - x.low], [x.high - x.value]]
