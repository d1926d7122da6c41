"""Writing files whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from equimodal.errors import UserError


def require_writable(folder: Path) -> None:
    """Check, without writing, that `folder` exists and can be written, or can be made.

    Raises:
        UserError: If not.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, expected a folder to write to; move it away")
    if not os.access(there, os.W_OK):
        raise UserError(f"{there} can not be written; change its permissions or its owner")


def require_places(*files: Path) -> None:
    """Check, without writing, that files can be written: after hours of work it would be too late.

    Raises:
        UserError: If one can not.
    """
    for path in files:
        require_writable(path.parent)
        if path.is_dir():
            raise UserError(f"{path} is a folder, expected a file to write; move it away")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: If it can not be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        require_writable(folder)
        raise
    require_writable(folder)


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` once all is written.

    Whatever ends the block early leaves an older file at `path` as it was.

    Raises:
        UserError: If the folder can not be made or written, or the disk is full.
    """
    aside = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as error:
        raise UserError(
            f"{path} can not be written: {error.strerror or error}; check the folder's permissions"
            " and the space on its disk"
        ) from error
    finally:
        if aside.parent.is_dir():
            aside.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays to one compressed .npz file, whole or not at all; raises as `write_aside`."""
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
