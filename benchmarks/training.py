"""Training and evaluation beside the reference: networks of the paper's size on random data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks import reference
from benchmarks.timing import Benchmark, Call
from equimodal.study.data.split import Split, load_split
from equimodal.study.expansion import expand_runs
from equimodal.study.methods import METHODS
from equimodal.study.params import Grid, Params, load_params
from equimodal.study.runs.build import build_network
from equimodal.study.runs.graphed import CudaGraph
from equimodal.study.runs.loop import Progress, Training
from equimodal.study.runs.score import score
from equimodal.study.spec import I3D, Augmentation, FourConv, RunSpec
from equimodal.training.step import train_step

ROOT = Path(__file__).parents[1]
PARAMS = ROOT / "params.yaml"
POLICIES = ("vanilla", "rubi", "random", "guided")
WITHOUT_FUSION = ("vanilla", "random", "guided")  # of these, those that are timed beside methods
UNTIMED = {"joint", "ensemble"}  # what methods are compared with, and what trains nothing
PAST_WARM_UP = 2  # the epoch from which policies act


@dataclass(frozen=True)
class Kind:
    """A network and the data that it is timed with.

    Attributes:
        dataset: Whose run at the scale `paper` it is.
        space: Time and sides of an example; the study's clips are larger.
        steps: Of an epoch.
        number: Steps that are timed in a row.
        evaluated: Examples of the split that is scored.
    """

    dataset: str
    space: tuple[int, ...]
    steps: int
    number: int
    evaluated: int


KINDS = {
    "four_conv": Kind("colored_mnist", (28, 28), steps=8, number=6, evaluated=1000),
    "resnet18": Kind("modelnet40", (224, 224), steps=1, number=1, evaluated=8),
    "i3d": Kind("nvgesture", (16, 32, 32), steps=2, number=1, evaluated=8),
}


# Where methods of others are timed: the network -> the scale that compares them with it, and its data.
COMPARED = {
    "four_conv": (
        "methods",
        Kind("colored_mnist", (28, 28), steps=2, number=6, evaluated=256),
    ),
    "resnet18": (
        "methods_views",
        Kind("modelnet40", (64, 64), steps=2, number=3, evaluated=16),
    ),
}


def specs_of(dataset: str, params: Params, experiment: str) -> dict[str, RunSpec]:
    """Return the first run with two modalities of each policy; every example is seen whole."""
    runs = expand_runs(params, experiment).values()
    first: dict[str, RunSpec] = {}
    for spec in runs:
        if (spec.dataset, spec.inputs) == (dataset, "distinct"):
            epochs = spec.training.model_copy(update={"max_epochs": PAST_WARM_UP})
            changed = {"training": epochs, "validation": "test", "pretrained": None}
            whole = Augmentation(flip=0.0, shared=True)
            first.setdefault(spec.policy, spec.model_copy(update=changed | {"augmentation": whole}))
    return first


def spec_of(dataset: str, policy: str) -> RunSpec:
    """Return such a run of the paper's Table 1."""
    return specs_of(dataset, load_params(PARAMS, "paper"), "table1")[policy]


def specs_without_fusion(dataset: str, scale: str) -> dict[str, RunSpec]:
    """Return such a run by each policy and method without fusion modules, be it in an experiment or not."""
    params = load_params(PARAMS, scale)
    usual = {"dataset": dataset, "fidelity": ("without_fusion",), "rates": (0.01,), "seeds": 1}
    alone = tuple(name for name, of in params.datasets[dataset].inputs.items() if len(of) == 1)
    grids = (
        Grid(**usual, inputs=alone, policy=("vanilla",)),  # what some methods read
        Grid(**usual, inputs=("distinct",), policy=(*METHODS, *WITHOUT_FUSION)),
    )
    return specs_of(
        dataset, params.model_copy(update={"experiments": {"methods": grids}}), "methods"
    )


