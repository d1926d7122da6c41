"""Tests of what long work says of itself where there is no terminal."""

import pytest

from equimodal.study import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on a clock that stands still until a test moves it: its only item."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_slow_work_tells_how_long_a_unit_takes(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """Epochs of 45 s, the first 20 of which an earlier process has trained."""
    with progress.show_progress("run, epochs", 100) as advance:
        clock[0] = 30  # until the data are loaded
        advance(20.0)
        clock[0] = 97.5
        advance(21.5, "test accuracy 34.2 %")
    assert capsys.readouterr().err == (
        "run, epochs: 21.5 of 100, 45.0 s each, at most 0:58:52 left, test accuracy 34.2 %\n"
    )


def test_fast_work_tells_how_many_units_a_second_it_does(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.show_progress("file, MB", 100) as advance:
        advance(0)
        clock[0] = 20
        advance(50)
    assert capsys.readouterr().err == "file, MB: 50 of 100, 2.5/s, at most 0:00:20 left\n"


def test_a_line_every_ten_seconds(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.show_progress("clips", 1000) as advance:
        for second in range(35):
            clock[0] = second
            advance(second)
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["10", "20", "30"]
