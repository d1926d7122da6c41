"""Figure 4 (Sec. 6.3): L1 regularization, sparsity and greediness on ModelNet40."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.analysis.collect import SPARSITY
from equimodal.study.analysis.l1_study import SIZES
from equimodal.study.figures.l1 import draw_against, handles, models_of_study
from equimodal.study.figures.parts import of_one_preset, with_interval
from equimodal.study.figures.style import new_figure


def draw(runs: pd.DataFrame, l1_study: pd.DataFrame, l1_trends: pd.DataFrame) -> Figure:
    """Show sparsity, |d_util| and |d_speed| against λ, and the latter two against sparsity."""
    models = models_of_study(runs)
    l1_study, l1_trends = of_one_preset(l1_study), of_one_preset(l1_trends)
    figure = new_figure(9, 5.4)
    panels = figure.subplots(2, 3, sharey="col")
    for axes, y in zip(panels[0], (SPARSITY, *SIZES), strict=True):
        draw_against(axes, models, l1_study, "l1", y)
    for axes, y in zip(panels[1, 1:], SIZES, strict=True):
        draw_against(axes, models, l1_study, SPARSITY, y)
    panels[0, 0].set_title(f"(a) ModelNet40\n{_trend(l1_trends, 'l1', 'sparsity')}")
    panels[0, 1].set_title("(b)")
    panels[0, 2].set_title("(c)")
    panels[1, 1].set_title(f"(d) {_trend(l1_trends, 'sparsity', 'abs_d_util')}")
    panels[1, 2].set_title(f"(e) {_trend(l1_trends, 'sparsity', 'abs_d_speed')}")
    panels[1, 0].set_axis_off()
    words = {"title": "ρ: Spearman's rank correlation over models", "title_fontsize": 8}
    panels[1, 0].legend(handles=handles(models, l1_study), loc="center", fontsize=8, **words)
    return figure


def _trend(trends: pd.DataFrame, x: str, y: str) -> str:
    """Word Spearman's ρ of two columns."""
    rows = trends[(trends["x"] == x) & (trends["y"] == y)].dropna(subset="spearman")
    if rows.empty:
        return "ρ missing"
    return f"ρ = {with_interval(*rows.iloc[0][['spearman', 'low', 'high']])}"
