"""The names that readers see and the order in which tables list things."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from equimodal.study.params import Params

COLUMNS_OF_TABLE1 = {
    ("colored_mnist", "scratch"): "Colored-and-gray-MNIST",
    ("modelnet40", "scratch"): "ModelNet40",
    ("nvgesture", "scratch"): "NVGesture-scratch",
    ("nvgesture", "pretrained"): "NVGesture-pretrained",
}
DATASETS = {
    "colored_mnist": "Colored-and-gray-MNIST",
    "modelnet40": "ModelNet40",
    "nvgesture": "NVGesture",
}
METHODS = {
    "unimodal": "Uni-modal (best)",
    "vanilla": "Multi-modal (vanilla)",
    "rubi": "+ RUBi",
    "random": "+ random",
    "guided": "+ guided",
}
EVERY = "all"  # of a row over all data sets together
ORDER = {
    "dataset": list(DATASETS),
    "start": ["scratch", "pretrained"],
    "inputs": ["distinct", "identical"],
    "method": list(METHODS),
    "policy": list(METHODS),
}


def in_order(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Sort by columns, each in the paper's order; what the paper does not name follows as it comes."""

    def rank(column: pd.Series) -> pd.Series:
        known = dict.fromkeys([*ORDER.get(str(column.name), []), *column])
        return column.map({value: i for i, value in enumerate(known)})

    return table.sort_values(list(by), key=rank, kind="stable", ignore_index=True)


def by_cell(runs: pd.DataFrame, cell: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each combination of the columns of a cell, as the beginning of a row, with its runs.

    The row counts those that failed or have no results as `unfinished`.
    """
    for key, of_cell in runs.groupby(cell, sort=False):
        unfinished = int((of_cell["status"] != "finished").sum())
        yield dict(zip(cell, key, strict=True)) | {"unfinished": unfinished}, of_cell


def notice(settings: Params) -> str:
    """Return what is said wherever a number of a scale is shown: its note, and which data are made up."""
    made_up = " and ".join(DATASETS.get(d, d) for d in stand_ins(settings))
    said = f"Stand-ins, made by code, are in place of the data of {made_up}." if made_up else None
    return " ".join(filter(None, [settings.note, said]))


def stand_ins(settings: Params) -> list[str]:
    """Data sets that experiments ask for and whose data are made up, in place of the paper's."""
    asked = {grid.dataset for grids in settings.experiments.values() for grid in grids}
    return [d for d in settings.datasets if d in asked and settings.datasets[d].is_stand_in]


def column_name(dataset: str, start: str) -> str:
    """Name of a column of Table 1."""
    return COLUMNS_OF_TABLE1.get((dataset, start), f"{DATASETS.get(dataset, dataset)}, {start}")
