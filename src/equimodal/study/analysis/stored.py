"""Reading the tables of a scale: which columns each has, and what makes it anew."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from equimodal.study import layout, receipts
from equimodal.study.analysis import COLLECTED, TABLES
from equimodal.study.table_files import read_table

COLUMNS = {  # that every such table has; others depend on the runs
    "runs": (
        *("run", "experiments", "dataset", "inputs", "policy", "fidelity", "start"),
        *("learning_rate", "l1", "tolerance", "window", "seed", "method", "reported"),
        *("status", "reason", "accuracy", "accuracy_m0", "accuracy_m1"),
        *("d_util", "d_util_by_label", "d_speed"),
    ),
    "evaluations": ("run", "evaluation", "output", "accuracy"),
    "histories": ("run", "epoch"),
    "steps": ("run", "step", "epoch", "mode", "speed_m0", "speed_m1"),
    "claims": (
        *("id", "claim", "where", "paper", "experiments", "table", "dataset"),
        *("measure", "evidence", "region", "verdict", "measured", "reason", "command"),
    ),
}
FILLED = {
    "runs": ("run", "experiments", "dataset", "status"),
    "claims": ("id", "claim", "dataset", "verdict"),
    **{name: COLUMNS[name] for name in ("evaluations", "histories", "steps")},
}


def read_stored(name: str, scale: str) -> pd.DataFrame:
    """Read a table of a scale.

    Raises:
        UserError: If it is missing, damaged or another version's.
    """
    path, verb = layout.table(scale, name), f"run `{maker(name)} --scale {scale}`"
    # Collecting anew loses the runs that are no longer here.
    kept = "bring it back (`git checkout`, `dvc checkout`), or " if name in COLLECTED else ""
    require_unaltered(path, receipt_of(name, scale), kept + verb)
    return read_table(path, verb, columns_of(name), filled=FILLED.get(name, ()))


def require_unaltered(path: Path, receipt: Path, remedy: str, settings: Any = None) -> None:
    """Check a file against the receipt that its verb wrote, if it has one.

    Raises:
        UserError: If its bytes are others, or it is of other settings than those given.
    """
    if path.is_file() and receipt.exists():
        receipts.require(receipt, f"{remedy} again", among=[path.name], settings=settings)


def receipt_of(name: str, scale: str) -> Path:
    """Where the hash of a table lies: one file for all tables that are made together."""
    return layout.tables(scale) / f"{'collected' if name in COLLECTED else name}.json"


def sign(scale: str, *names: str, beside: Iterable[Path] = ()) -> None:
    """Write down the hashes of tables that have just been made together.

    Args:
        scale: Their scale.
        names: The tables.
        beside: Other files that were made with them.
    """
    files = dict.fromkeys([*(layout.table(scale, name) for name in names), *beside])
    sign_files(receipt_of(names[0], scale), maker(names[0]), files)


def sign_figure(scale: str, name: str) -> None:
    """Write down the hashes of a figure that has just been drawn."""
    stem = layout.figures(scale) / name
    drawn = [stem.with_suffix(suffix) for suffix in (".svg", ".png", ".pdf")]
    sign_files(stem.with_suffix(".json"), f"equimodal draw {name}", drawn)


def sign_files(receipt: Path, command: str, files: Iterable[Path]) -> None:
    """Write down the hashes of files that a command has just made together."""
    receipts.write(receipt, step=command, settings=None, code="", files=[*files])


def maker(name: str) -> str:
    """The command that makes a table."""
    if name in TABLES:
        return f"equimodal table {name}"
    return "equimodal claims" if name == "claims" else "equimodal collect"


def columns_of(name: str) -> tuple[str, ...]:
    """Columns that a table has in any case."""
    if name in COLUMNS:
        return COLUMNS[name]
    if name in TABLES:
        return tuple(getattr(import_module(f"equimodal.study.analysis.{name}"), "COLUMNS", ()))
    return ()
