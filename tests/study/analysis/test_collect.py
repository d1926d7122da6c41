import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from equimodal.study import layout, receipts
from equimodal.study.analysis.collect import Earlier, collect, failures, of_experiment
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.table_files import read_table, write_table
from tests.conftest import sign_run, write_run

CELL = "colored_mnist/{}/paper/lr0.01/seed0"
GRAY, VANILLA, GUIDED = (
    CELL.format(cell) for cell in ("gray/vanilla", "distinct/vanilla", "distinct/guided")
)
NAN = float("nan")
REASON = "the loss became nan by step 3 (epoch 1) at learning rate 0.01"


def collect_from(specs, folders, experiments, earlier=None):
    """Collect runs that `write_run` made, each bank in its folder."""
    banks = {name: folder / "logits.npz" for name, folder in folders.items()}

    def check(spec):
        receipts.require(banks[spec.name].with_suffix(".json"), "evaluate the run again")
        return receipts.require(folders[spec.name] / receipts.NAME, "train the run again")

    return collect(specs, folders, banks, check, experiments, earlier)


@pytest.fixture
def specs(project):
    return expand_runs(project.load())


@pytest.fixture
def tables(tmp_path, specs):
    """Two finished runs and a failed one, as tables."""
    folders = {name: tmp_path / name for name in (GRAY, VANILLA, GUIDED)}
    write_run(folders[GRAY], specs[GRAY], {"regular": (7,)})
    right = {
        "regular": (8, 5),
        "rebalance_color": (6, 5),
        "rebalance_gray": (8, 3),
        "isolated": (4, 4),
        "regular_by_label": (10, 8),
        "isolated_by_label": (9, 4),
    }
    write_run(folders[VANILLA], specs[VANILLA], right, speeds=(-1.0, -1.5))
    write_run(folders[GUIDED], specs[GUIDED], {}, reason=REASON)
    return collect_from(specs, folders, {"table1": {GRAY, VANILLA, GUIDED}, "sweep": {VANILLA}})


@pytest.fixture
def row(tables):
    """The row of a run."""
    return tables["runs"].set_index("run").loc


@pytest.fixture
def accuracy(tables):
    """Accuracy of a run by way of evaluating and output."""
    table = tables["evaluations"]
    assert not table.duplicated(["run", "evaluation", "output"]).any()
    return table.set_index(["run", "evaluation", "output"])["accuracy"]


def test_a_utilization_rate_is_the_share_lost_without_the_other_modality(row):
    """Once more on digits colored by label."""
    run = row[VANILLA]
    rates = ["u_m1_given_m0", "u_m0_given_m1", "d_util"]
    right = [(0.8 - 0.4) / 0.8, (0.5 - 0.4) / 0.5]  # branch 0: 8 right, then 4; branch 1: 5, then 4
    assert run[rates].tolist() == pytest.approx([*right, 0.5 - 0.2])
    # 10 right, then 9; 8 right, then 4
    assert run[[f"{r}_by_label" for r in rates]].tolist() == pytest.approx([0.1, 0.5, 0.1 - 0.5])


def test_the_speeds_are_those_of_the_chosen_epoch(row):
    run = row[VANILLA]
    assert (run["s_m1_given_m0"], run["s_m0_given_m1"]) == (-1.0, -1.5)
    assert run["d_speed"] == 0.5


def test_of_three_branches_there_are_neither_rates_nor_speeds_of_a_pair(tmp_path, specs):
    name = next(name for name in specs if "/three/" in name)
    right = {"regular": (8, 5, 6), "isolated": (4, 4, 4)}
    write_run(tmp_path / "run", specs[name], right, speeds=(-1.0, -1.5, -2.0))
    run = collect_from(specs, {name: tmp_path / "run"}, {})["runs"].iloc[0]
    assert run["accuracy_m1"] == 0.5
    assert run[["d_util", "s_m1_given_m0", "s_m0_given_m1", "d_speed"]].isna().all()


