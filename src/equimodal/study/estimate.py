"""What a scale will cost, before it is started: from what was measured, and said to be unknown else.

The time of a run is its largest number of steps times measured seconds a step. Disk comes from shapes.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import pandas as pd

from equimodal.study import layout
from equimodal.study.data.dataset import Dataset
from equimodal.study.expansion import expand_runs
from equimodal.study.files import read_text, reading
from equimodal.study.markup import table_for_markdown
from equimodal.study.options import DEFAULT_PARAMS
from equimodal.study.paces import (
    Pace,
    kind_of,
    label_of,
    most_steps,
    paces_with_the_code,
    run_seconds,
    steps_worth,
)
from equimodal.study.params import Params, load_params
from equimodal.study.report.costs import read_benchmark
from equimodal.study.spec import RunSpec

HOW = (
    "Hours are those of one process after the other; divide by the number that run side by side. They are"
    " an upper limit: every run is taken to last until its last epoch. Memory is"
    " without the data, which lie on a GPU beside the network if they fit. Disk comes from shapes, before"
    " compression; raw files and checkpoints are not in it, nor are the second paper's networks, whose times"
    " docs/linear.md has."
)
BYTE, HALF, FLOAT, LONG = 1, 2, 4, 8  # bytes


@dataclass(frozen=True)
class Size:
    """What of a run's network decides what its files take."""

    weights: int  # bytes of all parameters and buffers
    ways: int  # of evaluating it


def labels_of(kinds: Collection[str]) -> dict[str, str]:
    """Name kinds of one scale for readers; of one name, by what differs between their networks, too."""
    labels = {}
    for kind in kinds:
        alike = [json.loads(k)["network"] for k in kinds if label_of(k) == label_of(kind)]
        own = json.loads(kind)["network"]
        differing = [f"{k} {v}" for k, v in own.items() if any(n[k] != v for n in alike)]
        labels[kind] = label_of(kind) + (f" ({', '.join(differing)})" if differing else "")
    return labels


def run_bytes(spec: RunSpec, dataset: Dataset, size: Size) -> int:
    """Bytes of all files of a run at most: weights, logits and modes and speeds of every step."""
    branches, tests = len(spec.modalities), dataset.sizes["test"]
    logits = tests * (size.ways * branches * spec.classes * HALF + 2 * LONG)
    steps = most_steps(spec, dataset) * (BYTE + branches * FLOAT)
    return size.weights + logits + steps


def data_bytes(dataset: Dataset) -> int:
    """Bytes of the prepared arrays of a data set."""
    values = sum(prod(dataset.shape(source)) for source in dataset.sources)
    return values * BYTE * sum(dataset.sizes.values())


def paces_from_benchmarks(settings: Params) -> dict[str, Pace]:
    """Pace of each kind of which the workflow has finished runs at this scale.

    Seconds a step: of all training jobs together, evaluations at the ends of epochs included, by all their steps.
    """
    folder = layout.benchmarks(settings.scale)
    found: dict[str, list[dict[str, float]]] = {}
    for name, spec in expand_runs(settings).items():
        files = [folder / verb / f"{name}.tsv" for verb in ("train", "evaluate")]
        outcome = layout.run(settings.scale, name) / "outcome.json"
        if all(f.is_file() for f in (*files, outcome)):
            training, bank = map(read_benchmark, files)
            memory = max(training["peak_memory_mb"], bank["peak_memory_mb"])
            job = {
                "steps": steps_worth(spec, _steps(outcome)),
                "bank": bank["wall_seconds"],
                "memory": memory,
            }
            job |= {"wall": training["wall_seconds"], "cpu": training["cpu_seconds"]}
            if job["steps"]:
                found.setdefault(kind_of(spec, settings), []).append(job)
    return {kind: _pace(pd.DataFrame(jobs), settings.scale) for kind, jobs in found.items()}


def _steps(outcome: Path) -> float:
    with reading(outcome, "how the run ended", "train the run"):
        return float(json.loads(read_text(outcome))["steps"])


def _pace(jobs: pd.DataFrame, scale: str) -> Pace:
    total = jobs.sum()
    return Pace(
        step=float(total["wall"] / total["steps"]),
        example=0.0,
        bank=float(jobs["bank"].mean()),
        cpu=float(total["cpu"] / total["wall"]),
        memory=float(jobs["memory"].max()),
        basis=f"benchmark files of {len(jobs)} runs of the {scale} scale, {total['steps']:,.0f} steps",
    )


