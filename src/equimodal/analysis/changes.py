"""Which numbers of two result folders differ: for reviews, and so that none moves unseen.

A folder is `results/<scale>`, of which the small products are read: metrics.json, tables and curves.
A scale without Table 1 need have no metrics.json.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from equimodal.errors import UserError
from equimodal.table_files import read_table

TOLERANCE = 1e-6  # relative: processors round the last digits of the same sum differently
# Tables of that name are computed where they are drawn, and written with six digits, of which one in the
# last is 1e-5 of a number at most.
LINEAR = "linear_"
LINEAR_TOLERANCE = 1.5e-5
RUNS = "tables/runs.csv"
MACHINE = "trained_on"  # a column of RUNS that says where, not what
NO_NUMBERS = [MACHINE, "commit"]  # of RUNS: where, and by which version of the code


@dataclass(frozen=True)
class Changes:
    """What differs between an old and a new result folder."""

    key_numbers: pd.DataFrame  # columns `number`, `old`, `new`, `change`: those that moved
    files: pd.DataFrame  # columns `file`, `difference`: tables and curves that differ
    machines: tuple[
        frozenset[str], frozenset[str]
    ]  # on which the old and the new runs were trained

    @property
    def moved(self) -> bool:
        """Whether any number differs."""
        return bool(len(self.key_numbers) or len(self.files))

    @property
    def same_machines(self) -> bool:
        """Whether processors and torch are the same, so that the same code gives the same numbers."""
        return self.machines[0] == self.machines[1]


def compare(old: Path, new: Path) -> Changes:
    """Compare every number of two result folders.

    Raises:
        UserError: If a folder has no table of runs, one of the two has no metrics.json, or a file is
            damaged.
    """
    files = [folder / "metrics.json" for folder in (old, new)]
    there = any(file.exists() for file in files)
    numbers = [pd.Series(_read_numbers(f) if there else {}, dtype=float) for f in files]
    pairs = pd.concat(numbers, axis=1, keys=["old", "new"]).rename_axis("number").reset_index()
    moved = pairs[~_equal(pairs["old"], pairs["new"])]
    names = sorted(
        {
            file.relative_to(folder).as_posix()
            for folder in (old, new)
            for part in ("tables", "curves")
            for pattern in ("*.csv", "*.csv.gz")  # not what is still being written beside them
            for file in (folder / part).glob(pattern)
        }
    )
    found = {name: _difference(old / name, new / name) for name in names}
    machines = [
        frozenset(_read_csv(folder / RUNS).get(MACHINE, pd.Series(dtype=str)).dropna())
        for folder in (old, new)
    ]
    return Changes(
        key_numbers=moved.assign(change=moved["new"] - moved["old"]),
        files=pd.DataFrame(
            [(name, text) for name, text in found.items() if text], columns=["file", "difference"]
        ),
        machines=(machines[0], machines[1]),
    )


def as_markdown(changes: Changes) -> str:
    """Word the changes for a reviewer."""
    if not changes.moved:
        return "No number of the results has moved.\n"
    parts = []
    if not changes.same_machines:
        old, new = (", ".join(sorted(m)) or "an unknown machine" for m in changes.machines)
        parts.append(
            f"Trained on {new}; before, on {old}. Numbers may differ for that reason alone."
        )
    if len(changes.key_numbers):
        parts.append(changes.key_numbers.to_markdown(index=False, floatfmt=".4g"))
    if len(changes.files):
        parts.append(changes.files.to_markdown(index=False))
        if changes.files["file"].str.contains(f"/{LINEAR}").any():
            parts.append(
                "Tables linear_* are computed where they are drawn, not where was trained."
            )
    return "\n\n".join(parts) + "\n"


def _difference(old: Path, new: Path) -> str | None:
    """Say how a table differs from an older one; None if no number or word does."""
    if not (old.is_file() and new.is_file()):
        return "is new" if new.is_file() else "is gone"
    before, after = (
        _read_csv(file).drop(columns=NO_NUMBERS, errors="ignore") for file in (old, new)
    )
    if list(before) != list(after):
        return f"other columns: {', '.join(sorted(set(before) ^ set(after))) or 'in another order'}"
    if len(before) != len(after):
        return f"{len(after)} rows, before {len(before)}"
    tolerance = LINEAR_TOLERANCE if new.name.startswith(LINEAR) else TOLERANCE
    differs = {n: int((~_equal(before[n], after[n], tolerance)).sum()) for n in after}
    if not (named := {name: count for name, count in differs.items() if count}):
        return None
    return f"{sum(named.values())} of {after.size} cells: {', '.join(named)}"


def _equal(old: pd.Series, new: pd.Series, tolerance: float = TOLERANCE) -> pd.Series:
    if is_numeric_dtype(old) and is_numeric_dtype(new):
        a, b = old.to_numpy(float), new.to_numpy(float)
        return pd.Series(np.isclose(a, b, rtol=tolerance, atol=1e-12, equal_nan=True), old.index)
    return (old == new) | (old.isna() & new.isna())


def _flat(numbers: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers by dotted names."""
    flat: dict[str, float] = {}
    for key, value in numbers.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: float(value)}
    return flat


def _read_numbers(path: Path) -> dict[str, float]:
    try:
        return _flat(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(_not_read(path, error)) from None


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return read_table(path, "make it")
    except UserError as error:
        raise UserError(_not_read(path, error)) from None


def _not_read(path: Path, error: Exception) -> str:
    return (
        f"{path} cannot be read ({error}); a folder of results, such as results/demo, has"
        " metrics.json, tables/ and curves/: make it again, or name another"
    )