@dataclass(frozen=True)
class Case:
    """A spec and its data, as ours and as the reference take them."""

    spec: RunSpec
    splits: dict[str, Split]
    examples: dict[str, reference.Examples]

    def ours(
        self,
        policy: str | None = None,
        device: str = "cpu",
        graph: type[CudaGraph] | None = None,
        **switches: str,
    ) -> Training:
        """Return a training of ours at the beginning of the first epoch after the warm-up."""
        spec = self.spec if policy is None else spec_like(self.spec, policy)
        spec = spec.model_copy(update={"switches": spec.switches.model_copy(update=switches)})
        training = Training(spec, self.splits, device, graph=graph)
        training.progress = Progress(epoch=PAST_WARM_UP)
        return training

    def loader(self, split: str, order: Sequence[int] | None = None) -> DataLoader:
        """Return a loader of the split's batches, shuffled anew each time unless an order is given."""
        size = self.spec.training.batch_size
        shuffled = order is None and split == "train"
        return DataLoader(self.examples[split], size, shuffle=shuffled, sampler=order)

    def reference(self, policy: str, order: Sequence[int] | None = None) -> reference.Training:
        """Return the reference with the weights that ours starts from."""
        spec = spec_like(self.spec, policy)
        network = plain_network(spec)
        start = build_network(spec).state_dict()
        network.load_state_dict({name: start[name] for name in network.state_dict()})
        guide = None
        if policy == "guided" and spec.balance is not None:
            guide = reference.Guide(network, spec.balance.tolerance, spec.balance.window)
        return reference.Training(
            network,
            self.loader("train", order),
            rate=spec.learning_rate,
            momentum=spec.training.momentum,
            guide=guide,
        )


def spec_like(spec: RunSpec, policy: str) -> RunSpec:
    """Return the spec with another policy and its settings."""
    other = spec_of(spec.dataset, policy)
    return spec.model_copy(update={k: getattr(other, k) for k in ("policy", "balance", "rubi")})


def plain_network(spec: RunSpec) -> reference.TwoBranches:
    """Build the reference of a spec's network."""

    def branch(channels: int) -> reference.Branch:
        match spec.network:
            case FourConv(widths=widths):
                return reference.four_conv(channels, spec.classes, widths)
            case I3D(dropout=dropout, norm_momentum=momentum):
                return reference.i3d(channels, spec.classes, dropout, momentum)
        return reference.resnet18(channels, spec.classes)

    branches = {m: branch(x.channels) for m, x in spec.modalities.items()}
    dimensions = 3 if isinstance(spec.network, I3D) else 2
    return reference.TwoBranches(branches, spec.network.fused_after, dimensions)


def case_of(
    folder: Path,
    spec: RunSpec,
    space: tuple[int, ...],
    *,
    train: int,
    test: int,
    device: str = "cpu",
) -> Case:
    """Store random examples as `prepare` would, and load them as `train` does."""
    rng, splits, examples = np.random.default_rng(0), {}, {}
    for name, n in (("train", train), ("test", test)):
        arrays = {
            m: rng.integers(0, 256, (n, *space, x.channels), np.uint8)
            for m, x in spec.modalities.items()
        }
        labels = rng.integers(0, spec.classes, n, np.uint8)
        for m, x in spec.modalities.items():
            np.save(folder / f"{name}.{x.source}.npy", arrays[m])
        np.save(folder / f"{name}.labels.npy", labels)
        np.save(folder / f"{name}.ids.npy", np.arange(n, dtype=np.int32))
        splits[name] = load_split(
            folder, name, modalities=spec.modalities, classes=spec.classes, device=device
        )
        scale = {
            m: (x.normalization.mean, x.normalization.std)
            for m, x in spec.modalities.items()
            if x.normalization is not None
        }
        examples[name] = reference.Examples(arrays, labels, scale)
    return Case(spec, splits, examples)


def case_of_kind(folder: Path, kind: Kind, device: str = "cpu") -> Case:
    """Return the case of a kind."""
    spec = spec_of(kind.dataset, "guided")
    n = kind.steps * spec.training.batch_size
    return case_of(folder, spec, kind.space, train=n, test=kind.evaluated, device=device)


def our_step(training: Training, *, metered: bool = True) -> Callable[[], float]:
    """Return what takes one step after the other of a training of ours and returns the loss.

    Without the meter no conditional learning speed is measured, as no run does it.
    """
    split, size = training.splits["train"], training.spec.training.batch_size
    batches = cycle(torch.arange(len(split)).split(size))

    def step() -> float:
        training.network.train()
        record = train_step(
            training.network,
            split.batch(next(batches)),
            training.optimizer,
            training.policy,
            training.speeds if metered else None,
            epoch=PAST_WARM_UP,
            rules=training.rules,
        )
        return float(record.loss)

    return step


