"""Algorithm 1 at work: the steps that a guided run took, and why."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from equimodal.study.analysis.names import DATASETS
from equimodal.study.figures.parts import NothingToShow, finished, legend_above
from equimodal.study.figures.style import BLUE, GRAY, ORANGE, VERMILION, Look, new_figure

MODES: dict[str, Look] = {
    "rebalance_m0": {"facecolor": ORANGE, "hatch": "////"},
    "regular": {"facecolor": "#DDDDDD"},
    "rebalance_m1": {"facecolor": BLUE},
}  # stacked from below
SPEEDS = {"speed_m0": (ORANGE, "--"), "speed_m1": (BLUE, "-")}
EXACT, PARTS = 1000, 100  # a ribbon of more steps is of so many parts: steps were too thin to see
BEFORE, AFTER = 10, 50  # steps of the close-up, before and after the first re-balancing step


def draw(runs: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Show the modes of the steps, the speeds and d_speed: of the whole training and a close-up.

    Of the first finished guided run with distinct modalities that has steps.
    """
    guided = runs[(runs["policy"] == "guided") & (runs["inputs"] == "distinct")]
    guided = finished(guided[guided["run"].isin(steps["run"])])
    if guided.empty:
        raise NothingToShow("No guided run has finished and left its steps.")
    run = guided.iloc[0]
    taken = steps[steps["run"] == run["run"]].sort_values("step", ignore_index=True)
    figure = new_figure(9, 5.4)
    panels = figure.subplots(3, 2, sharex="col", height_ratios=[0.7, 1, 1])
    close = _close_up(taken)
    _draw_part(panels[:, 0], taken, run["tolerance"])
    _draw_part(panels[:, 1], close, run["tolerance"])
    dataset = DATASETS.get(run["dataset"], run["dataset"])
    whole = f"(a) all {len(taken)} steps of {taken['epoch'].max()} epochs"
    of_run = f"{dataset}, guided, preset {run['fidelity']}, seed {run['seed']}"
    panels[0, 0].set_title(f"{of_run}\n{whole}")
    panels[0, 1].set_title(f"(b) steps {close['step'].min()} to {close['step'].max()}")
    panels[0, 0].set_ylabel("share of steps")
    panels[1, 0].set_ylabel("conditional learning\nspeed (log$_{10}$ units)")
    panels[2, 0].set_ylabel("$d_{\\mathrm{speed}}$\n(log$_{10}$ units)")
    handles = _handles(run, _epochs_apart(taken))
    legend_above(figure, handles, ncols=4)
    return figure


def _close_up(steps: pd.DataFrame) -> pd.DataFrame:
    """Steps around the first re-balancing step, or around the end of the first epoch."""
    rebalanced = steps["mode"] != "regular"
    center = rebalanced.idxmax() if rebalanced.any() else int((steps["epoch"] == 1).sum())
    start = max(0, center - BEFORE)
    return steps.iloc[start : start + BEFORE + AFTER]


def _draw_part(column: list[Axes], steps: pd.DataFrame, tolerance: float) -> None:
    """Draw some steps in a row: their modes, the speeds after each, and d_speed.

    Step t covers t - 1 to t on the axis. Of more than `EXACT` steps, the ribbon shows shares in each of `PARTS` equal parts,
    and the lines about `EXACT` values.
    """
    ribbon, speeds, gap = column
    parts = len(steps) if len(steps) <= EXACT else PARTS
    cuts = np.linspace(0, len(steps), parts + 1).round().astype(int)
    edges = steps["step"].iloc[0] - 1 + cuts
    base = np.zeros(len(cuts) - 1)
    for mode, look in MODES.items():
        taken = np.concatenate([[0], np.cumsum(steps["mode"] == mode)])
        share = np.diff(taken[cuts]) / np.diff(cuts)
        ribbon.stairs(base + share, edges, baseline=base, fill=True, lw=0, **look)
        base = base + share
    shown = steps.iloc[:: 1 + len(steps) // EXACT]
    for speed, (color, style) in SPEEDS.items():
        speeds.plot(shown["step"], shown[speed], ls=style, color=color, lw=1.2)
    gap.plot(shown["step"], shown["speed_m0"] - shown["speed_m1"], color="black", lw=1.2)
    gap.axhline(0, color=GRAY, lw=0.6)
    if pd.notna(tolerance):
        gap.axhspan(-tolerance, tolerance, color=VERMILION, alpha=0.15, lw=0)
        for border in (-tolerance, tolerance):
            gap.axhline(border, color=VERMILION, lw=0.8, ls="--")
    ends = steps.loc[steps["epoch"].diff().shift(-1) > 0, "step"]
    apart = _epochs_apart(steps)
    for end in ends.iloc[apart - 1 :: apart]:
        for axes in column:
            axes.axvline(end, color="black", lw=0.7, ls=":")
    ribbon.set(ylim=(0, 1), yticks=[0, 1], xlim=(edges[0], edges[-1]))
    gap.set_xlabel("training step")


def _epochs_apart(steps: pd.DataFrame) -> int:
    """How many epochs lie between two dotted lines, so that there are at most 20."""
    return 1 + steps["epoch"].nunique() // 20


def _handles(run: pd.Series, apart: int) -> list[Any]:
    ends = "end of an epoch" + (f" (in (a) one of {apart})" if apart > 1 else "")
    tolerance = run["tolerance"]
    names = {
        "rebalance_m0": f"re-balancing step on $m_0$ ({run['m0']})",
        "regular": "regular step",
        "rebalance_m1": f"re-balancing step on $m_1$ ({run['m1']})",
    }
    speeds = {"speed_m0": "$s(m_1|m_0)$", "speed_m1": "$s(m_0|m_1)$"}
    band = Patch(fc=VERMILION, alpha=0.3, label=f"tolerance ±α = ±{tolerance:g}")
    return [
        *(Patch(label=names[mode], **look) for mode, look in MODES.items()),
        Line2D([], [], color="black", ls=":", label=ends),
        *(Line2D([], [], color=c, ls=style, label=speeds[s]) for s, (c, style) in SPEEDS.items()),
        Line2D([], [], color="black", label=r"$d_{\mathrm{speed}}$"),
        *([band] if pd.notna(tolerance) else []),
    ]
