import copy
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from equimodal.errors import UserError
from equimodal.spec import read_spec
from equimodal.training.logit_bank import evaluate_run
from equimodal.training.loop import Training
from equimodal.training.run import read_checkpoint, train_run

from .conftest import small_spec

GUIDED = "colored_mnist/distinct/guided/paper/lr0.01/seed0"
VANILLA = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
RANDOM = "colored_mnist/distinct/random/paper/lr0.01/seed0"
RUBI = "colored_mnist/distinct/rubi/paper/lr0.01/seed0"
GRAY = "colored_mnist/gray/vanilla/paper/lr0.01/seed0"


def run(spec, splits):
    training = Training(spec, splits(spec))
    training.run()
    return training


def history(training):
    return pd.DataFrame(training.progress.rows)


@pytest.mark.parametrize("name", [GUIDED, VANILLA, GRAY])
def test_a_row_an_epoch_with_all_that_is_promised(name, splits):
    training = run(small_spec(name), splits)
    rows = history(training)
    assert list(rows["epoch"]) == [1, 2, 3]
    assert list(rows["steps"]) == [5, 10, 15]  # 36 examples in batches of 8
    accuracies = rows.filter(like="accuracy")
    assert accuracies.stack().between(0, 1).all()
    modalities = training.network.modalities
    assert {f"{s}_accuracy_{m}" for s in ("train", "test") for m in modalities} <= set(rows)
    if len(modalities) > 1:
        kinds = rows[["regular_steps", "rebalance_color_steps", "rebalance_gray_steps"]]
        assert (kinds.sum(axis=1) == 5).all()
        assert {"speed_color", "speed_gray"} <= set(rows)


def test_every_policy_starts_from_the_same_weights_and_batches(splits):
    vanilla, guided = (history(run(small_spec(n), splits)) for n in (VANILLA, GUIDED))
    first = [c for c in vanilla if c != "next_mode"]
    assert vanilla.loc[0, first].equals(guided.loc[0, first])  # the warm-up epoch is the same
    assert not vanilla.loc[2, first].equals(guided.loc[2, first])


def test_another_seed_is_another_training(splits):
    a, b = (history(run(small_spec(VANILLA, seed=s), splits)) for s in (0, 1))
    assert not a.equals(b)


@pytest.mark.parametrize("name", [GUIDED, RANDOM, RUBI])
@pytest.mark.parametrize("stop_after", [1, 5, 7, 14])
def test_a_training_stopped_at_any_step_goes_on_to_the_same_bytes(
    name, stop_after, splits, tmp_path
):
    spec = small_spec(name)
    whole = run(spec, splits)

    def kill(training):
        if training.progress.steps == stop_after:
            torch.save(training.state(), tmp_path / "checkpoint.pt")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(spec, splits(spec)).run(kill)
    resumed = Training(spec, splits(spec))
    resumed.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    resumed.run()
    assert history(resumed).to_csv() == history(whole).to_csv()
    a, b = whole.best_weights, resumed.best_weights
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert all(np.array_equal(x, resumed.steps()[k]) for k, x in whole.steps().items())


def with_dropout(training):
    for branch in training.network.branches.values():
        branch.stages[-1] = torch.nn.Sequential(branch.stages[-1], torch.nn.Dropout())
    return training


def test_every_step_of_every_seed_draws_its_own_dropout(splits, monkeypatch):
    def seeds_of(spec):
        training, given = Training(spec, splits(spec)), []
        with monkeypatch.context() as patch:
            patch.setattr(torch, "manual_seed", given.append)
            training.run()
        return given

    one, other = (seeds_of(small_spec(GUIDED, seed=s)) for s in (0, 1))
    assert len(one) == len(set(one)) == 15
    assert not set(one) & set(other)


def test_dropout_goes_on_where_a_training_was_stopped(splits):
    """The same masks whatever torch was seeded with, which is left as it was."""
    spec = small_spec(GUIDED)
    whole, plain = with_dropout(Training(spec, splits(spec))), Training(spec, splits(spec))
    torch.manual_seed(1)
    outside = torch.get_rng_state()
    whole.run()
    assert torch.equal(torch.get_rng_state(), outside)
    plain.run()
    saved = {}

    def kill(training):
        if training.progress.steps == 7:
            saved.update(copy.deepcopy(training.state()))
            raise KeyboardInterrupt

    torch.manual_seed(2)
    with pytest.raises(KeyboardInterrupt):
        with_dropout(Training(spec, splits(spec))).run(kill)
    resumed = with_dropout(Training(spec, splits(spec)))
    resumed.restore(saved)
    resumed.run()
    assert history(resumed).to_csv() == history(whole).to_csv()
    assert history(plain).to_csv() != history(whole).to_csv()


