"""Which GPU a job takes. The devices are made up."""

import multiprocessing
import os
import signal

import pytest

from equimodal.study import devices
from equimodal.study.devices import least_taken, placed

DEVICES = {"cuda:0": "GPU-a", "cuda:1": "GPU-b"}


def hold(folder, devices, said):
    with least_taken(devices, folder) as device:
        said.put(device)
        signal.pause()


@pytest.fixture
def job(tmp_path):
    """Starts jobs; gives the process of each, and its device."""
    context = multiprocessing.get_context("spawn")
    started = []

    def start(devices=DEVICES):
        said = context.Queue()
        process = context.Process(target=hold, args=(tmp_path, devices, said))
        process.start()
        started.append(process)
        return process, said.get(timeout=60)

    yield start
    for process in started:
        process.kill()
        process.join()


def test_jobs_share_the_devices_evenly_and_a_dead_one_frees_its_place_however_it_dies(job):
    taken = [job() for _ in range(4)]
    assert [device for _, device in taken] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    for number in (signal.SIGKILL, signal.SIGTERM):
        process, device = taken[1]
        os.kill(process.pid, number)
        process.join()
        taken[1] = job()
        assert taken[1][1] == device


def test_processes_that_see_other_devices_know_them_by_their_own_names(job):
    """A scheduler shows each job its devices only, and numbers them from 0."""
    assert job()[1] == "cuda:0"
    assert job({"cuda:0": "GPU-b"})[1] == "cuda:0"
    assert job()[1] == "cuda:0"  # either has one job


def test_a_device_that_was_asked_for_by_number_is_taken_and_one_alone_needs_no_choice(monkeypatch):
    monkeypatch.setattr(devices, "_gpus", lambda: {"cuda:0": "GPU-a"})
    for device in ("cpu", "cuda:1", "cuda"):
        with placed(device) as taken:
            assert taken == device
