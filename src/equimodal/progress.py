"""Visible progress of long work: a bar on a terminal, a plain line every so often elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 10.0  # seconds between lines where there is no terminal


class Advance(Protocol):
    """Tells how much of the work is done, and something about it."""

    def __call__(self, done: int, note: str = "") -> None:
        """Show it."""


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Advance]:
    """Show the progress of `total` units of work while the block runs, with rate and time left."""
    if not sys.stderr.isatty():
        yield _lines(label, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, note="")
        yield lambda done, note="": bar.update(task, completed=done, note=note)


def _lines(label: str, total: int) -> Advance:
    started = last = time.monotonic()
    first: int | None = None

    def advance(done: int, note: str = "") -> None:
        nonlocal last, first
        first = done if first is None else first
        now = time.monotonic()
        if now - last >= EVERY and done > first:
            last = now
            rate = (done - first) / (now - started)
            print(
                f"{label}: {done} of {total}, {rate:.1f}/s, at most {(total - done) / rate:.0f} s"
                f" left{', ' + note if note else ''}",
                file=sys.stderr,
                flush=True,
            )

    return advance
