"""The floor: how long a training step has to take on this machine, whatever the code."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Row
from benchmarks.training import KINDS, build_methods, case_of_kind, our_step
from equimodal.study.runs.loop import Training

Work = dict[str, float]  # gflop, kept_mb
SIDE = 1024  # of the matrices
COPIED = 2**26  # values of the array that is copied: 256 MB, more than a cache holds


def rates() -> dict[str, float]:
    """Measure what the machine gives a thread: GFLOP/s of a matrix product, GB/s of a copy, by its CPU time.

    The most of some seconds, as it is a floor that is made of it: others may use the machine as well.
    """
    a, b = (torch.rand(SIDE, SIDE) for _ in range(2))
    product = Timer("torch.mm(a, b)", timer=process_time, globals={"torch": torch, "a": a, "b": b})
    old, new = torch.rand(COPIED), torch.empty(COPIED)
    copy = Timer("new.copy_(old)", timer=process_time, globals={"old": old, "new": new})
    moved = 2 * old.nbytes  # read, and written
    return {
        "gflop_s": 2 * SIDE**3 / least(product) / 1e9,
        "gb_s": moved / least(copy) / 1e9,
    }


def least(timer: Timer) -> float:
    """Return the seconds of the fastest of some calls."""
    return min(timer.blocked_autorange(min_run_time=3).times)


def work_of_step(name: str) -> Work:
    """Return the work of a vanilla step of a kind of network."""
    with TemporaryDirectory() as folder:
        return work_of(case_of_kind(Path(folder), KINDS[name]).ours("vanilla"))


def work_of(training: Training) -> Work:
    """Count what a step computes (GFLOP) and keeps for its backward passes (MB)."""
    weights = {p.untyped_storage().data_ptr() for p in training.network.parameters()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    step = our_step(training)
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda x: x):
        step()
    return {"gflop": counter.get_total_flops() / 1e9, "kept_mb": sum(kept.values()) / 1e6}


def methods(network: str) -> list[Row]:
    """Return a row for each balancing method: the operations of a step over those of `joint`, and its memory."""
    with TemporaryDirectory() as folder:
        work = {name: work_of(t) for name, t in build_methods(network, Path(folder)).items()}
    least = work["joint"]["gflop"]
    return [
        {
            "network": network,
            "method": name,
            "operations": of["gflop"] / least,
            "kept_mb": of["kept_mb"],
        }
        for name, of in work.items()
    ]


def floor(machine: Mapping[str, float], measured: Mapping[str, float]) -> list[Row]:
    """Return a row for each network: the least seconds of a step beside the measured ones.

    Least: all operations at the rate of the matrix product, or all that is kept written once and read once
    at the rate of the copy, whichever takes longer. No step gets there, since batch norms, for one,
    read their input twice; a convolution by an algorithm of fewer operations could.

    Args:
        machine: As `rates` gives it.
        measured: Network -> CPU seconds of a vanilla step; those that are missing have no row.
    """
    rows = []
    for name, seconds in measured.items():
        work = work_of_step(name)
        operations = work["gflop"] / machine["gflop_s"]
        memory = 2 * work["kept_mb"] / 1e3 / machine["gb_s"]
        least = {"operations": operations, "memory": memory, "floor": max(operations, memory)}
        rows.append({"network": name, **work, **least, "measured": seconds})
    return rows
