"""Figure 7 (App. B): the greediness sweep on Colored-and-gray-MNIST."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.analysis.collect import of_experiment
from equimodal.figures.style import BLUE, GRAY, ORANGE, new_figure

PAIRS = {"distinct": BLUE, "identical": ORANGE}
PUBLISHED_GREEDINESS = 0.3  # |E[d_util]| of the distinct pair (Sec. 6.2); its sign is not published


def draw(runs: pd.DataFrame) -> Figure:
    """Show d_util and d_speed of every model of the sweep, distinct against identical modalities.

    Args:
        runs: The `runs` table; its runs of the sweep are drawn.

    It should show d_util and d_speed away from 0 for distinct modalities, around 0 for identical
    ones.
    """
    runs = of_experiment(runs, "sweep")
    runs = runs[(runs["dataset"] == "colored_mnist") & (runs["policy"] == "vanilla")]
    figure = new_figure(6.5, 3.0)
    left, right = figure.subplots(1, 2, sharey=True)
    for y, (pair, color) in enumerate(PAIRS.items()):
        models = runs[(runs["inputs"] == pair) & (runs["status"] == "finished")]
        _strip(left, y, models["d_util"], models["learning_rate"], color)
        _strip(right, y, models["d_speed"], models["learning_rate"], color)
    left.set_yticks(range(len(PAIRS)), [_label(runs, pair) for pair in PAIRS])
    left.set(
        xlabel=r"$d_{\mathrm{util}} = u(m_1|m_0) - u(m_0|m_1)$",
        title="(a) conditional utilization rates",
        ylim=(len(PAIRS) - 0.4, -0.6),
    )
    right.set(
        xlabel=r"$d_{\mathrm{speed}} = s(m_1|m_0) - s(m_0|m_1)$ (log$_{10}$ units)",
        title="(b) conditional learning speeds",
    )
    for sign in (-1, 1):
        label = "published |E[$d_{util}$]|, distinct pair" if sign > 0 else None
        x = sign * PUBLISHED_GREEDINESS
        left.plot([x, x], [-0.35, 0.35], "--", color=GRAY, lw=1, label=label)
    left.plot([], [], "|", color="black", ms=12, mew=2, label="mean of our models")
    for axes in (left, right):
        axes.axvline(0, color=GRAY, lw=0.6, zorder=0)
        axes.margins(x=0.1)
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    return figure


def _label(runs: pd.DataFrame, pair: str) -> str:
    status = runs.loc[runs["inputs"] == pair, "status"]
    failed = int((status != "finished").sum())
    count = f"{len(status) - failed} models"
    return f"{pair}\n{count}" + (f", {failed} failed" if failed else "")


def _strip(axes: Axes, y: int, x: pd.Series, rates: pd.Series, color: str) -> None:
    """One dot a model, raised by its learning rate; their mean as a bar."""
    if len(x) == 0:
        axes.text(0, y, "no model", color=GRAY, ha="center")
        return
    logs = np.log10(rates.to_numpy())
    spread = np.ptp(logs)
    height = 0.4 * (logs - logs.min()) / spread - 0.2 if spread > 0 else 0 * logs
    axes.plot(x, y - height, "o", ms=4, color=color, alpha=0.7, mec="none")
    axes.plot(x.mean(), y, "|", color="black", ms=22, mew=2)
