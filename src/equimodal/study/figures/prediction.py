"""Does the difference of learning speeds tell the difference of utilization rates (Sec. 6.2)?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import DATASETS, EVERY
from equimodal.study.figures.parts import (
    D_SPEED,
    D_UTIL,
    NothingToShow,
    finished,
    legend_below,
    of_one_preset,
    say,
    with_interval,
)
from equimodal.study.figures.style import BLUE, GRAY, GREEN, VERMILION, Look, new_figure

LOOKS = {
    "colored_mnist": (BLUE, "o", "-"),
    "modelnet40": (VERMILION, "s", "--"),
    "nvgesture": (GREEN, "^", "-."),
}  # color, marker and line style


def draw(runs: pd.DataFrame, prediction: pd.DataFrame, prediction_by_epoch: pd.DataFrame) -> Figure:
    """Show d_util against d_speed of the vanilla sweeps, and how early the sign of the one tells that of the other."""
    sweep = of_one_preset(finished(of_experiment(runs, "sweep").query("policy == 'vanilla'")))
    if sweep.empty:
        raise NothingToShow("No model of a vanilla sweep has finished.")
    prediction, prediction_by_epoch = (
        table[table["fidelity"] == sweep["fidelity"].iloc[0]]
        for table in (prediction, prediction_by_epoch)
    )
    figure = new_figure(9, 4.2)
    left, right = figure.subplots(1, 2)
    left.set_title("(a) one mark a model")
    right.set_title(r"(b) same sign of $d_{\mathrm{speed}}$ and final $d_{\mathrm{util}}$")
    _scatter(left, sweep, prediction)
    _by_epoch(right, prediction_by_epoch)
    return figure


def _scatter(axes: Axes, models: pd.DataFrame, prediction: pd.DataFrame) -> None:
    for dataset, (color, marker, _) in LOOKS.items():
        if not (models["dataset"] == dataset).any():
            continue
        for pair, fill in (("distinct", color), ("identical", "none")):
            chosen = models[(models["dataset"] == dataset) & (models["inputs"] == pair)]
            x, y = chosen["d_speed"], chosen["d_util"]
            axes.plot(x, y, marker, ms=5, mec=color, mfc=fill, alpha=0.8)
        label = f"{DATASETS[dataset]}: {_rank_correlation(prediction, dataset)}"
        axes.plot([], [], marker, color=color, label=label)
    for words, fill in (("filled: distinct modalities", GRAY), ("open: identical ones", "none")):
        axes.plot([], [], "h", mec=GRAY, mfc=fill, label=words)
    axes.axhline(0, color=GRAY, lw=0.6, zorder=0)
    axes.axvline(0, color=GRAY, lw=0.6, zorder=0)
    axes.set(xlabel=D_SPEED, ylabel=D_UTIL)
    of_several = models["dataset"].nunique() > 1
    every = f"all data sets: {_rank_correlation(prediction, EVERY)}" if of_several else None
    legend_below(axes, title=every)


def _rank_correlation(prediction: pd.DataFrame, dataset: str) -> str:
    asked = (prediction["dataset"] == dataset) & (prediction["inputs"] == "both")
    rows = prediction[asked].dropna(subset="spearman")
    if rows.empty:
        return "no ρ"
    row = rows.iloc[0]
    return f"ρ = {with_interval(*row[['spearman', 'low', 'high']])}, n = {row['n']}"


def _by_epoch(axes: Axes, by_epoch: pd.DataFrame) -> None:
    if by_epoch.empty:
        say(axes, "Nothing to show: no model of a vanilla sweep has d_speed by epoch.")
        return
    for dataset, (color, marker, style) in LOOKS.items():
        rows = by_epoch[by_epoch["dataset"] == dataset].sort_values("epoch")
        if rows.empty:
            continue
        look: Look = {"color": color, "marker": marker, "ls": style, "ms": 4.5}
        share, low, high = (100 * rows[column] for column in ("sign_agreement", "low", "high"))
        label = f"{DATASETS[dataset]}, n = {rows['n'].max()}"
        axes.plot(rows["epoch"], share, markevery=max(1, len(rows) // 15), label=label, **look)
        axes.fill_between(rows["epoch"], low, high, color=color, alpha=0.12, lw=0)
    axes.axhline(50, color=GRAY, lw=1, ls=":", label="chance")
    axes.set(xlabel="epoch", ylabel="models (%)", ylim=(-3, 103))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes)
