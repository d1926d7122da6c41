from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equimodal.study.analysis import TABLES, distributions, methods, tuning
from equimodal.study.analysis.documents import FORMATS, for_readers, notes_on, render
from equimodal.study.analysis.stored import read_published
from equimodal.study.params import load_params
from equimodal.study.verbs.products import built
from tests.built import through_files, whole_study
from tests.made_up import study
from tests.study.analysis.conftest import SETTINGS, build

NAN = float("nan")
SCALE = load_params(Path(__file__).parents[3] / "params.yaml", "paper")
DATA = SCALE.datasets
SETTINGS_OF_RUN = {
    "experiments": "table1", "dataset": "modelnet40", "start": "scratch", "inputs": "distinct",
    "policy": "vanilla", "fidelity": "paper", "learning_rate": 0.1, "l1": 0.0, "tolerance": NAN,
    "window": NAN, "seed": 0, "reported": "regular", "status": "finished", "reason": None,
    "reached_perfect": True,
}  # fmt: skip
MEASURES = (
    *("accuracy", "accuracy_m0", "accuracy_m1", "d_util", "d_util_by_label", "d_speed"),
    "below_0.001",
)


def table_of(*runs):
    """The `runs` table of a few runs, each given by what is not as in `SETTINGS_OF_RUN`."""
    rows = [
        SETTINGS_OF_RUN | dict.fromkeys(MEASURES, NAN) | {"run": f"run{i}"} | run
        for i, run in enumerate(runs)
    ]
    table = pd.DataFrame(rows)
    return table.assign(method=table.get("method", table["policy"]))


def failed(**settings):
    return settings | {"status": "failed", "reason": "the loss became nan"}


@pytest.fixture(scope="module")
def made_up():
    return whole_study()


@pytest.fixture(scope="module")
def one_seed(made_up):
    runs = made_up["runs"]
    keys = ["experiments", "dataset", "start", "inputs", "policy", "l1", "tolerance", "window"]
    return through_files(study() | {"runs": runs[~runs.duplicated(keys)]})


@pytest.fixture(scope="module")
def nothing(made_up):
    return through_files({n: table.head(0) for n, table in study().items()})


@pytest.fixture(scope="module")
def all_failed():
    tables = study()
    runs = tables["runs"]
    measured = runs.columns[runs.columns.get_loc("steps") :].difference(["m0", "m1", "m2"])
    runs[[*measured]] = NAN
    runs["status"], runs["reason"] = "failed", "the loss became nan"
    tables["evaluations"] = tables["evaluations"].head(0)
    tables["histories"] = tables["histories"][["run", "epoch"]].head(0)
    return through_files(tables)


@pytest.fixture(scope="module")
def of_two_presets():
    tables = study()
    return through_files(
        tables | {n: pd.concat([tables[n], other]) for n, other in as_official(tables).items()}
    )


def text_of(name, tables):
    notes = notes_on(name, tables[name], tables["runs"], DATA)
    return render(name, tables[name], notes, SETTINGS)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_made_of_a_whole_study(made_up, name):
    text = text_of(name, made_up)
    assert set(text) == {".csv", ".md", ".tex"}
    assert len(pd.read_csv(StringIO(text[".csv"]))) == text[".tex"].count(r" \\") - 1
    assert "nan" not in text[".md"]


def test_what_is_said_below_a_table_is_said_in_latex_too(made_up):
    table = made_up["l1_trends"]
    text = render("l1_trends", table, ["50 % of a_b failed: ~/x^2."], SETTINGS)[".tex"]
    *_, note, end = text.splitlines()
    assert note == (
        r"\par\footnotesize 50 \% of a\_b failed: \textasciitilde{}/x\textasciicircum{}2."
    )
    assert end == r"\end{table}"
    assert text.startswith("% \\usepackage{booktabs}\n\\begin{table}\n")
    assert [c for c in (r"\toprule", r"abs\_d\_speed", r"95\% bootstrap") if c not in text] == []


@pytest.mark.parametrize("name", TABLES)
def test_a_study_without_runs_gives_a_header_and_a_sentence(made_up, nothing, name):
    text = text_of(name, nothing)
    assert text[".csv"] == text_of(name, made_up)[".csv"].splitlines()[0] + "\n"
    for experiment in TABLES[name].experiments:
        assert f"No run of the experiment {experiment} is here" in text[".md"]


