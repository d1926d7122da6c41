"""What a GPU gives: training steps as they are, recorded as graphs, and side by side: `make bench-gpu`."""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from benchmarks.__main__ import file_of, machine, write
from benchmarks.timing import Benchmark, Call, Row, measure
from benchmarks.training import KINDS, PAST_WARM_UP, ROOT, Case, case_of, case_of_kind, spec_of
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.params import load_params
from equimodal.study.report.performance import as_markdown
from equimodal.study.runs.graphed import CudaGraph
from equimodal.study.runs.loop import Progress, Training

DEVICE = "cuda"
NETWORKS = ("four_conv", "resnet18")  # the paper's batch of 8 images of 224 x 224 is the latter's
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
        for kind in NETWORKS
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
    found["waits"] = [waits(kind) for kind in NETWORKS]
    found["models"] = models([row for row in found["times"] if row["benchmark"] == SWEEP])
    show(found)


def show(found: Row) -> None:
    """Write what was measured to the file of this GPU, and print it."""
    path = file_of(found["machine"]["processor"])
    write(found, path)
    print(as_markdown(found))
    for part, unit in (("waits", "Times that a step waits for the GPU"), ("models", "Models")):
        table = pd.DataFrame(found[part]).to_markdown(index=False, floatfmt=".4g")
        print(f"\n## {unit}\n\n{table or 'Nothing was measured.'}")
    print(f"\nWritten: {path}")


def trainings(case: Case, n: int, arithmetic: str, *, graphs: bool) -> list[Training]:
    """Return guided trainings of ours past the warm-up."""
    graph = CudaGraph if graphs else None
    made = [case.ours(device=DEVICE, graph=graph, arithmetic=arithmetic) for _ in range(n)]
    torch.cuda.synchronize()  # streams of their own do not wait for what built them
    return made


def steps_of(training: Training) -> Call:
    """Return what takes one step after the other of a training of ours."""
    train, size = training.splits["train"], training.spec.training.batch_size
    batches = cycle(torch.arange(len(train), device=DEVICE).split(size))
    torch.cuda.synchronize()

    def step() -> None:
        with training.at_work():
            training._step(next(batches))

    return step


def reference_step(case: Case) -> Call:
    """Return what takes one step after the other of plain code, in torch's default arithmetic."""
    plain = case.reference("guided")
    plain.network.cuda()
    batches = (batch for _ in cycle([0]) for batch in plain.loader)

    def step() -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
        inputs, labels = next(batches)
        plain.step({m: x.cuda() for m, x in inputs.items()}, labels.cuda())

    return step


def repeated(steps: Sequence[Call], times: int = STEPS) -> Callable[[], None]:
    """Return what takes some steps of each in turn, and waits for the GPU at the end."""

    def call() -> None:
        for _ in range(times):
            for step in steps:
                step()
        torch.cuda.synchronize()

    return call


def build_steps(kind: str, arithmetic: str, folder: Path) -> dict[str, Call]:
    """Guided steps of plain code, and of ours: launched one by one or as graphs, 1 or more side by side."""
    case = case_of_kind(folder, KINDS[kind], DEVICE)
    calls: dict[str, Call] = {"reference": repeated([reference_step(case)])}
    for way in ("eager", "graphs"):
        for n in SIDE_BY_SIDE:
            many = trainings(case, n, arithmetic, graphs=way == "graphs")
            calls[f"{way}, {n}"] = repeated([steps_of(training) for training in many])
    return calls


def waits(kind: str) -> Row:
    """Count how often a step waits for the GPU, in plain code and in ours."""
    with TemporaryDirectory() as folder:
        case = case_of_kind(Path(folder), KINDS[kind], DEVICE)
    steps = {"reference": reference_step(case)}
    for way in ("eager", "graphs"):
        steps[way] = steps_of(*trainings(case, 1, "float32", graphs=way == "graphs"))
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


def build_sweep(folder: Path) -> dict[str, Call]:
    """Epochs of the paper's size, evaluation included, of networks of digits side by side."""
    sizes = load_params(ROOT / "params.yaml", "paper").datasets["colored_mnist"].sizes
    spec, train, test = spec_of("colored_mnist", "guided"), sizes["train"], sizes["test"]
    case = case_of(folder, spec, (28, 28), train=train, test=test, device=DEVICE)

    def epoch(many: list[Training]) -> None:
        for training in many:
            training.progress = Progress(epoch=PAST_WARM_UP)
        for _ in zip(*(training.walk() for training in many), strict=True):
            pass
        torch.cuda.synchronize()

    return {f"{n}": partial(epoch, trainings(case, n, "tf32", graphs=True)) for n in SWEPT}


def models(rows: Sequence[Row]) -> list[Row]:
    """Return how many networks of digits are trained an hour, if each takes all epochs that it may."""
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
