"""Which runs one job of the workflow trains and evaluates."""

import json
from collections import Counter

import pytest

from equimodal.study import layout
from equimodal.study.cells import STARTING, UNKNOWN_STEP, cells, memory_mb, minutes_of
from equimodal.study.expansion import expand_runs
from equimodal.study.paces import Pace, keep, kind_of, paces_known, paces_with_the_code, run_seconds
from equimodal.study.params import load_params
from tests.conftest import ROOT, scales_in_git

RUN = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
PACE = Pace(step=2.0, example=0.0, bank=0.0, cpu=1.0, memory=300.0, basis="a guess")
SCALES = scales_in_git()


def kinds_of(scale):
    settings = load_params(ROOT / "params.yaml", scale)
    return {kind_of(spec, settings) for spec in expand_runs(settings).values()}


@pytest.fixture(params=["demo", "tiny", "own_colors"])
def settings(request):
    return load_params(ROOT / "params.yaml", request.param)


@pytest.mark.parametrize("minutes", [0.01, 0.5, 1e6])
def test_each_run_is_in_one_cell_with_runs_that_share_data_start_and_experiments(settings, minutes):
    specs = expand_runs(settings)
    asked = {e: expand_runs(settings, e) for e in settings.experiments}
    found = cells(settings, minutes)
    assert Counter(run for cell in found.values() for run in cell) == Counter(list(specs))
    for runs in found.values():
        shared = {
            (specs[r].dataset, specs[r].pretrained, *(e for e in asked if r in asked[e]))
            for r in runs
        }
        assert len(shared) == 1


def test_a_cell_lasts_about_as_long_as_asked_for_and_a_longer_run_is_alone():
    demo = load_params(ROOT / "params.yaml", "demo")
    specs, paces = expand_runs(demo), paces_with_the_code()

    def minutes(run):
        spec = specs[run]
        return run_seconds(spec, demo.datasets[spec.dataset], paces[kind_of(spec, demo)]) / 60

    longest = max(map(minutes, specs))
    for asked in (0.5, 2.0):
        lasts = [sum(map(minutes, runs)) for runs in cells(demo, asked).values()]
        assert max(lasts) <= max(asked, longest)
        assert len(lasts) < 2 * sum(map(minutes, specs)) / asked + 15  # a group leaves one unfilled
    assert set(map(len, cells(demo, 1e-6).values())) == {1}


def test_of_what_was_never_measured_a_cell_takes_as_many_steps_as_a_guess_says(project):
    project.edit("config/scales/tiny.yaml", "widths: [2, 2, 2, 2]", "widths: [3, 3, 3, 3]")
    unknown = project.load()
    minutes = 1.01 * 3 * 4 * UNKNOWN_STEP / 60  # three runs of four steps
    (cell,) = (runs for runs in cells(unknown, minutes).values() if RUN in runs)
    assert len(cell) == 3
    assert [RUN] in cells(unknown, minutes / 3).values()


def test_what_was_measured_here_changes_estimates_and_no_cell(project):
    tiny = project.load()
    before, kind = cells(tiny, 0.5), kind_of(expand_runs(tiny)[RUN], tiny)
    keep({kind: PACE}, "cpu")
    assert paces_known()[kind] == PACE != paces_with_the_code()[kind]
    assert paces_known("cuda") == {}
    assert cells(tiny, 0.5) == before


@pytest.mark.parametrize("scale", SCALES)
def test_every_kind_of_network_that_a_scale_asks_for_has_a_pace_with_the_code(scale):
    """`equimodal estimate --measure` writes a new one to results/paces-cpu.json; its line belongs into paces.json."""
    assert not kinds_of(scale) - {*paces_with_the_code()}


def test_no_pace_comes_with_the_code_that_no_scale_asks_for():
    assert not {*paces_with_the_code()} - set().union(*map(kinds_of, SCALES))


def test_paces_are_kept_beside_those_of_other_kinds_and_the_latest_counts(project):
    kinds = [json.dumps({"dataset": name}) for name in "ab"]
    for kind in (*kinds, kinds[0]):
        keep({kind: PACE}, "cuda:1")
    assert paces_known("cuda") == dict.fromkeys(kinds, PACE)
    assert json.loads(layout.paces("cuda").read_text())[0]["kind"] == {"dataset": "a"}


def test_a_job_asks_for_what_its_runs_were_measured_to_take_and_for_more_at_each_attempt(project):
    tiny = project.load()
    spec = expand_runs(tiny)[RUN]
    paces = {kind_of(spec, tiny): PACE}  # 4 steps of 2 seconds, 300 MB

    def asked(**how):
        return minutes_of([spec, spec], tiny, paces, **how)

    assert asked(attempt=1) == STARTING + 1  # 16 seconds
    assert asked(attempt=3) == 3 * asked(attempt=1)
    memory = [memory_mb([spec], tiny, paces, device="cpu", attempt=a) for a in (1, 2)]
    assert memory == [600 + 450, 1575]
    unknown = memory_mb([spec], tiny, {}, device="cpu", attempt=1)
    assert unknown > memory[0]
    assert memory_mb([spec], tiny, paces, device="cuda", attempt=1) > memory[0]
