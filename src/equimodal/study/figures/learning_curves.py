"""How the branches learn: test accuracy and conditional learning speeds over the epochs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.figures.parts import finished, of_one_preset, why_empty
from equimodal.study.figures.style import BLUE, GRAY, ORANGE, Look, new_figure

METHODS = {"vanilla": "vanilla", "rubi": "RUBi", "random": "random", "guided": "guided"}
BRANCHES = {"m0": ORANGE, "m1": BLUE}


def draw(runs: pd.DataFrame, histories: pd.DataFrame) -> Figure:
    """Show test accuracies and speeds of the networks of Table 1, epoch by epoch: one line a seed, a column a policy."""
    multimodal = of_experiment(runs, "table1").query(
        "dataset == 'colored_mnist' and inputs == 'distinct'"
    )
    why_empty({"colored_mnist": multimodal}, "table1")
    multimodal = of_one_preset(finished(multimodal))
    methods = [m for m in METHODS if m in set(multimodal["policy"])]
    figure = new_figure(1.8 + 1.8 * len(methods), 4.6)
    axes = figure.subplots(2, len(methods), sharex=True, sharey="row", squeeze=False)
    for column, policy in enumerate(methods):
        names = multimodal.loc[multimodal["policy"] == policy, "run"]
        chosen = histories[histories["run"].isin(names)]
        _draw_policy(axes[0, column], axes[1, column], chosen)
        seeds = chosen["run"].nunique()
        axes[0, column].set_title(f"{METHODS[policy]} ({seeds} seed{'s' * (seeds != 1)})")
        axes[1, column].set_xlabel("epoch")
    axes[0, 0].set(ylabel="test accuracy (%)", ylim=(0, 101))
    axes[1, 0].set_ylabel("conditional learning\nspeed (log$_{10}$ units)")
    labels = multimodal[["m0", "m1"]].drop_duplicates().iloc[0]
    for row, last in ((0, r"prediction $\hat{y}$"), (1, None)):
        for (branch, color), other in zip(BRANCHES.items(), ("m1", "m0"), strict=True):
            name = f"branch {labels[branch]}"
            speed = f"s({labels[other]} | {labels[branch]})"
            axes[row, -1].plot([], [], color=color, label=speed if row else name)
        if last:
            axes[row, -1].plot([], [], color="black", ls="--", label=last)
        axes[row, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


def _draw_policy(top: Axes, bottom: Axes, histories: pd.DataFrame) -> None:
    for _, run in histories.groupby("run"):
        look: Look = {"alpha": 0.7, "marker": "o" if len(run) == 1 else None}
        for branch, color in BRANCHES.items():
            top.plot(run["epoch"], 100 * run[f"test_accuracy_{branch}"], color=color, **look)
            bottom.plot(run["epoch"], run[f"speed_{branch}"], color=color, **look)
        top.plot(run["epoch"], 100 * run["test_accuracy"], "--", color="black", **look)
    bottom.axhline(0, color=GRAY, lw=0.6)
