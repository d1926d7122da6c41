"""One way to read a file and one way to fail; writing whole or not at all. Text is UTF-8."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZipFile

import numpy as np
from pydantic import ValidationError

from equimodal.study.errors import UserError, in_words
from equimodal.study.schema import Section, first_reason

MOST = 2**31  # bytes of one file, unpacked: what promises more is not ours
SPACE = "check the folder's permissions and the space on its disk"  # where nothing can be written
S = TypeVar("S", bound=Section)


@contextmanager
def reading(path: Path | str, expected: str, remedy: str) -> Iterator[None]:
    """Turn whatever fails while a file is read into one sentence, a UserError.

    Inside, only read and check: a ValueError says what is wrong with the content.

    Args:
        path: The file, or what it is called.
        expected: What it should be, such as `a table`.
        remedy: What makes it, so that `first` or `again` may follow: `train the run`.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy} first") from None
    except ValidationError as error:
        raise _damaged(path, first_reason(error), expected, remedy) from None
    # Libraries raise whatever damage leads to; a list of exceptions would leave some out.
    except Exception as error:  # noqa: BLE001
        raise _damaged(path, in_words(error), expected, remedy) from None


def _damaged(path: Path | str, why: str, expected: str, remedy: str) -> UserError:
    return UserError(f"{path} is damaged ({why}), expected {expected}; {remedy} again")


def is_there(path: Path) -> bool:
    """Whether anything has the name, also a folder or a link to nowhere: what was made, however damaged."""
    return os.path.lexists(path)


def state(path: Path) -> list[int]:
    """Return the size and the time of a file, of which one is another once it was changed."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacked if its name ends in .gz; ValueError if it is no file, or larger than anything of ours."""
    if path.stat() and not path.is_file():  # a pipe would be waited for without end
        raise ValueError("it is no file")
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError("it is larger than any of ours")
    return content


def read_text(path: Path) -> str:
    """Read a text; raises as `read_bytes`, and UnicodeError."""
    return read_bytes(path).decode("utf-8")


def read_json(path: Path, schema: type[S], remedy: str) -> S:
    """Read a JSON file against its schema; raises as `reading`."""
    with reading(
        path, f"the {schema.__name__.strip('_').lower()} that this version writes", remedy
    ):
        return schema.model_validate_json(read_text(path), strict=True)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an .npz file; inside `reading`."""
    content = BytesIO(read_bytes(path))
    with ZipFile(content) as members:
        if sum(member.file_size for member in members.infolist()) > MOST:
            raise MemoryError
    with np.load(content) as arrays:
        return {key: arrays[key] for key in arrays.files}


def require_writable(folder: Path) -> None:
    """Check, without writing, that `folder` exists and can be written, or can be made; else UserError."""
    if folder.is_symlink() and not folder.exists():
        raise UserError(
            f"{folder} is a link to nothing, expected a folder to write to; mend the link"
        )
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, expected a folder to write to; move it away")
    if not os.access(there, os.W_OK):
        raise UserError(f"{there} can not be written; change its permissions or its owner")


def require_places(*files: Path) -> None:
    """Check, without writing, that files can be written: after hours of work it would be too late. Else UserError."""
    for path in files:
        require_writable(path.parent)
        if path.is_dir():
            raise UserError(f"{path} is a folder, expected a file to write; move it away")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; UserError if it can not be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        require_writable(folder)
        raise
    require_writable(folder)


@contextmanager
def writing(path: Path, remedy: str) -> Iterator[None]:
    """Turn what fails while something is written into one sentence, a UserError: the file, what is wrong, the remedy."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{path} can not be written: {why}; {remedy}") from error


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` once all is written.

    Whatever ends the block early leaves an older file at `path` as it was. UserError if it can not be written.
    """
    aside = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        with writing(path, SPACE):
            make_folder(path.parent)
            yield aside
            os.replace(aside, path)
    finally:
        with suppress(OSError):  # where nothing can be written; that is said by what failed first
            aside.unlink()


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays to one compressed .npz file, whole or not at all; raises as `write_aside`."""
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_text(text: str, path: Path) -> None:
    """Write a text, whole or not at all; raises as `write_aside`."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