@pytest.mark.parametrize("name", TABLES)
def test_a_study_of_which_all_runs_failed_says_so(all_failed, name):
    text = text_of(name, all_failed)
    assert "No run that this table is made of has finished." in text[".md"]
    assert "failed: the loss became nan." in text[".md"]


@pytest.mark.parametrize("name", TABLES)
def test_a_study_with_one_seed_is_shown_as_its_csv_says(one_seed, name):
    text = text_of(name, one_seed)
    assert text[".md"].startswith(f"# {TABLES[name].title}\n")
    read = pd.read_csv(StringIO(text[".csv"]))
    shown = for_readers(read, best_alone=TABLES[name].best_alone)
    cells = shown.drop(columns=[*TABLES[name].sections]).stack().tolist()
    assert [cell for cell in cells if cell not in text[".md"]] == []
    assert [*for_readers(read[:0])] == [*shown]  # also without a row


def test_a_number_is_rounded_once_more_from_the_digits_of_the_csv():
    text = render("l1_study", pd.DataFrame({"accuracy": [80.1250004]}), [], SETTINGS)
    assert text[".csv"] == "accuracy\n80.125\n"
    assert "80.12 " in text[".md"]


def as_official(tables):
    """The same runs with the preset `official`, and with other numbers."""
    runs, answers, epochs = (tables[n] for n in ("runs", "evaluations", "histories"))
    runs = runs[runs["fidelity"] == "paper"]
    answers, epochs = (t[t["run"].isin(runs["run"])] for t in (answers, epochs))
    measured = [c for c in runs if c.startswith(("accuracy", "below_", "d_"))]
    other = {
        "runs": runs.assign(fidelity="official", **runs[measured].rsub(1)),
        "evaluations": answers.assign(accuracy=answers["accuracy"].rpow(2)),
        "histories": epochs.assign(speed_m0=-epochs["speed_m0"]),
    }
    return {name: table.assign(run=table["run"] + "/official") for name, table in other.items()}


# Each of these is of one preset, or compares them.
OF_ONE_READING = {"fidelity_study", "calibration", "preregistration", "stop_rule"}


@pytest.mark.parametrize("name", [n for n in TABLES if n not in OF_ONE_READING])
def test_runs_of_another_preset_leave_the_rows_of_the_paper_s(made_up, of_two_presets, name):
    rows = of_two_presets[name]
    assert set(rows["fidelity"]) == {"paper", "official"}
    of_paper = rows[rows["fidelity"] == "paper"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_paper, made_up[name], check_dtype=False)


def test_a_data_set_that_lacks_is_named(made_up):
    runs = made_up["runs"]
    without = through_files(study() | {"runs": runs[runs["dataset"] != "nvgesture"]})
    sentence = "is missing: the settings of this scale ask for no run."
    assert f"NVGesture-pretrained {sentence}" in text_of("table1", without)[".md"]
    assert f"NVGesture {sentence}" in text_of("greediness", without)[".md"]


def test_a_data_set_whose_epochs_are_chosen_on_the_test_set_is_named(made_up):
    assert "Colored-and-gray-MNIST: each network's epoch" in text_of("selection", made_up)[".md"]
    assert "each network's epoch was chosen" not in text_of("l1_study", made_up)[".md"]


def test_only_the_best_modality_alone_is_called_the_best(made_up):
    called = {name for name in TABLES if "Uni-modal (best)" in text_of(name, made_up)[".md"]}
    assert called == {"table1", "table1_evaluations", "by_cap", "selection"}
    alone = {"experiments": "tuning", "method": "unimodal", "validation_accuracy": 0.5}
    alone |= {"run": "modelnet40/front/vanilla/paper/lr0.1/seed0"}
    runs = table_of(*(alone | {"inputs": m} for m in ("front", "rear")))
    assert for_readers(build("tuning", runs=runs))["method"].tolist() == ["Uni-modal"] * 2


def test_of_data_of_one_s_own_it_is_said_which_modality_is_m0():
    own = {"dataset": "mine", "experiments": "methods", "m0": "photo", "m1": "sound", "m2": "text"}
    runs = table_of(own, own | {"inputs": "photo", "m1": NAN, "m2": NAN}, {"m0": "x", "m1": "y"})
    notes = notes_on("methods", pd.DataFrame(), runs, DATA)
    assert notes == ["mine, distinct: m0 is photo and m1 is sound and m2 is text."]


def test_a_table_of_one_data_set_is_made_of_the_runs_of_no_other():
    views = {"experiments": "three_views", "accuracy": 0.5}
    runs = table_of(views, views | {"dataset": "mine", "accuracy": 0.9})
    (row,) = built("three_views", {"runs": runs}.get, SCALE).to_dict("records")
    assert (row["n"], row["accuracy"]) == (1, 50)


