import pandas as pd
import pytest

from equimodal.study.analysis import table1, table1_evaluations
from equimodal.study.analysis.documents import render
from equimodal.study.analysis.names import METHODS
from equimodal.study.analysis.stored import read_published
from tests.study.analysis.conftest import SETTINGS

NAN = float("nan")
PUBLISHED = pd.DataFrame(
    {
        "dataset": "colored_mnist",
        "start": "scratch",
        "method": ["unimodal", "vanilla", "guided", "guided"],
        "output": ["fused", "fused", "fused", "m1"],
        "published_mean": [99.0, 45.0, 91.0, 98.0],
        "published_sd": [0.1, 0.5, 1.2, 0.2],
    }
)


def tables_of(results, fidelity="paper", reported="regular"):
    """Make the `runs` and `evaluations` tables of runs that differ in seed.

    Args:
        results: (method, inputs) -> accuracies of the seeds; None where the run failed. The branches
            of a pair have half the accuracy of its prediction.
        fidelity: Preset of all of them.
        reported: The way of evaluating that the preset reports.
    """
    runs, evaluations = [], []
    usual = {"dataset": "colored_mnist", "fidelity": fidelity, "start": "scratch"}
    usual |= {"experiments": "table1", "learning_rate": 0.01, "m0": "color"}
    for (method, inputs), accuracies in results.items():
        alone = method == "unimodal"
        cell = {"inputs": inputs, "method": method, "policy": "vanilla" if alone else method}
        cell |= {"m1": None if alone else "gray", "reported": "regular" if alone else reported}
        for seed, accuracy in enumerate(accuracies):
            failed = accuracy is None
            name = f"colored_mnist/{inputs}/{method}/{fidelity}/lr0.01/seed{seed}"
            share = NAN if failed else accuracy
            branch = share if alone else share / 2
            state = {"status": "failed", "reason": "the loss became nan", "best_epoch": None}
            state = state if failed else {"status": "finished", "reason": None, "best_epoch": 1}
            found = {
                "accuracy": share,
                "accuracy_m0": branch,
                "accuracy_m1": NAN if alone else branch,
            }
            runs.append(usual | cell | {"run": name, "seed": seed} | state | found)
            shares = {"m0": branch, "fused": share} | ({} if alone else {"m1": branch})
            for way, factor in (("regular", 1.0), ("left_behind", 0.5)):
                if not failed and (way == "regular" or not alone):
                    evaluations += [(name, way, o, factor * a) for o, a in shares.items()]
    columns = ["run", "evaluation", "output", "accuracy"]
    return pd.DataFrame(runs), pd.DataFrame(evaluations, columns=columns)


def steps_of(runs):
    """Make a `histories` table of one epoch, all of whose steps were regular."""
    trained = runs.loc[runs["best_epoch"].notna(), ["run"]]
    return trained.assign(epoch=1, regular_steps=7, rebalance_m1_steps=0)


def build(results, **preset):
    return table1.build(*tables_of(results, **preset), PUBLISHED, SETTINGS)


def rows(results, **preset):
    """Rows of Table 1 by method."""
    table = build(results, **preset)
    assert not table["method"].duplicated().any()
    return table.set_index("method").loc


def markdown(results, notes=()):
    return render("table1", build(results), notes, SETTINGS)[".md"]


ALL = {
    ("unimodal", "color"): [0.2, 0.2],
    ("unimodal", "gray"): [0.9, 0.9],
    ("vanilla", "distinct"): [0.5, 0.7],
    ("guided", "distinct"): [0.8, 0.8],
}


def test_a_cell_is_the_mean_and_the_sample_sd_in_percent_beside_what_was_published():
    vanilla = rows(ALL)["vanilla"]
    assert vanilla["mean"] == pytest.approx(60)
    assert vanilla["sd"] == pytest.approx(200**0.5)  # sqrt((10^2 + 10^2) / (2 - 1))
    assert (vanilla["n"], vanilla["unfinished"]) == (2, 0)
    assert (vanilla["published_mean"], vanilla["published_sd"]) == (45.0, 0.5)
    assert vanilla["difference"] == pytest.approx(15)
    assert "60.00 ± 14.14 [-67.06, 187.06] | 2      | 45.00 ± 0.50 | +15.00 [" in markdown(ALL)


