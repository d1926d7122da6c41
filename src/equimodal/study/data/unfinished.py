"""Arrays on their way to disk: processes fill them in any order, and a kill loses next to nothing.

Each array grows in a part file beside its place. A job is marked once all that it writes is written,
so that a later run goes on with the jobs that are left.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from equimodal.study.files import state, write_aside, writing

MARKS, PART = ".unfinished.done", ".part"  # of names
MARK = np.dtype("<u8")  # of a job: its stamp once it is done
ROOM = "make room on its disk and run again: what is done is kept"


@dataclass(frozen=True)
class UnfinishedArrays:
    """Arrays of bytes, `<name>.npy` in a folder, that are being written."""

    folder: Path
    shapes: Mapping[str, tuple[int, ...]]  # name -> shape; rows along the first axis
    stamps: Sequence[int]  # of each job, of all that its rows depend on: 1 to 2^64 - 1

    def done(self) -> Bool[ndarray, " jobs"]:
        """Which jobs an earlier run did with the same stamps; none if a part file does not fit."""
        marks, stamps = self.folder / MARKS, np.array(self.stamps, MARK)
        try:
            done = np.frombuffer(marks.read_bytes(), MARK) == stamps
        except (OSError, ValueError):
            done = None
        # After the last job, arrays that are missing here have got their names.
        if np.shape(done) == stamps.shape and (done.all() or all(map(self._is_whole, self.shapes))):
            return done
        return np.zeros(len(stamps), bool)

    def begin(self) -> Bool[ndarray, " jobs"]:
        """Go on with what an earlier run left, or make the part files; return which jobs are done."""
        done = self.done()
        if not done.any():
            discard(self.folder)
            for name, shape in self.shapes.items():
                with write_aside(self._part(name)) as aside:
                    np.lib.format.open_memmap(aside, "w+", np.uint8, shape)
            with write_aside(self.folder / MARKS) as aside:
                aside.write_bytes(bytes(MARK.itemsize * len(done)))
        return done

    def write(self, name: str, row: int, content: UInt8[ndarray, "*shape"]) -> None:
        """Fill one row of an array; raises UserError if the disk is full."""
        size = prod(self.shapes[name][1:])
        assert content.nbytes == size, f"{name} takes rows of {size} bytes, given {content.nbytes}"
        part, rows = self._part(name), self.shapes[name][0]
        self._put(part, part.stat().st_size - (rows - row) * size, content.tobytes())

    def mark(self, job: int) -> None:
        """Note that a job is done."""
        mark = np.array(self.stamps[job], MARK).tobytes()
        self._put(self.folder / MARKS, job * MARK.itemsize, mark)

    def finish(self) -> None:
        """Give the arrays their names; all jobs must be done."""
        with writing(self.folder, ROOM):
            for name in self.shapes:
                if self._part(name).exists():
                    os.replace(self._part(name), self.folder / f"{name}.npy")
        discard(self.folder)

    def _part(self, name: str) -> Path:
        return self.folder / f".{name}.npy{PART}"

    def _is_whole(self, name: str) -> bool:
        try:
            return np.load(self._part(name), mmap_mode="r").shape == self.shapes[name]
        except (OSError, ValueError):
            return False

    def _put(self, path: Path, place: int, content: bytes) -> None:
        # Not through a memory map: on a full disk that ends the process instead of raising.
        with writing(path, ROOM), path.open("r+b") as file:
            file.seek(place)
            file.write(content)


def stamp(about: str, *paths: Path) -> int:
    """Return a job's stamp: another one once what is told about it changes, or a file that it reads."""
    states = []
    for path in paths:
        with suppress(OSError):  # who reads it says what is wrong
            states.append(state(path))
    text = f"{about} {states}"
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def discard(folder: Path) -> None:
    """Delete what an unfinished run left in a folder."""
    with writing(folder, ROOM):
        for path in (*folder.glob(".unfinished*"), *folder.glob(f".*.npy{PART}*")):
            path.unlink(missing_ok=True)
