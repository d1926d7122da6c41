import json
from dataclasses import replace

import numpy as np
import pytest

from equimodal.study import layout
from equimodal.study.estimate import (
    Size,
    as_text,
    data_bytes,
    estimate,
    explain,
    paces_from_benchmarks,
    run_bytes,
)
from equimodal.study.expansion import expand_runs
from equimodal.study.paces import Pace, kind_of, label_of, most_steps, run_seconds, steps_worth
from equimodal.study.params import load_params
from tests.conftest import ROOT
from tests.study.report.test_costs import benchmark

RUN = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
PACE = Pace(step=2.0, example=0.5, bank=100.0, cpu=0.5, memory=300.0, basis="a guess")


@pytest.fixture(scope="module")
def paper():
    return load_params(ROOT / "params.yaml", "paper")


@pytest.fixture
def tiny(project):
    return project.load()


def spec_of(settings, name=RUN):
    return expand_runs(settings)[name]


def test_the_splits_of_the_paper_scale_are_the_papers(paper):
    sizes = {name: dataset.sizes for name, dataset in paper.datasets.items()}
    assert sizes["colored_mnist"] == {"train": 60_000, "validation": 0, "test": 10_000}
    assert sizes["modelnet40"] == {"train": 7_875, "validation": 1_968, "test": 2_468}
    assert sizes["nvgesture"] == {"train": 840, "validation": 210, "test": 482}


def test_the_splits_of_stand_ins_are_counted_by_class(tiny):
    assert tiny.datasets["colored_mnist"].sizes == {"train": 200, "validation": 0, "test": 4_800}
    sizes = tiny.datasets["nvgesture"].sizes
    assert (sizes["train"] + sizes["validation"], sizes["validation"]) == (8, 2)
    assert sizes["test"] == 4


def test_an_epoch_of_modelnet40_has_the_985_steps_of_the_official_code(paper):
    spec = spec_of(paper, "modelnet40/distinct/vanilla/paper/lr0.1/seed0")
    assert most_steps(spec, paper.datasets["modelnet40"]) == 299 * 985


def test_what_is_gray_is_stored_with_one_channel(paper):
    data = paper.datasets
    assert data["colored_mnist"].shape("color") == [28, 28, 3]
    assert data["modelnet40"].shape("view6") == [224, 224, 1]
    assert data["nvgesture"].shape("color") == [80, 256, 256, 3]
    assert data["nvgesture"].shape("depth") == [80, 256, 256, 1]


def test_the_prepared_data_of_the_paper_scale_take_what_their_shapes_say(paper):
    stored = 1 + 3 * 4  # gray, and four colorings
    assert data_bytes(paper.datasets["colored_mnist"]) == 70_000 * 28 * 28 * stored
    assert data_bytes(paper.datasets["modelnet40"]) == 12_311 * 224 * 224 * 4  # views
    assert data_bytes(paper.datasets["nvgesture"]) == 1_532 * 80 * 256 * 256 * 4


def test_a_run_lasts_as_many_seconds_as_its_steps_evaluations_and_bank(tiny):
    dataset = tiny.datasets["colored_mnist"]
    # One epoch: 200 training examples in batches of 50, 4,800 evaluated at its end.
    assert run_seconds(spec_of(tiny), dataset, PACE) == 4 * 2.0 + 4_800 * 0.5 + 100


def test_a_method_of_others_counts_as_many_steps_of_the_paper_s_as_it_was_measured_to_take(paper):
    dataset, vanilla = paper.datasets["colored_mnist"], spec_of(paper)
    steps = most_steps(vanilla, dataset)
    assert steps_worth(vanilla, steps) == steps
    for policy, pace in {"agm": 3.0, "ensemble": 0.0}.items():
        spec = vanilla.model_copy(update={"policy": policy})
        assert kind_of(spec, paper) == kind_of(vanilla, paper)
        more = run_seconds(spec, dataset, PACE) - run_seconds(vanilla, dataset, PACE)
        assert more == pytest.approx((pace - 1) * steps * PACE.step)


def test_the_end_of_an_epoch_may_measure_more_than_accuracy(tiny):
    dataset = tiny.datasets["colored_mnist"]
    longer = replace(PACE, epoch=7.0)
    more = run_seconds(spec_of(tiny), dataset, longer) - run_seconds(spec_of(tiny), dataset, PACE)
    assert more == 7.0


def test_a_run_folder_holds_weights_logits_and_steps(tiny):
    dataset = tiny.datasets["colored_mnist"]
    logits = 4_800 * (3 * 2 * 10 * 2 + 16)  # ways, branches, classes, half floats; label and id
    assert run_bytes(spec_of(tiny), dataset, Size(weights=1_000, ways=3)) == (
        1_000 + logits + 4 * (1 + 2 * 4)
    )