def test_the_verdict_and_its_numbers_are_one_cell():
    results = ALL | {("guided", "distinct"): [0.909, 0.911]}
    assert rows(results)["guided"]["verdict"] == "inconclusive"
    # sqrt(0.02 / 2 + 1.2^2 / 3) = 0.7, times 4.14, the quantile of t with 0.7^4 / (0.01^2 + 0.48^2 / 2)
    # = 2.08 degrees of freedom
    assert "+0.00 [-2.90, +2.90]: inconclusive" in markdown(results)


def test_only_the_best_uni_modal_network_by_its_mean_is_shown_and_named():
    """And not that with the luckiest seed."""
    lucky = {("unimodal", "color"): [0.99, 0.1], ("unimodal", "gray"): [0.6, 0.6]}
    for results in (ALL, ALL | lucky):
        assert rows(results)["unimodal"]["inputs"] == "gray"
        assert "Uni-modal (best)      | gray" in markdown(results)


def test_the_rows_come_in_the_paper_s_order():
    backwards = dict(reversed(ALL.items()))
    order = build(backwards)["method"].tolist()
    assert order == [method for method in METHODS if method in order]
    assert len(order) == 3


def test_the_second_table_has_every_output_under_every_way_of_evaluating():
    runs, evaluations = tables_of(ALL | {("guided", "distinct"): [0.79, 0.81]})
    table = table1_evaluations.build(runs, evaluations, steps_of(runs), PUBLISHED, SETTINGS)
    table = table.set_index(["method", "evaluation", "output"])
    guided = table.loc["guided"]
    assert set(guided.index) == {
        (e, o) for e in ("regular", "left_behind", "as_trained") for o in ("m0", "m1", "fused")
    }
    assert guided.loc["regular", "m1"]["mean"] == pytest.approx(40)
    assert guided.loc["regular", "m1"]["published_mean"] == 98.0
    assert guided.loc["left_behind", "fused"]["mean"] == pytest.approx(40)
    assert set(guided["verdict"]) <= {"equivalent", "different", "inconclusive", ""}
    assert guided.loc["regular", "m1"]["verdict"] == "different"


def test_as_trained_is_the_mean_over_the_modes_of_the_chosen_epoch_s_steps():
    runs = pd.DataFrame({"run": ["pair", "gray", "failed"], "best_epoch": [2, 1, None]})
    evaluations = pd.DataFrame(
        [
            ("pair", "regular", "fused", 0.6),
            ("pair", "rebalance_m0", "fused", 0.1),
            ("pair", "rebalance_m1", "fused", 0.9),
            ("pair", "isolated", "fused", 0.2),
            ("pair", "regular", "m1", 0.5),
            ("pair", "rebalance_m1", "m1", 1.0),
            ("pair", "regular", "m0", 0.4),  # and nothing in the mode of the other five steps
            ("gray", "regular", "fused", 0.8),
            ("failed", "regular", "fused", 0.7),
        ],
        columns=["run", "evaluation", "output", "accuracy"],
    )
    columns = ["run", "epoch", "regular_steps", "rebalance_m0_steps", "rebalance_m1_steps"]
    epochs = [("pair", 1, 6, 0, 0), ("pair", 2, 1, 0, 5), ("pair", 3, 0, 6, 0)]
    rest = [("gray", 1, None, None, None), ("failed", 1, 6, 0, 0)]
    histories = pd.DataFrame([*epochs, *rest], columns=columns)
    answers = table1_evaluations.as_trained(runs, evaluations, histories)
    assert set(answers["run"]) == {"pair"}
    assert set(answers["evaluation"]) == {"as_trained"}
    accuracy = answers.set_index("output")["accuracy"]
    assert set(accuracy.index) == {"fused", "m1"}
    assert accuracy["fused"] == pytest.approx((1 * 0.6 + 5 * 0.9) / 6)
    assert accuracy["m1"] == pytest.approx((1 * 0.5 + 5 * 1.0) / 6)