def test_training_stops_after_enough_perfect_epochs(splits):
    spec = small_spec(
        GRAY, learning_rate=0.1, training={"max_epochs": 300}, switches={"perfect_epochs": 2}
    )
    training = run(spec, splits)
    perfect = [row["train_accuracy"] == 1.0 for row in training.progress.rows]
    assert sum(perfect) == 2
    assert perfect[-1]


def test_the_checkpoint_is_the_first_epoch_of_the_best_validation_accuracy(splits):
    training = run(small_spec(GUIDED, training={"max_epochs": 8}), splits)
    accuracies = [row["validation_accuracy"] for row in training.progress.rows]
    assert training.progress.best_epoch == 1 + int(np.argmax(accuracies))


def test_a_loss_that_is_not_finite_fails_the_run_at_that_step(splits):
    training = run(small_spec(GUIDED, learning_rate=1e30), splits)
    assert "learning rate 1e+30" in training.progress.failure
    assert f"step {training.progress.steps}" in training.progress.failure
    assert training.progress.steps < 5


def places(folder):
    """Where a run goes below a folder."""
    return {"out": folder / "run", "model": folder / "model.pt", "scratch": folder / "scratch"}


def test_the_same_spec_gives_the_same_bytes(prepared, tmp_path):
    spec = small_spec(GUIDED)
    data = prepared(spec)
    for name in ("a", "b"):
        out, model = tmp_path / name, tmp_path / name / "model.pt"
        train_run(spec, data=data, out=out, model=model, scratch=tmp_path / "scratch")
        evaluate_run(out, model=model, data=data, out=out / "logits.npz")
    a, b = tmp_path / "a", tmp_path / "b"
    files = {file.name for file in a.iterdir()}
    names = {"spec.json", "outcome.json", "history.csv", "steps.npz", "model.pt", "logits.npz"}
    assert files == names
    for file in files:
        assert (a / file).read_bytes() == (b / file).read_bytes(), file


def test_the_bank_holds_every_way_of_evaluating(prepared, tmp_path):
    spec = small_spec(GUIDED)
    data = prepared(spec)
    train_run(spec, data=data, **places(tmp_path))
    evaluate_run(
        tmp_path / "run", model=tmp_path / "model.pt", data=data, out=tmp_path / "logits.npz"
    )
    bank = np.load(tmp_path / "logits.npz")
    ways = ("regular", "rebalance_color", "rebalance_gray")
    ways += ("isolated", "zeroed", "permuted", "class_mean")
    assert set(bank) == {"ids", "labels"} | {f"{w}/{m}" for w in ways for m in ("color", "gray")}
    assert all(bank[k].shape == (20, 10) and bank[k].dtype == np.float16 for k in bank if "/" in k)


def test_a_bank_holds_the_answers_on_the_test_examples_biased_as_those_for_training(
    prepared, tmp_path
):
    spec = small_spec(GUIDED)
    data = prepared(spec)
    images = np.load(data / "test.color.npy")
    np.save(data / "test.color_by_label.npy", images[::-1])
    train_run(spec, data=data, **places(tmp_path))
    banks = {}
    for name, by_label in {
        "same": {"color": "color"},
        "other": {"color": "color_by_label"},
    }.items():
        evaluate_run(
            tmp_path / "run",
            model=tmp_path / "model.pt",
            data=data,
            out=tmp_path / name,
            by_label=by_label,
        )
        banks[name] = np.load(tmp_path / name)
    for way in ("regular", "isolated"):
        for m in ("color", "gray"):
            same, other = (banks[name] for name in ("same", "other"))
            assert (same[f"{way}_by_label/{m}"] == same[f"{way}/{m}"]).all()
            assert (other[f"{way}/{m}"] == same[f"{way}/{m}"]).all()
        # The gray branch, isolated, does not see the color.
        assert (other[f"{way}_by_label/color"] != other[f"{way}/color"]).any()
    assert (other["isolated_by_label/gray"] == other["isolated/gray"]).all()


def test_a_failed_run_is_finished_with_its_reason_and_an_empty_bank(prepared, tmp_path):
    spec = small_spec(GUIDED, learning_rate=1e30)
    data = prepared(spec)
    outcome = train_run(spec, data=data, **places(tmp_path))
    evaluate_run(
        tmp_path / "run", model=tmp_path / "model.pt", data=data, out=tmp_path / "logits.npz"
    )
    assert outcome["status"] == "failed"
    assert outcome["best_epoch"] is None
    assert "the loss became" in outcome["reason"]
    assert set(np.load(tmp_path / "logits.npz")) == {"ids", "labels"}


def test_a_stopped_run_goes_on_from_its_checkpoint_and_removes_it(prepared, tmp_path):
    spec = small_spec(VANILLA)
    where = places(tmp_path) | {"data": prepared(spec), "checkpoint_seconds": 0}

    def kill(training):
        if training.progress.steps == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(spec, report=kill, **where)
    seen = []
    train_run(spec, report=lambda t: seen.append(t.progress.steps), **where)
    assert seen[0] == 7  # the checkpoint of step 6 was the last
    assert not list((tmp_path / "scratch").rglob("*.pt"))


