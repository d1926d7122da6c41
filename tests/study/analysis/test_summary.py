import json

import pandas as pd
import pytest

from equimodal.study.analysis.summary import key_numbers, learning_curves
from tests.tables import made_up_tables


@pytest.fixture
def tables():
    return {name: made_up_tables()[name] for name in ("table1", "greediness", "prediction")}


def test_the_key_numbers_are_those_of_the_tables_by_data_set_and_method(tables):
    numbers = key_numbers(**tables)
    table1 = tables["table1"].set_index(["dataset", "start", "method"])["mean"]
    assert numbers["table1"]["nvgesture"]["guided"] == table1["nvgesture", "scratch", "guided"]
    pretrained = table1["nvgesture", "pretrained", "rubi"]
    assert numbers["table1"]["nvgesture"]["rubi-pretrained"] == pretrained
    assert set(numbers["greediness"]) == set(table1.index.get_level_values("dataset"))
    assert "all" in numbers["speed_predicts_utilization"]


def test_what_was_not_measured_is_left_out_and_the_rest_is_json(tables):
    table1 = tables["table1"]
    table1.loc[(table1["dataset"] == "nvgesture"), "mean"] = float("nan")
    numbers = key_numbers(**tables)
    assert "nvgesture" not in numbers["table1"]
    json.dumps(numbers, allow_nan=False)


def runs(**columns):
    usual = {"experiments": "table1", "dataset": "d", "start": "scratch", "fidelity": "paper"}
    return pd.DataFrame(usual | {"inputs": "distinct"} | columns)


def test_rank_correlations_of_other_presets_than_the_paper_s_are_named(tables):
    paper = tables["prediction"]
    both = pd.concat([paper, paper.assign(fidelity="official", spearman=0.1)])
    found = key_numbers(**tables | {"prediction": both})["speed_predicts_utilization"]
    assert (found["nvgesture"], found["nvgesture-official"]) == (0.7, 0.1)


def test_curves_are_means_over_seeds_in_percent_by_method():
    asked = runs(run=["a", "b", "c"], method=["vanilla", "vanilla", "unimodal"])
    histories = pd.DataFrame(
        {"run": ["a", "a", "b", "c"], "epoch": [1, 2, 1, 1], "test_accuracy": [0.2, 0.4, 0.4, 0.5]}
    )
    curve = learning_curves(asked, histories)["d"].set_index("epoch")
    assert curve["vanilla"].tolist() == [30.0, 40.0]
    assert curve["unimodal-distinct"][1] == 50.0


def test_presets_other_than_the_paper_s_are_named():
    asked = runs(run=["a"], method=["guided"], fidelity=["official"])
    histories = pd.DataFrame({"run": ["a"], "epoch": [1], "test_accuracy": [0.2]})
    assert list(learning_curves(asked, histories)["d"]) == ["epoch", "guided-official"]


def test_a_data_set_whose_runs_all_failed_has_an_empty_curve():
    histories = pd.DataFrame({"run": [], "epoch": [], "test_accuracy": []})
    assert learning_curves(runs(run=["a"], method=["guided"]), histories)["d"].empty
