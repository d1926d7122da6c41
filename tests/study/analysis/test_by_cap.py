"""Table 1 by cap, the readings of it, and what was registered before: facts about a few made-up runs."""

import pandas as pd
import pytest

from equimodal.study.analysis.by_cap import best_up_to_caps
from tests.study.analysis.conftest import build

SETTINGS_OF_RUN = {
    "experiments": "table1", "dataset": "colored_mnist", "start": "scratch", "inputs": "distinct",
    "fidelity": "official", "method": "random", "reported": "left_behind", "status": "finished",
    "reason": None, "m0": "color", "m1": "gray", "accuracy": 0.7,
}  # fmt: skip
# Epoch -> mode left behind, and test accuracy in that mode.
GRAY, REGULAR = "rebalance_gray", "regular"
EPOCHS = {1: (REGULAR, 0.3), 2: (GRAY, 0.7), 3: (REGULAR, 0.5), 4: (GRAY, 0.8)}
PUBLISHED = pd.DataFrame(
    [("colored_mnist", "scratch", "random", "fused", 70.0, 0.5)],
    columns=["dataset", "start", "method", "output", "published_mean", "published_sd"],
)


def history(run, epochs=EPOCHS, shift=0.0):
    return pd.DataFrame(
        {
            "run": run,
            "epoch": list(epochs),
            "next_mode": [mode for mode, _ in epochs.values()],
            "validation_accuracy": [a + shift for _, a in epochs.values()],
            "test_accuracy": [a + shift for _, a in epochs.values()],
            "test_accuracy_m0": 0.2,
            "test_accuracy_m1": 0.9,
        }
    )


def runs_of(n, **settings):
    return pd.DataFrame(
        [SETTINGS_OF_RUN | {"run": f"run{i}", "seed": i} | settings for i in range(n)]
    )


def test_the_best_epoch_up_to_a_cap_is_that_of_the_mode_that_was_left_behind():
    best = best_up_to_caps(runs_of(1), history("run0"))
    fused = best.pivot(index="cap", columns="evaluation", values="fused")
    assert fused["left_behind"].tolist() == [0.3, 0.7, 0.7, 0.8]
    assert fused["regular"].tolist() == [0.3, 0.3, 0.5, 0.5]
    assert fused["rebalance_m1"].tolist()[1:] == [0.7, 0.7, 0.8]
    assert pd.isna(fused["rebalance_m1"][1])


def test_a_run_that_has_stopped_keeps_its_best_epoch():
    short = {epoch: EPOCHS[epoch] for epoch in (1, 2)}
    histories = pd.concat([history("run0"), history("run1", short)])
    best = best_up_to_caps(runs_of(2), histories).query("evaluation == 'left_behind'")
    assert best.pivot(index="run", columns="cap", values="fused").loc["run1"].tolist() == [
        *(0.3, 0.7, 0.7, 0.7)
    ]


def by_cap_of(shifts=(-0.005, 0.0, 0.005)):
    histories = pd.concat([history(f"run{i}", shift=s) for i, s in enumerate(shifts)])
    return build("by_cap", runs=runs_of(3), histories=histories, published=PUBLISHED)


def test_a_row_stands_until_the_cap_of_the_next():
    rows = by_cap_of().query("evaluation == 'left_behind'")
    assert rows["cap"].tolist() == [1, 2, 4]
    assert rows["mean"].tolist() == pytest.approx([30, 70, 80])
    assert rows["verdict"].tolist() == ["different", "inconclusive", "different"]


def test_a_reading_counts_the_verdicts_under_one_cap_for_all_cells():
    whole = by_cap_of().head(0).drop(columns="cap")
    readings = build("readings", by_cap=by_cap_of(), table1_evaluations=whole)
    assert readings["evaluation"].unique().tolist() == ["left_behind"]
    assert readings["caps"].tolist() == ["1", "2 to 3", "4 on"]
    assert readings["different"].tolist() == [1, 0, 1]
    assert readings["which_differ"].tolist() == ["random fused", "", "random fused"]


