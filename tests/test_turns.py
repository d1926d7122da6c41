"""Long work in steps that take turns."""

import signal
from itertools import count

import pytest

from equimodal.study import cost
from equimodal.study.turns import alone, in_turn, to_its_end, without_steps


@pytest.fixture
def said():
    """What walks do, in order."""
    return []


@pytest.fixture
def walk(said):
    """Makes a walk of some steps."""

    def of(name, steps, end=None):
        try:
            for i in range(steps):
                said.append(f"{name}{i}")
                yield lambda: said.append(f"{name} saved")
            if end is not None:
                raise end
            return name
        finally:
            said.append(f"{name} ended")

    return of


def test_walks_take_a_step_each_and_the_next_begins_where_one_ends(walk, said):
    ended = []
    for number, name in in_turn([walk("a", 1), walk("b", 3), walk("c", 1)], at_once=2):
        said.append("-")
        ended.append((number, name))
    assert said == ["a0", "b0", "a ended", "-", "b1", "c0", "b2", "c ended", "-", "b ended", "-"]
    assert ended == [(0, "a"), (2, "c"), (1, "b")]


def test_one_that_fails_leaves_the_others_be(walk):
    error = OSError("no space left")
    assert dict(in_turn([walk("a", 3), walk("b", 1, error)], at_once=2)) == {0: "a", 1: error}
    with pytest.raises(OSError, match="no space left"):
        alone(walk("b", 1, error))


class StoppedError(Exception):
    pass


@pytest.fixture
def stopped():
    """Has SIGTERM raise in place of ending this process."""

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGTERM, stop)
    yield
    assert signal.getsignal(signal.SIGTERM) is stop
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("stopped")
def test_a_signal_has_all_that_are_under_way_save_and_end(walk, said):
    def asked():
        yield lambda: said.append("asked saved")
        signal.raise_signal(signal.SIGTERM)
        said.append("asked on")
        yield lambda: said.append("asked saved")

    with pytest.raises(StoppedError):
        list(in_turn([walk("a", 9), asked(), walk("c", 9)], at_once=2))
    assert said == ["a0", "a1", "asked on", "a saved", "asked saved", "a ended"]


@pytest.mark.usefixtures("stopped")
def test_a_signal_at_the_end_of_a_walk_is_not_lost_nor_has_it_saved_again(walk, said):
    def asked():
        yield lambda: said.append("asked saved")
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError):
        list(in_turn([walk("a", 9), asked()], at_once=2))
    assert said == ["a0", "a1", "a saved", "a ended"]


@pytest.mark.usefixtures("stopped")
def test_nothing_waits_while_the_caller_is_at_what_has_ended(walk, said):
    def evaluate_each():
        for _ in in_turn([walk("a", 1), walk("b", 9)], at_once=2):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError):
        evaluate_each()
    assert said == ["a0", "b0", "a ended", "b ended"]


def test_a_function_is_a_walk_without_steps(walk):
    assert list(in_turn([without_steps(lambda: 1), without_steps(lambda: 2)])) == [(0, 1), (1, 2)]
    assert to_its_end(without_steps(lambda: 3)) == 3
    assert to_its_end(walk("a", 2)) == "a"


def test_the_cost_of_a_walk_is_that_of_its_own_steps(walk, monkeypatch, tmp_path):
    """Every look at the clock finds it a second on: two a step, of which there are three with the last."""
    clock = count()
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    for _ in (noted := cost.with_noted_cost(walk("a", 2), tmp_path / "cost.tsv")):
        next(clock)  # what others take
    assert noted.gi_frame is None
    assert (tmp_path / "cost.tsv").read_text().splitlines()[1].startswith("3.00\t")
