"""Figure 7 (App. B): the greediness sweep on Colored-and-gray-MNIST."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.figures.greediness_sweep import draw_sweep


def draw(runs: pd.DataFrame, greediness: pd.DataFrame) -> Figure:
    """Show d_util and d_speed of every model of the sweep; see `draw_sweep`."""
    return draw_sweep(runs, greediness, ("colored_mnist",))