def test_every_modality_has_its_share_in_the_table_of_methods():
    shares = {f"shapley_m{i}": 0.1 * i for i in range(3)}
    runs = table_of({"experiments": "methods"} | shares)
    histories = pd.DataFrame({"run": ["run0"], "test_accuracy": [0.5]})
    (row,) = build("methods", runs=runs, histories=histories).to_dict("records")
    assert {name: row[name] for name in shares} == shares


def test_a_method_is_compared_with_vanilla_at_its_seed():
    vanilla = [{"seed": s, "accuracy": a} for s, a in enumerate((0.5, 0.6, 0.7))]
    guided = [{"policy": "guided", "seed": s} for s in range(3)]
    guided = [run | {"accuracy": a} for run, a in zip(guided, (0.71, 0.62, 0.53), strict=True)]
    # Reversed, so that rows do not meet by place: 71 - 50, 62 - 60, 53 - 70.
    runs = table_of(*vanilla, *reversed(guided), failed(policy="random"))
    table = build("comparisons", runs=runs).query("output == 'fused'").set_index("method")
    assert table["n"].to_dict() == {"guided": 3, "random": 0}
    assert table.loc["guided", "difference"] == pytest.approx((21 + 2 - 17) / 3)
    assert table.loc["guided", "p"] == table.loc["guided", "p_holm"]
    assert pd.isna(table.loc["random", "difference"])


def test_holm_s_correction_is_over_the_columns_of_table_1_within_a_method():
    runs = []
    for dataset in ("modelnet40", "nvgesture"):
        for seed in range(3):
            at = {"dataset": dataset, "seed": seed}
            runs += [at | {"accuracy": 0.5}]
            runs += [at | {"policy": "random", "accuracy": 0.5 + 0.01 * seed}]
            runs += [at | {"policy": "guided", "accuracy": 0.6 + 0.01 * seed}]
    table = build("comparisons", runs=table_of(*runs))
    fused = table[table["output"] == "fused"]
    assert fused["p_holm"].tolist() == pytest.approx((2 * fused["p"]).clip(upper=1).tolist())


def sweep(*measures, **settings):
    return [
        {"experiments": "sweep", "d_util": u, "d_speed": s, "seed": i} | settings
        for i, (u, s) in enumerate(measures)
    ]


def greediness(runs):
    return build(
        "greediness", runs=runs, published_greediness=read_published("published_greediness")
    ).iloc


def test_greediness_of_what_was_trained_to_the_end_stands_beside_it():
    ended, not_ended = sweep((1, 0), (3, 0)), sweep((9, 0))
    row = greediness(table_of(*ended, not_ended[0] | {"reached_perfect": False}))[0]
    assert row["d_util"] == pytest.approx(13 / 3)
    assert (row["n_perfect"], row["d_util_perfect"]) == (2, 2)


def test_what_is_ours_is_said_beside_published_numbers(made_up):
    """The paper's colored digits are not at hand, and its intervals of learning rates were lost."""
    colors = "Colored-and-gray-MNIST: its colors have Kim et al.'s means, drawn anew,"
    for name, about in TABLES.items():
        beside = any(i.startswith("published") for i in about.inputs)
        assert (colors in text_of(name, made_up)[".md"]) == beside
    for name in ("greediness", "prediction", "prediction_by_epoch", "switching_off"):
        assert "these are ours" in TABLES[name].caption


def test_greediness_is_the_absolute_value_of_the_mean():
    runs = table_of(*sweep((-0.3, 1), (0.1, 2), (-0.1, 3)), failed(experiments="sweep"))
    row = greediness(runs)[0]
    assert (row["n"], row["unfinished"]) == (3, 1)
    assert row[["d_util", "abs_d_util", "d_speed"]].tolist() == pytest.approx([-0.1, 0.1, 2])
    half = 4.302653 * 0.2 / 3**0.5  # Student's: few models are not resampled
    assert row[["d_util_low", "d_util_high"]].tolist() == pytest.approx([-0.1 - half, -0.1 + half])
    assert (row["published_d_util"], row["published_abs_d_util"]) == (-0.1, 0.1)
    row = greediness(runs.assign(dataset="colored_mnist"))[0]  # of which the sign is not published
    assert pd.isna(row["published_d_util"])
    assert row["published_abs_d_util"] == 0.3


