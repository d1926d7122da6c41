from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from equimodal.study.analysis import JUDGED
from equimodal.study.analysis.claims import (
    Claim,
    Ledger,
    Region,
    as_markdown,
    caveats,
    data_name,
    fingerprint,
    judge_claims,
    limits,
    networks,
    read_claims,
    tables_of,
)
from equimodal.study.analysis.stored import COLUMNS
from equimodal.study.params import load_params
from tests.conftest import ROOT
from tests.tables import made_up_tables

AT = {"confidence": 0.95, "scale": "demo"}


def judged(check, table, data=("modelnet40",), limits=None):
    """Judge one claim by one table named `t`."""
    claim = {"id": "c", "claim": "It is so.", "where": "Sec. 1", "data": data, "check": check}
    claim["experiments"] = ["table1"]
    ledger = Ledger(fidelity="paper", claims=(Claim.model_validate(claim),))
    tables = {} if table is None else {"t": pd.DataFrame(table)}
    return judge_claims(ledger, tables, limits=limits or {}, **AT)


def verdict(check, table):
    (row,) = judged(check, table).itertuples()
    return row.verdict


def interval(lies, **changes):
    check = {"kind": "interval", "table": "t", "rows": {"method": "guided"}, "measure": "gain"}
    return check | {"value": "x", "interval": ["low", "high"], "lies": lies} | changes


def row(x, low, high, **others):
    return {"method": "guided", "x": x, "low": low, "high": high, "n": 3} | others


def test_every_claim_of_the_paper_holds_by_tables_made_so():
    judged = judge_claims(read_claims(), made_up_tables(), limits={}, **AT)
    assert list(judged) == list(COLUMNS["claims"])
    assert set(judged["verdict"]) == {"holds"}, judged[judged["verdict"] != "holds"].to_string()


def test_the_rows_of_another_preset_decide_on_no_claim():
    tables = made_up_tables()
    both = {n: pd.concat([t.assign(fidelity="official"), t]) for n, t in tables.items()}
    pd.testing.assert_frame_equal(
        *(judge_claims(read_claims(), t, limits={}, **AT) for t in (tables, both))
    )


def test_claims_without_tables_are_not_tested_and_name_the_missing_table():
    judged = judge_claims(read_claims(), {}, limits={}, **AT)
    assert set(judged["verdict"]) == {"not tested"}
    for claim in judged.itertuples():
        assert claim.reason == f"the table {claim.table} is missing"


def test_the_claims_look_at_tables_that_the_analysis_writes():
    assert set(tables_of(read_claims())) == set(JUDGED) == set(made_up_tables())


@pytest.mark.parametrize(
    ("lies", "holds", "fails", "open_"),
    [
        ({"above": 0}, (0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)),
        ({"below": 1}, (0.1, 0.2), (1.1, 1.2), (0.9, 1.1)),
        ({"inside": (-1, 1)}, (-0.5, 0.5), (1.5, 2), (0.5, 1.5)),
        ({"outside": (-1, 1)}, (-3, -2), (-0.5, 0.5), (0.5, 1.5)),
    ],
)
def test_an_interval_decides_only_if_it_lies_on_one_side(lies, holds, fails, open_):
    region = Region.model_validate(lies)
    assert region.verdict(*holds) == "holds"
    assert region.verdict(*fails) == "does not hold"
    assert region.verdict(*open_) == "inconclusive"


@pytest.mark.parametrize("lies", [{}, {"above": 0, "below": 1}, {"within": 0.1}, {"of": "x"}])
def test_a_region_that_is_not_one_is_refused(lies):
    with pytest.raises(ValidationError, match="lies takes one of"):
        Region.model_validate(lies)


def test_the_interval_of_the_table_decides_and_stands_in_the_evidence():
    (found,) = judged(interval({"above": 0}, unit="points"), [row(2, 1, 3)]).itertuples()
    assert found.verdict == found.measured == "holds"
    assert found.evidence == "gain 2 points (interval 1 to 3), n = 3"
    assert found.reason == ""
    assert found.command == "equimodal claims --scale demo --claim c"


def test_an_interval_on_both_sides_is_inconclusive_whatever_the_mean():
    (found,) = judged(interval({"above": 0}), [row(2, -1, 5)]).itertuples()
    assert (found.verdict, found.reason) == ("inconclusive", "the interval allows both")


