"""Reading the tables of a scale: which columns each has, and what makes it anew."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from equimodal.study import layout, receipts
from equimodal.study.analysis import TABLES, claims, maker
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
    "claims": claims.COLUMNS,
}
FILLED = {
    "runs": ("run", "experiments", "dataset", "status"),
    "claims": ("id", "claim", "dataset", "verdict"),
    **{name: COLUMNS[name] for name in ("evaluations", "histories", "steps")},
}


def read_stored(name: str, scale: str) -> pd.DataFrame:
    """Read a table of a scale; UserError if it is missing, damaged or another version's."""
    path, verb = layout.table(scale, name), f"run `equimodal {maker(name)} --scale {scale}`"
    # Collecting anew loses the runs that are no longer here.
    kept = "bring it back (`git checkout`, `dvc checkout`), or " if name in layout.COLLECTED else ""
    of_scale = {"scale": scale}
    require_unaltered(path, layout.table_receipt(scale, name), kept + verb, of_scale)
    return read_table(path, verb, columns_of(name), filled=FILLED.get(name, ()))


def require_unaltered(path: Path, receipt: Path, remedy: str, settings: Any = None) -> None:
    """Check a file against the receipt that its verb wrote, if it has one.

    UserError if its bytes are others, or it is of other settings than those given.
    """
    if path.is_file() and receipt.exists():
        receipts.require(receipt, f"{remedy} again", among=[path.name], settings=settings)


def columns_of(name: str) -> tuple[str, ...]:
    """Columns that a table has in any case."""
    if name in COLUMNS:
        return COLUMNS[name]
    if name in TABLES:
        return tuple(getattr(import_module(f"equimodal.study.analysis.{name}"), "COLUMNS", ()))
    return ()