def reference_step(training: reference.Training) -> Callable[[], float]:
    """Return what takes one step after the other of the reference and returns the loss."""

    def batches() -> Iterator[tuple[reference.Tensors, torch.Tensor]]:
        while True:
            yield from training.loader

    given = batches()
    return lambda: training.step(*next(given))


def build_steps(kind: Kind, folder: Path) -> dict[str, Call]:
    """One training step of each policy, ours and the reference's."""
    case = case_of_kind(folder, kind)
    ours: dict[str, Call] = {p: our_step(case.ours(p)) for p in POLICIES}
    ours["guided, bfloat16"] = our_step(case.ours("guided", arithmetic="bfloat16"))
    ours["vanilla, no meter"] = our_step(case.ours("vanilla"), metered=False)
    theirs = {f"reference {p}": reference_step(case.reference(p)) for p in ("vanilla", "guided")}
    return ours | theirs


def build_methods(network: str, folder: Path) -> dict[str, Training]:
    """Return a training by each method with a network of `COMPARED`, after the first epoch; none has fusion modules.

    What it reads of other runs is made up. The ensemble trains nothing.
    """
    history = folder / "history.csv"
    history.write_text("train_loss,validation_loss\n2,2\n1,1.5\n")
    scale, kind = COMPARED[network]
    specs = specs_without_fusion(kind.dataset, scale)
    del specs["ensemble"]
    n = kind.steps * specs["joint"].training.batch_size
    splits = case_of(folder, specs["joint"], kind.space, train=n, test=kind.evaluated).splits
    trainings = {}
    for policy, given in specs.items():
        members = {k: str(history) for k in given.members} if given.members else None
        plain = given.switches.model_copy(update={"measured": []})
        spec = given.model_copy(update={"members": members, "switches": plain})
        training = trainings[policy] = Training(spec, splits)
        seen = [splits["train"].batch(torch.arange(n))]
        training.policy.end_epoch(training.network, {"train": seen, "validation": seen})
    return trainings


def build_method_steps(network: str, folder: Path) -> dict[str, Call]:
    """One training step by each method."""
    return {
        policy: our_step(training) for policy, training in build_methods(network, folder).items()
    }


def build_epochs(kind: Kind, folder: Path) -> dict[str, Call]:
    """One epoch of guided training and its evaluation."""
    case = case_of_kind(folder, kind)
    training, plain, test = case.ours(), case.reference("guided"), case.loader("test")

    def ours() -> None:
        training.progress = Progress(epoch=PAST_WARM_UP)
        training.run()

    def theirs() -> None:
        plain.epoch()
        reference.evaluate(plain.network, test)

    return {"guided": ours, "reference guided": theirs}


def build_scores(kind: Kind, folder: Path) -> dict[str, Call]:
    """Accuracy on a split."""
    case = case_of_kind(folder, kind)
    network, plain = case.ours().network, case.reference("guided").network
    return {
        "score": lambda: score(network, case.splits["test"]),
        "reference": lambda: reference.evaluate(plain, case.loader("test")),
    }


STEP_PAIRS = (
    ("vanilla", "reference vanilla"),
    ("guided", "reference guided"),
    ("guided, bfloat16", "reference guided"),
    ("guided", "vanilla"),
    ("guided", "vanilla, no meter"),
)
BENCHMARKS = {
    f"{what}-{name}": benchmark
    for name, kind in KINDS.items()
    for what, benchmark in {
        "step": Benchmark(
            f"one training step of {name}", partial(build_steps, kind), STEP_PAIRS, kind.number
        ),
        "epoch": Benchmark(
            f"steps ({kind.steps}) of {name} and the evaluation of {kind.evaluated} examples",
            partial(build_epochs, kind),
            (("guided", "reference guided"),),
        ),
        "score": Benchmark(
            f"evaluation of {kind.evaluated} examples by {name}",
            partial(build_scores, kind),
            (("score", "reference"),),
        ),
    }.items()
} | {
    f"methods-{network}": Benchmark(
        f"one training step of {network} without fusion, of half the width",
        partial(build_method_steps, network),
        tuple((policy, "joint") for policy in (*METHODS, *WITHOUT_FUSION) if policy not in UNTIMED),
        number=kind.number,
    )
    for network, (_, kind) in COMPARED.items()
}
