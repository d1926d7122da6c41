import errno
import multiprocessing
import os
import signal
import threading

import pytest

from equimodal.study import locks
from equimodal.study.errors import UserError
from equimodal.study.locks import sole

WORK = "the training of a run"


def hold(path, held):
    with sole(WORK, path):
        held.set()
        signal.pause()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scratch/run.lease"


@pytest.fixture
def owner(path):
    """Another process that holds the lock."""
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(path, held))
    process.start()
    assert held.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_told_who_holds_the_lock(owner, path):
    with pytest.raises(UserError) as refused, sole(WORK, path):
        pass
    assert f"{WORK} is under way already, by process {owner.pid} on " in str(refused.value)
    assert " since 2" in str(refused.value)


def test_the_lock_of_a_process_that_was_killed_is_taken_over(owner, path):
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    with sole(WORK, path):
        assert f"process {os.getpid()} " in path.with_suffix(".holder").read_text()


def test_the_lock_of_another_host_is_free_when_it_gives_no_sign_of_life(path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "LEASE", 0.5)
    with sole(WORK, path):
        left_behind = path.read_text().replace("host=", "host=another-")
    path.write_text(left_behind)
    with pytest.raises(UserError, match=f"If its host is gone, remove {path}"), sole(WORK, path):
        pass
    with sole(WORK, path, wait=True):
        assert path.read_text() != left_behind
    assert f"{WORK} is under way already" in capsys.readouterr().err


def test_who_waits_begins_when_the_other_has_ended(owner, path):
    threading.Timer(0.5, owner.kill).start()
    with sole(WORK, path, wait=True):
        assert not owner.is_alive()


def test_a_lock_is_free_again_after_work_that_failed(path):
    with pytest.raises(ZeroDivisionError), sole(WORK, path):
        _ = 1 / 0
    with sole(WORK, path):
        pass


@pytest.mark.parametrize(
    ("where", "file"), [("pathlib.Path.write_text", "holder"), ("os.write", "lease")]
)
def test_a_full_disk_is_named_with_the_file_and_the_lock_is_free_again(
    path, monkeypatch, where, file
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        with pytest.raises(UserError) as refused, sole(WORK, path):
            pass
    expected = f"{path.with_suffix(f'.{file}')} can not be written: No space left on device; check"
    assert str(refused.value).startswith(expected)
    with sole(WORK, path):
        pass