def test_every_output_has_its_accuracy_under_every_way_of_evaluating(accuracy):
    """The mode left behind is a way too, and the prediction is the mean of the branches: the first is surer."""
    wanted = {"regular": (0.8, 0.5, 0.8), "rebalance_m0": (0.6, 0.5, 0.6)}
    wanted |= dict.fromkeys(("rebalance_m1", "left_behind"), (0.8, 0.3, 0.8))
    wanted |= {"isolated": (0.4, 0.4, 0.4)}
    found = accuracy[VANILLA].unstack()[["m0", "m1", "fused"]]
    assert {way: (*found.loc[way],) for way in wanted} == wanted
    assert accuracy[GRAY, "regular", "fused"] == accuracy[GRAY, "regular", "m0"] == 0.7


def test_modalities_are_m0_and_m1_and_two_columns_say_which(tables, row):
    assert (row[VANILLA]["m0"], row[VANILLA]["m1"]) == ("color", "gray")
    assert row[GRAY]["m0"] == "gray"
    assert pd.isna(row[GRAY]["m1"])
    words = {word for table in tables.values() for column in table for word in column.split("_")}
    assert not words & {"color", "gray"}


def test_the_branch_gray_is_not_taken_for_the_branch_gray_copy(tmp_path, specs):
    name = next(name for name in specs if "/identical/" in name)
    right = {"regular": (8, 5), "rebalance_gray": (6, 5), "rebalance_gray_copy": (8, 3)}
    write_run(tmp_path / "run", specs[name], right, speeds=(-1.0, -1.5))
    tables = collect_from(specs, {name: tmp_path / "run"}, {})
    (history,) = tables["histories"].to_dict("records")
    assert (history["speed_m0"], history["speed_m1"]) == (-1.0, -1.5)
    assert (history["test_accuracy_m0"], history["test_accuracy_m1"]) == (0.1, 0.2)
    assert (history["rebalance_m0_steps"], history["rebalance_m1_steps"]) == (0, 1)
    accuracy = tables["evaluations"].set_index(["evaluation", "output"])["accuracy"]
    assert (accuracy["rebalance_m0", "m0"], accuracy["rebalance_m1", "m1"]) == (0.6, 0.3)


@pytest.mark.parametrize("word", ["accuracy", "steps", "mean", "label", "speed", "loss"])
def test_a_modality_may_have_a_name_that_other_columns_end_with(tmp_path, specs, word):
    spec = specs[VANILLA]
    modalities = dict(zip((word, "other"), spec.modalities.values(), strict=True))
    spec = spec.model_copy(update={"modalities": modalities})
    right = {"regular": (8, 5), f"rebalance_{word}": (6, 5), "class_mean": (5, 5)}
    right |= {"regular_by_label": (9, 5)}
    write_run(tmp_path / "run", spec, right, speeds=(-1.0, -1.5))
    tables = collect_from({VANILLA: spec}, {VANILLA: tmp_path / "run"}, {})
    history, evaluated = tables["histories"], set(tables["evaluations"]["evaluation"])
    assert {"validation_accuracy", "test_accuracy_m0", "speed_m0", "rebalance_m1_steps"} < {
        *history
    }
    assert {"class_mean", "regular_by_label", "rebalance_m0", "rebalance_m1"} - evaluated <= {
        "rebalance_m1"
    }


def test_a_failed_run_is_a_row_with_its_reason_and_nothing_measured(row, tables):
    failed = row[GUIDED]
    assert (failed["status"], failed["reason"]) == ("failed", REASON)
    assert failed[["accuracy", "accuracy_m1", "d_util", "d_speed", "best_epoch"]].isna().all()
    for name in ("evaluations", "histories"):
        assert set(tables[name]["run"]) == {GRAY, VANILLA}
    assert failures(tables["runs"]) == [f"{GUIDED} failed: {REASON}."]


def test_only_failed_runs_still_give_tables(tmp_path, specs):
    write_run(tmp_path / "run", specs[GUIDED], {}, reason=REASON)
    tables = collect_from(specs, {GUIDED: tmp_path / "run"}, {"table1": {GUIDED}})
    names = ("runs", "evaluations", "histories")
    assert [len(tables[name]) for name in names] == [1, 0, 0]


def test_many_runs_without_results_are_one_sentence(tmp_path, specs):
    write_run(tmp_path / "run", specs[GUIDED], {"regular": (8, 5)}, speeds=(0.0, 0.0))
    made = collect_from(specs, {GUIDED: tmp_path / "run"}, {})["runs"]
    missing = [made.assign(run=f"run{i}", status="missing", reason="why") for i in range(4)]
    of_three, of_four = (failures(pd.concat([made, *missing[:n]])) for n in (3, 4))
    assert of_three == [f"run{i} has no results: why." for i in range(3)]
    assert of_four == ["4 of 5 runs have no results, run0 for one: why."]


