"""Generalization with more and with fewer noisy examples than inputs (F11)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import A, B, level
from equimodal.study.figures.style import GREEN, new_figure


def draw(linear_generalization: pd.DataFrame) -> Figure:
    """Show loss and generalization error, and below them the weights; one column a setting.

    Args:
        linear_generalization: The table of that name; one thin line a seed.
    """
    cells = [
        (examples, fusion)
        for examples in sorted(linear_generalization["examples"].unique())
        for fusion in ("early", "late")
    ]
    figure = new_figure(2.7 * len(cells), 4.4)
    grid = figure.subplots(2, len(cells), sharex=True, squeeze=False)
    for (top, bottom), (examples, fusion) in zip(grid.T, cells, strict=True):
        cell = linear_generalization.query("examples == @examples and fusion == @fusion")
        for seed, run in cell.groupby("seed"):
            name = (lambda text: text) if seed == 0 else (lambda _: None)
            top.plot(
                run["step"], run["loss"], color="black", lw=0.8, label=name("training loss / at 0")
            )
            top.plot(run["step"], run["error"], color=GREEN, lw=0.8, label=name(r"$E_g$"))
            best = run.loc[run["error"].idxmin()]
            top.plot(best["step"], best["error"], "v", color=GREEN, ms=5, label=name("its minimum"))
            bottom.plot(run["step"], run["w_a"], color=A, lw=0.8, label=name(r"$|W_A|$"))
            bottom.plot(run["step"], run["w_b"], color=B, lw=0.8, label=name(r"$|W_B|$"))
        level(top, cell["theory"].iloc[0], label=r"theory: $E_g$ of A alone")
        top.set_ylim(0, max(1.5, 1.05 * cell["error"].max()))
        permanent = int(cell.groupby("seed")["permanent"].first().sum())
        top.set_title(
            f"{fusion}, {examples} examples\nbest while unimodal: {permanent} of"
            f" {cell['seed'].nunique()} runs"
        )
        bottom.set_xlabel("step")
        bottom.locator_params(axis="x", nbins=4)
    first = grid[:, 0]
    lines = [line for axes in first for line in axes.get_legend_handles_labels()[0]]
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines), fontsize=8)
    return figure
