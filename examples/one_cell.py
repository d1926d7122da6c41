"""One cell of Table 1: reproduce it from the collected runs, then challenge it.

The cell is guided training on Colored-and-gray-MNIST, 91.01 ± 1.20 % in the paper. The numbers come from the
tables that git holds, so nothing is downloaded. The challenge: are the networks as good when they are
evaluated in another way? Then it trains one such network on the demo's few digits, to show how that is done.

    python examples/one_cell.py    # from a checkout, one to two minutes; draws one_cell.png
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t

ROOT = Path(__file__).parents[1]
PUBLISHED, PUBLISHED_SD, SEEDS = 91.01, 1.20, 3
WAYS = {  # how evaluations.csv names a way -> what it does
    "regular": "all gates live",
    "rebalance_m0": "the color branch's gate at its mean",
    "rebalance_m1": "the gray branch's gate at its mean",
    "isolated": "nothing passes between the branches",
}
RUN = "colored_mnist/distinct/guided/official/lr0.01/seed0"


def cell():
    """Return the test accuracies in % of the cell's networks: a column a way of evaluating."""
    table = pd.read_csv(ROOT / "results/decisive/tables/evaluations.csv")
    asked = table["run"].str.contains("distinct/guided/official") & (table["output"] == "fused")
    return 100 * table[asked].pivot(index="run", columns="evaluation", values="accuracy")


def interval(values):
    """Mean, and the ends of its 95 % t interval."""
    half = t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return values.mean(), values.mean() - half, values.mean() + half


def draw(accuracies, file):
    """Draw the mean of each way with its interval, beside what was published."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(PUBLISHED - 2 * PUBLISHED_SD, PUBLISHED + 2 * PUBLISHED_SD, color="#DDDDDD")
    for row, way in enumerate(WAYS):
        mean, low, high = interval(accuracies[way])
        axes.plot([low, high], [row, row], color="black", lw=1)
        axes.plot(mean, row, "o", color="#0072B2")
    axes.set_yticks(range(len(WAYS)), list(WAYS.values()))
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy (%); gray: published ± 2 SD", xlim=(40, 101))
    figure.savefig(file, dpi=150)


def train_one():
    """Train and evaluate one network of the cell at the demo scale, in a temporary folder."""
    with TemporaryDirectory() as folder:
        equimodal = [sys.executable, "-m", "equimodal", "--directory", folder]
        settings = ["--scale", "demo", "--params", str(ROOT / "params.yaml")]
        for verb in ("fetch", "prepare"):
            subprocess.run([*equimodal, verb, "colored_mnist", *settings], check=True)
        for verb in ("train", "evaluate"):
            subprocess.run([*equimodal, verb, RUN, *settings], check=True)


if __name__ == "__main__":
    accuracies = cell()
    mean, low, high = interval(accuracies["rebalance_m1"])
    print(f"Published:                 {PUBLISHED:.2f} ± {PUBLISHED_SD:.2f}, {SEEDS} networks")
    print(
        f"Ours, as the code does it: {mean:.2f} [{low:.2f}, {high:.2f}], {len(accuracies)} networks"
    )
    print("The challenge: the same networks, evaluated in other ways.")
    for way, words in WAYS.items():
        mean, low, high = interval(accuracies[way])
        print(f"  {words:36} {mean:6.2f} [{low:.2f}, {high:.2f}]")
    draw(accuracies, "one_cell.png")
    print(
        "Wrote one_cell.png. Now one network of the demo, whose numbers are not the paper's:",
        flush=True,
    )
    train_one()
