"""What a GPU gives: training steps as they are, recorded as graphs, and side by side: `make bench-gpu`."""

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from equimodal.study.errors import UserError

if TYPE_CHECKING:
    from benchmarks.timing import Call, Row
    from benchmarks.training import Case
    from equimodal.study.runs.loop import Training

DEVICE = "cuda"
KINDS = ("four_conv", "resnet18")  # the paper's batch of 8 images of 224 x 224 is the latter's
ARITHMETIC = ("float32", "tf32", "bfloat16")
SIDE_BY_SIDE = (1, 4, 8)
SWEPT = (1, 4, 8, 16)
STEPS = 10  # that are timed in a row
COUNTED = 50  # steps in which waits are counted: ours looks at the loss once in so many
SECONDS = 390  # after which no benchmark begins: all take less than eight minutes
SWEEP = "sweep-four_conv"


def main() -> None:
    """Run all benchmarks, print what they measured and write it; without a GPU say so and exit with 2."""
    if not torch.cuda.is_available():
        print("make bench-gpu measures on a GPU, and torch finds none here.", file=sys.stderr)
        sys.exit(2)
    from benchmarks.__main__ import machine
    from benchmarks.timing import Benchmark, measure

    torch.set_num_threads(1)
    pairs = [(f"graphs, {n}", f"eager, {n}") for n in SIDE_BY_SIDE]
    pairs += [(ours, "reference") for ours in ("eager, 1", "graphs, 1")]
    benchmarks = {
        f"gpu-step-{kind}-{arithmetic}": Benchmark(
            f"{STEPS} guided steps of {kind} in {arithmetic}, of each network that is side by side",
            partial(build_steps, kind, arithmetic),
            tuple(pairs),
            rounds=5,
        )
        for arithmetic in ARITHMETIC
        for kind in KINDS
    }
    about = "an epoch of Colored-and-gray-MNIST of each network that is side by side, graphs, tf32"
    benchmarks = {SWEEP: Benchmark(about, build_sweep, rounds=2)} | benchmarks
    of_gpu = {"processor": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    found: Row = {
        "machine": machine() | of_gpu,
        "about": {name: b.about for name, b in benchmarks.items()},
        **{part: [] for part in ("times", "ratios", "floor", "waits", "models")},
    }
    began = time.monotonic()
    for name, benchmark in benchmarks.items():
        if time.monotonic() - began > SECONDS:
            print(f"{name}: left out, there is no time left", file=sys.stderr)
            continue
        try:
            times, ratios = measure(name, benchmark)
        except torch.OutOfMemoryError:
            print(f"{name}: left out, the GPU has too little memory", file=sys.stderr)
            continue
        except UserError as error:
            print(f"{name} and what follows: left out, {error}", file=sys.stderr)
            break
        finally:
            torch.cuda.empty_cache()
        found["times"] += times
        found["ratios"] += ratios
        print(f"{name}: at {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    found["waits"] = [waits(kind) for kind in KINDS]
    found["models"] = models([row for row in found["times"] if row["benchmark"] == SWEEP])
    write(found)


def write(found: "Row") -> None:
    """Print what was measured, and write it to the file of this GPU."""
    from benchmarks.__main__ import history
    from equimodal.study.report import performance

    name = "-".join(found["machine"]["processor"].lower().split())
    path = performance.FOLDER / f"{name}.json"
    found["history"] = history(path, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(performance.as_markdown(found))
    for part, unit in (("waits", "Times that a step waits for the GPU"), ("models", "Models")):
        print(f"\n## {unit}\n\n{table(found[part])}")
    print(f"\nWritten: {path}")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table in Markdown."""
    if not rows:
        return "Nothing was measured."
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[f"{x:.4g}" if isinstance(x, float) else str(x) for x in r.values()] for r in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def on_gpu(case: "Case", arithmetic: str) -> "Case":
    """Move the splits of a case, and have it train with an arithmetic."""
    splits = {
        name: replace(
            split,
            arrays={m: x.cuda() for m, x in split.arrays.items()},
            labels=split.labels.cuda(),
            ids=split.ids.cuda(),
            scale={
                m: (factor.cuda(), offset.cuda()) for m, (factor, offset) in split.scale.items()
            },
        )
        for name, split in case.splits.items()
    }
    switches = case.spec.switches.model_copy(update={"arithmetic": arithmetic})
    return replace(case, spec=case.spec.model_copy(update={"switches": switches}), splits=splits)


def trainings(case: "Case", n: int, *, graphs: bool) -> list["Training"]:
    """Return guided trainings of ours past the warm-up."""
    from benchmarks.training import PAST_WARM_UP
    from equimodal.study.runs.graphed import CudaGraph
    from equimodal.study.runs.loop import Progress, Training

    made = []
    for _ in range(n):
        graph = CudaGraph if graphs else None
        made.append(Training(case.spec, case.splits, DEVICE, graph=graph))
        made[-1].progress = Progress(epoch=PAST_WARM_UP)
    torch.cuda.synchronize()  # streams of their own do not wait for what built them
    return made


def steps_of(training: "Training") -> "Call":
    """Return what takes one step after the other of a training of ours."""
    train, size = training.splits["train"], training.spec.training.batch_size
    batches = cycle(torch.arange(len(train), device=DEVICE).split(size))
    torch.cuda.synchronize()

    def step() -> None:
        with training.at_work():
            training._step(next(batches))

    return step


def reference_step(case: "Case") -> "Call":
    """Return what takes one step after the other of plain code, in torch's default arithmetic."""
    plain = case.reference("guided")
    plain.network.cuda()
    batches = (batch for _ in cycle([0]) for batch in plain.loader)

    def step() -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
        inputs, labels = next(batches)
        plain.step({m: x.cuda() for m, x in inputs.items()}, labels.cuda())

    return step


def repeated(steps: Sequence["Call"], times: int = STEPS) -> Callable[[], None]:
    """Return what takes some steps of each in turn, and waits for the GPU at the end."""

    def call() -> None:
        for _ in range(times):
            for step in steps:
                step()
        torch.cuda.synchronize()

    return call


def build_steps(kind: str, arithmetic: str, folder: Path) -> dict[str, "Call"]:
    """Guided steps of plain code, and of ours: launched one by one or as graphs, 1 or more side by side."""
    from benchmarks.training import KINDS, case_of_kind

    plain = case_of_kind(folder, KINDS[kind])
    case = on_gpu(plain, arithmetic)
    calls: dict[str, Call] = {"reference": repeated([reference_step(plain)])}
    for way in ("eager", "graphs"):
        for n in SIDE_BY_SIDE:
            many = trainings(case, n, graphs=way == "graphs")
            calls[f"{way}, {n}"] = repeated([steps_of(training) for training in many])
    return calls


def waits(kind: str) -> "Row":
    """Count how often a step waits for the GPU, in plain code and in ours."""
    from benchmarks.training import KINDS, case_of_kind

    with TemporaryDirectory() as folder:
        plain = case_of_kind(Path(folder), KINDS[kind])
    case = on_gpu(plain, "float32")
    steps = {"reference": reference_step(plain)}
    steps |= {w: steps_of(*trainings(case, 1, graphs=w == "graphs")) for w in ("eager", "graphs")}
    row: Row = {"network": kind}
    for way, step in steps.items():
        repeated([step])()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                for _ in range(COUNTED):
                    step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        row[way] = sum("synchronizing" in str(w.message) for w in said) / COUNTED
    return row


def build_sweep(folder: Path) -> dict[str, "Call"]:
    """Epochs of the paper's size, evaluation included, of networks of digits side by side."""
    from benchmarks.training import PAST_WARM_UP, ROOT, case_of, spec_of
    from equimodal.study.params import load_params
    from equimodal.study.runs.loop import Progress

    sizes = load_params(ROOT / "params.yaml", "paper").datasets["colored_mnist"].sizes
    spec = spec_of("colored_mnist", "guided")
    case = case_of(folder, spec, (28, 28), train=sizes["train"], test=sizes["test"])
    case = on_gpu(case, "tf32")

    def epoch(many: list["Training"]) -> None:
        for training in many:
            training.progress = Progress(epoch=PAST_WARM_UP)
        for _ in zip(*(training.walk() for training in many), strict=True):
            pass
        torch.cuda.synchronize()

    return {f"{n}": partial(epoch, trainings(case, n, graphs=True)) for n in SWEPT}


def models(rows: Sequence["Row"]) -> list["Row"]:
    """Return how many networks of digits are trained an hour, if each takes all epochs that it may."""
    from benchmarks.training import ROOT, spec_of
    from equimodal.study.params import expand_runs, load_params

    name = spec_of("colored_mnist", "guided").name
    epochs = expand_runs(load_params(ROOT / "params.yaml", "paper"))[name].training.max_epochs
    return [
        {
            "side by side": row["call"],
            "epochs of each": epochs,
            "models an hour": int(row["call"]) * 3600 / (epochs * row["wall"]),
        }
        for row in rows
    ]


if __name__ == "__main__":
    main()
