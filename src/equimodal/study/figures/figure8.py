"""Figure 8 (App. B): sparsity by threshold, and |d_util| of the sparser models."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.analysis.collect import SPARSITY
from equimodal.study.figures.l1 import (
    LABELS,
    LAMBDA,
    draw_against,
    handles,
    models_of_study,
    scale_by_penalty,
)
from equimodal.study.figures.parts import finished, legend_below, of_one_preset
from equimodal.study.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, new_figure

LINES = [
    *((BLUE, "o", "-"), (VERMILION, "s", "--"), (GREEN, "^", "-.")),
    *((PURPLE, "D", ":"), (ORANGE, "v", "-"), (SKY, "P", "--")),
]  # color, marker and line style, one a threshold


def draw(runs: pd.DataFrame, l1_study: pd.DataFrame) -> Figure:
    """Show sparsity at every threshold against λ, and |d_util| of the sparser half of the models."""
    models = models_of_study(runs)
    l1_study = of_one_preset(l1_study)
    figure = new_figure(8, 4)
    left, right = figure.subplots(1, 2)
    below = [column for column in l1_study if column.startswith("below_")]
    thresholds = sorted(below, key=lambda column: -float(column.split("_")[1]))
    for column, (color, marker, style) in zip(thresholds, LINES, strict=False):
        look = {"color": color, "marker": marker, "ls": style, "label": column.split("_")[1]}
        left.plot(l1_study["l1"], l1_study[column], ms=4, lw=1.2, **look)
    left.set(xlabel=LAMBDA, ylabel="share of parameters below the threshold")
    scale_by_penalty(left, l1_study["l1"])
    left.set_ylim(bottom=0)
    left.set_title("(a) ModelNet40: sparsity at every threshold")
    legend_below(left, title="threshold", ncols=3)

    whole = finished(models)
    border = whole[SPARSITY].median()
    sparser = whole[whole[SPARSITY] >= border]
    means = l1_study[l1_study[SPARSITY] >= border]
    draw_against(right, sparser, means, SPARSITY, "abs_d_util")
    right.set_xlabel(LABELS[SPARSITY].replace("\n", " "))
    legend_below(right, handles=handles(models, means))
    right.set_title(f"(b) the sparser half: {len(sparser)} of {len(whole)} models")
    return figure