def test_a_stopped_run_starts_anew_on_other_data(prepared, tmp_path, capsys):
    spec = small_spec(VANILLA)
    data = prepared(spec)
    where = places(tmp_path) | {"data": data, "checkpoint_seconds": 0}

    def kill(training):
        if training.progress.steps == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(spec, report=kill, **where)
    labels = np.load(data / "train.labels.npy")
    labels[0] = (labels[0] + 1) % spec.classes
    np.save(data / "train.labels.npy", labels)
    seen = []
    train_run(spec, report=lambda t: seen.append(t.progress.steps), **where)
    assert seen[0] == 1
    assert "belongs to another spec" in capsys.readouterr().err


def test_the_branch_that_rubi_adds_learns(splits):
    training = Training(small_spec(RUBI), splits(small_spec(RUBI)))
    before = [p.clone() for p in training.policy.parameters()]
    training.run()
    after = training.policy.parameters()
    assert before
    assert not any(torch.equal(p, q) for p, q in zip(before, after, strict=True))


def test_the_schedule_goes_on_where_a_training_was_stopped(splits):
    spec = small_spec(VANILLA, switches={"schedule": True})
    at_once = spec.training.schedule.model_copy(update={"patience": 1, "threshold": 0.99})
    spec = spec.model_copy(
        update={"training": spec.training.model_copy(update={"schedule": at_once})}
    )
    whole = run(spec, splits)
    rates = history(whole)["learning_rate"]
    saved = {}

    def kill(training):
        if training.progress.epoch == 3:
            saved.update(copy.deepcopy(training.state()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(spec, splits(spec)).run(kill)
    resumed = Training(spec, splits(spec))
    resumed.restore(saved)
    resumed.run()
    assert resumed.optimizer.param_groups[0]["lr"] < rates[0]
    assert resumed.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]


def test_a_spec_of_another_version_is_refused_by_name(tmp_path):
    (tmp_path / "spec.json").write_text('{"dataset": "x"}')
    with pytest.raises(
        UserError, match=r"spec\.json is damaged or of another version \(inputs: Field required\)"
    ):
        read_spec(tmp_path)


def test_damaged_weights_are_refused_by_name(prepared, tmp_path):
    spec = small_spec(GRAY)
    data = prepared(spec)
    train_run(spec, data=data, **places(tmp_path))
    (tmp_path / "model.pt").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"model\.pt does not hold the weights"):
        evaluate_run(
            tmp_path / "run", model=tmp_path / "model.pt", data=data, out=tmp_path / "logits.npz"
        )


def test_loss_and_speeds_are_finite_numbers(splits):
    rows = history(run(small_spec(GUIDED), splits))
    assert all(math.isfinite(x) for x in rows.select_dtypes("number").to_numpy().ravel())


def test_a_checkpoint_of_another_spec_is_refused_by_name(tmp_path):
    torch.save({"identity": "another"}, tmp_path / "c.pt")
    with pytest.raises(
        UserError, match=r"c\.pt belongs to another spec, .*: another, expected this"
    ):
        read_checkpoint(tmp_path / "c.pt", "this")


def test_a_checkpoint_with_foreign_types_is_refused_by_name(tmp_path):
    torch.save({"identity": "this", "x": Path("somewhere")}, tmp_path / "c.pt")
    with pytest.raises(UserError, match=r"c\.pt is not a checkpoint"):
        read_checkpoint(tmp_path / "c.pt", "this")


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from equimodal.spec import RunSpec
from equimodal.training.run import train_run

spec = RunSpec.model_validate_json(Path(sys.argv[1]).read_text(), strict=True)
def kill(training):
    if training.progress.steps == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1]).parent
train_run(spec, data=folder, out=folder / "killed", model=folder / "killed.pt",
          scratch=folder / "scratch",
          checkpoint_seconds=0, report=kill)
"""


def test_a_run_killed_hard_twice_ends_in_the_same_bytes(prepared, tmp_path):
    spec = small_spec(RANDOM)
    data = prepared(spec)
    where = {"out": tmp_path / "whole", "model": tmp_path / "whole.pt"}
    train_run(spec, data=data, scratch=tmp_path / "other", **where)
    (tmp_path / "killed.json").write_text(spec.model_dump_json())
    for step, code in ((6, -9), (11, -9), (99, 0)):
        command = [sys.executable, "-c", KILLED, tmp_path / "killed.json", str(step)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    for file in ("{}/outcome.json", "{}/history.csv", "{}/steps.npz", "{}.pt"):
        whole, killed = (tmp_path / file.format(name) for name in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()