def test_sizes_of_d_util_do_not_cancel_and_are_compared_with_the_vanilla_model_of_the_same_draw():
    measures = [(-0.3, 1), (0.1, 1), (0.2, 1)]
    balanced = [(0.1, 1), (-0.2, 1), (0.0, 1)]
    other = sweep(*balanced, policy="guided", experiments="sweep_balanced")
    rows = greediness(table_of(*sweep(*measures), *other))
    vanilla, guided = rows[0], rows[1]
    assert vanilla["d_util"] == pytest.approx(0)
    assert vanilla["size"] == pytest.approx(0.2)
    assert pd.isna(vanilla["size_difference"])
    assert guided["size_difference"] == pytest.approx((-0.2 + 0.1 - 0.2) / 3)
    alone = greediness(table_of(*other))[0]
    assert alone["size"] == pytest.approx(0.1)
    assert pd.isna(alone["size_difference"])


def test_the_side_that_was_rebalanced_more_up_to_the_chosen_epoch_is_set_beside_d_util():
    measures = [(-0.2, 0), (0.0, 0), (0.1, 0), (0.3, 0)]
    how = {"policy": "guided", "experiments": "sweep_balanced", "best_epoch": 2}
    how |= {"u_m1_given_m0": 0.4, "u_m0_given_m1": 0.1}
    other = sweep(*[(0.2, 0)] * 4, u_m1_given_m0=0.5, u_m0_given_m1=0.3)
    runs = table_of(*sweep(*measures, **how), failed(experiments="sweep_balanced"), *other)
    modes = [(0, 8), (4, 4), (5, 3), (6, 2)]  # of eight that re-balance, beside two regular ones
    histories = pd.DataFrame(
        {"run": f"run{i}", "epoch": epoch, "regular_steps": 2 if epoch < 3 else 99}
        | {"rebalance_m0_steps": m0, "rebalance_m1_steps": m1}
        for i, (m1, m0) in enumerate(modes)
        for epoch in (1, 2, 3)
    )
    (row,) = build("rebalancing", runs=runs, histories=histories).to_dict("records")
    assert row["n"] == 4
    assert row["rebalanced"] == pytest.approx(0.8)
    assert row["one_sided"] == pytest.approx((0.8 + 0 + 0.2 + 0.4) / 4)
    assert row["spearman"] == 1
    # One was re-balanced on m0, two on m1, and one on both alike, which has no side.
    assert row["u_side"] == pytest.approx((0.4 + 0.1 + 0.1) / 3)
    assert row["u_other"] == pytest.approx((0.1 + 0.4 + 0.4) / 3)
    assert row["u_side_difference"] == pytest.approx((0.4 - 0.5 + 2 * (0.1 - 0.3)) / 3)
    assert row["u_other_difference"] == pytest.approx((0.1 - 0.3 + 2 * (0.4 - 0.5)) / 3)
    assert row["vanilla_lean"] == pytest.approx((-0.2 + 0.2 + 0.2) / 3)
    assert build("rebalancing", runs=runs[:0], histories=histories[:0]).empty


def test_symmetry_is_tested_for_the_identical_pair_only():
    measures = [(0.1 * i, 0) for i in range(1, 6)]
    distinct, identical = (
        greediness(table_of(*sweep(*measures, inputs=i)))[0] for i in ("distinct", "identical")
    )
    assert pd.isna(distinct["symmetry_p"])
    assert identical["symmetry_p"] == pytest.approx(2 / 2**5)


def test_signs_and_sizes_of_d_util_are_counted_over_vanilla_models():
    measures = [(-0.3, 1), (-0.2, 1), (0.05, 1), (0, 1)]
    runs = table_of(*sweep(*measures, d_util_by_label=0.5), *sweep((9, 9), policy="guided"))
    (row,) = build("distributions", runs=runs).to_dict("records")
    assert row["n"] == 4
    assert row["sign_balance"] == pytest.approx(-1 / 3)  # one above 0 and two below; 0 is neither
    assert row["sign_balance_low"] == pytest.approx(2 * 0.0615 - 1, abs=1e-3)  # Wilson's of 1 in 3
    assert row["greedy"] == 0.5
    higher = SETTINGS.model_copy(update={"greedy_above": 0.25})
    assert distributions.build(runs, higher)["greedy"].item() == 0.25
    assert row["largest"] == pytest.approx(0.3)
    assert (row["sign_balance_by_label"], row["greedy_by_label"]) == (1, 1)


