"""Run benchmarks and show what they measured: `python -m benchmarks --list`."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch

from benchmarks import study, training
from benchmarks.floor import floor, methods, rates
from benchmarks.timing import Row, measure
from benchmarks.training import COMPARED
from equimodal.study.report.performance import FOLDER, as_markdown
from equimodal.study.runs import run as study_run

BENCHMARKS = training.BENCHMARKS | study.BENCHMARKS
THREADS = 1  # as each run of the workflow has


def main() -> None:
    """Run what is asked for, print it, and write it if it is all."""
    asked = arguments()
    if asked.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:18}{benchmark.about}{' (--large)' * benchmark.large}")
        return
    if unknown := sorted(set(asked.names) - set(BENCHMARKS)):
        sys.exit(f"benchmarks: unknown {unknown}; `python -m benchmarks --list` lists them")
    torch.set_num_threads(THREADS)
    usual = [n for n, b in BENCHMARKS.items() if asked.large or not b.large]
    found = run(asked.names or usual, asked.rounds)
    path = asked.output or (None if asked.names else file_of(processor()))
    if path:
        write(found, path)
    print(as_markdown(found))
    if path:
        print(f"\nWritten: {path}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="benchmarks; all if left out")
    parser.add_argument("--list", action="store_true", help="name them, and run none")
    parser.add_argument("--rounds", type=int, help="in place of each benchmark's own number")
    parser.add_argument("--large", action="store_true", help="the graph of 10,000 runs as well")
    parser.add_argument("--output", type=Path, help="where to write; by default only all are")
    return parser.parse_args()


def run(names: list[str], rounds: int | None) -> Row:
    """Run benchmarks; return their rows, the floor of the steps among them, and the work of methods."""
    about = {"machine": machine(), "about": {name: BENCHMARKS[name].about for name in names}}
    times: list[Row] = []
    ratios: list[Row] = []
    for name in names:
        began = time.perf_counter()
        of_calls, of_pairs = measure(name, BENCHMARKS[name], rounds)
        times += of_calls
        ratios += of_pairs
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    found: Row = {**about, "times": times, "ratios": ratios, "floor": [], "methods": []}
    steps = {
        row["benchmark"].removeprefix("step-"): row["cpu"]
        for row in times
        if row["call"] == "vanilla" and row["benchmark"].startswith("step-")
    }
    if steps:
        found["machine"] |= rates()
        found["floor"] = floor(found["machine"], steps)
    for network in COMPARED:
        if f"methods-{network}" in names:
            found["methods"] += methods(network)
    return found


def machine() -> Row:
    """Say where and of what the numbers are."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": THREADS,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": date.today().isoformat(),
    }


def commit() -> str:
    """Name the version of the code; + stands for changes since."""
    command = ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"]
    asked = subprocess.run(command, cwd=study.ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def write(found: Row, path: Path) -> None:
    """Write what was measured, with the history that the file has."""
    found["history"] = history(path, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def history(path: Path, found: Row) -> list[Row]:
    """Return the entries of the file as it was, and one of these results."""
    earlier = json.loads(path.read_text(encoding="utf-8"))["history"] if path.exists() else []
    cpu = {f"{r['benchmark']} {r['call']}": r["cpu"] for r in found["times"]}
    about = {key: found["machine"][key] for key in ("date", "commit")}
    return [*(e for e in earlier if e["commit"] != about["commit"]), about | {"cpu": cpu}]


def processor() -> str:
    """Name the processor and the vector instructions that torch uses of it."""
    return study_run.machine(torch.device("cpu")).partition(", torch")[0]


def file_of(processor: str) -> Path:
    """File of what was measured on a processor."""
    return FOLDER / f"{re.sub(r'[^a-z0-9]+', '-', processor.lower()).strip('-')}.json"


if __name__ == "__main__":
    main()
