import pandas as pd
import pytest

from equimodal.study.analysis import table1, table1_evaluations
from equimodal.study.analysis.documents import render
from equimodal.study.analysis.names import METHODS
from equimodal.study.analysis.published import read_published
from tests.study.analysis.conftest import SETTINGS

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
    for (method, inputs), accuracies in results.items():
        outputs = ["m0"] if method == "unimodal" else ["m0", "m1"]
        for seed, accuracy in enumerate(accuracies):
            failed = accuracy is None
            name = f"colored_mnist/{inputs}/{method}/{fidelity}/lr0.01/seed{seed}"
            share = float("nan") if failed else accuracy
            branch = share if method == "unimodal" else share / 2
            runs.append(
                {
                    "run": name,
                    "dataset": "colored_mnist",
                    "inputs": inputs,
                    "method": method,
                    "policy": "vanilla" if method == "unimodal" else method,
                    "fidelity": fidelity,
                    "start": "scratch",
                    "experiments": "table1",
                    "learning_rate": 0.01,
                    "seed": seed,
                    "reported": reported if method != "unimodal" else "regular",
                    "status": "failed" if failed else "finished",
                    "reason": "the loss became nan" if failed else None,
                    "m0": "color",
                    "m1": "gray" if len(outputs) == 2 else None,
                    "best_epoch": None if failed else 1,
                    "accuracy": share,
                    "accuracy_m0": branch,
                    "accuracy_m1": branch if len(outputs) == 2 else float("nan"),
                }
            )
            if not failed:
                evaluations += [
                    {"run": name, "evaluation": e, "output": o, "accuracy": a}
                    for e, factor in (("regular", 1.0), ("left_behind", 0.5))
                    if e == "regular" or len(outputs) == 2
                    for o, a in [
                        *((m, factor * branch) for m in outputs),
                        ("fused", factor * share),
                    ]
                ]
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


def test_a_cell_is_the_mean_and_the_sample_sd_in_percent():
    vanilla = rows(ALL)["vanilla"]
    assert vanilla["mean"] == pytest.approx(60)
    assert vanilla["sd"] == pytest.approx(200**0.5)  # sqrt((10^2 + 10^2) / (2 - 1))
    assert (vanilla["n"], vanilla["unfinished"]) == (2, 0)


def test_the_published_pair_and_the_difference_stand_beside_ours():
    vanilla = rows(ALL)["vanilla"]
    assert (vanilla["published_mean"], vanilla["published_sd"]) == (45.0, 0.5)
    assert vanilla["difference"] == pytest.approx(15)
    assert "60.00 ± 14.14 [-67.06, 187.06] | 2      | 45.00 ± 0.50 | +15.00 [" in markdown(ALL)


def test_the_verdict_and_its_numbers_are_one_cell():
    results = ALL | {("guided", "distinct"): [0.909, 0.911]}
    assert rows(results)["guided"]["verdict"] == "inconclusive"
    # sqrt(0.02 / 2 + 1.2^2 / 3) = 0.7, times 4.14, the quantile of t with 0.7^4 / (0.01^2 + 0.48^2 / 2)
    # = 2.08 degrees of freedom
    assert "+0.00 [-2.90, +2.90]: inconclusive" in markdown(results)


def test_the_columns_that_others_read_are_there():
    wanted = {"dataset", "method", "mean", "sd", "n", "published_mean", "published_sd"}
    assert wanted <= set(build(ALL))


def test_only_the_best_uni_modal_network_is_shown_and_named():
    table = build(ALL)
    unimodal = table[table["method"] == "unimodal"]
    assert unimodal["inputs"].tolist() == ["gray"]
    assert "Uni-modal (best)      | gray" in markdown(ALL)


def test_the_best_uni_modal_network_is_chosen_by_its_mean_not_by_its_luckiest_seed():
    lucky = {("unimodal", "color"): [0.99, 0.1], ("unimodal", "gray"): [0.6, 0.6]}
    assert rows(ALL | lucky)["unimodal"]["inputs"] == "gray"


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
    assert "50.00 (no SD) (no interval)" in markdown(one)


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
    assert "| missing" in markdown(results)
    assert "0 of 2" in markdown(results)


def test_a_hole_still_shows_what_was_published():
    results = ALL | {("vanilla", "distinct"): [None, None]}
    assert rows(results)["vanilla"]["published_mean"] == 45.0


def test_uni_modal_networks_that_all_failed_are_one_row():
    failed = {("unimodal", "color"): [None], ("unimodal", "gray"): [None]}
    hole = rows(ALL | failed)["unimodal"]
    assert (hole["n"], hole["unfinished"]) == (0, 2)


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
    results = {cell: [None] for cell in ALL if cell != ("unimodal", "color")}
    table = build(results)
    assert table["method"].tolist() == ["unimodal", "vanilla", "guided"]
    assert table["mean"].isna().all()
    assert markdown(results).count("| missing") == 3


def test_notes_stand_below_the_table():
    assert markdown(ALL, ["One note.", "Another."]).endswith("|\n\nOne note.\n\nAnother.\n")


def test_the_paper_s_table_1_is_as_published():
    published = read_published("published").set_index(["dataset", "start", "method", "output"])
    assert published.index.is_unique
    assert published.loc["colored_mnist", "scratch", "guided", "fused"].tolist() == [91.01, 1.20]
    assert published.loc["colored_mnist", "scratch", "guided", "m1"].tolist() == [99.16, 0.14]
    assert published.loc["modelnet40", "scratch", "vanilla", "fused"].tolist() == [90.09, 0.58]
    assert published.loc["nvgesture", "pretrained", "guided", "fused"].tolist() == [83.82, 1.45]
