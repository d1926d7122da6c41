"""Shared by all tests: nothing from outside, a project of the tiny scale, hand-made run folders."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

# As the command line has it. Tests side by side would wait for one another's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

from equimodal.linear.settings import LinearSettings, load_linear
from equimodal.study import layout, receipts
from equimodal.study.cli import app
from equimodal.study.params import MIRROR_VARIABLE, Params, load_params

ROOT = Path(__file__).parents[1]
# For a tenth of the digits: leaves 200 to train, as the tiny scale does.
TEST_DIGITS = "config/scales/tiny.yaml", "test_per_class: 480", "test_per_class: 30"

# How long an example takes says more of a shared machine than of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def scales_in_git() -> list[str]:
    """Names of the scales that git has: users add others, of which no test says anything."""
    command = ["git", "ls-files", "config/scales"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(file).stem for file in listed.splitlines()]


def pytest_collection_modifyitems(items):
    """Longest first: side by side, no core is idle while another works at them alone."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture(autouse=True, scope="session")
def _alone_on_this_machine():
    """No mirror of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(MIRROR_VARIABLE, raising=False)
        yield


@dataclass(frozen=True)
class Project:
    """A folder with the settings of the real project at the tiny scale."""

    folder: Path

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text where it first stands in a file: the first data set is colored_mnist."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{old!r} does not stand in {file}"
        path.write_text(text.replace(old, new, 1))

    def load(self) -> Params:
        return load_params(self.folder / "params.yaml")

    def load_scale(self, text: str) -> Params:
        """Settings of a scale `mine`, with this text for its file."""
        (self.folder / "config/scales/mine.yaml").write_text(text)
        return load_params(scale="mine")

    def add_preset(self, settings: str) -> None:
        """Add a preset `mine`."""
        self.edit("params.yaml", "\npresets:\n", f"\npresets:\n  mine: {settings}\n")

    def load_linear(self) -> LinearSettings:
        """Settings of the second paper."""
        return load_linear(self.load(), self.folder / "params.yaml")


def make_project(folder: Path) -> Project:
    """Copy the settings to `folder`, with the tiny scale chosen."""
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copy(ROOT / "params.yaml", folder)
    project = Project(folder)
    project.edit("params.yaml", "\nscale: demo ", "\nscale: tiny ")
    return project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of the tiny scale, and the tests in it."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


def run_verb(*words: str):
    """Run a verb, which has to succeed; what it printed is `stdout`, `stderr` and `output`."""
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    return ended


LABELS = np.arange(10)


def right_answers(count, *, sure):
    """Logits for the digits 0 to 9: the first `count` answers are right, the others wrong."""
    answers = np.where(np.arange(10) < count, LABELS, (LABELS + 1) % 10)
    return (sure * np.eye(10)[answers]).astype(np.float16)


def write_run(folder, spec, right, *, bank=None, model=None, speeds=(), reason=None):
    """Make a run folder and its logit bank by hand, of ten test examples and one epoch.

    Args:
        folder: Where it goes.
        spec: Its `RunSpec`.
        right: Way of evaluating -> right answers out of ten, of each branch. The first branch is
            surer than the second, and so has its way in the prediction.
        bank: File of the logit bank; `logits.npz` in the folder if None.
        model: File of the weights, which are none; `model.pt` in the folder if None.
        speeds: Conditional learning speed of each branch after the epoch.
        reason: Why the run failed, in its first epoch; None if it did not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    branches = list(spec.modalities)
    (folder / "spec.json").write_text(spec.model_dump_json())
    outcome = {
        "status": "failed" if reason else "finished",
        "reason": reason,
        "steps": 4,
        "epochs": 0 if reason else 1,
        "best_epoch": None if reason else 1,
        "reached_perfect": False,
        "trained_on": "a processor, torch 2",
        "left_behind": None if reason or len(branches) == 1 else f"rebalance_{branches[-1]}",
        "parameters_below": {"0.01": 0.25},
    }
    (folder / "outcome.json").write_text(json.dumps(outcome))
    row = {"epoch": 1, "steps": 4, "validation_accuracy": 0.5, "test_accuracy": 0.5}
    row |= {f"test_accuracy_{m}": 0.1 * (b + 1) for b, m in enumerate(branches)}
    row |= {f"speed_{m}": speed for m, speed in zip(branches, speeds, strict=len(speeds) > 0)}
    row |= {f"rebalance_{m}_steps": b for b, m in enumerate(branches)}
    row |= {"next_mode": f"rebalance_{branches[-1]}"}
    pd.DataFrame([] if reason else [row]).to_csv(folder / "history.csv", index=False)
    logits = {
        f"{evaluation}/{m}": right_answers(count, sure=2 - b)
        for evaluation, counts in right.items()
        for b, (m, count) in enumerate(zip(branches, counts, strict=True))
    }
    modes = np.array([-1, -1, 0, 1], np.int8)  # regular, regular, then one branch after the other
    measured = np.arange(4.0)[:, None] + np.arange(len(branches)) / 10
    np.savez(folder / "steps.npz", modes=modes, speeds=measured)
    bank = bank or folder / "logits.npz"
    bank.parent.mkdir(parents=True, exist_ok=True)
    np.savez(bank, ids=LABELS, labels=LABELS, **logits)
    model = model or folder / "model.pt"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(spec.name.encode())
    sign_run(folder, spec, bank=bank, model=model)


def write_result(spec, right, **how):
    """Make a run of the tiny scale by hand, where the verbs leave it."""
    bank, model = layout.bank("tiny", spec.name), layout.model("tiny", spec.name)
    write_run(layout.run("tiny", spec.name), spec, right, bank=bank, model=model, **how)


def sign_run(folder, spec, *, bank, model):
    """Write the receipts of a run and of its bank. What it reads are weights that `write_run` makes, their names."""
    folders = {path: layout.folder_of(Path(path)) for path in spec.reads}
    names = {path: f.relative_to("results/tiny/runs").as_posix() for path, f in folders.items()}
    trained = receipts.write(
        folder / receipts.NAME,
        step=f"train {spec.name}",
        settings=spec.model_dump(mode="json"),
        code="",
        inputs={path: sha256(name.encode()).hexdigest() for path, name in names.items()},
        files=[*(folder / name for name in layout.RUN_FILES), model],
    )
    (digest,) = (d for name, d in trained.files.items() if name.endswith(".pt"))
    receipts.write(
        bank.with_suffix(".json"),
        step=f"evaluate {spec.name}",
        settings=None,
        code="",
        inputs={model.as_posix(): digest},
        files=[bank],
    )
