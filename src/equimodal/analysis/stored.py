"""Reading the tables of a scale: which columns each has, and what makes it anew."""

from importlib import import_module

import pandas as pd

from equimodal import layout, receipts
from equimodal.analysis import TABLES
from equimodal.table_files import read_table

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
        *("id", "claim", "where", "experiments", "table", "dataset"),
        *("verdict", "measured", "evidence", "reason", "command"),
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
    receipt = layout.simulated(scale)
    if maker(name) == "equimodal linear" and path.exists() and receipt.exists():
        receipts.require(receipt, f"{verb} again", among=[path.name])
    filled, rows = FILLED.get(name, ()), name.startswith("linear_")
    return read_table(path, verb, columns_of(name), filled=filled, rows=rows)


def maker(name: str) -> str:
    """The command that makes a table."""
    if name in TABLES:
        return f"equimodal table {name}"
    others = {"claims": "equimodal claims", "linear_mnist": "equimodal linear-mnist"}
    usual = "equimodal linear" if name.startswith("linear_") else "equimodal collect"
    return others.get(name, usual)


def columns_of(name: str) -> tuple[str, ...]:
    """Columns that a table has in any case."""
    if name in COLUMNS:
        return COLUMNS[name]
    if name in TABLES:
        return tuple(getattr(import_module(f"equimodal.analysis.{name}"), "COLUMNS", ()))
    if name == "linear_mnist":
        return import_module("equimodal.linear.mnist_table").COLUMNS
    return ()
