"""Tables on disk: CSV, compressed where a file's name ends in .gz."""

import gzip
from collections.abc import Collection
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from equimodal.study.files import read_bytes, reading, write_aside

# Columns of words, in any of our tables; all others hold numbers.
_WORDS = """run experiments dataset inputs policy fidelity start method reported status reason trained_on commit m0
    m1 m2 evaluation output verdict next_mode mode id claim where paper table measured evidence region command
    measure result seeds caps held_at sampling setting base switch way which_differ x y kind fusion units when
    varied censored censored_balanced best compared"""
WORDS = frozenset(_WORDS.split())
FLAGS = frozenset(("reached_perfect", "converged", "permanent"))


def write_table(table: pd.DataFrame, path: Path, number_format: str | None = None) -> None:
    """Write a table without its index, whole or not at all, the same bytes each time; raises as `write_aside`.

    `number_format` is of fractions, such as `%.6g`; by default as many digits as tell them apart.
    """
    with write_aside(path) as aside:
        aside.write_bytes(as_bytes(table, path, number_format))


def as_bytes(table: pd.DataFrame, path: Path, number_format: str | None = None) -> bytes:
    """Return what `write_table` writes."""
    content = table.to_csv(index=False, float_format=number_format, lineterminator="\n").encode()
    # No time in the header: it would change the bytes.
    return gzip.compress(content, mtime=0) if path.suffix == ".gz" else content


def read_table(
    path: Path,
    remedy: str,
    columns: Collection[str] = (),
    *,
    filled: Collection[str] = (),
    rows: bool = False,
) -> pd.DataFrame:
    """Read a table; UserError, with the remedy of `files.reading`, if it is missing, damaged or not such a table.

    It has to have the `columns`, and may have more; in those that are `filled` no value may be missing. `rows` says
    whether it has to have any.
    """
    with reading(path, "a table that this version writes", remedy):
        content = read_bytes(path)
        if content and not content.endswith(b"\n"):
            raise ValueError("its last line is cut off")
        if not content.strip():
            table = pd.DataFrame()  # of nothing: neither rows nor columns
        else:
            # A preset may be called 2024, which is a word all the same.
            table = pd.read_csv(BytesIO(content), encoding="utf-8", dtype=dict.fromkeys(WORDS, str))
        if table.index.nlevels > 1 or table.index.dtype != int:
            raise ValueError("its rows are longer than its first line")
        if lacking := [column for column in columns if column not in table]:
            raise ValueError(f"it lacks the columns {lacking}")
        for column in table.columns.difference([*WORDS, *FLAGS]) if len(table) else ():
            if table[column].isna().all():
                continue
            if not pd.api.types.is_numeric_dtype(table[column]):
                no_numbers = pd.to_numeric(table[column], errors="coerce").isna()
                word = table[column][no_numbers & table[column].notna()].iloc[0]
                raise ValueError(f"{column} holds {str(word)!r}, no number")
            if np.isinf(table[column]).any():
                raise ValueError(f"{column} holds a number that is not finite")
        if rows and table.empty:
            raise ValueError("it has no rows")
        for column in filled:
            if table[column].isna().any():
                raise ValueError(f"a value of {column} is missing")
    return table
