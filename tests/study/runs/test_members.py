"""Runs that read files of other runs: of whole ones alone, of these settings, that ended well."""

import json

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from equimodal.study import layout, receipts
from equimodal.study.cli import app
from equimodal.study.expansion import expand_runs
from tests.conftest import run_verb

SCALE = """like: tiny
presets:
  without_fusion: {base: paper, network: {fused_after: []}}
experiments:
  methods:
    - {dataset: colored_mnist, inputs: [color, gray], policy: [vanilla], fidelity: [without_fusion], rates: [RATE], seeds: 1}
    - {dataset: colored_mnist, inputs: [distinct], policy: [ensemble], fidelity: [without_fusion], rates: [RATE], seeds: 1}
  table1: []
  sweep: []
  sweep_balanced: []
  l1: []
  sensitivity: []
  three_views: []
"""
AT = ("--scale", "mine")


@pytest.fixture
def made(project):
    """The runs of a scale whose members are trained, the ensemble last."""

    def of(rate):
        runs = [*expand_runs(project.load_scale(SCALE.replace("RATE", str(rate))))]
        for verb in ("fetch", "prepare"):
            run_verb(verb, "colored_mnist", *AT)
        run_verb("cell", *runs[:2], *AT)
        return runs

    return of


def refused(*words):
    ended = CliRunner().invoke(app, [*words, *AT])
    assert ended.exit_code != 0
    return f"{ended.output}{ended.exception}"


def test_an_altered_member_is_not_read(made):
    *members, ensemble = made(0.01)
    path = layout.model("mine", members[0])
    weights = torch.load(path)
    torch.save({name: 0 * x for name, x in weights.items()}, path)
    assert f"{path} can not be used: its bytes are not those" in refused("train", ensemble)


def test_a_member_of_other_settings_is_not_read(made, project):
    *members, ensemble = made(0.01)
    longer = SCALE.replace("RATE", "0.01") + "training:\n  colored_mnist: {max_epochs: 2}\n"
    project.load_scale(longer)
    said = refused("train", ensemble)
    assert "made with other settings" in said
    assert f"run `equimodal train {members[0]} --scale mine`" in said


def test_a_member_that_was_never_trained_is_asked_for(made):
    *members, ensemble = made(0.01)
    layout.training_receipt("mine", members[0]).unlink()
    assert f"run `equimodal train {members[0]} --scale mine`" in refused("train", ensemble)


def test_what_was_made_of_members_before_they_were_trained_again_is_not_collected(made):
    *members, ensemble = made(0.01)
    run_verb("cell", ensemble, *AT)
    run_verb("collect", *AT)
    path, model = layout.training_receipt("mine", members[0]), layout.model("mine", members[0])
    torch.save({name: 0 * x for name, x in torch.load(model).items()}, model)
    old = receipts.read(path)
    files = [receipts.file_of(path, name) for name in old.files]
    kept = {"settings": old.settings, "code": old.code, "inputs": old.inputs}
    receipts.write(path, step=old.step, files=files, **kept)
    run_verb("evaluate", members[0], *AT)
    assert f"{model} is another one than it was made of" in refused("collect")


def test_of_a_failed_member_nothing_is_made_but_a_failed_run(made):
    """At this rate the running variances have no bounds before the loss has none."""
    *_, ensemble = made("1.0e+20")
    run_verb("cell", ensemble, *AT)
    run_verb("collect", *AT)
    runs = pd.read_csv(layout.table("mine", "runs")).set_index("run")
    assert runs["status"].tolist() == ["failed"] * 3
    assert "of a run that failed" in runs.loc[ensemble, "reason"]
    assert runs["accuracy"].isna().all()


def test_statistics_without_bounds_fail_a_run_whose_losses_are_finite(made):
    """Or it would be neither finished nor failed, as it has no finite answers; here `cell` has to pass."""
    *members, _ = made("1.0e+8")
    ends = [json.loads((layout.run("mine", m) / layout.OUTCOME).read_text()) for m in members]
    reasons = [end["reason"] for end in ends if end["status"] == "failed"]
    assert any("running statistics" in reason for reason in reasons)


def test_a_checkpoint_stays_until_the_receipt_is_written(made, monkeypatch):
    """What fails in between takes nothing that took long."""
    run, *_ = made(0.01)
    checkpoint = layout.checkpoint_in(layout.scratch("mine"), run)

    def full(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(receipts, "write", full)
        refused("train", run, "--again", "--checkpoint-minutes", "0")
    assert checkpoint.exists()
    run_verb("train", run, "--again", "--checkpoint-minutes", "0", *AT)
    assert not checkpoint.exists()


def test_where_its_cost_can_not_be_written_nothing_is_trained(made):
    *_, ensemble = made(0.01)
    place = layout.benchmark("mine", "train", ensemble)
    place.mkdir(parents=True)
    assert "is a folder, expected a file to write" in refused("train", ensemble)
    assert not layout.run("mine", ensemble).exists()
