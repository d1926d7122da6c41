"""A method of your own beside the paper's: a policy is which branch the next step re-balances on.

`InTurn` is a new one in ten lines. After the warm-up it takes a regular step, one on color and one on
gray, over and over: as many re-balancing steps as the random method, and no chance. It is compared with
vanilla, random and guided training on the colored digits of digits.py, from the same weights at each seed.

    python examples/add_method.py    # about a minute; draws add_method.png
"""

from pathlib import Path
from runpy import run_path

import torch
from matplotlib.figure import Figure

from equimodal import Balance, Guided, Policy, Random, Vanilla

MODALITIES = ("color", "gray")
SEEDS = (0, 1)
train = run_path(str(Path(__file__).with_name("digits.py")))["train"]


class InTurn(Policy):
    """After the warm-up: a regular step, one on the first modality, one on the second, and again."""

    kept = ("mode",)  # in the state that a checkpoint holds

    def __init__(self, warmup_epochs):
        self.warmup_epochs = warmup_epochs
        self.mode = torch.tensor(-1)  # -1 is a regular step, else the number of a modality

    def advance(self, speeds, *, epoch):
        if epoch > self.warmup_epochs:
            self.mode.copy_((self.mode + 2) % (1 + len(MODALITIES)) - 1)  # -1, 0, 1, -1, ...


METHODS = {
    "vanilla": lambda seed: Vanilla(),
    "random": lambda seed: Random(MODALITIES, warmup_epochs=1, seed=seed),
    "guided": lambda seed: Guided(Balance(tolerance=0.1, window=5, warmup_epochs=1)),
    "in turn": lambda seed: InTurn(warmup_epochs=1),
}


def compare(seeds=SEEDS, epochs=15):
    """Train each method at each seed; return test accuracies: method -> one a seed."""
    found = {}
    for name, policy in METHODS.items():
        found[name] = [train(policy(seed), epochs, seed)[0]["both"] for seed in seeds]
        print(f"{name:8} accuracy:", ", ".join(f"{100 * a:.1f} %" for a in found[name]), flush=True)
    return found


def draw(found, file):
    """Draw a dot a training, a row a method."""
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axes = figure.subplots()
    for row, accuracies in enumerate(found.values()):
        axes.plot([100 * a for a in accuracies], [row] * len(accuracies), "o", alpha=0.7)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy (%), one dot a seed", xlim=(0, 100))
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    torch.set_num_threads(1)  # networks as small as these are slower on more
    draw(compare(), "add_method.png")
    print(
        "Wrote add_method.png. docs/methods.md says how one with a loss of its own joins the study."
    )
