"""Arrays on their way to disk: processes fill them in any order, and a kill loses next to nothing.

Each array grows in a part file beside its place. A job is marked once all that it writes is written,
so that a later run with the same key goes on with the jobs that are left.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from equimodal.study.errors import UserError
from equimodal.study.files import write_aside

KEY, MARKS, PART = ".unfinished.json", ".unfinished.done", ".part"  # of names
MARK = np.dtype("<u8")  # of a job: its stamp; a last one says whether the arrays get their names
FINISHING = 1


@dataclass(frozen=True)
class UnfinishedArrays:
    """Arrays of bytes, `<name>.npy` in a folder, that are being written."""

    folder: Path
    shapes: Mapping[str, tuple[int, ...]]  # name -> shape; rows along the first axis
    stamps: Sequence[int]  # of each job, of what it is made: 1 to 2^64 - 1, the same while that is

    def begin(self, key: Mapping[str, Any]) -> Bool[ndarray, " jobs"]:
        """Make the part files, or go on with those of an earlier run; return which jobs are done.

        A job that was done with another stamp is not.

        Args:
            key: All that the arrays depend on, as JSON has it. What another key left is deleted.

        Raises:
            UserError: If they can not be written.
        """
        done = self._done()
        if done is None or self.earlier_key(self.folder) != key:
            done = np.zeros(len(self.stamps), bool)
            discard(self.folder)
            for name in self.shapes:
                with write_aside(self._part(name)) as aside, aside.open("wb") as file:
                    file.write(self._header(name))
                    file.truncate(len(self._header(name)) + prod(self.shapes[name]))
            with write_aside(self._marks) as aside:
                aside.write_bytes(bytes((len(self.stamps) + 1) * MARK.itemsize))
            with write_aside(self.folder / KEY) as aside:
                aside.write_text(json.dumps(key))
        return done

    def write(self, name: str, row: int, content: UInt8[ndarray, "*shape"]) -> None:
        """Fill one row of an array; raises UserError if the disk is full."""
        size = prod(self.shapes[name][1:])
        assert content.nbytes == size, f"{name} takes rows of {size} bytes, given {content.nbytes}"
        self._put(self._part(name), len(self._header(name)) + row * size, content.tobytes())

    def mark(self, job: int) -> None:
        """Note that a job is done."""
        self._mark(job, self.stamps[job])

    def finish(self) -> None:
        """Give the arrays their names; all jobs must be done."""
        self._mark(len(self.stamps), FINISHING)
        try:
            for name in self.shapes:
                if self._part(name).exists():
                    os.replace(self._part(name), self.folder / f"{name}.npy")
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        discard(self.folder)

    @staticmethod
    def earlier_key(folder: Path) -> Any:
        """Key of the arrays that an earlier run left unfinished in a folder; None if there are none."""
        try:
            return json.loads((folder / KEY).read_text())
        except (OSError, ValueError):
            return None

    @property
    def _marks(self) -> Path:
        return self.folder / MARKS

    def _part(self, name: str) -> Path:
        return self.folder / f".{name}.npy{PART}"

    def _header(self, name: str) -> bytes:
        header = io.BytesIO()
        described = {"descr": "|u1", "fortran_order": False, "shape": self.shapes[name]}
        np.lib.format.write_array_header_1_0(header, described)
        return header.getvalue()

    def _done(self) -> Bool[ndarray, " jobs"] | None:
        """Which jobs an earlier run did, or None if it does not fit or a part file is missing."""
        try:
            marks = np.frombuffer(self._marks.read_bytes(), MARK)
        except (OSError, ValueError):
            return None
        if len(marks) != len(self.stamps) + 1:
            return None
        done = marks[:-1] == np.array(self.stamps, MARK)
        whole = all(
            self._part(name).is_file()
            and self._part(name).stat().st_size == len(self._header(name)) + prod(shape)
            for name, shape in self.shapes.items()
        )
        return done if whole or (marks[-1] == FINISHING and done.all()) else None

    def _mark(self, place: int, mark: int) -> None:
        self._put(self._marks, place * MARK.itemsize, np.array(mark, MARK).tobytes())

    def _put(self, path: Path, place: int, content: bytes) -> None:
        # Not through a memory map: on a full disk that ends the process instead of raising.
        try:
            with path.open("r+b") as file:
                file.seek(place)
                file.write(content)
        except OSError as error:
            raise _unwritable(path, error) from error


def stamp(*paths: Path) -> int:
    """Return a job's stamp: another one once a file that it reads is replaced."""
    text = " ".join(map(_state, paths)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") or 1


def _state(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return "gone"  # who reads it says what is wrong
    return f"{stat.st_size} {stat.st_mtime_ns}"


def discard(folder: Path) -> None:
    """Delete what an unfinished run left in a folder."""
    try:
        for path in (folder / KEY, folder / MARKS, *folder.glob(f".*.npy{PART}*")):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} can not be written: {error.strerror or error}; make room on its disk and run again:"
        " what is done is kept"
    )
