"""What `make bench` measured, as tables for readers: of its file, or as it was just measured."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading

FOLDER = Path("results/benchmarks")
FOLLOWED = ("step-four_conv guided", "step-resnet18 guided", "step-i3d guided")  # over time


def performance(name: str, part: str, /) -> str:
    """Return a part of a file of measurements as a table in Markdown.

    Args:
        name: The file's, such as `amd-epyc-avx512`: that of a processor.
        part: `machine`, `ratios`, `times`, `floor`, `methods` or `history`.

    Raises:
        UserError: If the file is missing or damaged, or has no such part.
    """
    path = FOLDER / f"{name}.json"
    if part not in PARTS:
        raise UserError(f"{part!r} is no part of {path}; it has {list(PARTS)}")
    with reading(path, "what `make bench` writes", "run `make bench`"):
        try:
            return PARTS[part](json.loads(read_text(path)))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{part} lacks {error}") from None


def as_markdown(found: Mapping[str, Any]) -> str:
    """Return all that was measured; what of it is empty is left out."""
    parts = {part: of(found) for part, of in PARTS.items() if found.get(part)}
    return "\n\n".join(f"## {part.capitalize()}\n\n{table}" for part, table in parts.items())


def _machine(found: Mapping[str, Any]) -> str:
    about = dict(found["machine"])
    labels = {
        "gflop_s": "matrix product, GFLOP/s a thread",
        "gb_s": "copy in memory, GB/s a thread",
    }
    rows = [(labels.get(k) or k, _number(v) if k in labels else str(v)) for k, v in about.items()]
    return _table([{"of the machine": k, "is": v} for k, v in rows])


def _ratios(found: Mapping[str, Any]) -> str:
    return _table(
        [
            {
                "benchmark": row["benchmark"],
                "one call is": found["about"][row["benchmark"]],
                "time of": row["call"],
                "over that of": row["against"],
                "CPU": _spread(row, "cpu", "{:.3f}"),
                "wall": _spread(row, "wall", "{:.3f}"),
            }
            for row in found["ratios"]
        ]
    )


def _times(found: Mapping[str, Any]) -> str:
    return _table(
        [
            {
                "benchmark": row["benchmark"],
                "call": row["call"],
                "CPU, s": _spread(row, "cpu", "{:.3g}"),
                "wall, s": _spread(row, "wall", "{:.3g}"),
                "peak, MB": "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
                "rounds": str(row["rounds"]),
            }
            for row in found["times"]
        ]
    )


def _floor(found: Mapping[str, Any]) -> str:
    columns = {
        "gflop": "GFLOP",
        "kept_mb": "kept for backward, MB",
        "operations": "operations, s",
        "memory": "memory, s",
        "floor": "floor, s",
        "measured": "measured, s",
    }
    return _table(
        [
            {
                "network": row["network"],
                **{label: _number(row[key]) for key, label in columns.items()},
                "measured over floor": _number(row["measured"] / row["floor"]),
            }
            for row in found["floor"]
        ]
    )


def _methods(found: Mapping[str, Any]) -> str:
    columns = {
        "seconds": "a step, CPU s",
        "time": "time over `joint`",
        "operations": "operations over `joint`",
        "kept_mb": "kept for backward, MB",
    }
    return _table(
        [
            {"method": f"`{row['method']}`"}
            | {label: _number(row[key]) for key, label in columns.items()}
            for row in found["methods"]
        ]
    )


def _history(found: Mapping[str, Any]) -> str:
    return _table(
        [
            {
                "date": row["date"],
                "commit": row["commit"],
                **{f"{f}, CPU s": _number(row["cpu"][f]) for f in FOLLOWED if f in row["cpu"]},
            }
            for row in found["history"]
        ]
    )


PARTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "machine": _machine,
    "ratios": _ratios,
    "times": _times,
    "floor": _floor,
    "methods": _methods,
    "history": _history,
}


def _number(value: float) -> str:
    return f"{value:.3g}"


def _spread(row: Mapping[str, Any], clock: str, form: str) -> str:
    """A median and, in brackets, the interquartile range."""
    return f"{form.format(row[clock])} ({row[f'{clock}_iqr']:.2g})"


def _table(rows: list[dict[str, str]]) -> str:
    shown = pd.DataFrame(rows).fillna("")
    return shown.to_markdown(index=False, disable_numparse=True)
