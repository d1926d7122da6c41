"""Preparation that takes long: jobs that fill the rows of arrays, shared out, and gone on with after an end.

A job reads raw files and fills one row of some arrays. Bad files are named in the end; the others are kept.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from math import prod
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.data.unfinished import PART, UnfinishedArrays
from equimodal.study.data.workers import share_out
from equimodal.study.errors import UserError
from equimodal.study.files import make_folder
from equimodal.study.progress import show_progress

SHOWN = 10  # of what is bad, that a message names


class Job(Protocol):
    """What fills a row."""

    @property
    def row(self) -> int:
        """Its place along the first axis of the arrays."""


J = TypeVar("J", bound=Job)
J_contra = TypeVar("J_contra", bound=Job, contravariant=True)
Item = tuple[int, J, bytes | None]  # number and job; content where a process can not read it itself


class Reader(Protocol[J_contra]):
    """Knows how to do a job. A copy is sent to each process once."""

    def rows(self, job: J_contra, content: bytes | None, /) -> Mapping[str, UInt8[ndarray, "..."]]:
        """Return what a job writes into the arrays, by their names.

        Raises:
            UserError: If a raw file is bad; names it.
        """


def fill(
    arrays: UnfinishedArrays,
    key: Mapping[str, Any],
    jobs: Sequence[J],
    reader: Reader[J],
    *,
    label: str,
    processes: int,
    at_once: int,
    contents: Callable[[Mapping[int, J]], Iterable[Item[J]]] | None = None,
) -> None:
    """Do all jobs that an earlier run with the same key left.

    Args:
        arrays: What is filled.
        key: All that the arrays depend on, but for what the stamps tell.
        jobs: In the order of the stamps.
        reader: Does them.
        label: Of the progress shown.
        processes: How many share the work.
        at_once: Jobs that a process is given at a time.
        contents: Yields jobs with what they read, where that can only be read in order.

    Raises:
        UserError: If the disk has no room, or files are bad.
    """
    make_folder(arrays.folder)
    _require_room(arrays)
    done = arrays.begin(key)
    left = {number: job for number, job in enumerate(jobs) if not done[number]}
    items = contents(left) if contents else ((number, job, None) for number, job in left.items())
    finished = len(jobs) - len(left)
    bad: list[str] = []
    work = share_out(_Worker(arrays, reader), _chunks(items, at_once), processes)
    with show_progress(label, len(jobs)) as advance, closing(work) as outcomes:
        advance(finished)
        for count, problems in outcomes:
            finished += count
            bad += problems
            advance(finished, f"{len(bad)} bad" if bad else "")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(jobs)} are bad:\n{some(sorted(bad))}\nReplace what they name and run"
            " again: the others are kept."
        )


@dataclass(frozen=True)
class _Worker(Generic[J]):
    arrays: UnfinishedArrays
    reader: Reader[J]

    def work(self, chunk: Sequence[Item[J]], /) -> tuple[int, list[str]]:
        """Do some jobs; return how many, and what is wrong with those that failed."""
        bad = []
        for number, job, content in chunk:
            try:
                rows = self.reader.rows(job, content)
            except UserError as error:
                bad.append(str(error))
                continue
            for name, row in rows.items():
                self.arrays.write(name, job.row, row)
            self.arrays.mark(number)
        return len(chunk), bad


def _chunks(items: Iterable[Item[J]], size: int) -> Iterator[list[Item[J]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _require_room(arrays: UnfinishedArrays) -> None:
    taken = sum(path.stat().st_blocks * 512 for path in arrays.folder.glob(f".*{PART}"))
    wanted = sum(map(prod, arrays.shapes.values())) - taken
    if wanted > (free := shutil.disk_usage(arrays.folder).free):
        raise UserError(
            f"{arrays.folder} needs {wanted / 1e9:.1f} GB more for the arrays, {free / 1e9:.1f} GB are"
            " free; make room"
        )


def hold_out(count: int, held_out: int, seed: int) -> tuple[list[int], list[int]]:
    """Return places of `count` examples that train, and of those first in a seeded shuffle, both sorted."""
    order = list(range(count))
    Random(seed).shuffle(order)
    return sorted(order[held_out:]), sorted(order[:held_out])


def some(lines: Sequence[str]) -> str:
    """Return the first lines for a message, and how many more there are."""
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
