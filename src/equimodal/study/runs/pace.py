"""Times a few real training steps on random data, so that an estimate has something to go by."""

import math
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from equimodal.study.cost import peak_memory
from equimodal.study.data.split import LENGTHS, SCALE, Split, load_split
from equimodal.study.estimate import Size
from equimodal.study.methods import METHODS
from equimodal.study.paces import Pace, label_of
from equimodal.study.params import Params
from equimodal.study.runs.build import build_network
from equimodal.study.runs.loop import Training
from equimodal.study.runs.run import machine
from equimodal.study.runs.score import COSINE_BATCHES, mean_cosines, predict
from equimodal.study.spec import RunSpec
from equimodal.training.evaluate import evaluations

STEPS = 4  # of an epoch, of which the first, slower than the others, is not counted
SECONDS = 4.0  # at least, of training a kind of network
VALUES = 2**25  # of a batch; of clips so large that it has more, fewer are timed


def size_of(spec: RunSpec) -> Size:
    """Build the network without memory for its weights and see what its files take."""
    with torch.device("meta"):
        network = build_network(spec, "meta")
        ways = len(evaluations(network))
    weights = sum(x.numel() * x.element_size() for x in network.state_dict().values())
    more = ("permuted", "class_mean") if len(spec.modalities) > 1 else ()
    return Size(weights, ways + len(more))


def measure(
    kinds: Mapping[str, RunSpec], settings: Params, device: str
) -> Iterator[tuple[str, Pace]]:
    """Measure the pace of a run of each kind, each in a process of its own; yield each as it is known."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for kind, spec in kinds.items():
            print(f"Measuring {label_of(kind)} ...", file=sys.stderr, flush=True)
            found = pool.submit(measure_run, spec, settings, device).result()
            print(f"  {found.step:.3g} s a step", file=sys.stderr, flush=True)
            yield kind, found


def measure_run(spec: RunSpec, settings: Params, device: str) -> Pace:
    """Measure the pace of a run by short epochs of training, and by evaluating what they saw.

    As in the workflow, a process computes with one thread. The pace is the median over steps. A method of others is timed
    as vanilla training, as `Method.pace` says how much longer it takes.
    """
    torch.set_num_threads(1)
    dataset = settings.datasets[spec.dataset]
    shapes = {m.source: dataset.shape(m.source) for m in spec.modalities.values()}
    batch = min(spec.training.batch_size, max(1, VALUES // _values(spec, shapes)))
    one_epoch = spec.training.model_copy(update={"max_epochs": 1, "batch_size": batch})
    short = spec.model_copy(update={"training": one_epoch, "pretrained": None})
    if spec.policy in METHODS:
        vanilla = {"policy": "vanilla", "parameters": None, "members": None}
        short = short.model_copy(update=vanilla)
    whole = spec.training.batch_size / batch
    with TemporaryDirectory() as folder:
        split = _random_split(Path(folder), short, shapes, device)
        splits = {"train": split, "test": split, spec.validation: split}
        steps: list[float] = []
        started, cpu = _now(device), time.process_time()
        while not steps or _now(device) - started < SECONDS:
            training = Training(short, splits, device)
            steps += _seconds_of_steps(training)
        cpu = (time.process_time() - cpu) / (_now(device) - started)
        before = _now(device)
        predict(training.network, split)
        example = (_now(device) - before) / len(split)
        epoch = 0.0
        if "cosines" in spec.switches.measured and len(spec.modalities) > 1:
            before = _now(device)
            mean_cosines(training.network, split, batch)
            batches = min(COSINE_BATCHES, ceil(dataset.sizes["train"] / spec.training.batch_size))
            epoch = batches * whole * (_now(device) - before) / STEPS
    of_batch = f" with {batch} of {spec.training.batch_size} examples" if whole > 1 else ""
    sizes, branches = dataset.sizes, len(spec.modalities)
    # The bank: passes over the training set for means, of all classes and, with several branches, of
    # each; one over the test set for each way, and the permuted way takes one for each branch.
    passes = min(branches, 2) * sizes["train"] + (size_of(spec).ways + branches - 1) * sizes["test"]
    return Pace(
        step=statistics.median(steps) * whole,
        example=example,
        epoch=epoch,
        bank=passes * example,
        cpu=cpu if torch.device(device).type == "cpu" else float("nan"),
        memory=_peak_memory(device) * whole,  # at most: a part of it is no example's
        basis=(
            f"measured on {machine(torch.device(device))}: median of {len(steps)} steps{of_batch} on random"
            " data, without the start of a process"
        ),
    )


def _values(spec: RunSpec, shapes: Mapping[str, list[int]]) -> int:
    """Values that a network sees of one example."""
    clip = spec.augmentation.clip
    of_clip = None if clip is None else (clip.frames, clip.crop, clip.crop)
    return sum(
        math.prod(of_clip or shapes[x.source][:-1]) * x.channels for x in spec.modalities.values()
    )


def _seconds_of_steps(training: Training) -> list[float]:
    """Train to the end; return how long each step but the first took."""
    times: list[float] = []
    training.run(lambda training: times.append(_now(str(training.device))))
    return [b - a for a, b in pairwise(times)]


def _random_split(
    folder: Path, spec: RunSpec, shapes: Mapping[str, list[int]], device: str
) -> Split:
    """Store random examples for `STEPS` batches as `prepare` would, and load them as `train` does."""
    generator = np.random.default_rng(0)
    n = STEPS * spec.training.batch_size
    for source, shape in shapes.items():
        values = generator.integers(0, 256, (n, *shape), np.uint8)
        np.save(folder / f"train.{source}.npy", values)
        np.save(folder / f"train.{source}.{SCALE}.npy", [[128], [128]])
    np.save(folder / "train.labels.npy", generator.integers(0, spec.classes, n, np.uint8))
    np.save(folder / "train.ids.npy", np.arange(n, dtype=np.int32))
    first = next(iter(shapes.values()))
    np.save(folder / f"train.{LENGTHS}.npy", np.full(n, first[0], np.int32))
    return load_split(
        folder,
        "train",
        modalities=spec.modalities,
        classes=spec.classes,
        clip=spec.augmentation.clip,
        device=device,
    )


def _now(device: str) -> float:
    """Seconds, once the device has done all it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_memory(device: str) -> float:
    """MB that this process has taken at its peak, on the device where there is one."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e6
    return peak_memory()
