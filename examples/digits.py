"""Greed on your own network and in your own loop: scikit-learn's digits, colored and gray.

In training, a digit's color tells its label; in the test it does not. So a network that relies on the
color fails. Only the lines marked with an arrow use equimodal: the fusion modules, the balancer with
its policy, and the evaluation.

    python examples/digits.py    # in seconds; with matplotlib it draws digits.png as well
"""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from equimodal import (
    MMTM,
    Balance,
    Balancer,
    Flow,
    Guided,
    Vanilla,
    conditional_utilization,
)

MODALITIES = ("color", "gray")


def convolution(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU())


class TwoBranches(nn.Module):
    """Yours: any two branches, with fusion modules between them."""

    def __init__(self):
        super().__init__()
        channels = {"color": 3, "gray": 1}
        self.low = nn.ModuleDict({m: convolution(channels[m], 16) for m in MODALITIES})
        self.high = nn.ModuleDict({m: convolution(16, 32) for m in MODALITIES})
        self.head = nn.ModuleDict({m: nn.Linear(32, 10) for m in MODALITIES})
        self.fuse_low = MMTM(dict.fromkeys(MODALITIES, 16))  # <-
        self.fuse_high = MMTM(dict.fromkeys(MODALITIES, 32))  # <-

    def forward(self, inputs, flow=Flow()):  # <-
        low = self.fuse_low({m: self.low[m](inputs[m]) for m in MODALITIES}, flow)  # <-
        high = self.fuse_high({m: self.high[m](low[m]) for m in MODALITIES}, flow)  # <-
        return {m: self.head[m](high[m].mean((2, 3))) for m in MODALITIES}


def digits():
    """Return training and test inputs and labels. A test digit has the color of any digit."""
    images, labels = load_digits(return_X_y=True)
    gray = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = torch.tensor(labels)
    split = 1200
    worn = torch.cat([labels[:split], torch.randint(10, (len(labels) - split,))])
    colors = torch.rand(10, 3)[worn] + 0.1 * torch.randn(len(labels), 3)
    inputs = {"color": gray * colors[..., None, None], "gray": gray}
    parts = [{m: x[s] for m, x in inputs.items()} for s in (slice(split), slice(split, None))]
    return (parts[0], labels[:split]), (parts[1], labels[split:])


def train(policy, epochs=15, seed=0, note=lambda speeds: None):
    """Train once; return the accuracy of each branch and of both, and their utilization rates."""
    torch.manual_seed(seed)
    (inputs, labels), (test_inputs, test_labels) = digits()
    model = TwoBranches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    balancer = Balancer(model, policy)  # <-
    for epoch in range(1, epochs + 1):
        model.train()
        for index in torch.randperm(len(labels)).split(32):
            batch = {m: x[index] for m, x in inputs.items()}
            logits = model(batch, balancer.flow)  # <-
            loss = sum(F.cross_entropy(z, labels[index]) for z in logits.values())
            optimizer.zero_grad()
            loss.backward()
            balancer.step(optimizer, epoch=epoch)  # <- in place of optimizer.step()
            note(balancer.speeds.values)  # <-

    utilization = conditional_utilization(model, [inputs], [(test_inputs, test_labels)])  # <-
    model.eval()
    with torch.no_grad():
        logits = model(test_inputs)
    logits["both"] = sum(logits.values()) / 2
    return {
        m: (z.argmax(-1) == test_labels).float().mean().item() for m, z in logits.items()
    }, utilization


def draw(gaps, file):
    """Draw how far the conditional learning speeds are apart, step by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    for name, values in gaps.items():
        axes.plot(values, label=name)
    axes.axhline(0, color="gray", lw=0.6)
    axes.set(xlabel="training step", ylabel="d_speed (log10 units)")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)
    print(f"Wrote {file}: d_speed of each training, step by step.")


if __name__ == "__main__":
    torch.set_num_threads(1)  # a network as small as this is slower on more
    balance = Balance(tolerance=0.1, window=5, warmup_epochs=1)  # <-
    gaps = {}
    for name, policy in {"vanilla": Vanilla(), "guided": Guided(balance)}.items():  # <-
        seen = gaps[name] = []
        note = lambda speeds, seen=seen: seen.append(float(speeds[0] - speeds[1]))
        accuracy, utilization = train(policy, note=note)
        d_util = utilization["color"] - utilization["gray"]
        print(
            f"{name:8} accuracy: both {accuracy['both']:.2f}, gray branch {accuracy['gray']:.2f};"
            f" d_util {d_util:+.2f}"
        )
    if find_spec("matplotlib"):
        draw(gaps, "digits.png")
