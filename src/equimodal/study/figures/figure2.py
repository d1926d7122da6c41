"""Figure 2 (Sec. 6.2): the greediness sweeps on ModelNet40 and NVGesture."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.figures.greediness_sweep import draw_sweep


def draw(runs: pd.DataFrame, greediness: pd.DataFrame) -> Figure:
    """Show d_util and d_speed of every model of both sweeps; see `draw_sweep`."""
    return draw_sweep(runs, greediness, ("modelnet40", "nvgesture"))