def test_one_seed_is_inconclusive_and_says_so():
    (found,) = judged(interval({"above": 0}), [row(2, np.nan, np.nan, n=1)]).itertuples()
    assert (found.verdict, found.reason) == ("inconclusive", "one run has no interval")
    assert found.evidence == "gain 2 (no interval), n = 1"


def test_a_cell_whose_runs_all_failed_is_not_tested_and_says_so():
    table = [row(np.nan, np.nan, np.nan, n=0, unfinished=3)]
    (found,) = judged(interval({"above": 0}), table).itertuples()
    assert (found.verdict, found.reason) == ("not tested", "none of its 3 runs has a result")


def test_rows_that_are_not_there_are_named():
    (found,) = judged(interval({"above": 0}), [row(2, 1, 3, dataset="nvgesture")]).itertuples()
    assert found.verdict == "not tested"
    assert found.reason == "the table t has no row of dataset modelnet40, method guided"


def test_a_table_of_another_version_is_named():
    (found,) = judged(interval({"above": 0}), [{"method": "guided", "x": 1, "n": 3}]).itertuples()
    assert (found.verdict, found.reason) == ("not tested", "the table has no column low")


def test_one_row_of_several_that_contradicts_is_enough():
    check = interval({"above": 0}, rows={"method": ["random", "guided"]})
    (found,) = judged(check, [row(-2, -3, -1, method="random"), row(2, 1, 3)]).itertuples()
    assert found.verdict == "does not hold"
    assert found.evidence.startswith("random: gain -2 (interval -3 to -1), n = 3; guided: ")


def test_one_row_of_several_that_is_open_leaves_the_claim_open():
    check = interval({"above": 0}, rows={"method": ["random", "guided"]})
    assert verdict(check, [row(2, -1, 5, method="random"), row(2, 1, 3)]) == "inconclusive"


def test_a_row_of_several_that_is_not_there_leaves_the_claim_open():
    check = interval({"above": 0}, rows={"method": ["random", "guided"]})
    (found,) = judged(check, [row(2, 1, 3)]).itertuples()
    assert (found.verdict, found.evidence) == (
        "inconclusive",
        "guided: gain 2 (interval 1 to 3), n = 3",
    )
    assert found.reason == "the table t has no row of method random"


def test_equal_values_have_no_interval_and_decide_nothing():
    (found,) = judged(interval({"above": 0}), [row(0, np.nan, np.nan)]).itertuples()
    assert found.verdict == "inconclusive"
    assert found.reason == "there is no interval: too few runs, or no spread among them"


def test_a_value_is_compared_with_the_published_one_without_its_sign():
    check = interval({"within": 0.1, "of": "published"}, magnitude=True)
    assert verdict(check, [row(-0.3, -0.35, -0.25, published=0.3)]) == "holds"
    assert verdict(check, [row(-0.3, -0.45, -0.25, published=0.3)]) == "inconclusive"
    assert verdict(check, [row(0.0, -0.05, 0.05, published=0.3)]) == "does not hold"


SHARE = {"kind": "share", "table": "t", "rows": {}, "measure": "share", "value": "x"}


@pytest.mark.parametrize(
    ("x", "n", "expected"),
    [
        (0.9, 40, "holds"),
        (0.1, 40, "does not hold"),
        (0.6, 10, "inconclusive"),
        (np.nan, 0, "not tested"),
        (np.nan, 3, "not tested"),
    ],
)
def test_a_share_is_judged_by_the_number_of_its_networks(x, n, expected):
    assert verdict(SHARE | {"lies": {"above": 0.5}}, [{"x": x, "n": n}]) == expected


DIFFERENCE = {"kind": "difference", "table": "t", "rows": {"method": "guided"}, "measure": "gain"}
DIFFERENCE |= {"than": {"method": "vanilla"}, "mean": "mean", "sd": "sd", "lies": {"above": 0}}


def pair(mean, sd=0.1, n=3, other_n=3):
    return [
        {"method": "guided", "mean": mean, "sd": sd, "n": n},
        {"method": "vanilla", "mean": 90, "sd": 0.1, "n": other_n},
    ]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (pair(91), "holds"),
        (pair(89), "does not hold"),
        (pair(90.1), "inconclusive"),
        (pair(91, sd=np.nan, n=1), "inconclusive"),
        (pair(91, other_n=1), "inconclusive"),
        (pair(np.nan, n=0), "not tested"),
        (pair(91)[:1], "not tested"),
    ],
)
def test_a_difference_of_means_is_judged_by_welchs_interval(table, expected):
    assert verdict(DIFFERENCE, table) == expected


