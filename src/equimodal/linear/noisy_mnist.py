"""Noisy MNIST: the same digit as two modalities under noise, in ReLU networks fused at each layer (F17).

What is derived for linear networks, seen in a network that is none: the deeper the fusion, the later
modality B is learned, which is clean in fewer examples than A. The one module of `equimodal.linear`
that loads torch. The authors' fully connected network; their convolutional one is left out.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from equimodal.linear.settings import NoisyMnist
from equimodal.study.code import code_hash
from equimodal.study.data.split import Split, load_split
from equimodal.study.errors import UserError
from equimodal.study.files import write_aside
from equimodal.study.pickles import load_torch
from equimodal.study.spec import Modality

Pixels = Float[Tensor, "n pixels"]


def noisy_pairs(
    digits: Pixels, settings: NoisyMnist, generator: Generator
) -> tuple[Pixels, Pixels]:
    """Return x_A and x_B of normalized digits: each the digit, or what is faint of it under noise.

    Two draws apart say who is fed: a with the chance `feed_a`, c with `feed_both`. The authors' masks
    are c or a for A and c + (1 - a - c) for B. The latter is 1 - a, not c or (1 - a): A alone is clean in
    feed_a of all examples, both in feed_both (1 - feed_a), B alone in the rest, and always one of them;
    with 0.8 and 0.2, in 0.80, 0.04 and 0.16, where 0.8 and 0.2 without a rest seem to be meant.
    """
    # ASSUME: as the code has it, not as it seems to be meant; noise and masks are drawn anew each epoch.
    a, c = (
        torch.rand((len(digits), 1), generator=generator) < chance
        for chance in (settings.feed_a, settings.feed_both)
    )
    noise = settings.noise * torch.randn((2, *digits.shape), generator=generator)
    under_noise = settings.faint * digits + noise
    return torch.where(a | c, digits, under_noise[0]), torch.where(a, under_noise[1], digits)


class FusionNetwork(nn.Module):
    """L fully connected layers with biases, ReLU between them; the L_f-th reads both modalities.

    L_f = 1 joins the digits themselves, L_f = L the last hidden layers. Weights start as torch's do.
    """

    def __init__(self, *, depth: int, fusion: int, width: int, pixels: int, classes: int):
        """Take 1 <= fusion <= depth; hidden layers, of each branch and after fusion, have one width."""
        super().__init__()
        sizes = [pixels, *[width] * (depth - 1), classes]
        self.branches = nn.ModuleList(_layers(sizes[:fusion]) for _ in range(2))
        joined = _layers([2 * sizes[fusion - 1], *sizes[fusion:]])
        self.after = joined[:-1]  # no ReLU on the logits

    def forward(self, x_a: Pixels, x_b: Pixels) -> Float[Tensor, "n classes"]:
        """Return the logits."""
        codes = [branch(x) for branch, x in zip(self.branches, (x_a, x_b), strict=True)]
        return self.after(torch.cat(codes, dim=1))


def _layers(sizes: list[int]) -> nn.Sequential:
    return nn.Sequential(
        *(part for size in pairwise(sizes) for part in (nn.Linear(*size), nn.ReLU()))
    )


@torch.no_grad()
def accuracies(network: FusionNetwork, test: Split, settings: NoisyMnist) -> dict[str, float]:
    """Return the shares of test digits that are classified rightly, as in training and of one alone.

    `accuracy`: of pairs drawn as in training, the same ones each time. `accuracy_a`, `accuracy_b`: the
    clean digit to that modality and zeros to the other.
    """
    generator = _generator(settings, 0)
    hits = dict.fromkeys(("accuracy", "accuracy_a", "accuracy_b"), 0)
    for index in torch.arange(len(test)).split(settings.batch_size):
        digits, labels = _digits(test, index)
        none = torch.zeros_like(digits)
        pairs = noisy_pairs(digits, settings, generator), (digits, none), (none, digits)
        for name, pair in zip(hits, pairs, strict=True):
            hits[name] += int((network(*pair).argmax(1) == labels).sum())
    return {name: count / len(test) for name, count in hits.items()}


def train_noisy_mnist(
    settings: NoisyMnist,
    fusion: int,
    *,
    gray: Modality,
    classes: int,
    data: Path,
    out: Path,
    checkpoint: Path,
    checkpoint_seconds: float = 20.0,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """Train one network by plain SGD and write its course to `out`, a row an epoch.

    Each row is taken before the epoch is trained, so row 0 is the untrained network, and the last one
    the trained: `loss` (cross-entropy of the epoch's first batch) and the `accuracies`. A training that
    was stopped goes on from its checkpoint to the same bytes (on the same machine).

    `fusion` is L_f, and `gray` says how the digits in the folder `data` are stored and normalized. The
    checkpoint is written at least `checkpoint_seconds` after the last one, and removed at the end.

    Raises:
        UserError: If the data are missing or damaged, the loss is not finite, or `out` can not be
            written.
    """
    how: dict[str, Any] = {"modalities": {"gray": gray}, "classes": classes}
    train, test = load_split(data, "train", **how), load_split(data, "test", **how)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = FusionNetwork(
            depth=settings.depth,
            fusion=fusion,
            width=settings.width,
            pixels=train.arrays["gray"][0].numel(),
            classes=classes,
        )
    identity = _identity(settings, fusion, gray, train, test)
    rows = _restore(network, checkpoint, identity, settings.epochs)
    saved = time.monotonic()
    while len(rows) <= settings.epochs:
        if rows and time.monotonic() - saved >= checkpoint_seconds:
            with write_aside(checkpoint) as aside, aside.open("wb") as file:
                state = {"identity": identity, "network": network.state_dict(), "rows": rows}
                torch.save(state, file)
            saved = time.monotonic()
        rows.append(_epoch(network, train, test, settings, len(rows)))
        report(rows[-1])
    table = pd.DataFrame(rows).assign(examples=len(train), width=settings.width)
    table.insert(0, "L_f", fusion)
    with write_aside(out) as aside:
        table.to_csv(aside, index=False, float_format="%.6g", lineterminator="\n")
    checkpoint.unlink(missing_ok=True)


def _epoch(
    network: FusionNetwork, train: Split, test: Split, settings: NoisyMnist, epoch: int
) -> dict[str, float]:
    """Train one epoch and return the row before it; nothing is trained once all epochs are."""
    row = {"epoch": epoch, "loss": np.nan, **accuracies(network, test, settings)}
    rate = settings.learning_rate * settings.decay**epoch
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    for number, (pair, labels) in enumerate(_batches(train, settings, epoch)):
        loss = F.cross_entropy(network(*pair), labels)
        if number == 0:
            row["loss"] = loss.item()
            if not np.isfinite(row["loss"]):
                raise UserError(
                    f"noisy MNIST: the loss is {row['loss']} in epoch {epoch}; choose a smaller"
                    " linear.noisy_mnist.learning_rate"
                )
            if epoch == settings.epochs:
                break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return row


def _batches(
    train: Split, settings: NoisyMnist, epoch: int
) -> Iterator[tuple[tuple[Pixels, Pixels], Int64[Tensor, " n"]]]:
    """Pairs and labels in an order of the epoch's own; the same for every L_f."""
    generator = _generator(settings, 1 + epoch)
    for index in torch.randperm(len(train), generator=generator).split(settings.batch_size):
        digits, labels = _digits(train, index)
        yield noisy_pairs(digits, settings, generator), labels


def _digits(split: Split, index: Int64[Tensor, " n"]) -> tuple[Pixels, Int64[Tensor, " n"]]:
    batch = split.batch(index)
    return batch.inputs["gray"].flatten(1), batch.labels


def _generator(settings: NoisyMnist, stream: int) -> Generator:
    """Of the test pairs (stream 0), or of an epoch."""
    state = np.random.SeedSequence([settings.seed, stream]).generate_state(1)
    return Generator().manual_seed(int(state[0]))


def _identity(settings: NoisyMnist, fusion: int, gray: Modality, train: Split, test: Split) -> str:
    """Hash of all that a checkpoint belongs to, so that no other is ever taken for it."""
    length = {"epochs"}  # a longer training begins like a shorter one
    words = f"{settings.model_dump_json(exclude=length)} {fusion} {gray.model_dump_json()}"
    digest = hashlib.sha256(f"{words} {code_hash(__name__)}".encode())
    for split in (train, test):
        for tensor in (split.labels, *split.arrays.values()):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def _restore(
    network: FusionNetwork, checkpoint: Path, identity: str, epochs: int
) -> list[dict[str, float]]:
    """Give the network the weights of a checkpoint and return its rows; none if it is of no use."""
    if not checkpoint.is_file():
        return []
    try:
        state = load_torch(checkpoint)
        if not isinstance(state, dict) or state.get("identity") != identity:
            raise UserError(f"{checkpoint} belongs to other settings, data or code")
    except UserError as error:
        print(f"{error}. Starting anew.", file=sys.stderr)
        return []
    if len(state["rows"]) > epochs:
        return []  # of a longer training, which is past this one's end
    network.load_state_dict(state["network"])
    return state["rows"]
