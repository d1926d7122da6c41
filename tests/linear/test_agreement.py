"""The short tables: planted deviations from theory are the ones that they show."""

import numpy as np
import pandas as pd
import pytest

from equimodal.linear.agreement import agreement, agreement_by_depth, bridge_means


def off_by(tables, percent):
    """The tables with every simulated ratio off its theory by so many percent."""
    theory = {
        "linear_ratio": "theory_finite",
        "linear_random": "theory_finite",
        "linear_xor": "theory",
    }
    planted = {name: (1 + percent / 100) * tables[name][of] for name, of in theory.items()}
    return tables | {
        name: tables[name].assign(ratio=ratio, censored="neither")
        for name, ratio in planted.items()
    }


def test_a_ratio_that_is_off_its_theory_is_shown_so(tables):
    shown = agreement(off_by(tables, -5)).set_index("compared")
    for what in ("at the step size", "ReLU", "many inputs", "XOR"):
        row = shown[shown.index.str.contains(what)]
        assert row[["median_size", "least", "largest"]].to_numpy().tolist() == [[5, -5, -5]]


def test_equal_variances_and_draws_that_were_not_trained_are_left_out(tables):
    runs = agreement(tables).set_index("compared")["runs"]
    of_ratio, drawn = tables["linear_ratio"], tables["linear_random"]
    assert 2 * runs.iloc[0] == (of_ratio["r"] > 1).sum() < len(of_ratio)
    assert (
        runs["ratio of the times, random data of many inputs"]
        == (drawn["status"] == "trained").sum()
    )


def test_runs_that_never_learn_b_are_counted_and_have_no_deviation(tables):
    shown = agreement(tables).set_index("compared")
    waits = tables["linear_ratio"].query("r > 1 and units == 'linear'")
    lost = (waits["censored"] != "neither").sum()
    assert shown["censored"].iloc[0] == lost > 0
    assert np.isfinite(shown["largest"].iloc[0])


def test_the_excess_of_deep_networks_is_a_share_of_the_predicted_one():
    """Two seeds of two initial scales: means 3 and 2.5 where theory says 5."""
    runs = pd.DataFrame(
        {"scale": [0.1, 0.1, 0.2, 0.2], "seed": [0, 1, 0, 1], "ratio": [2.0, 4.0, 2.0, 3.0]}
    ).assign(varied="scale", rho=0.0, r=2.0, L_f=4, theory=5.0, censored="neither")
    row = agreement_by_depth(runs).iloc[0]
    assert (row["points"], row["runs"], row["censored"]) == (2, 4, 0)
    assert (row["excess_least"], row["excess_largest"]) == (0.375, 0.5)
    assert (row["run_least"], row["run_largest"]) == (0.25, 0.75)
    assert row["over_u_0"] == pytest.approx(33.3)  # seed 1, from 3 to 4


def test_where_theory_has_no_unimodal_phase_there_is_no_share_of_it(tables):
    shown = agreement_by_depth(tables["linear_deep_ratio"]).set_index("L_f")
    assert shown.loc[1, ["excess_least", "run_largest"]].isna().all()
    assert shown.loc[2:, "excess_least"].notna().all()


def test_means_of_the_bridge_are_over_the_seeds_of_a_cell():
    runs = pd.DataFrame(
        {"seed": [0, 1], "ratio": [3.0, 5.0], "censored_balanced": ["neither", "B"]}
    )
    cell = {"depth": 2, "L_f": 2, "rho": 0.5, "theory": 4.0, "censored": "neither"}
    measured = {"u_a_mid": 0.8, "u_b_mid": 0.0, "phase_factor": 0.5}
    row = bridge_means(runs.assign(**cell, **measured)).iloc[0]
    assert (row["runs"], row["censored"], row["ratio"]) == (2, 1, 4.0)
