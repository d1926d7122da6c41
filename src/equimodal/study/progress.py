"""Visible progress of long work: a bar on a terminal, a plain line every so often elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

EVERY = 10.0  # seconds between lines where there is no terminal


class Advance(Protocol):
    """Tells how much of the work is done, and something about it."""

    def __call__(self, done: float, note: str = "") -> None:
        """Show it; parts of a unit count."""


@contextmanager
def show_progress(label: str, total: int, *, bar: bool = True) -> Iterator[Advance]:
    """Show the progress of `total` units of work while the block runs, with pace and time left.

    Without a bar, or a terminal that could show it, in lines: only one bar at a time can be shown.
    """
    if not (bar and sys.stderr.isatty()):
        yield _lines(label, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=total, note="")
        yield lambda done, note="": shown.update(task, completed=done, note=note)


def _lines(label: str, total: int) -> Advance:
    last = time.monotonic()
    start: tuple[float, float] | None = None  # when the first word came, and what was done then

    def advance(done: float, note: str = "") -> None:
        nonlocal last, start
        now = time.monotonic()
        start = start or (now, done)
        if now - last >= EVERY and done > start[1]:
            last = now
            each = (now - start[0]) / (done - start[1])
            pace = f"{1 / each:.1f}/s" if each < 1 else f"{each:.1f} s each"
            left = timedelta(seconds=round((total - done) * each))
            so_far = f"{done:.1f}" if isinstance(done, float) else done
            print(
                f"{label}: {so_far} of {total}, {pace}, at most {left} left"
                f"{', ' + note if note else ''}",
                file=sys.stderr,
                flush=True,
            )

    return advance