def test_a_run_belongs_to_every_experiment_that_asks_for_it(tables):
    assert of_experiment(tables["runs"], "table1")["run"].tolist() == [GRAY, VANILLA, GUIDED]
    assert of_experiment(tables["runs"], "sweep")["run"].tolist() == [VANILLA]
    assert len(of_experiment(tables["runs"], "table")) == 0


def test_settings_name_the_cell_of_a_run(row):
    run = row[GUIDED]
    assert (run["dataset"], run["inputs"], run["policy"]) == ("colored_mnist", "distinct", "guided")
    assert (run["learning_rate"], run["seed"]) == (0.01, 0)
    assert (row[GRAY]["method"], row[VANILLA]["method"]) == ("unimodal", "vanilla")


def test_a_branch_that_is_never_right_has_no_utilization_rate(tmp_path, specs):
    right = {"regular": (0, 5), "isolated": (0, 4)}
    write_run(tmp_path / "run", specs[VANILLA], right, speeds=(0.0, 0.0))
    (run,) = collect_from(specs, {VANILLA: tmp_path / "run"}, {})["runs"].to_dict("records")
    assert np.isnan(run["u_m1_given_m0"])
    assert np.isnan(run["d_util"])


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-10])


def folder(path):
    path.unlink()
    path.mkdir()


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("damage", [cut_short, folder, link_to_itself])
@pytest.mark.parametrize("file", ["spec.json", "outcome.json", "history.csv", "logits.npz"])
def test_a_damaged_run_is_no_gap_in_the_tables(tmp_path, specs, file, damage):
    write_run(tmp_path / "run", specs[VANILLA], {"regular": (8, 5)}, speeds=(0.0, 0.0))
    damage(tmp_path / "run" / file)
    write_run(tmp_path / "other", specs[GRAY], {"regular": (7,)})
    with pytest.raises(UserError, match=rf"run/{file} .*the run again"):
        collect_from(specs, {VANILLA: tmp_path / "run", GRAY: tmp_path / "other"}, {})


def test_a_folder_that_is_gone_while_its_bank_is_there_is_no_gap_in_the_tables(tmp_path, specs):
    write_run(tmp_path / "run", specs[VANILLA], {"regular": (8, 5)}, speeds=(0.0, 0.0))
    for name in (*layout.RUN_FILES, receipts.NAME):
        (tmp_path / "run" / name).unlink()
    write_run(tmp_path / "other", specs[GRAY], {"regular": (7,)})
    with pytest.raises(UserError, match=r"run/receipt\.json .*the run again"):
        collect_from(specs, {VANILLA: tmp_path / "run", GRAY: tmp_path / "other"}, {})


@pytest.mark.parametrize(("part", "step"), [("logits", "evaluate"), (None, "train")])
def test_what_was_never_made_is_a_row_that_says_so(tmp_path, specs, part, step):
    write_run(tmp_path / "run", specs[VANILLA], {"regular": (8, 5)}, speeds=(0.0, 0.0))
    if part:
        for suffix in (".npz", ".json"):
            (tmp_path / f"run/{part}{suffix}").unlink()
    else:
        shutil.rmtree(tmp_path / "run")
    write_run(tmp_path / "other", specs[GRAY], {"regular": (7,)})
    tables = collect_from(specs, {VANILLA: tmp_path / "run", GRAY: tmp_path / "other"}, {})
    missing, whole = tables["runs"].to_dict("records")
    assert (missing["status"], missing["reason"]) == ("missing", f"{step} the run first")
    assert missing["policy"] == "vanilla"
    assert np.isnan(missing["accuracy"])
    assert (whole["status"], whole["accuracy"]) == ("finished", 0.7)
    (sentence,) = failures(tables["runs"])
    assert sentence == f"{VANILLA} has no results: {step} the run first."


def edit_outcome(**changes):
    def damage(run):
        path = run / "outcome.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def edit_arrays(name, change):
    def damage(run):
        with np.load(run / name) as file:
            arrays = dict(file)
        change(arrays)
        np.savez(run / name, **arrays)

    return damage