def preregistered(low, high, first_cap=2, last_cap=4, measure="accuracy"):
    row = ("random", "distinct", measure, "fused", low, high, first_cap, last_cap, 1, 2)
    columns = "method inputs measure output low high first_cap last_cap first_seed last_seed"
    return pd.DataFrame([row], columns=columns.split())


def judged(expected, runs=None, shifts=(0.5, 0.0, 0.0)):
    histories = pd.concat([history(f"run{i}", shift=s) for i, s in enumerate(shifts)])
    runs = runs_of(3) if runs is None else runs
    return build("preregistration", runs=runs, histories=histories, preregistered=expected).iloc[0]


@pytest.mark.parametrize(
    ("low", "high", "result", "held_at"),
    [
        (69, 81, "holds", "2 to 4"),
        (69, 71, "holds in part", "2 to 3"),
        (79, 81, "holds in part", "4"),
        (10, 20, "fails", "none"),
    ],
)
def test_an_expectation_is_judged_at_every_cap_by_the_seeds_that_it_names(
    low, high, result, held_at
):
    """Seed 0, which was seen before, is 50 points higher and does not count."""
    row = judged(preregistered(low, high))
    assert (row["result"], row["held_at"]) == (result, held_at)
    assert (row["least"], row["most"]) == pytest.approx((70, 80))


def test_an_expectation_of_a_network_that_lacks_is_not_judged():
    runs = runs_of(3)
    runs.loc[2, "status"] = "missing"
    row = judged(preregistered(0, 100), runs)
    assert (row["result"], row["n"], row["held_at"]) == ("open", 1, "2 to 4")
    runs["status"] = "missing"
    row = judged(preregistered(0, 100), runs)
    assert (row["result"], row["n"]) == ("open", 0)


def test_sizes_of_the_utilization_are_compared_without_their_signs():
    runs = runs_of(3).assign(d_util=[9, 0.4, 0.4], d_util_by_label=[9, -0.2, 0.0])
    row = judged(preregistered(float("nan"), 0, 4, 4, "d_util_by_label less d_util in size"), runs)
    assert row["least"] == pytest.approx(0.1 - 0.4)
    assert row["result"] == "holds"


def test_the_way_of_drawing_colors_is_compared_by_its_mean_absolute_difference():
    accuracy = {"clip_020": 0.35, "clip_030": 0.50, "redraw_020": 0.40, "redraw_030": 0.61}
    runs = pd.DataFrame(
        [
            SETTINGS_OF_RUN
            | {"experiments": "calibration", "fidelity": name, "seed": 0, "accuracy": a}
            for name, a in accuracy.items()
        ]
    )
    published = pd.DataFrame({"variance": [0.02, 0.03], "published_mean": [40.0, 60.0]})
    table = build("calibration", runs=runs, published_calibration=published)
    means = table.set_index("sampling")["mean_absolute_difference"]
    assert means[["clip", "redraw"]].tolist() == pytest.approx([7.5, 0.5])
    assert table.set_index("sampling")["variance_0.030"].tolist() == pytest.approx([60, 50, 61])


def test_the_utilization_of_a_method_is_averaged_on_both_colorings():
    runs = runs_of(3).assign(d_util=[0.4, 0.5, 0.6], d_util_by_label=-0.2, d_speed=-0.3)
    speeds = {1: (-2.0, -1.5), 2: (-2.0, -1.7)}  # of the color branch and of the gray one, by epoch
    histories = pd.DataFrame(
        [
            {"run": run, "epoch": epoch, "speed_m0": m0, "speed_m1": m1}
            for run in runs["run"]
            for epoch, (m0, m1) in speeds.items()
        ]
    )
    row = build("table1_utilization", runs=runs, histories=histories).iloc[0]
    assert (row["n"], row["d_util"], row["d_util_by_label"]) == pytest.approx((3, 0.5, -0.2))
    assert (row["d_speed"], row["d_speed_first"]) == pytest.approx((-0.3, -0.5))
    assert row["d_util_low"] < 0.5 < row["d_util_high"]
