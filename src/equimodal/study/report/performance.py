"""What `make bench` measured, as tables for readers: of its file, or as it was just measured."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading
from equimodal.study.markup import table_for_markdown

FOLDER = Path("results/benchmarks")
FOLLOWED = ("step-four_conv guided", "step-resnet18 guided", "step-i3d guided")  # over time
PARTS = ("machine", "ratios", "times", "floor", "methods", "history")
COLUMNS = {  # of a part: heading -> what of a row; in brackets the interquartile range of a median
    "ratios": {
        "benchmark": "{benchmark}",
        "one call is": "{about}",
        "time of": "{call}",
        "over that of": "{against}",
        "CPU": "{cpu:.3f} ({cpu_iqr:.2g})",
        "wall": "{wall:.3f} ({wall_iqr:.2g})",
    },
    "times": {
        "benchmark": "{benchmark}",
        "call": "{call}",
        "CPU, s": "{cpu:.3g} ({cpu_iqr:.2g})",
        "wall, s": "{wall:.3g} ({wall_iqr:.2g})",
        "peak, MB": "{peak}",
        "rounds": "{rounds}",
    },
    "floor": {
        "network": "{network}",
        "GFLOP": "{gflop:.3g}",
        "kept for backward, MB": "{kept_mb:.3g}",
        "operations, s": "{operations:.3g}",
        "memory, s": "{memory:.3g}",
        "floor, s": "{floor:.3g}",
        "measured, s": "{measured:.3g}",
        "measured over floor": "{over:.3g}",
    },
    "methods": {
        "network": "{network}",
        "method": "`{method}`",
        "a step, CPU s": "{cpu:.3g}",
        "time over `joint`": "{ratio}",
        "operations over `joint`": "{operations:.3g}",
        "kept for backward, MB": "{kept_mb:.3g}",
    },
}


def performance(name: str, part: str, /) -> str:
    """Return a part of a processor's file of measurements, such as `amd-epyc-avx512`, as a table in Markdown.

    UserError if the file is missing or damaged, or has no such part.
    """
    path = FOLDER / f"{name}.json"
    if part not in PARTS:
        raise UserError(f"{part!r} is no part of {path}; it has {list(PARTS)}")
    with reading(path, "what `make bench` writes", "run `make bench`"):
        return _table(json.loads(read_text(path)), part)


def as_markdown(found: Mapping[str, Any]) -> str:
    """Return all that was measured; what of it is empty is left out."""
    parts = [part for part in PARTS if found.get(part)]
    return "\n\n".join(f"## {part.capitalize()}\n\n{_table(found, part)}" for part in parts)


def _table(found: Mapping[str, Any], part: str) -> str:
    return table_for_markdown(pd.DataFrame(_rows(found, part)).fillna(""))


def _rows(found: Mapping[str, Any], part: str) -> list[dict[str, str]]:
    """Rows of a part, heading -> text."""
    if part == "machine":
        return [{"of the machine": k, "is": v} for k, v in _machine(found["machine"])]
    if part == "history":
        return [
            {"date": row["date"], "commit": row["commit"]}
            | {f"{f}, CPU s": f"{row['cpu'][f]:.3g}" for f in FOLLOWED if f in row["cpu"]}
            for row in found["history"]
        ]
    rows = []
    for row in found[part]:
        known = dict(row)
        if part == "ratios":
            known["about"] = found["about"][row["benchmark"]]
        if part == "times":
            known["peak"] = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        if part == "methods":
            known["cpu"] = _row(found["times"], row)["cpu"]
            ratio = _row(found["ratios"], row)
            known["ratio"] = COLUMNS["ratios"]["CPU"].format(**ratio) if ratio else "1"
        if part == "floor":
            known["over"] = row["measured"] / row["floor"]
        rows.append({heading: form.format(**known) for heading, form in COLUMNS[part].items()})
    return rows


def _row(rows: Sequence[Mapping[str, Any]], of: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of a network and a method among those of all benchmarks; empty if there is none."""
    wanted = f"methods-{of['network']}", of["method"]
    return next((r for r in rows if (r["benchmark"], r["call"]) == wanted), {})


def _machine(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    labels = {
        "gflop_s": "matrix product, GFLOP/s a thread",
        "gb_s": "copy in memory, GB/s a thread",
    }
    for key, value in about.items():
        yield labels.get(key, key), f"{value:.3g}" if key in labels else str(value)