def test_every_value_in_a_range_is_compared_with_the_chosen_one():
    check = DIFFERENCE | {"rows": {"value": {"from": 1, "to": 3}}, "than": {"value": 2}}
    check |= {"lies": {"inside": [-2, 2]}}
    table = [{"value": v, "mean": m, "sd": 0.1, "n": 3} for v, m in enumerate((0, 5, 5, 5, 0))]
    (found,) = judged(check, table).itertuples()
    assert found.verdict == "holds"
    assert found.evidence.count("gain 0 (interval") == 2  # 1 and 3; 2 is the chosen one
    table[3]["mean"] = 9
    assert verdict(check, table) == "does not hold"


CLOSER = {"kind": "closer", "table": "t", "rows": {"policy": "guided"}, "measure": "d_util"}
CLOSER |= {"than": {"policy": "vanilla"}, "value": "x", "interval": ["low", "high"]}


@pytest.mark.parametrize(
    ("interval_of_guided", "expected"),
    [
        ((-0.1, 0.1), "holds"),
        ((-0.4, -0.3), "inconclusive"),  # the size counts, and 0.35 lies in both
        ((0.6, 0.8), "does not hold"),
        ((np.nan, np.nan), "inconclusive"),
    ],
)
def test_closer_to_zero_asks_for_intervals_of_sizes_that_do_not_overlap(
    interval_of_guided, expected
):
    low, high = interval_of_guided
    table = [
        {"policy": "guided", "x": 0.1, "low": low, "high": high, "n": 3},
        {"policy": "vanilla", "x": 0.4, "low": 0.3, "high": 0.5, "n": 3},
    ]
    assert verdict(CLOSER, table) == expected
    assert verdict(CLOSER, table[:1]) == "not tested"


VERDICTS = {"kind": "verdicts", "table": "t", "rows": {"method": ["a", "b"]}, "measure": "less"}
VERDICTS |= {"value": "x", "interval": ["low", "high"], "column": "verdict"}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["equivalent", "equivalent"], "holds"),
        (["equivalent", "different"], "does not hold"),
        (["equivalent", "inconclusive"], "inconclusive"),
        (["equivalent", np.nan], "inconclusive"),
    ],
)
def test_all_cells_have_to_be_equivalent(own, expected):
    table = [row(0, -1, 1, method=m, verdict=v) for m, v in zip("ab", own, strict=True)]
    assert verdict(VERDICTS, table) == expected


def test_demo_data_cannot_say_but_what_was_measured_stays():
    limits = {"modelnet40": "its data are stand-ins"}
    (found,) = judged(interval({"above": 0}), [row(2, 1, 3)], limits=limits).itertuples()
    assert (found.verdict, found.measured) == ("these data cannot say", "holds")
    assert found.reason == "its data are stand-ins"
    assert "interval 1 to 3" in found.evidence


def test_a_claim_without_numbers_is_not_tested_on_demo_data_too():
    (found,) = judged(interval({"above": 0}), None, limits={"modelnet40": "stand-in"}).itertuples()
    assert found.verdict == "not tested"


def limits_of(scale, paper=None):
    """Why the data sets of a scale can not speak for the paper's."""
    return limits(load_params(scale=scale), paper or load_params(scale="paper"), read_claims())


OTHER = {  # what a scale like the paper's says -> data sets that it takes the voice
    "": set(),
    "note: Any text.": set(),
    "training: {colored_mnist: {max_epochs: 1}}": {"colored_mnist"},
    "networks: {modelnet40: {width: 0.5}}": {"modelnet40"},
    "sweeps: {nvgesture: {high: 0.5}}": {"nvgesture"},
    "presets: {paper: {gate_scale: 1}}": {"colored_mnist", "modelnet40", "nvgesture"},
    "presets: {official: {gate_scale: 2}}": set(),  # no claim rests on it
    "leave_out: [nvgesture/*]": set(),
    "experiments: {sweep: []}": set(),
    "datasets: {colored_mnist: {coloring: {variance: 0.03}}}": {"colored_mnist"},
    "analysis: {margin: 30.0}": {"colored_mnist", "modelnet40", "nvgesture"},
}


