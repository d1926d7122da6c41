"""Simulated against predicted time ratios on random data of many inputs (F8)."""

import pandas as pd
from matplotlib.figure import Figure

from equimodal.linear.figures.linear_parts import RATIO
from equimodal.study.figures.parts import legend_below, saying
from equimodal.study.figures.style import BLUE, GRAY, Look, new_figure


def draw(linear_random: pd.DataFrame) -> Figure:
    """Show one point a draw on the diagonal of theory, and arrows for runs that never learned A or B."""
    trained = linear_random[linear_random["status"] == "trained"]
    if trained.empty:
        return saying("Nothing to show: no draw of random data could be trained.")
    figure = new_figure(4.5, 4.5)
    axes = figure.subplots()
    top = 1.1 * trained[["theory", "ratio", "at_least"]].max().max()
    axes.plot([1, top], [1, top], color=GRAY, lw=1, label="theory")
    axes.plot(trained["theory"], trained["ratio"], "o", ms=4, color=BLUE, label="a draw")
    only_b = trained["at_least"].where(trained["censored"] != "A", 1.0)  # t_B < t_A
    for way, some, label in (
        ("up", trained["at_least"].notna(), "B never learned: at least this"),
        ("down", trained["censored"] == "A", "A never learned: below 1"),
    ):
        if some.any():
            look: Look = {"ls": "none", "ms": 7, "color": BLUE, "marker": f"$\\{way}arrow$"}
            axes.plot(trained.loc[some, "theory"], only_b[some], label=label, **look)
    states = linear_random["status"].value_counts()
    words = ", ".join(f"{n} {state}" for state, n in states.items())
    neither = int((trained["censored"] == "A and B").sum())
    words += f"; {neither} learned neither" if neither else ""
    axes.set(xscale="log", yscale="log", xlabel=f"{RATIO}, theory", ylabel=f"{RATIO}, simulated")
    axes.set_title(f"Draws: {words}")
    legend_below(axes, ncols=2)
    return figure
