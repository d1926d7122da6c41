"""Simulated against predicted time ratios on random data of many inputs (F8)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.study.figures.parts import legend_below, saying
from equimodal.study.figures.style import BLUE, GRAY, Look, new_figure


def draw(linear_random: pd.DataFrame) -> Figure:
    """Show one point a draw on the diagonal of theory, and arrows for runs that never learned A or B.

    Args:
        linear_random: The table of that name.
    """
    trained = linear_random[linear_random["status"] == "trained"]
    if trained.empty:
        return saying("Nothing to show: no draw of random data could be trained.")
    figure = new_figure(4.5, 4.5)
    axes = figure.subplots()
    top = 1.1 * trained[["theory", "ratio", "at_least"]].max().max()
    axes.plot([1, top], [1, top], color=GRAY, lw=1, label="theory")
    axes.plot(trained["theory"], trained["ratio"], "o", ms=4, color=BLUE, label="a draw")
    arrow: Look = {"ls": "none", "ms": 7, "color": BLUE}
    never_b = trained[trained["at_least"].notna()]
    if len(never_b):
        label = "B never learned: at least this"
        axes.plot(
            never_b["theory"], never_b["at_least"], marker="$\\uparrow$", label=label, **arrow
        )
    never_a = trained[trained["censored"] == "A"]
    if len(never_a):
        # B was learned in the steps taken and A was not: t_B < t_A.
        label = "A never learned: below 1"
        axes.plot(
            never_a["theory"], [1.0] * len(never_a), marker="$\\downarrow$", label=label, **arrow
        )
    states = linear_random["status"].value_counts()
    words = ", ".join(f"{n} {state}" for state, n in states.items())
    neither = int((trained["censored"] == "A and B").sum())
    words += f"; {neither} learned neither" if neither else ""
    axes.set(
        xscale="log", yscale="log", xlabel="$t_B / t_A$, theory", ylabel="$t_B / t_A$, simulated"
    )
    axes.set_title(f"Draws: {words}")
    legend_below(axes, ncols=2)
    return figure
