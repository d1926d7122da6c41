"""Work that is shared between processes, and lost by none of them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from equimodal.study.errors import UserError

Item = TypeVar("Item")
Done = TypeVar("Done")


def share_out(
    work: Callable[[Item], Done], items: Iterable[Item], processes: int
) -> Generator[Done]:
    """Do all items; yield what `work` returns for each.

    A copy of `work` is sent to each process once. Items are taken from their iterator only as fast as
    they are done.

    Raises:
        UserError: If a process is killed. Also whatever `work` raises.
    """
    if processes == 1:
        yield from map(work, items)
        return
    # Not forked: a process that has loaded torch has threads.
    spawn = multiprocessing.get_context("spawn")
    taken = iter(items)
    try:
        with ProcessPoolExecutor(processes, spawn, initializer=_start, initargs=(work,)) as pool:
            while some := list(islice(taken, 16 * processes)):
                yield from pool.map(_work, some)
    except BrokenProcessPool:
        raise UserError(
            "a process was ended from outside, perhaps for want of memory; run again, with fewer"
            " processes: what is done is kept"
        ) from None


_of_process: Any  # what this process does


def _start(work: Callable[[Any], Any]) -> None:
    global _of_process
    _of_process = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells what is to be told
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process would wait for ever for the work of a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _of_process(item)