def test_runs_that_differ_in_policy_or_preset_are_of_one_kind_and_branches_make_another(paper):
    kind = kind_of(spec_of(paper), paper)
    assert kind == kind_of(spec_of(paper, RUN.replace("vanilla/paper", "guided/official")), paper)
    assert kind != kind_of(spec_of(paper, RUN.replace("distinct", "gray")), paper)
    assert label_of(kind) == "colored_mnist with 2 branches"


def test_runs_of_another_scale_are_of_another_kind(paper, tiny):
    assert kind_of(spec_of(paper), paper) != kind_of(spec_of(tiny), tiny)


def measured(settings, name, *, train, steps, bank):
    folder = layout.benchmarks(settings.scale)
    benchmark(folder, f"train/{name}", train, 400, train / 2)
    benchmark(folder, f"evaluate/{name}", bank, 500, bank)
    out = layout.run(settings.scale, name)
    out.mkdir(parents=True)
    (out / "outcome.json").write_text(json.dumps({"steps": steps}))


def test_the_pace_of_a_kind_is_that_of_all_its_runs_together(tiny):
    measured(tiny, RUN, train=10, steps=10, bank=3)
    measured(tiny, RUN.replace("vanilla", "guided"), train=20, steps=20, bank=5)
    ((kind, pace),) = paces_from_benchmarks(tiny).items()
    assert kind == kind_of(spec_of(tiny), tiny)
    assert (pace.step, pace.bank, pace.cpu, pace.memory) == (1.0, 4.0, 0.5, 500.0)
    assert pace.basis == "benchmark files of 2 runs of the tiny scale, 30 steps"


def test_a_run_without_all_of_its_files_is_no_measurement(tiny):
    measured(tiny, RUN, train=10, steps=10, bank=3)
    (layout.run("tiny", RUN) / "outcome.json").unlink()
    assert paces_from_benchmarks(tiny) == {}


def costs_of(settings, paces):
    kinds = {kind_of(s, settings) for s in expand_runs(settings).values()}
    sizes = dict.fromkeys(kinds, Size(1_000, 3))
    return estimate(settings, settings.experiments, paces, sizes).set_index("experiment")


def test_what_was_never_measured_has_no_invented_number(tiny):
    table = costs_of(tiny, {})
    assert table["hours"].isna().all()
    assert table["unknown"].tolist() == table["runs"].tolist()
    assert "unknown" in as_text(table.reset_index())
    assert (table["run_gb"] > 0).all()


def test_what_asks_for_nothing_costs_nothing(tiny):
    table = costs_of(tiny.model_copy(update={"leave_out": ("*/three/*",)}), {})
    assert table.loc["three_views", ["runs", "hours", "cpu_hours", "memory_mb"]].tolist() == [0] * 4
    assert np.isnan(table.loc["table1", "hours"])


def test_kinds_of_one_data_set_are_told_apart_by_their_networks(paper):
    told = explain(paper, ["fidelity"], {})
    assert len({sentence.split(":")[0] for sentence in told}) == len(told)
    kims = [s for s in told if "kernels [5, 3, 3, 3]" in s.split(":")[0]]
    assert len(kims) == 1
    assert "kind" not in kims[0].split(":")[0]


def test_a_run_that_two_experiments_ask_for_counts_once_together(tiny):
    kinds = {kind_of(s, tiny) for s in expand_runs(tiny).values()}
    table = costs_of(tiny, dict.fromkeys(kinds, PACE))
    assert table.loc["together", "runs"] == len(expand_runs(tiny))
    assert table["unknown"].eq(0).all()
    assert table["cpu_hours"].to_numpy() == pytest.approx(table["hours"].to_numpy() / 2)


def test_every_kind_says_what_its_estimate_is_based_on_or_how_to_get_one(tiny):
    kind = kind_of(spec_of(tiny), tiny)
    told = explain(tiny, tiny.experiments, {kind: PACE})
    assert "colored_mnist with 2 branches: 2 s a step; a guess." in told
    lacking = [s for s in told if "no measurement" in s]
    assert len(lacking) == len(told) - 1
    assert all("snakemake results/tiny/banks/" in s and "scale=tiny" in s for s in lacking)


def test_an_unknown_number_of_cpu_hours_is_said_to_be_unknown(tiny):
    kinds = {kind_of(s, tiny) for s in expand_runs(tiny).values()}
    table = costs_of(tiny, dict.fromkeys(kinds, Pace(1, 0, 0, np.nan, 1, "cuda")))
    assert "unknown" in as_text(table.reset_index())
