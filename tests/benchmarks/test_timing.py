"""How benchmarks are run; no test says how long anything takes."""

import sys

import pytest

from benchmarks.__main__ import BENCHMARKS, history
from benchmarks.floor import methods
from benchmarks.study import Command, scale_of
from benchmarks.timing import Benchmark, measure
from benchmarks.training import COMPARED
from equimodal.study.expansion import expand_runs
from equimodal.study.methods import METHODS
from equimodal.study.params import load_params
from equimodal.study.report.performance import FOLLOWED


def test_calls_take_turns_after_each_was_made_once(capsys):
    calls = {side: lambda side=side: print(side, end="") for side in "ab"}
    benchmark = Benchmark("", lambda folder: calls, (("b", "a"),), number=2, rounds=3)
    times, ratios = measure("turns", benchmark)
    assert capsys.readouterr().out == "ab" + "aabb" + "bbaa" + "aabb"
    assert [(row["call"], row["rounds"]) for row in times] == [("a", 3), ("b", 3)]
    assert [(row["call"], row["against"]) for row in ratios] == [("b", "a")]


def test_a_command_that_fails_ends_the_benchmark_with_what_it_said(tmp_path):
    command = Command([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)
    with pytest.raises(RuntimeError, match="no such thing"):
        command()


@pytest.mark.parametrize("runs", [100, 1000, 10_000])
def test_a_scale_for_the_workflow_asks_for_so_many_runs(runs, project):
    (project.folder / "config/scales/many.yaml").write_text(scale_of(runs))
    assert len(expand_runs(load_params(scale="many"))) == runs


def test_what_is_followed_over_time_is_measured():
    assert {name.partition(" ")[0] for name in FOLLOWED} <= set(BENCHMARKS)


def test_the_history_has_one_entry_a_commit(tmp_path):
    path, machine = tmp_path / "machine.json", {"date": "2026-01-02", "commit": "b"}
    times = [{"benchmark": "step", "call": "guided", "cpu": 0.5}]
    path.write_text('{"history": [{"commit": "a"}, {"commit": "b", "cpu": {}}]}')
    after = history(path, {"times": times, "machine": machine})
    assert after == [{"commit": "a"}, machine | {"cpu": {"step guided": 0.5}}]


@pytest.mark.parametrize("network", COMPARED)
def test_a_method_computes_what_its_rule_needs_and_no_more(network):
    trained = {*METHODS, "vanilla", "random", "guided"} - {"ensemble"}
    work = {row["method"]: row["operations"] for row in methods(network)}
    assert set(work) == trained
    passes = {"agm": 3}  # with both modalities, and with each alone
    # A backward pass more for each branch, but none to the images.
    assert 1.5 < work.pop("mmpareto") < 2
    assert work == pytest.approx({method: passes.get(method, 1) for method in work}, rel=1e-3)