@pytest.mark.parametrize("said", OTHER)
def test_only_networks_of_the_paper_s_protocol_get_verdicts_whatever_a_note_says(project, said):
    mine = project.folder / "config/scales/mine.yaml"
    mine.write_text(f"like: paper\n{said}\n")
    reasons = limits_of("mine")
    assert reasons.keys() - {"all"} == OTHER[said]
    assert ("all" in reasons) == bool(OTHER[said])
    assert all("the mine scale is not the paper's" in reasons[name] for name in OTHER[said])


def test_more_seeds_of_the_paper_s_protocol_speak_too(project):
    grid = "{dataset: modelnet40, inputs: [distinct], policy: [guided], rates: table1, seeds: 9}"
    mine = project.folder / "config/scales/mine.yaml"
    mine.write_text(f"like: paper\nexperiments: {{table1: [{grid}]}}\n")
    assert limits_of("mine") == {}


def test_stand_ins_cannot_speak(project):
    reasons = limits_of("tiny")
    assert reasons["colored_mnist"] == "the tiny scale is not the paper's"
    assert reasons["nvgesture"].startswith("its data are stand-ins; ")
    assert "ModelNet40" in reasons["all"]


def test_the_fingerprints_are_those_of_the_paper_scale_in_git():
    """Where the protocol was changed on purpose, these belong into claims.yaml."""
    ledger = read_claims()
    asked = networks(load_params(ROOT / "params.yaml", "paper"), ledger)
    assert {name: fingerprint(specs) for name, specs in asked.items()} == ledger.protocol


def test_a_protocol_that_was_changed_for_all_scales_is_not_the_paper_s(project):
    project.edit("params.yaml", "    tolerance: 0.1 ", "    tolerance: 0.2 ")
    said = "the settings of the paper scale are no longer the paper's"
    assert limits_of("paper") == {
        "colored_mnist": said,
        "all": "data of Colored-and-gray-MNIST cannot speak for the paper's",
    }


def test_what_the_paper_does_not_tell_is_said_of_all_claims(project):
    rates, colors = caveats(project.load())
    assert rates.startswith("The learning rates of all sweeps are ours")
    assert colors == (
        "Colored-and-gray-MNIST: its colors have Kim et al.'s means, drawn anew, as the paper's file was"
        " not at hand."
    )


def test_the_colors_of_kim_et_al_s_files_are_theirs():
    settings = load_params(Path(__file__).parents[3] / "params.yaml", "paper")
    data = settings.datasets["colored_mnist"]
    assert data.caveat is not None
    assert data.model_copy(update={"digits": "kim"}).caveat is None
    ours = data.model_copy(
        update={"coloring": data.coloring.model_copy(update={"palette": "hues"})}
    )
    assert "means of ours (palette hues)" in ours.caveat


def test_a_part_of_the_runs_is_counted_as_a_part():
    (found,) = judged(interval({"above": 0}), [row(2, 1, 3, n=5, unfinished=75)]).itertuples()
    assert found.evidence.endswith("n = 5 of 80")
    (found,) = judged(interval({"above": 0}), [row(2, 1, 3, n=5, unfinished=0)]).itertuples()
    assert found.evidence.endswith("n = 5")


def test_a_data_set_that_the_paper_does_not_have_keeps_its_name():
    assert data_name("nvgesture pretrained") == "NVGesture-pretrained"
    assert data_name("sounds") == "sounds"


def test_claims_of_the_same_id_are_refused():
    claims = read_claims().claims
    with pytest.raises(ValidationError, match="the same id"):
        Ledger(fidelity="paper", claims=(claims[0], claims[0]))


def test_the_ledger_for_readers_has_every_claim_and_its_numbers():
    judged = judge_claims(read_claims(), made_up_tables(), limits={"nvgesture": "stand-in"}, **AT)
    text = as_markdown(judged, ["A note.", "Another."])
    assert "A note.\n\nAnother." in text
    for claim in judged.itertuples():
        assert claim.claim in text
        assert claim.evidence in text
        assert claim.command in text
    assert "- NVGesture: **these data cannot say**" in text
