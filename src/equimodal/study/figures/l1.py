"""What the figures of the L1 study share: Figures 4 and 8."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from equimodal.study.analysis.collect import SPARSITY
from equimodal.study.analysis.l1_study import with_sizes
from equimodal.study.figures.parts import count, finished, mark_mean, models_of, why_empty
from equimodal.study.figures.style import BLUE, GRAY, Look

LAMBDA = r"weight of the L1 penalty, $\lambda$"
DOTS: Look = {"marker": "o", "ls": "", "ms": 4, "color": BLUE, "alpha": 0.6, "mec": "none"}
DOTS |= {"zorder": 3}
MEANS: Look = {"marker": "s", "ls": "-", "ms": 4.5, "lw": 1, "color": "black", "mfc": "white"}
LABELS = {
    SPARSITY: "sparsity\n(parameters below 0.001, share)",
    "abs_d_util": r"imbalance $|d_{\mathrm{util}}|$",
    "abs_d_speed": "imbalance $|d_{\\mathrm{speed}}|$\n(log$_{10}$ units)",
    "l1": LAMBDA,
}


def models_of_study(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the study with |d_util| and |d_speed|; raises NothingToShow if none has finished."""
    models = with_sizes(models_of(runs, "l1", "modelnet40", "vanilla"))
    why_empty({"modelnet40": models}, "l1")
    return models


def draw_against(axes: Axes, models: pd.DataFrame, means: pd.DataFrame, x: str, y: str) -> None:
    """Draw one dot a model, and the mean of each λ with its interval where the table has one."""
    line = "-" if x == "l1" else ""  # means go along λ
    axes.plot(finished(models)[x], finished(models)[y], **DOTS)
    none = pd.Series(float("nan"), means.index)
    low, high = (means.get(f"{y}_{end}", none) for end in ("low", "high"))
    mark_mean(axes, means[x], means[y], low, high, **MEANS | {"ls": line})
    axes.set(xlabel=LABELS[x], ylabel=LABELS[y])
    if x == "l1":
        scale_by_penalty(axes, models["l1"])
    if y != SPARSITY:
        axes.axhline(0, color=GRAY, lw=0.6, zorder=0)


def scale_by_penalty(axes: Axes, weights: pd.Series) -> None:
    """Give λ a logarithmic axis, with a place for 0, the networks without a penalty, at its left."""
    least, most = weights[weights > 0].min(), weights.max()
    if pd.isna(least):
        return
    if (weights == 0).any():
        axes.set_xscale("symlog", linthresh=least, linscale=0.5)
        axes.set_xlim(-least / 5, most * 1.5)
    else:
        # Limits of our own: where nothing is finite there are none that suit a logarithm.
        axes.set(xscale="log", xlim=(least / 1.5, most * 1.5))


def handles(models: pd.DataFrame, means: pd.DataFrame) -> list[Line2D]:
    """Return what the legend explains, with the number of models."""
    ends = ", with interval" if means["abs_d_util_low"].notna().any() else ""
    return [
        Line2D([], [], label=f"a model ({count(models)})", **DOTS),
        Line2D([], [], label=rf"mean of one $\lambda${ends}", **MEANS),
    ]