def edit_history(change):
    def damage(run):
        path = run / "history.csv"
        change(pd.read_csv(path)).to_csv(path, index=False)

    return damage


def bank_with(name, change):
    """A damage of the logit bank: an array of it changed, or without it where that is None."""

    def alter(arrays):
        array = arrays.pop(name)
        if change is not None:
            arrays[name] = change(array)

    return edit_arrays("logits.npz", alter)


def with_value(value):
    def change(array):
        array = array.astype(float)
        array[(3,) * array.ndim] = value
        return array

    return change


REGULAR = "regular/gray"
READABLE_DAMAGES = {  # what is named -> how the run folder is altered
    "outcome.json is damaged (status": edit_outcome(status="stopped"),
    "outcome.json is damaged (parameters_below": edit_outcome(parameters_below={"0.01": NAN}),
    "outcome.json is damaged (best_epoch": edit_outcome(best_epoch=0),
    "outcome.json is damaged (all of it": lambda run: (run / "outcome.json").write_text("null"),
    "history.csv is damaged (it has no 7)": edit_outcome(best_epoch=7),
    "lacks the columns ['validation_accuracy']": edit_history(lambda table: table.drop(columns="validation_accuracy")),
    "history.csv is damaged (test_accuracy holds 'x', no number)": edit_history(lambda table: table.assign(test_accuracy="x")),
    "steps.npz is damaged ((4,) modes and (2, 2) speeds": edit_arrays("steps.npz", lambda arrays: arrays.update(speeds=arrays["speeds"][:2])),
    "steps.npz is damaged (index": edit_arrays("steps.npz", lambda arrays: arrays.update(modes=arrays["modes"] + 7)),
    "logits.npz is damaged (it has no 'labels')": bank_with("labels", None),
    "logits.npz is damaged (it has no 'regular/gray')": bank_with(REGULAR, None),
    "logits.npz is damaged (regular/m0 has shape (10, 10) for 9": bank_with("labels", lambda labels: labels[:-1]),
    "labels are float64 of shape (10,)": bank_with("labels", lambda labels: labels * 0.5),
    "labels are int64 of shape (10, 1)": bank_with("labels", lambda labels: labels[:, None]),
    "labels from 1 to 10 for 10 classes": bank_with("labels", lambda labels: labels + 1),
    "labels from -1 to 8 for 10 classes": bank_with("labels", lambda labels: labels - 1),
    "regular/m1 has logits that are not finite": bank_with(REGULAR, with_value(NAN)),
    "has logits that are not finite": bank_with(REGULAR, with_value(np.inf)),
    "logits.npz is of a run that failed": edit_arrays("logits.npz", lambda arrays: [arrays.pop(k) for k in list(arrays) if "/" in k]),
}  # fmt: skip


@pytest.mark.parametrize("named", READABLE_DAMAGES)
def test_a_file_that_says_something_else_than_it_should_is_named(tmp_path, specs, named):
    folder = tmp_path / "run"
    write_run(folder, specs[GUIDED], {"regular": (8, 5)}, speeds=(0.0, 0.0))
    READABLE_DAMAGES[named](folder)
    sign_run(folder, specs[GUIDED], bank=folder / "logits.npz", model=folder / "model.pt")
    with pytest.raises(UserError, match=re.escape(named)):
        collect_from(specs, {GUIDED: folder}, {"table1": {GUIDED}})


@pytest.fixture
def machines(tmp_path, specs):
    """One machine has two of three runs, another the third; each their folders by run."""
    right = {"regular": (8, 5), "isolated": (4, 4)}
    write_run(tmp_path / "here/vanilla", specs[VANILLA], right, speeds=(1 / 3, -1.5))
    write_run(tmp_path / "here/failed", specs[GRAY], {}, reason=REASON)
    write_run(tmp_path / "there/guided", specs[GUIDED], right, speeds=(0.1, 0.2))
    return [
        {
            run: tmp_path / machine / folder
            for run, folder in ((VANILLA, "vanilla"), (GRAY, "failed"), (GUIDED, "guided"))
        }
        for machine in ("here", "there")
    ]


def through_files(tables, folder):
    """Write tables and read them again."""
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv")
    return {name: read_table(folder / f"{name}.csv", "make it") for name in tables}


