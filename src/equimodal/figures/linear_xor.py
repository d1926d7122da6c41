"""The heterogeneous XOR task with ReLU units (F16)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.figures.linear_parts import level
from equimodal.figures.parts import number
from equimodal.figures.style import BLUE, VERMILION, new_figure


def draw(linear_xor: pd.DataFrame, linear_xor_curves: pd.DataFrame) -> Figure:
    """Show the loss of early and late fusion, one panel a variance of the linear modality.

    Args:
        linear_xor: The runs.
        linear_xor_curves: Their losses.
    """
    variances = sorted(linear_xor["variance"].unique())
    figure = new_figure(3.2 * len(variances), 3)
    for axes, v in zip(
        figure.subplots(1, len(variances), squeeze=False)[0], variances, strict=True
    ):
        words = []
        for fusion, color in (("early", BLUE), ("late", VERMILION)):
            curves = linear_xor_curves.query("variance == @v and fusion == @fusion")
            runs = linear_xor.query("variance == @v and fusion == @fusion")
            for seed, curve in curves.groupby("seed"):
                name = f"{fusion} fusion" if seed == 0 else None
                axes.plot(curve["step"], curve["loss"], color=color, lw=1, label=name)
            learned = int(runs["t_xor"].notna().sum())
            words.append(f"{fusion} {learned} of {len(runs)}")
        late = linear_xor.query("variance == @v and fusion == 'late'")
        level(axes, late["theory_loss"].iloc[0])
        axes.set(xlabel="step", ylabel="loss / loss at 0")
        axes.set_title(
            f"$v$ = {v:g}; XOR learned: {', '.join(words)}\nlate: $t_{{XOR}}/t_A$ ="
            f" {number(late['ratio'].mean())} (theory {number(late['theory'].iloc[0])})",
            fontsize=8,
        )
    figure.axes[0].legend(fontsize=8)
    return figure
