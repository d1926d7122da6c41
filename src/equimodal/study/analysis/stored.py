"""Reading tables: those of a scale, with the columns that each has and what makes it anew, and those of the paper."""

from importlib import import_module
from importlib.resources import as_file, files
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


def read_published(name: str) -> pd.DataFrame:
    """Read a table of `GIVEN`: numbers as they were printed; UserError if it is missing or damaged.

    `published`: Table 1, test accuracy in percent, mean and SD of three runs. `published_greediness`: E[d_util] (Sec. 6.4)
    and its absolute value (Sec. 6.2) of the sweeps; the sign for Colored-and-gray-MNIST is not published, and for identical
    modalities the text says about 0. `published_unimodal`: test accuracy in percent of the networks with one modality
    (Sec. 6.1), printed without digits after the point. `published_calibration`: accuracy in percent of Kim et al.'s network
    without their method on colored digits, by variance (README of feidfoe/learning-not-to-learn). `preregistered`: what
    docs/preregistration.md expects; an end of the region that is missing is unbounded.
    """
    with as_file(files("equimodal.study.analysis").joinpath(f"{name}.csv")) as path:
        return read_table(path, "install equimodal")


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
