"""How much of Table 1 one reading explains: one preset, one way of evaluating, one cap for all cells."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pandas as pd

from equimodal.study.analysis.names import in_order
from equimodal.study.analysis.table1 import COLUMN
from equimodal.study.params import Analysis

VERDICTS = ["equivalent", "inconclusive", "different"]
READING = [*COLUMN, "evaluation"]
COLUMNS = [*READING, "caps", "cells", *VERDICTS, "which_differ"]


def build(
    by_cap: pd.DataFrame, table1_evaluations: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Count the verdicts on the published cells of each column under each reading.

    A reading evaluates every network of a column alike. `caps`: the last epoch that may be chosen, where
    the verdicts are the same as spans; `none` where training went on to its end, of which every
    way of evaluating is known. `cells`: those with a verdict; `which_differ` names the cells that are
    `different`.
    """
    left_behind = by_cap.loc[by_cap["evaluation"] == "left_behind", "fidelity"].unique()
    reported = by_cap["fidelity"].isin(left_behind).map({True: "left_behind", False: "regular"})
    capped = by_cap[(by_cap["evaluation"] == reported) | (by_cap["method"] == "unimodal")]
    whole = table1_evaluations[table1_evaluations["published_mean"].notna()].assign(cap=0)
    rows = []
    for cells, name in ((capped, _span), (whole, lambda caps: "none")):
        judged = in_order(_in_every_reading(cells), *COLUMN)
        for reading, of_reading in judged.groupby(READING, sort=False):
            named = dict(zip(READING, reading, strict=True))
            for caps, verdicts in _same_verdicts(of_reading):
                rows.append(named | {"caps": name(caps)} | _counted(verdicts))
    return in_order(pd.DataFrame(rows, columns=COLUMNS), *COLUMN)


def _in_every_reading(cells: pd.DataFrame) -> pd.DataFrame:
    """Count uni-modal networks, which are evaluated in one way, under each way of their column."""
    alone = cells["method"] == "unimodal"
    readings = cells.loc[~alone, READING].drop_duplicates()
    unimodal = cells[alone & (cells["evaluation"] == "regular")].drop(columns="evaluation")
    return pd.concat([cells[~alone], unimodal.merge(readings, on=COLUMN)])


def _same_verdicts(cells: pd.DataFrame) -> Iterator[tuple[tuple[int, int | None], pd.Series]]:
    """Yield the first and last cap of each span with the same verdicts, and these by cell."""
    by_cell = cells.pivot_table(
        "verdict", "cap", ["method", "output"], aggfunc="first", sort=False
    ).sort_index()
    by_cell = by_cell.ffill()  # a row stands until the cap of the next
    changes = by_cell.index[(by_cell != by_cell.shift()).any(axis=1)]
    for first, following in pairwise([*changes, None]):
        yield (first, None if following is None else following - 1), by_cell.loc[first]


def _span(caps: tuple[int, int | None]) -> str:
    first, last = caps
    return f"{first} on" if last is None else f"{first}" if first == last else f"{first} to {last}"


def _counted(verdicts: pd.Series) -> dict[str, Any]:
    known = verdicts[verdicts.isin(VERDICTS)]
    differ = [f"{method} {output}" for method, output in known.index[known == "different"]]
    return {
        "cells": len(known),
        **known.value_counts().reindex(VERDICTS, fill_value=0),
        "which_differ": ", ".join(differ),
    }
