"""Table 1 for a terminal: at most 80 columns, a block a preset."""

from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from equimodal.study.analysis.names import COLUMNS_OF_TABLE1, METHODS

NAME, CELL = 22, 14  # columns of a terminal
SHORT = {  # of a column of Table 1
    ("colored_mnist", "scratch"): "Colored-gray",
    ("modelnet40", "scratch"): "ModelNet40",
    ("nvgesture", "scratch"): "NVG-scratch",
    ("nvgesture", "pretrained"): "NVG-pretr.",
}
BLOCKS = 2  # presets that are shown; table1.md has all


def as_text(table1: pd.DataFrame, stand_ins: Collection[str]) -> str:
    """Write mean test accuracies in % beside the published ones, but for data sets whose data are stand-ins."""
    lines = ["Test accuracy in %: ours / published"]
    presets = list(dict.fromkeys(table1["fidelity"]))
    for preset in presets[:BLOCKS]:
        lines += _block(table1[table1["fidelity"] == preset], preset, stand_ins)
    if len(presets) > BLOCKS:
        lines.append(f"and presets {', '.join(presets[BLOCKS:])}")
    if not table1["dataset"][table1["dataset"].isin(list(stand_ins))].empty:
        lines.append("* stand-in data: nothing was published of them")
    return "\n".join(lines)


def _block(rows: pd.DataFrame, preset: str, stand_ins: Collection[str]) -> Iterator[str]:
    cells = {(row.dataset, row.start, row.method): row for row in rows.itertuples()}
    found = dict.fromkeys(cell[:2] for cell in cells)
    columns = [c for c in COLUMNS_OF_TABLE1 if c in found]
    columns += [c for c in found if c not in COLUMNS_OF_TABLE1]  # data of one's own
    heads = [SHORT.get(c, c[0][: CELL - 2]) + "*" * (c[0] in stand_ins) for c in columns]
    yield f"{'preset ' + preset:<{NAME}}" + "".join(f"{head:>{CELL}}" for head in heads)
    of_others = {method: method for *_, method in cells if method not in METHODS}
    for method, name in (METHODS | of_others).items():
        row_of = [cells.get((*column, method)) for column in columns]
        if any(row_of):
            texts = [_cell(row, stand_ins) for row in row_of]
            yield (f"{name:<{NAME}}" + "".join(f"{text:>{CELL}}" for text in texts)).rstrip()


def _cell(row: Any, stand_ins: Collection[str]) -> str:
    if row is None:
        return ""
    ours = "missing" if pd.isna(row.mean) else f"{row.mean:.1f}"
    alone = pd.isna(row.published_mean) or row.dataset in stand_ins
    return ours if alone else f"{ours} / {row.published_mean:.1f}"
