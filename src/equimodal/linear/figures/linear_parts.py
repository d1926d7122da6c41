"""What the figures of deep linear networks draw alike: simulation as points, theory as lines."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes

from equimodal.study.figures.style import BLUE, GRAY, GREEN, PURPLE, VERMILION

A, B = BLUE, VERMILION  # the modalities
RATIO = "$t_B / t_A$"
RHO = r"correlation $\rho$"
R = r"$\sigma_A / \sigma_B$"


def colors_of(values: Collection[Any]) -> dict[Any, Any]:
    """Give each value of a setting a color of its own."""
    few = (BLUE, GREEN, VERMILION, PURPLE)
    if len(values) <= len(few):
        return dict(zip(values, few, strict=False))
    return shades_of(values)


def shades_of(values: Collection[Any]) -> dict[Any, Any]:
    """Give each value of a setting a shade from dark to bright, none of them a modality's color."""
    return dict(zip(values, colormaps["viridis"](np.linspace(0, 0.9, len(values))), strict=True))


def points(axes: Axes, runs: pd.DataFrame, x: str, y: str, **look: Any) -> None:
    """Mark the mean of y over the runs of one x, with the sample SD as a bar; runs with NaN left out."""
    known = runs[runs[y].notna()].groupby(x)[y].agg(["mean", "std"])
    look = {"ls": "none", "ms": 4, "elinewidth": 1, "capsize": 2, **look}
    axes.errorbar(known.index, known["mean"], yerr=known["std"].fillna(0), **look)


def ratios(axes: Axes, runs: pd.DataFrame, x: str, color: Any, marker: str = "o") -> None:
    """Mark time ratios, and by an arrow up the bound that a run gives on it that never learned B."""
    points(axes, runs, x, "ratio", marker=marker, color=color)
    censored = runs[runs["at_least"].notna()]
    axes.plot(censored[x], censored["at_least"], ls="none", marker="$\\uparrow$", ms=7, color=color)


def how_many(runs: pd.DataFrame) -> str:
    """Say how many runs there are, and how many of them are censored."""
    censored = int((runs["censored"] != "neither").sum())
    return f"{len(runs)} runs" + (f", {censored} censored" if censored else "")


def level(axes: Axes, value: float, **look: Any) -> None:
    """Draw a level that theory predicts."""
    axes.axhline(value, **{"color": GRAY, "ls": ":", "lw": 1, **look})
