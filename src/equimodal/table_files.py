"""Tables on disk: CSV, compressed where a file's name ends in .gz."""

import gzip
import zlib
from pathlib import Path

import pandas as pd

from equimodal.files import write_aside


def write_table(table: pd.DataFrame, path: Path, number_format: str | None = None) -> None:
    """Write a table, whole or not at all, the same bytes each time; raises as `write_aside`.

    Args:
        table: Its index is left out.
        path: The file.
        number_format: Of fractions, such as `%.6g`; by default as many digits as tell them apart.
    """
    content = table.to_csv(index=False, float_format=number_format, lineterminator="\n").encode()
    with write_aside(path) as aside:
        # No time in the header: it would change the bytes.
        aside.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table.

    Raises:
        ValueError: If it is damaged.
        OSError: If it can not be read.
    """
    try:
        return pd.read_csv(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(str(error)) from error