def test_runs_of_two_machines_collect_to_what_one_would(machines, tmp_path, specs):
    here, there = machines
    asked = {"table1": {VANILLA, GUIDED}, "sweep": {GRAY}}
    earlier = through_files(collect_from(specs, here, asked), tmp_path)
    kept = collect_from(
        specs, there, asked, Earlier(earlier, {n: specs[n] for n in (VANILLA, GRAY)})
    )
    both = collect_from(specs, here | {GUIDED: there[GUIDED]}, asked)
    for name, table in through_files(both, tmp_path).items():
        pd.testing.assert_frame_equal(
            through_files(kept, tmp_path)[name], table, check_exact=True, check_dtype=False
        )
    assert kept["runs"]["status"].tolist() == ["finished", "failed", "finished"]


def test_what_was_collected_of_another_spec_is_not_kept(machines, tmp_path, specs):
    here, there = machines
    earlier = through_files(collect_from(specs, here, {}), tmp_path)
    other = specs[VANILLA].model_copy(update={"learning_rate": 0.02})
    kept = collect_from(specs, there, {}, Earlier(earlier, {VANILLA: other}))
    assert kept["runs"]["status"].tolist() == ["missing", "missing", "finished"]
    assert set(kept["histories"]["run"]) == {GUIDED}


def test_a_run_that_is_here_in_part_is_taken_from_earlier_and_one_that_is_whole_is_not(
    machines, tmp_path, specs, capsys
):
    here, there = machines
    collected = collect_from(specs, here, {})
    earlier = Earlier(through_files(collected, tmp_path), specs)
    earlier.tables["runs"]["accuracy"] = 0.125
    whole = collect_from(specs, here | {GUIDED: there[GUIDED]}, {}, earlier)["runs"]
    assert whole["accuracy"][0] == collected["runs"]["accuracy"][0]
    assert capsys.readouterr().err == ""
    for name in ("logits.npz", "logits.json"):
        (here[VANILLA] / name).rename(here[VANILLA] / f"aside.{name}")
    part = collect_from(specs, here | {GUIDED: there[GUIDED]}, {}, earlier)["runs"]
    assert part["status"].tolist() == ["finished", "failed", "finished"]
    assert part["accuracy"][0] == 0.125
    assert capsys.readouterr().err == ""
    (here[VANILLA] / "aside.logits.json").rename(here[VANILLA] / "logits.json")
    lost = collect_from(specs, here | {GUIDED: there[GUIDED]}, {}, earlier)["runs"]
    assert lost["accuracy"][0] == 0.125
    assert "logits.npz can not be used: it is missing" in capsys.readouterr().err
    (here[VANILLA] / "logits.npz").write_bytes(b"")
    damaged = collect_from(specs, here | {GUIDED: there[GUIDED]}, {}, earlier)["runs"]
    assert damaged["accuracy"][0] == 0.125
    told = capsys.readouterr().err
    assert "logits.npz can not be used: " in told
    assert "Kept what was collected of it before." in told


def test_earlier_tables_that_lack_the_run_are_refused(machines, tmp_path, specs):
    here, there = machines
    earlier = through_files(collect_from(specs, here, {}), tmp_path)
    earlier["runs"] = earlier["runs"].query("run != @VANILLA")
    with pytest.raises(UserError, match=r"has 0 rows in the earlier runs\.csv"):
        collect_from(specs, there, {}, Earlier(earlier, specs))


def test_the_steps_of_guided_runs_have_their_epoch_mode_and_speeds(tmp_path, specs):
    right = {"regular": (8, 5), "isolated": (4, 4)}
    folder = tmp_path / "run"
    write_run(folder, specs[GUIDED], right, speeds=(-1.0, -1.5))
    steps = collect_from(specs, {GUIDED: folder}, {"table1": {GUIDED}})["steps"]
    assert steps["step"].tolist() == [1, 2, 3, 4]
    assert steps["epoch"].tolist() == [1, 1, 1, 1]
    assert steps["mode"].tolist() == ["regular", "regular", "rebalance_m0", "rebalance_m1"]
    assert steps["speed_m0"].tolist() == [0, 1, 2, 3]
    assert steps["speed_m1"].tolist() == [0.1, 1.1, 2.1, 3.1]
    assert collect_from(specs, {GUIDED: folder}, {"sweep": {GUIDED}})["steps"].empty
