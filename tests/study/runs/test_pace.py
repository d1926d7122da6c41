import re

import pytest

from equimodal.study.expansion import expand_runs
from equimodal.study.params import load_params
from equimodal.study.runs import pace
from equimodal.study.runs.pace import measure_run, size_of
from tests.conftest import ROOT


def test_a_network_takes_what_its_parameters_take_and_one_of_one_modality_is_evaluated_in_one_way():
    runs = expand_runs(load_params(ROOT / "params.yaml", "paper"))
    size = size_of(runs["modelnet40/distinct/vanilla/paper/lr0.1/seed0"])
    assert size.weights == pytest.approx(4 * 23_773_008, rel=0.01)  # and batch norm's buffers
    assert size.ways == 7
    assert size_of(runs["colored_mnist/gray/vanilla/paper/lr0.01/seed0"]).ways == 1


@pytest.mark.parametrize("dataset", ["colored_mnist", "modelnet40", "nvgesture"])
def test_the_pace_of_every_kind_of_network_can_be_measured_without_data(
    project, monkeypatch, dataset
):
    monkeypatch.setattr(pace, "SECONDS", 0.01)
    settings = project.load()
    specs = expand_runs(settings).values()
    spec = next(s for s in specs if s.dataset == dataset and len(s.modalities) == 2)
    found = measure_run(spec, settings, "cpu")
    assert min(found.step, found.example, found.bank) > 0
    assert found.memory > 10
    assert re.match(r"measured on .+, torch [\d.]+.*: median of 3 steps on", found.basis)


@pytest.mark.parametrize("policy", ["ensemble", "g_blend"])
def test_a_method_that_reads_other_runs_is_timed_without_them(monkeypatch, policy):
    monkeypatch.setattr(pace, "SECONDS", 0.01)
    settings = load_params(ROOT / "params.yaml", "methods")
    specs = expand_runs(settings).values()
    spec = next(s for s in specs if s.policy == policy and s.fidelity == "without_fusion")
    found = measure_run(spec, settings, "cpu")
    assert found.step > 0
    assert found.epoch > found.step  # cosines of twenty batches


def test_of_large_clips_few_are_timed_and_a_step_is_that_of_the_whole_batch(project, monkeypatch):
    monkeypatch.setattr(pace, "SECONDS", 0.01)
    settings = project.load()
    specs = expand_runs(settings).values()
    spec = next(s for s in specs if s.dataset == "nvgesture" and len(s.modalities) == 2)
    monkeypatch.setattr(pace, "VALUES", 2 * 2 * 8 * 16 * 16 * 3)  # two clips of two sensors
    counted = pace._seconds_of_steps
    monkeypatch.setattr(
        pace, "_seconds_of_steps", lambda training: [1.0 for _ in counted(training)]
    )
    found = measure_run(spec, settings, "cpu")
    assert found.step == spec.training.batch_size / 2
    assert f" 3 steps with 2 of {spec.training.batch_size} examples on random data" in found.basis