def test_each_modality_s_own_network_stands_beside_its_published_accuracy():
    runs = [
        {"method": "unimodal", "inputs": inputs, "accuracy": accuracy}
        for inputs, accuracy in (("front", 0.9), ("front", 0.88), ("rear", 0.87))
    ]
    published = read_published("published_unimodal")
    table = build(
        "unimodal", runs=table_of(*runs, {"method": "vanilla"}), published_unimodal=published
    )
    columns = ["inputs", "n", "accuracy", "published_accuracy"]
    assert table[columns].to_numpy().tolist() == [["front", 2, 89, 89], ["rear", 1, 87, 88]]


def test_speed_is_ranked_against_utilization_for_one_pair_and_for_both():
    distinct = sweep((1, 1), (2, 2), (-3, 3))
    identical = sweep((4, 4), inputs="identical")
    balanced = sweep((-9, 9), policy="guided")
    table = build("prediction", runs=table_of(*distinct, *identical, *balanced))
    table = table.set_index(["inputs", "dataset"])
    assert table["n"].to_dict() == {
        ("distinct", "modelnet40"): 3, ("distinct", "all"): 3,
        ("both", "modelnet40"): 4, ("both", "all"): 4,
    }  # fmt: skip
    assert table.loc[("distinct", "all"), "spearman"] == pytest.approx(-0.5)
    assert table.loc[("distinct", "all"), "sign_agreement"] == pytest.approx(2 / 3)
    assert table.loc[("both", "all"), "spearman"] == pytest.approx(0.4)


def test_the_sign_of_the_speed_is_compared_epoch_by_epoch():
    runs = table_of(*sweep((1, 0), (-1, 0)))
    rows = [("run0", 1, 0.1), ("run0", 2, 0.1), ("run0", 3, 0.3), ("run1", 1, 0.1)]
    histories = pd.DataFrame(rows, columns=["run", "epoch", "speed_m0"]).assign(speed_m1=0.2)
    table = build("prediction_by_epoch", runs=runs, histories=histories)
    assert table[["epoch", "n"]].to_numpy().tolist() == [[1, 2], [2, 2], [3, 2]]
    assert table["sign_agreement"].tolist() == [0.5, 0.5, 1]  # run1 has stopped and keeps its sign


def test_the_l1_study_is_averaged_by_factor_and_its_trends_ranked():
    runs = [
        {"experiments": "l1", "l1": l1, "accuracy": a, "d_util": u, "d_speed": -u, "below_0.001": b}
        for l1, a, u, b in ((1e-5, 0.8, 0.1, 0.2), (1e-5, 0.6, 0.3, 0.4), (1e-4, 0.5, 0.4, 0.9))
    ]
    study = build("l1_study", runs=table_of(*runs, failed(experiments="l1", l1=1e-4)))
    assert study["l1"].tolist() == [1e-5, 1e-4]
    assert study["n"].tolist() == [2, 1]
    assert study["unfinished"].tolist() == [0, 1]
    assert study["below_0.001"].tolist() == pytest.approx([0.3, 0.9])
    assert study["accuracy"].tolist() == pytest.approx([70, 50])
    assert study["d_util"].tolist() == pytest.approx([0.2, 0.4])
    trends = build("l1_trends", runs=table_of(*runs)).set_index(["x", "y"])["spearman"]
    assert trends["sparsity", "abs_d_util"] == pytest.approx(1)
    assert trends["sparsity", "abs_d_speed"] == pytest.approx(1)  # of the sizes: the signs differ


def guided(tolerance, window, accuracy):
    settings = {"experiments": "sensitivity", "policy": "guided", "d_util": 0.1}
    return settings | {"tolerance": tolerance, "window": window, "accuracy": accuracy}


def test_each_setting_varies_while_the_other_is_held():
    """One with a single value makes no curve."""
    runs = [guided(0.1, 5, 0.5), guided(0.01, 5, 0.6), guided(0.01, 1, 0.7), guided(0.01, 20, 0.8)]
    table = build("sensitivity", runs=table_of(*runs))
    assert table[["setting", "value"]].to_numpy().tolist() == [
        ["tolerance", 0.01], ["tolerance", 0.1], ["window", 1], ["window", 5], ["window", 20],
    ]  # fmt: skip
    assert table["accuracy"].tolist() == pytest.approx([60, 50, 70, 60, 80])
    assert set(build("sensitivity", runs=table_of(*runs[1:]))["setting"]) == {"window"}