def test_a_preset_is_shown_as_it_reports():
    assert rows(ALL, reported="left_behind")["vanilla"]["mean"] == pytest.approx(30)
    assert rows(ALL, reported="left_behind")["unimodal"]["mean"] == pytest.approx(90)


def test_presets_have_rows_of_their_own():
    one, two = tables_of(ALL), tables_of(ALL, fidelity="official", reported="left_behind")
    runs, evaluations = (pd.concat(pair) for pair in zip(one, two, strict=True))
    table = table1.build(runs, evaluations, PUBLISHED, SETTINGS)
    vanilla = table[table["method"] == "vanilla"].set_index("fidelity")["mean"]
    assert vanilla["paper"] == pytest.approx(60)
    assert vanilla["official"] == pytest.approx(30)


def test_a_single_seed_has_no_sd_and_says_so():
    one = {cell: accuracies[:1] for cell, accuracies in ALL.items()}
    assert pd.isna(rows(one)["vanilla"]["sd"])
    text = markdown(one, ["One note.", "Another."])
    assert "50.00 (no SD) (no interval)" in text
    assert text.endswith("|\n\nOne note.\n\nAnother.\n")


def test_a_failed_run_is_left_out_of_the_mean_and_counted():
    results = ALL | {("vanilla", "distinct"): [0.5, None, 0.7]}
    vanilla = rows(results)["vanilla"]
    assert vanilla["mean"] == pytest.approx(60)
    assert (vanilla["n"], vanilla["unfinished"]) == (2, 1)
    assert "2 of 3" in markdown(results)


@pytest.mark.parametrize("method", ["vanilla", "guided"])
@pytest.mark.parametrize("reported", ["regular", "left_behind"])
def test_a_method_of_which_all_runs_failed_keeps_its_row(method, reported):
    results = ALL | {(method, "distinct"): [None, None]}
    hole = rows(results, reported=reported)[method]
    assert pd.isna(hole["mean"])
    assert (hole["n"], hole["unfinished"]) == (0, 2)
    assert hole["published_mean"] == {"vanilla": 45.0, "guided": 91.0}[method]
    assert "| missing" in markdown(results)
    assert "0 of 2" in markdown(results)


def test_one_uni_modal_network_that_failed_leaves_the_other():
    best = rows(ALL | {("unimodal", "gray"): [None, None]})["unimodal"]
    assert (best["inputs"], best["n"]) == ("color", 2)


def test_while_one_uni_modal_network_is_still_to_be_trained_none_is_the_best():
    """Or the color alone would be judged against the published number of the gray."""
    runs, evaluations = tables_of(ALL | {("unimodal", "gray"): [None, None]})
    runs["status"] = runs["status"].replace("failed", "missing")
    table = table1.build(runs, evaluations, PUBLISHED, SETTINGS).set_index("method")
    hole = table.loc["unimodal"]
    assert (hole["inputs"], hole["n"], hole["unfinished"]) == ("color or gray", 0, 2)
    assert pd.isna(hole["mean"])


def test_a_table_of_failed_runs_only_is_all_holes():
    """Both uni-modal networks are one row."""
    results = {cell: [None] for cell in ALL}
    table = build(results)
    assert table["method"].tolist() == ["unimodal", "vanilla", "guided"]
    assert table["mean"].isna().all()
    assert table["unfinished"].tolist() == [2, 1, 1]
    assert markdown(results).count("| missing") == 3


def test_the_paper_s_table_1_is_as_published():
    published = read_published("published").set_index(["dataset", "start", "method", "output"])
    assert published.index.is_unique
    assert published.loc["colored_mnist", "scratch", "guided", "fused"].tolist() == [91.01, 1.20]
    assert published.loc["colored_mnist", "scratch", "guided", "m1"].tolist() == [99.16, 0.14]
    assert published.loc["modelnet40", "scratch", "vanilla", "fused"].tolist() == [90.09, 0.58]
    assert published.loc["nvgesture", "pretrained", "guided", "fused"].tolist() == [83.82, 1.45]
