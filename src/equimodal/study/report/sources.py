"""What the page tells, read from the files that the other verbs left; what is not there is said."""

import os
import platform
import subprocess
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from equimodal.study import layout
from equimodal.study.analysis import AboutTable
from equimodal.study.analysis.claims import caveats
from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.stored import read_stored, require_unaltered
from equimodal.study.errors import UserError, few
from equimodal.study.expansion import expand_runs
from equimodal.study.figures import AboutFigure
from equimodal.study.files import read_bytes, reading
from equimodal.study.params import Params
from equimodal.study.report.costs import costs
from equimodal.study.report.page import Report, Shown

PACKAGES = ("equimodal", "torch", "numpy", "pandas", "scipy", "snakemake")
OF_RUNS = ("run", "experiments", "status", "reason")  # columns of runs.csv that are read here


def gather(
    settings: Params, *, tables: Mapping[str, AboutTable], figures: Mapping[str, AboutFigure]
) -> Report:
    """Read all that the report of a scale shows."""
    asked = {e: list(expand_runs(settings, e)) for e in settings.experiments}
    every = expand_runs(settings)
    runs, no_runs = _read_table("runs", settings.scale)
    claims, no_claims = _read_table("claims", settings.scale)
    shown = [_shown_table(name, about, settings) for name, about in tables.items()]
    drawn = [read_figure(name, about, settings.scale) for name, about in figures.items()]
    missing = [no_runs, no_claims, *(t.missing for t in shown), *(f.missing for f in drawn)]
    missing += [*gaps(asked, runs)] if runs is not None else []
    return Report(
        scale=settings.scale,
        note=settings.note,
        caveats=caveats(settings),
        presets=list(dict.fromkeys(spec.fidelity for spec in every.values())),
        data=settings.datasets,
        claims=claims,
        tables=shown,
        figures=drawn,
        runs=len(every),
        failed=None if runs is None else runs.loc[runs["status"] != "finished", [*OF_RUNS]],
        missing=[sentence for sentence in missing if sentence],
        costs=costs(layout.benchmarks(settings.scale), asked | of_methods(settings)),
        versions=versions(),
    )


def of_methods(settings: Params) -> dict[str, list[str]]:
    """Return the runs of each method that the experiment `methods` compares, so that its cost is told."""
    runs: dict[str, list[str]] = {}
    asked = expand_runs(settings, "methods") if "methods" in settings.experiments else {}
    for name, spec in asked.items():
        runs.setdefault(f"methods, {spec.method}", []).append(name)
    return runs


def versions() -> dict[str, str]:
    """Versions of what ran, without loading it, and the machine that wrote the report."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["git commit"] = _commit()
    found["machine"] = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores"
    return found


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "not in a git repository"
    return done.stdout.strip()


def _read_table(name: str, scale: str) -> tuple[pd.DataFrame | None, str]:
    """The table, or None and why there is none."""
    try:
        return read_stored(name, scale), ""
    except UserError as error:
        return None, f"{error}."


def _shown_table(name: str, about: AboutTable, settings: Params) -> Shown:
    command = f"equimodal table {name} --scale {settings.scale}"
    return Shown(name, about.of(settings.analysis), command, *_read_table(name, settings.scale))


def read_figure(name: str, about: AboutFigure, scale: str) -> Shown:
    """The figure, or None and why there is none."""
    path, command = layout.figures(scale) / f"{name}.svg", f"equimodal draw {name} --scale {scale}"
    try:
        require_unaltered(path, path.with_suffix(".json"), f"run `{command}`")
        with reading(path, "a figure", f"run `{command}`"):
            return Shown(name, about, command, read_bytes(path))
    except UserError as error:
        return Shown(name, about, command, None, f"{error}.")


def gaps(asked: Mapping[str, Collection[str]], runs: pd.DataFrame) -> Iterator[str]:
    """Say of each experiment which runs have no results, and if all of them failed."""
    there = set(runs.loc[runs["status"] != "missing", "run"])
    for experiment, names in asked.items():
        if lacking := [name for name in names if name not in there]:
            yield (
                f"{len(lacking)} of {len(names)} runs of {experiment} have no results:"
                f" {few(lacking)}."
            )
        states = of_experiment(runs, experiment)["status"]
        if len(states) and (states == "failed").all():
            yield f"All {len(states)} runs of {experiment} failed; see the failed runs for reasons."