def test_where_every_pair_of_settings_was_run_the_other_is_held_at_the_paper_s_value():
    """Tolerance 0.003 with Q = 1 is bad, and of no account at the paper's Q = 5 and alpha = 0.01."""
    pairs = [(a, q) for a in (0.003, 0.01, 0.03) for q in (1, 5, 20)]
    runs = [guided(a, q, 0.1 if (a, q) == (0.003, 1) else 0.9) for a, q in pairs]
    table = build("sensitivity", runs=table_of(*runs))
    assert table["accuracy"].tolist() == pytest.approx([90] * 6)
    assert table["held"].tolist() == 3 * [5] + 3 * [0.01]


def of_preset(fidelity, seed, **accuracies):
    """A run of the fidelity study, and its accuracy under each way of evaluating."""
    name = f"{fidelity}/seed{seed}"
    reported = "left_behind" if "left_behind" in accuracies else "regular"
    run = {"run": name, "experiments": "fidelity", "dataset": "colored_mnist", "policy": "guided"}
    answers = [(name, way, "fused", value) for way, value in accuracies.items()]
    return run | {"fidelity": fidelity, "seed": seed, "reported": reported}, answers


def fidelity_study(*presets):
    runs, answers = zip(*presets, strict=True)
    columns = ["run", "evaluation", "output", "accuracy"]
    evaluations = pd.DataFrame([row for rows in answers for row in rows], columns=columns)
    return build("fidelity_study", runs=table_of(*runs), evaluations=evaluations)


def test_a_switch_is_compared_with_its_own_base_at_the_same_seed():
    table = fidelity_study(
        of_preset("paper", 0, regular=0.5),
        of_preset("paper", 1, regular=0.6),
        of_preset("official", 0, regular=0.9),
        of_preset("paper_but_gate_scale", 1, regular=0.65),
        of_preset("paper_but_gate_scale", 0, regular=0.53),
        of_preset("paper_but_schedule", 1, regular=0.5),
        of_preset("other_but_schedule", 1, regular=0.5),  # without its base it is not compared
    ).set_index(["base", "switch"])
    assert table["accuracy"].to_dict() == pytest.approx(
        {("paper", ""): 55, ("paper", "gate_scale"): 59, ("paper", "schedule"): 50}
        | {("official", ""): 90, ("other", "schedule"): 50}
    )
    assert table["difference"].dropna().to_dict() == pytest.approx(
        {("paper", "gate_scale"): 4, ("paper", "schedule"): -10}
    )
    assert table.loc[("paper", "gate_scale"), "n"] == 2


def test_a_preset_counts_as_it_reports_itself():
    table = fidelity_study(
        of_preset("paper", 0, regular=0.5),
        of_preset("paper_but_evaluation_mode", 0, regular=0.5, left_behind=0.8),
    ).set_index("switch")
    assert table.loc["evaluation_mode", "difference"] == pytest.approx(30)


def test_the_stop_rule_is_told_of_training_accuracy_alone():
    runs = table_of(
        *({"experiments": "stop_rule", "fidelity": preset} for preset in ("official", "wide")),
        failed(experiments="stop_rule", fidelity="broken"),
    )
    accuracy = {"run0": (0.5, 0.75, 0.875), "run1": (0.5, 1.0, 0.75), "run2": (1.0,)}
    histories = pd.DataFrame(
        [(run, i + 1, a) for run, of_run in accuracy.items() for i, a in enumerate(of_run)],
        columns=["run", "epoch", "train_accuracy"],
    )
    table = build("stop_rule", runs=runs, histories=histories).set_index("fidelity")
    assert [*table.index] == ["official", "wide"]
    assert table["train_accuracy"].tolist() == [87.5, 100]
    assert table["perfect_epochs"].tolist() == [0, 1]
    assert table.loc["wide", "first_perfect"] == 2
    assert table["epochs"].tolist() == [3, 3]
    assert not [column for column in table if column.startswith(("test", "validation", "accuracy"))]


def test_three_views_are_compared_with_vanilla_at_their_seed():
    settings = {"experiments": "three_views", "inputs": "three", "accuracy_m2": 0.4}
    runs = [
        settings | {"policy": policy, "seed": seed, "accuracy": a}
        for policy, seed, a in (("vanilla", 0, 0.5), ("vanilla", 1, 0.6), ("guided", 1, 0.7))
    ]
    table = build("three_views", runs=table_of(*runs)).set_index("method")
    assert table.loc["vanilla", ["n", "accuracy", "accuracy_m2"]].tolist() == pytest.approx(
        [2, 55, 40]
    )
    assert table.loc["guided", ["n", "difference"]].tolist() == pytest.approx([1, 10])
    assert pd.isna(table.loc["vanilla", "difference"])


