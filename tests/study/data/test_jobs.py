"""Jobs that fill the rows of arrays: shared out, ended at any place, and gone on with."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from equimodal.study.errors import UserError
from tests.study.data.counted import COUNT, READ, SHAPES, run
from tests.study.data.helpers import KilledError


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for row in range(COUNT):
        (folder / f"{row}.txt").write_text(f"{10 * row}")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def is_whole(out):
    """Whether the arrays are there, with all rows, and nothing else."""
    wide, narrow = (np.load(out / f"{name}.npy") for name in SHAPES)
    rows = np.arange(0, 10 * COUNT, 10)[:, None, None]
    return len(list(out.iterdir())) == 2 and (wide == rows).all() and (narrow == 1).all()


ENDS = {
    "a kill": (KilledError("killed"), KilledError, "killed"),
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device"),
        UserError,
        "part can not be written: No space left .*run again: what is done is kept",
    ),
}


def end_at(patch, write, error):
    """End a run in the middle of its n-th write into a file that is there: two rows and a mark a job."""
    opened, writes = Path.open, []

    class Ending(io.FileIO):
        def write(self, content):
            writes.append(content)
            if len(writes) > write:
                super().write(content[: len(content) // 2])
                raise error
            return super().write(content)

    def opening(path, mode="r", *rest, **options):
        return Ending(path, mode) if mode == "r+b" else opened(path, mode, *rest, **options)

    patch.setattr(Path, "open", opening)


@pytest.mark.parametrize("write", [0, 3, 16, 34])
@pytest.mark.parametrize(("error", "raised", "said"), ENDS.values(), ids=ENDS)
def test_what_was_done_before_an_end_is_not_done_again(
    raw, out, monkeypatch, write, error, raised, said
):
    with monkeypatch.context() as patch:
        end_at(patch, write, error)
        with pytest.raises(raised, match=said):
            run(raw, out)
    assert not list(out.glob("[!.]*"))
    assert len(run(raw, out)) == COUNT - write // 3
    assert is_whole(out)


def ended(raw, out, monkeypatch):
    """End a run after four jobs."""
    with monkeypatch.context() as patch:
        end_at(patch, 12, KilledError())
        with pytest.raises(KilledError):
            run(raw, out)


def replace(raw, out):
    os.utime(raw / "2.txt", (0, 0))


def cut(raw, out):
    part = next(out.glob(".*wide*.part"))
    part.write_bytes(part.read_bytes()[:-1])


CHANGES = {  # what happens to a run that was ended after four jobs -> what is read again
    "nothing": (lambda *_: None, {}, COUNT - 4),
    "a file is replaced": (replace, {}, COUNT - 3),
    "another setting": (lambda *_: None, {"about": "other"}, COUNT),
    "a part file is not whole": (cut, {}, COUNT),
}


@pytest.mark.parametrize(("change", "asked", "again"), CHANGES.values(), ids=CHANGES)
def test_jobs_are_done_again_whose_rows_would_be_others(
    raw, out, monkeypatch, change, asked, again
):
    ended(raw, out, monkeypatch)
    change(raw, out)
    assert len(run(raw, out, **asked)) == again
    assert is_whole(out)


@pytest.mark.parametrize("renamed", [0, 1])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_that_is_ended_while_it_finishes_does_nothing_again_unless_a_file_is_replaced(
    raw, out, monkeypatch, renamed, replaced
):
    rename, done = os.replace, []

    def end(source, target):
        if target.suffix == ".npy":
            if len(done) == renamed:
                raise KilledError
            done.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", end)
        with pytest.raises(KilledError):
            run(raw, out)
    if replaced:
        replace(raw, out)
    again = 0 if not replaced else COUNT if renamed else 1
    assert len(run(raw, out)) == again
    assert is_whole(out)


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_files_are_counted_ten_are_named_and_the_others_kept(raw, out, processes):
    for row in range(1, COUNT):
        (raw / f"{row}.txt").write_text("bad")
    with pytest.raises(UserError, match=r"(?s)11 of 12 are bad:.*10.txt holds 'bad'.*and 1 more"):
        run(raw, out, processes=processes)
    assert not list(out.glob("[!.]*"))
    for row in range(1, COUNT):
        (raw / f"{row}.txt").write_text(f"{10 * row}")
    run(raw, out)
    assert is_whole(out)


def test_a_disk_without_room_is_refused_before_work_begins(raw, out):
    with pytest.raises(UserError, match=r"needs [\d.]+ GB more for the arrays, [\d.]+ GB are free"):
        run(raw, out, shapes={"train.wide": (COUNT, 10**15)})
    assert READ == []
    assert not list(out.iterdir())


KILLED = """
import os, signal
from contextlib import contextmanager
from pathlib import Path
from equimodal.study.data import jobs
from tests.study.data.counted import run

@contextmanager
def until(*_):
    def advance(done, *_):
        if done >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
    yield advance

if __name__ == "__main__":
    jobs.show_progress = until
    run(Path({raw!r}), Path({out!r}), processes=2)
"""


def test_a_killed_run_leaves_no_process_and_a_second_one_goes_on(raw, out, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED.format(raw=str(raw), out=str(out)))
    there = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    # It returns when nobody holds the pipes any more: no process of the pool is left.
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": there},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(run(raw, out)) <= COUNT - 4
    assert is_whole(out)
