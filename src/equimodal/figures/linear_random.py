"""Simulated against predicted time ratios on random data of many inputs (F8)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.figures.parts import saying
from equimodal.figures.style import BLUE, GRAY, new_figure


def draw(linear_random: pd.DataFrame) -> Figure:
    """Show one point a draw on the diagonal of theory, and arrows for runs that never learned B.

    Args:
        linear_random: The table of that name.
    """
    trained = linear_random[linear_random["status"] == "trained"]
    if trained.empty:
        return saying("Nothing to show: no draw of random data could be trained.")
    figure = new_figure(4.5, 4.2)
    axes = figure.subplots()
    top = 1.1 * trained[["theory", "ratio", "at_least"]].max().max()
    axes.plot([1, top], [1, top], color=GRAY, lw=1)
    axes.plot(trained["theory"], trained["ratio"], "o", ms=4, color=BLUE)
    axes.plot(
        trained["theory"], trained["at_least"], ls="none", marker="$\\uparrow$", ms=7, color=BLUE
    )
    states = linear_random["status"].value_counts()
    words = ", ".join(f"{n} {state}" for state, n in states.items())
    censored = int((trained["censored"] != "neither").sum())
    axes.set(
        xscale="log", yscale="log", xlabel="$t_B / t_A$, theory", ylabel="$t_B / t_A$, simulated"
    )
    axes.set_title(f"Draws: {words}; {censored} censored")
    return figure
