"""Long work in steps: several pieces take theirs in turn in one process, and signals wait for a step's end.

A piece of work is a generator, a *walk*: it yields after each step what saves its state, and returns its
result.
"""

import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
Save = Callable[[], None]
Walk = Generator[Save, None, T]

STOPPING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def in_turn(walks: Iterable[Walk[T]], *, at_once: int = 1) -> Iterator[tuple[int, T | Exception]]:
    """Have some walks, `at_once` of them, take a step each in turn; yield the number of each that ends and its result or error.

    One that fails leaves the others be. A signal that stops, such as SIGTERM, has all of them save after the step under
    way first. They wait while the caller is at what one of them gave.
    """
    waiting = enumerate(walks)
    active = dict(islice(waiting, at_once))
    saves: dict[int, Save] = {}
    try:
        while active:
            number, ended = _until_one_ends(active, saves)
            del active[number]
            yield number, ended
            active |= islice(waiting, 1)
    finally:
        for walk in active.values():
            walk.close()


def alone(walk: Walk[T]) -> T:
    """Walk to the end, signals waiting as `in_turn`; return the result, or raise what was raised."""
    ((_, ended),) = in_turn([walk])
    if isinstance(ended, Exception):
        raise ended
    return ended


def to_its_end(walk: Walk[T]) -> T:
    """Walk to the end; return the result."""
    while True:
        try:
            next(walk)
        except StopIteration as end:
            result: T = end.value
            return result


def without_steps(work: Callable[[], T]) -> Walk[T]:
    """Turn a function into a walk that takes no step."""
    yield from ()
    return work()


def _until_one_ends(
    active: Mapping[int, Walk[T]], saves: dict[int, Save]
) -> tuple[int, T | Exception]:
    def save_all() -> None:
        for save in saves.values():
            save()

    with _stopping_waits(save_all) as stop_if_asked:
        while True:
            for number, walk in active.items():
                ended: T | Exception
                try:
                    saves[number] = next(walk)
                except StopIteration as end:
                    ended = end.value
                except Exception as error:  # noqa: BLE001  of one walk: for the caller to judge
                    traceback.clear_frames(error.__traceback__)  # what they hold: memory of a GPU
                    ended = error
                else:
                    stop_if_asked()
                    continue
                saves.pop(number, None)
                stop_if_asked()
                return number, ended


@contextmanager
def _stopping_waits(save: Save) -> Iterator[Callable[[], None]]:
    """Have signals that stop wait until what this gives is called: it saves, then lets them act.

    Who asks twice does not wait. What was ignored still is.
    """
    asked = 0

    def note(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            act(number)
        asked = number

    def act(number: int) -> None:
        nonlocal asked
        asked = 0
        signal.signal(number, before[number])
        signal.raise_signal(number)

    def stop_if_asked() -> None:
        if asked:
            save()
            act(asked)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other may handle signals
        found = {number: signal.getsignal(number) for number in STOPPING}
        before = {
            n: handler for n, handler in found.items() if handler not in (signal.SIG_IGN, None)
        }
    for number in before:
        signal.signal(number, note)
    try:
        yield stop_if_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
