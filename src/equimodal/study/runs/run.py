"""The train verb: from a spec and prepared data to a run folder and the weights.

A run folder holds `spec.json`, `outcome.json` (how it ended, the chosen epoch, on which machine),
`history.csv` (a row an epoch) and `steps.npz` (mode and speeds of every step). The weights are those of the chosen epoch.
"""

import csv
import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from equimodal.metrics.sparsity import fraction_below
from equimodal.study import layout
from equimodal.study.code import code_hash
from equimodal.study.data.split import Split, load_split
from equimodal.study.errors import UserError, first_line
from equimodal.study.files import require_places, save_arrays, write_aside
from equimodal.study.methods import METHODS
from equimodal.study.pickles import load_torch
from equimodal.study.runs.build import build_network
from equimodal.study.runs.graphed import CudaGraph
from equimodal.study.runs.loop import Training
from equimodal.study.spec import RunSpec
from equimodal.study.turns import Walk, alone

HASHED = 2**28  # bytes of an array that its hash looks at; of more, every so many examples

Report = Callable[[Training], None]


def train_run(spec: RunSpec, *, scratch: Path, device: str = "cpu", **how: Any) -> dict[str, Any]:
    """Train a run as `walk_run` does, given the same, from its first step to its last; return its outcome.

    A signal that stops it, such as SIGTERM, has it save a checkpoint after the step first. At the end that is removed.
    """
    devices = [device] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices):
        outcome = alone(walk_run(spec, scratch=scratch, device=device, **how))
    layout.checkpoint_in(scratch, spec.name).unlink(missing_ok=True)
    return outcome


def walk_run(
    spec: RunSpec,
    *,
    data: Path,
    out: Path,
    model: Path,
    scratch: Path,
    device: str = "cpu",
    graphs: bool = False,
    checkpoint_seconds: float = 60.0,
    checkpoint_share: float = 0.02,
    report: Report = lambda training: None,
) -> Walk[dict[str, Any]]:
    """Train a run, going on from its checkpoint if it was stopped before; the walk returns its outcome.

    It yields after each step what saves a checkpoint. A run whose loss is not finite is finished all the same, with
    `status: failed` and the reason in its outcome: the other runs go on, and tables show it as missing.

    `model` is the file for the weights, and `scratch` the folder for the checkpoint. It stays: whoever has written the
    receipt removes it, so that nothing is lost in between. Between two checkpoints are `checkpoint_seconds` or more:
    writing them takes at most `checkpoint_share` of the time. `graphs` has a GPU take steps as a whole, where that can be.

    UserError before the first step, if data or weights are missing or damaged, or a file can not be written.
    """
    checkpoint = layout.checkpoint_in(scratch, spec.name)
    require_places(*(out / name for name in layout.RUN_FILES), model, checkpoint)
    splits: dict[str, Split] = {
        name: load_split(
            data,
            name,
            modalities=spec.modalities,
            classes=spec.classes,
            clip=spec.augmentation.clip,
            device=device,
        )
        for name in ("train", "validation", "test")
        if name in ("train", "test", spec.validation)
    }
    graph = CudaGraph if graphs and torch.device(device).type == "cuda" else None
    training = Training(spec, splits, device, graph=graph)
    identity = cache(partial(_identity, spec, splits))  # it reads much; short runs never need it
    if checkpoint.exists():
        try:
            restore(training, checkpoint, identity())
        except UserError as error:
            print(f"{error}. Starting anew.", file=sys.stderr)
            training = Training(spec, splits, device, graph=graph)

    due = time.monotonic() + checkpoint_seconds

    def save() -> None:
        nonlocal due
        begun = time.monotonic()
        with write_aside(checkpoint) as aside, aside.open("wb") as file:
            torch.save({"identity": identity()} | training.state(), file)
        ended = time.monotonic()
        due = ended + max(checkpoint_seconds, (ended - begun) * (1 / checkpoint_share - 1))

    for _ in training.walk():
        report(training)
        if time.monotonic() >= due:
            save()
        yield save
    yield save
    outcome = _outcome(training)
    _write(training, outcome, out, model)
    return outcome


def restore(training: Training, path: Path, identity: str) -> None:
    """Have a training go on from its checkpoint.

    UserError if the file is damaged, holds anything but tensors and plain values, or belongs to another spec, other data or
    another version of the code. The training is then spoiled.
    """
    state = load_torch(path, str(training.device))
    found = state.pop("identity", None) if isinstance(state, dict) else None
    if found != identity:
        raise UserError(
            f"{path} belongs to another spec, other data or another version of the code: {found},"
            f" expected {identity}"
        )
    try:
        training.restore(state)
    except Exception as error:  # whatever is missing in it or has another shape
        raise UserError(f"{path} is not a checkpoint of ours ({first_line(error)})") from error


def _identity(spec: RunSpec, splits: dict[str, Split]) -> str:
    """Hash of all that a checkpoint belongs to, so that no other is ever taken for it."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    own = [f"equimodal.training.methods.{spec.policy}"] if spec.policy in METHODS else []
    code = code_hash(__name__, f"equimodal.models.{spec.network.kind}", *own)
    digest.update(code.encode())
    for path in spec.reads:
        digest.update(Path(path).read_bytes())
    for name, split in splits.items():
        digest.update(name.encode() + split.labels.cpu().numpy().tobytes())
        for array in split.arrays.values():
            step = math.ceil(array.nbytes / HASHED)
            digest.update(array[::step].cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _outcome(training: Training) -> dict[str, Any]:
    progress = training.progress
    ran = {
        "steps": progress.steps,
        "epochs": len(progress.rows),
        "reached_perfect": progress.perfect_epochs > 0,
        "trained_on": machine(training.device),
    }
    if progress.failure:
        missing: dict[str, Any] = {"best_epoch": None, "left_behind": None, "parameters_below": {}}
        return {"status": "failed", "reason": progress.failure} | ran | missing
    # The mode that the chosen epoch's last step left behind is the name of an evaluation.
    left_behind = progress.rows[progress.best_epoch - 1].get("next_mode")
    return (
        {"status": "finished", "reason": None}
        | ran
        | {
            "best_epoch": progress.best_epoch,
            "left_behind": left_behind,
            "parameters_below": _parameters_below(training),
        }
    )


def machine(device: torch.device) -> str:
    """Name what decides how floating-point numbers come out: the processor and the release of torch."""
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    else:
        about = Path("/proc/cpuinfo")
        lines = about.read_text().splitlines() if about.is_file() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        named = models[0] if models else platform.processor() or platform.machine()
        processor = f"{named} ({torch.backends.cpu.get_cpu_capability()})"
    return f"{processor}, torch {torch.__version__}"


def _parameters_below(training: Training) -> dict[str, float]:
    """Share of the chosen epoch's parameters whose absolute value is below each threshold."""
    network = build_network(training.spec)
    network.load_state_dict(training.best_weights)
    return {
        f"{threshold:g}": fraction_below(network.parameters(), threshold)
        for threshold in training.spec.training.sparsity_thresholds
    }


def _write(training: Training, outcome: dict[str, Any], out: Path, model: Path) -> None:
    rows = training.progress.rows
    with write_aside(out / "history.csv") as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    save_arrays(out / "steps.npz", training.steps())
    with write_aside(model) as aside, aside.open("wb") as file:
        torch.save(training.best_weights, file)
    with write_aside(out / "outcome.json") as aside:
        aside.write_text(json.dumps(outcome, indent=2) + "\n")
    with write_aside(out / "spec.json") as aside:
        aside.write_text(training.spec.model_dump_json(indent=2) + "\n")
