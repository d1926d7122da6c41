"""How fast runs of a kind are: what was measured here, and what comes with the code."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from equimodal.study import layout
from equimodal.study.data.dataset import Dataset
from equimodal.study.files import is_there, read_text, reading, write_text
from equimodal.study.methods import METHODS
from equimodal.study.params import Params
from equimodal.study.spec import RunSpec

WITH_THE_CODE = Path(__file__).with_name("paces.json")


@dataclass(frozen=True)
class Pace:
    """How fast runs of a kind are, and how that is known."""

    step: float  # wall-clock seconds of a training step
    example: float  # of evaluating one example at the end of an epoch; 0 if `step` holds it
    bank: float  # of the evaluate verb, a run
    cpu: float  # CPU seconds of a wall-clock second; NaN if not known
    memory: float  # MB of the process at its peak; of the device where there is one
    basis: str
    epoch: float = 0.0  # at the end of an epoch, beside evaluating


def kind_of(spec: RunSpec, settings: Params) -> str:
    """All that decides what a step costs, as text: runs of a kind are of a pace, but for `Method.pace`.

    Policy, penalty, preset and the channels of the inputs matter little and are not in it.
    """
    dataset = settings.datasets[spec.dataset]
    sizes = [dataset.shape(modality.source)[:-1] for modality in spec.modalities.values()]
    decides = {
        "dataset": spec.dataset,
        "branches": len(spec.modalities),
        "classes": spec.classes,
        "network": spec.network.model_dump(mode="json"),
        "batch": spec.training.batch_size,
        "clip": None if spec.augmentation.clip is None else spec.augmentation.clip.model_dump(),
        "size": sizes[0] if sizes.count(sizes[0]) == len(sizes) else sizes,
    }
    if spec.switches.arithmetic != "float32":
        decides["arithmetic"] = spec.switches.arithmetic
    if spec.switches.measured:
        decides["measured"] = [*spec.switches.measured]
    return json.dumps(decides, sort_keys=True)


def label_of(kind: str) -> str:
    """Name of a kind for readers."""
    decides = json.loads(kind)
    branches = decides["branches"]
    return f"{decides['dataset']} with {branches} branch{'es' * (branches > 1)}"


def most_steps(spec: RunSpec, dataset: Dataset) -> int:
    """Steps of a run that never stops early."""
    return spec.training.max_epochs * -(-dataset.sizes["train"] // spec.training.batch_size)


def steps_worth(spec: RunSpec, steps: float) -> float:
    """Steps of the paper's policies that take as long as so many of a run."""
    return steps * (METHODS[spec.policy].pace if spec.policy in METHODS else 1.0)


def run_seconds(spec: RunSpec, dataset: Dataset, pace: Pace) -> float:
    """Wall-clock seconds of training a run to its last epoch, and of evaluating it."""
    sizes = dataset.sizes
    end = pace.epoch + (sizes["validation"] + sizes["test"]) * pace.example
    steps = steps_worth(spec, most_steps(spec, dataset))
    return steps * pace.step + spec.training.max_epochs * end + pace.bank


def paces_known(device: str = "cpu") -> dict[str, Pace]:
    """Pace of each kind that was measured in this folder, or else comes with the code (CPUs only)."""
    here = layout.paces(device)
    with_the_code = _read(WITH_THE_CODE) if device == "cpu" else {}
    return with_the_code | (_read(here) if is_there(here) else {})


def paces_with_the_code() -> dict[str, Pace]:
    """Pace of each kind that comes with the code: the same everywhere."""
    return _read(WITH_THE_CODE)


def keep(found: Mapping[str, Pace], device: str) -> None:
    """Add paces to those that were measured in this folder; of a kind the latest counts."""
    path = layout.paces(device)
    every = (_read(path) if is_there(path) else {}) | dict(found)
    rows = [{"kind": json.loads(kind), **asdict(pace)} for kind, pace in sorted(every.items())]
    lines = ",\n".join(json.dumps(row) for row in rows)
    write_text(f"[\n{lines}\n]\n", path)


def _read(path: Path) -> dict[str, Pace]:
    with reading(path, "paces of runs", "remove it, and run `equimodal estimate --measure`"):
        rows = json.loads(read_text(path))
        return {json.dumps(row.pop("kind"), sort_keys=True): Pace(**row) for row in rows}
