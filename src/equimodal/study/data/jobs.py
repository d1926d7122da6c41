"""Preparation that takes long: jobs that fill the rows of arrays, shared out, and gone on with after an end.

A job reads raw files and fills one row of some arrays. Bad files are named in the end; the others are kept.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import prod
from random import Random
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.data.unfinished import PART, UnfinishedArrays
from equimodal.study.data.workers import share_out
from equimodal.study.errors import UserError
from equimodal.study.files import make_folder
from equimodal.study.progress import show_progress

SHOWN = 10  # of what is bad, that a message names


@dataclass(frozen=True)
class Job:
    """What fills a row of the arrays of a split."""

    split: str
    row: int
    reads: Any  # what its reader knows to read


# Number and job; content where a process can not read it itself.
Item = tuple[int, Job, bytes | None]
Read = Callable[[Job, bytes | None], Mapping[str, UInt8[ndarray, "..."]]]


def fill(
    arrays: UnfinishedArrays,
    jobs: Sequence[Job],
    read: Read,
    *,
    label: str,
    processes: int,
    contents: Callable[[Mapping[int, Job]], Iterable[Item]] | None = None,
) -> None:
    """Do all jobs, in the order of the stamps, that an earlier run left of `<split>.<source>`.

    `read` returns the row of each source that a job fills; `contents` yields jobs with what they read, where that can
    only be read in order. UserError if the disk has no room, or if `read` raised it of bad files.
    """
    make_folder(arrays.folder)
    _require_room(arrays)
    done = arrays.begin()
    left = {number: job for number, job in enumerate(jobs) if not done[number]}
    items = contents(left) if contents else ((number, job, None) for number, job in left.items())
    earlier, bad = len(jobs) - len(left), list[str]()
    work = share_out(partial(_do, arrays, read), items, processes)
    with show_progress(label, len(jobs)) as advance, closing(work) as outcomes:
        advance(earlier)
        for finished, problem in enumerate(outcomes, earlier + 1):
            bad += [problem] if problem else []
            advance(finished, f"{len(bad)} bad" if bad else "")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(jobs)} are bad:\n{some(sorted(bad))}\nReplace what they name and run"
            " again: the others are kept."
        )


def _do(arrays: UnfinishedArrays, read: Read, item: Item) -> str | None:
    """Do a job; return what is wrong with its files."""
    number, job, content = item
    try:
        rows = read(job, content)
    except UserError as error:
        return str(error)
    for source, row in rows.items():
        arrays.write(f"{job.split}.{source}", job.row, row)
    arrays.mark(number)
    return None


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
