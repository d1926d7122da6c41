"""Generalization with more and with fewer noisy examples than inputs (F11)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import A, B, level
from equimodal.study.figures.parts import labeled, legend_above
from equimodal.study.figures.style import GREEN, new_figure


def draw(linear_generalization: pd.DataFrame) -> Figure:
    """Show loss and generalization error, and below them the weights; one column a setting."""
    cells = linear_generalization.groupby(["examples", "fusion"])
    figure = new_figure(2.7 * len(cells), 4.4)
    grid = figure.subplots(2, len(cells), sharex=True, squeeze=False)
    for (top, bottom), ((examples, fusion), cell) in zip(grid.T, cells, strict=True):
        for _, run in cell.groupby("seed"):
            best = run.loc[run["error"].idxmin()]
            top.plot(run["step"], run["loss"], color="black", lw=0.8, label="training loss / at 0")
            top.plot(run["step"], run["error"], color=GREEN, lw=0.8, label="$E_g$")
            top.plot(best["step"], best["error"], "v", color=GREEN, ms=5, label="its minimum")
            bottom.plot(run["step"], run["w_a"], color=A, lw=0.8, label="$|W_A|$")
            bottom.plot(run["step"], run["w_b"], color=B, lw=0.8, label="$|W_B|$")
        level(top, cell["theory"].iloc[0], label=r"theory: $E_g$ of A alone")
        top.set_ylim(0, max(1.5, 1.05 * cell["error"].max()))
        permanent = int(cell.groupby("seed")["permanent"].first().sum())
        runs = f"{permanent} of {cell['seed'].nunique()} runs"
        top.set_title(f"{fusion}, {examples} examples\nbest while unimodal: {runs}")
        bottom.set_xlabel("step")
        bottom.locator_params(axis="x", nbins=4)
    legend_above(figure, labeled(grid[:, 0]), ncols=6)
    return figure