def selection(runs, histories):
    return build("selection", runs=runs, histories=histories, published=read_published("published"))


def test_the_paper_s_stop_rule_chooses_among_the_epochs_until_the_first_perfect_one():
    """The second epoch of run0; of run1, which has no perfect epoch, the best of all."""
    runs = table_of(*({"dataset": "colored_mnist", "seed": seed} for seed in (0, 1)))
    histories = pd.DataFrame(
        {
            "run": 4 * ["run0"] + 2 * ["run1"],
            "epoch": [1, 2, 3, 4, 1, 2],
            "train_accuracy": [0.9, 1.0, 0.99, 1.0, 0.8, 0.9],
            "validation_accuracy": [0.5, 0.6, 0.9, 0.9, 0.8, 0.9],
            "test_accuracy": [0.7, 0.44, 0.8, 0.9, 0.3, 0.46],
        }
    )
    (row,) = selection(runs, histories).to_dict("records")
    assert row["validation_selected"] == pytest.approx(63)  # 80 and 46
    assert row["until_perfect"] == pytest.approx(45)  # 44 and 46
    assert row["sd"] == pytest.approx(2**0.5)
    assert row["published_mean"] == 45.26
    assert row["difference"] == pytest.approx(-0.26)
    assert row["verdict"] == "inconclusive"


def test_the_optimism_is_what_choosing_on_the_test_set_adds():
    runs = table_of({"seed": 0}, {"seed": 1}, failed(seed=2), failed(fidelity="official"))
    histories = pd.DataFrame(
        {
            "run": 3 * ["run0"] + 2 * ["run1"],
            "epoch": [1, 2, 3, 1, 2],
            "train_accuracy": 0.9,
            "validation_accuracy": [0.5, 0.6, 0.6, 0.9, 0.8],
            "test_accuracy": [0.7, 0.5, 0.6, 0.8, 0.7],
        }
    )
    table = selection(runs, histories).set_index("fidelity")
    assert (table.loc["official", "n"], table.loc["official", "unfinished"]) == (0, 1)
    row = table.loc["paper"]
    assert (row["n"], row["unfinished"]) == (2, 1)
    assert row["validation_selected"] == pytest.approx(65)  # 50 of the first of equals, and 80
    assert row["last"] == pytest.approx(65)
    assert row["test_selected"] == pytest.approx(75)
    assert row["optimism"] == pytest.approx(10)  # 20 and 0


def test_ways_of_switching_off_are_ranked_against_the_paper_s():
    runs = table_of(*sweep((0, 0), (0, 0), (0, 0)))
    rows = []
    for run, isolated, zeroed in (("run0", 0.4, 0.1), ("run1", 0.3, 0.2), ("run2", 0.2, 0.3)):
        for way, m0 in (("regular", 0.5), ("isolated", isolated), ("zeroed", zeroed)):
            rows += [(run, way, "m0", m0), (run, way, "m1", 0.5)]
    evaluations = pd.DataFrame(rows, columns=["run", "evaluation", "output", "accuracy"])
    table = build("switching_off", runs=runs, evaluations=evaluations).set_index("way")
    assert table["n"].to_dict() == {"isolated": 3, "zeroed": 3, "permuted": 0, "class_mean": 0}
    assert table.loc["isolated", "d_util"] == pytest.approx(0.4)  # mean of 0.2, 0.4 and 0.6
    assert table.loc["zeroed", "d_util"] == pytest.approx(0.6)
    assert table.loc["zeroed", "spearman"] == pytest.approx(-1)
    assert pd.isna(table.loc["isolated", "spearman"])


def test_a_number_that_rounds_to_zero_has_no_minus():
    assert [FORMATS["d_util"].format(x) for x in (-0.0002, -0.0006)] == ["+0.000", "-0.001"]


def made_up_methods():
    """Three seeds of uniform training, the ensemble and another method, and their histories."""
    accuracies = {"uniform": (0.5, 0.6, 0.7), "ensemble": (0.6, 0.6, 0.6), "agm": (0.6, 0.7, 0.9)}
    rows, epochs = [], []
    for method, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            run = f"colored_mnist/distinct/{method}/late/lr0.01/seed{seed}"
            rows.append(
                {
                    "run": run, "experiments": "methods tuning", "dataset": "colored_mnist",
                    "start": "scratch", "fidelity": "late", "method": method, "inputs": "distinct",
                    "seed": seed, "status": "finished", "accuracy": accuracy, "d_util": 0.1 * seed,
                    "validation_accuracy": accuracy + 0.05,
                }
            )  # fmt: skip
            epochs += [
                {"run": run, "epoch": e, "test_accuracy": accuracy + x}
                for e, x in ((1, 0.05), (2, 0.01))
            ]
    return pd.DataFrame(rows), pd.DataFrame(epochs)