def estimate(
    settings: Params,
    experiments: Iterable[str],
    paces: Mapping[str, Pace],
    sizes: Mapping[str, Size],
) -> pd.DataFrame:
    """Estimate what experiments will cost, at most: no run stops before its last epoch.

    `paces` and `sizes` are by kind. A row for each experiment and for `together` (a run that several ask for counts once):
    number of `runs`, how many of them are `unknown` because no run of their kind was measured; of the known ones `hours`
    of one process after the other and `cpu_hours`, and the largest `memory_mb` of a process, all 0 where there is no run;
    of all runs `run_gb`, and `data_gb` of the prepared data sets that they read.
    """
    asked = {e: expand_runs(settings, e) for e in experiments}
    together = {name: spec for specs in asked.values() for name, spec in specs.items()}
    rows = [
        {"experiment": name, **_cost(specs.values(), settings, paces, sizes)}
        for name, specs in {**asked, "together": together}.items()
    ]
    return pd.DataFrame(rows)


def _cost(
    specs: Iterable[RunSpec],
    settings: Params,
    paces: Mapping[str, Pace],
    sizes: Mapping[str, Size],
) -> dict[str, Any]:
    runs = [(s, settings.datasets[s.dataset], kind_of(s, settings)) for s in specs]
    known = [(run_seconds(s, data, paces[k]), paces[k]) for s, data, k in runs if k in paces]
    nothing = float("nan") if runs else 0.0
    return {
        "runs": len(runs),
        "unknown": len(runs) - len(known),
        "hours": sum(seconds for seconds, _ in known) / 3600 if known else nothing,
        "cpu_hours": sum(s * pace.cpu for s, pace in known) / 3600 if known else nothing,
        "memory_mb": max((pace.memory for _, pace in known), default=nothing),
        "run_gb": sum(run_bytes(s, data, sizes[k]) for s, data, k in runs) / 1e9,
        "data_gb": sum(data_bytes(settings.datasets[d]) for d in {s.dataset for s, *_ in runs})
        / 1e9,
    }


def explain(settings: Params, experiments: Iterable[str], paces: Mapping[str, Pace]) -> list[str]:
    """Say in a sentence for each kind what its estimate is based on, or how to get one."""
    first: dict[str, str] = {}
    for experiment in experiments:
        for name, spec in expand_runs(settings, experiment).items():
            first.setdefault(kind_of(spec, settings), name)
    labels, sentences = labels_of(first), []
    for kind, name in first.items():
        bank = layout.bank(settings.scale, name)
        said = f"no measurement. Add --measure, or train one run: snakemake {bank} --config scale={settings.scale}"
        if pace := paces.get(kind):
            said = f"{pace.step:.3g} s a step; {pace.basis}."
        sentences.append(f"{labels[kind]}: {said}")
    return sentences


def as_text(table: pd.DataFrame) -> str:
    """Write the estimate for a terminal, without experiments that have no runs."""
    table = table[(table["runs"] > 0) | (table["experiment"] == "together")]
    units = {"hours": "hours", "cpu_hours": "CPU-hours", "memory_mb": "largest process, MB"}
    units |= {"run_gb": "runs, GB", "data_gb": "data, GB"}
    shown = table.copy()
    for column in shown.columns.intersection([*units]):
        shown[column] = ["unknown" if pd.isna(x) else f"{x:,.3g}" for x in table[column]]
    shown["memory_mb"] = ["unknown" if pd.isna(x) else f"{x:,.0f}" for x in table["memory_mb"]]
    shown["unknown"] = ["" if x == 0 else f"{x}" for x in table["unknown"]]
    names = {"unknown": "of unknown cost"} | units
    return table_for_markdown(shown.rename(columns=names).astype(str))


def with_the_code(scale: str) -> str:
    """Return what each experiment of a scale takes by the paces that come with the code, in Markdown."""
    settings = load_params(DEFAULT_PARAMS, scale)
    kinds = {kind_of(spec, settings) for spec in expand_runs(settings).values()}
    nothing = dict.fromkeys(kinds, Size(0, 0))
    table = estimate(settings, settings.experiments, paces_with_the_code(), nothing)
    return as_text(table.drop(columns=["run_gb", "data_gb"]))