def test_methods_are_compared_seed_by_seed_with_uniform_training_and_the_ensemble():
    table = methods.build(*made_up_methods(), SETTINGS).set_index("method")
    agm = table.loc["agm"]
    assert (agm["accuracy"], agm["last"], agm["test_selected"]) == pytest.approx(
        (73.333333, 74.333333, 78.333333)
    )
    assert agm["difference_uniform"] == pytest.approx(40 / 3)
    assert agm["difference_ensemble"] == pytest.approx(40 / 3)
    assert agm["difference_uniform_low"] < 40 / 3 < agm["difference_uniform_high"]
    assert pd.isna(table.loc["uniform", "difference_uniform"])
    assert table.loc["uniform", "p_holm_ensemble"] >= table.loc["uniform", "p_ensemble"]
    assert agm["d_util"] == pytest.approx(0.1)
    # The three differences are 10, 10 and 20 points: sd 5.77.
    assert agm["detectable_uniform"] == pytest.approx(3.264 * 10 / 3**0.5, rel=1e-3)
    assert pd.isna(table.loc["uniform", "detectable_uniform"])


def test_of_a_run_that_failed_no_epoch_counts():
    runs, histories = made_up_methods()
    before = methods.build(runs, histories, SETTINGS)
    lost = runs["run"].str.endswith("agm/late/lr0.01/seed2")
    runs.loc[lost, ["status", "accuracy"]] = "failed", np.nan
    after = methods.build(runs, histories, SETTINGS)
    agm = after.set_index("method").loc["agm"]
    assert (agm["n"], agm["last"], agm["test_selected"]) == pytest.approx((2, 66, 70))
    others = ["accuracy", "last", "test_selected"]
    assert before.iloc[:2][others].equals(after.iloc[:2][others])


def test_each_data_set_is_compared_with_its_own_ensemble_of_whatever_preset():
    runs, histories = made_up_methods()
    runs.loc[runs["method"] != "ensemble", "fidelity"] = "paper"
    other = runs.assign(dataset="modelnet40", run="other/" + runs["run"])
    other.loc[other["method"] == "ensemble", "fidelity"] = "without_fusion"
    table = methods.build(pd.concat([runs, other]), histories, SETTINGS)
    differences = table[table["method"] == "agm"].set_index("dataset")["difference_ensemble"]
    assert differences.to_dict() == pytest.approx({"colored_mnist": 40 / 3, "modelnet40": 40 / 3})


@pytest.mark.parametrize(("status", "best"), [("failed", {"lr0.01"}), ("missing", set())])
def test_no_setting_is_best_that_failed_and_none_before_all_were_tried(status, best):
    runs, _ = made_up_methods()
    lost = runs.iloc[[0, 0]].assign(
        run=[f"colored_mnist/distinct/uniform/late/lr0.1/seed{seed}" for seed in (0, 1)],
        validation_accuracy=[0.99, np.nan], accuracy=[0.9, np.nan], status=["finished", status],
    )  # fmt: skip
    table = tuning.build(pd.concat([runs, lost]), SETTINGS)
    rows = table[table["method"] == "uniform"]
    assert {*rows[rows["best"] == "yes"]["setting"]} == best
    assert {*table[table["method"] == "agm"]["best"]} == {"yes"}


def test_the_table_of_tuning_says_which_setting_is_best_and_which_is_compared():
    runs, _ = made_up_methods()
    runs.loc[0, ["run", "experiments", "validation_accuracy"]] = (
        "colored_mnist/distinct/uniform/late/lr0.1/seed0",
        "tuning",
        0.99,
    )
    table = tuning.build(runs, SETTINGS)
    rows = table[table["method"] == "uniform"].set_index("setting")
    assert rows["best"].to_dict() == {"lr0.1": "yes", "lr0.01": ""}
    assert rows["compared"].to_dict() == {"lr0.1": "", "lr0.01": "yes"}
    assert rows.loc["lr0.1", ["validation_accuracy", "accuracy"]].tolist() == [99, 50]
