import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from equimodal.study.analysis import JUDGED
from equimodal.study.analysis import claims as module
from equimodal.study.analysis.claims import (
    Claim,
    Ledger,
    Limit,
    Region,
    as_markdown,
    caveats,
    data_name,
    judge_claims,
    read_claims,
    tables_of,
)
from equimodal.study.analysis.protocol import fingerprint, limits, networks
from equimodal.study.analysis.stored import COLUMNS, read_published
from equimodal.study.errors import UserError
from equimodal.study.params import load_params
from tests.conftest import ROOT
from tests.tables import made_up_tables

NAN = np.nan
LEDGER = read_claims()
# The paper prints no correlation, no share of models and no d_speed; its accuracies of three views are lost.
UNPRINTED = {"bounded", "asymmetric_distinct", "symmetric_identical", "many_are_greedy"}
UNPRINTED |= {"speed_balanced_identical", "speed_has_sign_of_utilization", "speed_predicts_rank"}
UNPRINTED |= {"speed_predicts_sign", "l1_makes_sparse", "sparsity_makes_greedy"}
UNPRINTED |= {"speed_follows_sparsity", "three_views"}


def judge(tables, ledger=LEDGER, limits=None):
    return judge_claims(ledger, tables, limits=limits or {}, scale="demo")


def found(number, rows, lies=None, data="modelnet40", limits=None, printed=False):
    """Judge one claim by one table named `t`; None: there is no such table."""
    claim = {"claim": "It is so.", "where": "Sec. 1", "ours": True, "experiments": ["table1"]}
    claim |= {"data": [data], "measure": "gain", "lies": lies or {"above": 0}, "printed": printed}
    claim["number"] = {"table": "t", "column": "x"} | number
    ledger = Ledger(fidelity="paper", claims={"c": Claim.model_validate(claim)})
    tables = {} if rows is None else {"t": pd.DataFrame(rows)}
    (row,) = judge(tables, ledger, limits).itertuples()
    return row


def row(x, low=NAN, high=NAN, **others):
    return {"method": "guided", "x": x, "x_low": low, "x_high": high, "n": 3} | others


def published_tables():
    """The paper's printed numbers in the tables that the ledger looks at; without spread, so as points.

    The paper's sentences speak of the printed means: intervals of three runs allow both signs in half of
    Table 1.
    """
    table1 = read_published("published").assign(fidelity="paper", evaluation="regular", n=3)
    mean = table1["published_mean"]
    table1 = table1.assign(mean=mean, low=mean, high=mean)
    table1 = table1.assign(difference=0, difference_low=0, difference_high=0)
    unimodal = read_published("published_unimodal").assign(fidelity="paper", n=3)
    accuracy = unimodal["published_accuracy"]
    greediness = read_published("published_greediness").assign(fidelity="paper", n=27)
    d_util = greediness["published_d_util"].fillna(greediness["published_abs_d_util"])
    tables = {
        "table1": table1[table1["output"] == "fused"],
        "table1_evaluations": table1,
        "unimodal": unimodal.assign(accuracy=accuracy, low=accuracy, high=accuracy),
        "greediness": greediness.assign(d_util=d_util, d_util_low=d_util, d_util_high=d_util),
    }
    whole = made_up_tables()
    return {n: t.reindex(columns=dict.fromkeys([*whole[n], *t])) for n, t in tables.items()}


def test_the_paper_s_own_printed_numbers_support_every_claim_of_the_paper():
    judged = judge(published_tables())
    as_printed = ~judged["dataset"].str.endswith("by_label") & ~judged["id"].isin(UNPRINTED)
    papers = ~judged["id"].isin([name for name, claim in LEDGER.claims.items() if claim.ours])
    verdicts = judged[as_printed & papers]
    assert set(verdicts["verdict"]) == {"holds"}, verdicts[verdicts["verdict"] != "holds"]
    assert set(judged[~(as_printed & papers)]["verdict"]) == {"not run"}


def test_table_1_has_random_below_vanilla_in_the_column_that_the_claim_leaves_out():
    claim = LEDGER.claims["random_beats_vanilla"].model_copy(
        update={"data": ("nvgesture pretrained",)}
    )
    ledger = LEDGER.model_copy(update={"claims": {"c": claim}})
    assert judge(published_tables(), ledger)["verdict"].tolist() == ["does not hold"]


def test_every_claim_holds_by_tables_made_so():
    judged = judge(made_up_tables())
    assert list(judged) == list(COLUMNS["claims"])
    assert set(judged["verdict"]) == {"holds"}, judged[judged["verdict"] != "holds"].to_string()


def test_the_rows_of_another_preset_decide_on_no_claim():
    tables = made_up_tables()
    both = {n: pd.concat([t.assign(fidelity="official"), t]) for n, t in tables.items()}
    pd.testing.assert_frame_equal(judge(tables), judge(both))


def test_claims_without_tables_are_not_run_and_name_the_missing_table():
    judged = judge({})
    assert set(judged["verdict"]) == {"not run"}
    assert (judged["reason"] == "the table " + judged["table"] + " is missing").all()


def test_the_claims_look_at_tables_that_the_analysis_writes():
    assert set(tables_of(LEDGER)) == set(JUDGED) == set(made_up_tables())


@pytest.mark.parametrize(
    ("lies", "holds", "fails", "open_"),
    [
        ({"above": 0}, (0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)),
        ({"below": 1}, (0.1, 0.2), (1.1, 1.2), (0.9, 1.1)),
        ({"above": -1, "below": 1}, (-0.5, 0.5), (1.5, 2), (0.5, 1.5)),
        ({"below": 1}, (0, 0.9), (1.1, 1.1), (1, 1)),
    ],
)
def test_an_interval_decides_only_if_it_lies_on_one_side(lies, holds, fails, open_):
    region = Region.model_validate(lies)
    assert region.verdict(*holds) == "holds"
    assert region.verdict(*fails) == "does not hold"
    assert region.verdict(*open_) == "undecided"


GUIDED = {"rows": {"method": "guided"}}
BOTH = {"rows": {"method": ["random", "guided"]}}
LESS = GUIDED | {"less": {"method": "vanilla"}}
OTHER = row(1, 0, 2, method="vanilla")
RANDOM = row(2, 1, 3, method="random")
JUDGMENTS = {  # number, rows of the table -> verdict, evidence, reason
    "inside": (GUIDED, [row(2, 1, 3)], "holds", "2 [1, 3], n = 3", ""),
    "across": (GUIDED, [row(2, -1, 5)], "undecided", "2 [-1, 5], n = 3", "the interval allows both"),
    "one run": (GUIDED, [row(2, n=1)], "undecided", "2 [no interval], n = 1", "one run has no interval"),
    "no spread": (GUIDED, [row(2)], "undecided", "2 [no interval], n = 3", "too few runs, or no spread among them"),
    "no run": (GUIDED, [row(NAN, n=0, unfinished=3)], "not run", "missing, n = 0 of 3", "there is no number for it"),
    "a part": (GUIDED, [row(2, 1, 3, unfinished=77)], "holds", "2 [1, 3], n = 3 of 80", ""),
    "no row": (GUIDED, [row(2, 1, 3, dataset="nvgesture")], "not run", "", "the table t has no row of it"),
    "two rows": (GUIDED, 2 * [row(2, 1, 3)], "not run", "", "the table t has several rows of it"),
    "exact": (GUIDED | {"exact": True}, [row(2)], "holds", "2, n = 3", ""),
    "several": (BOTH, [RANDOM, row(3, 2, 4)], "holds", "random: 2 [1, 3], n = 3; guided: 3 [2, 4], n = 3", ""),
    "one fails": (BOTH, [RANDOM, row(-2, -3, -1)], "does not hold", "random: 2 [1, 3], n = 3; guided: -2 [-3, -1], n = 3", ""),
    "one is gone": (BOTH, [RANDOM], "undecided", "random: 2 [1, 3], n = 3; guided: missing", "the table t has no row of it"),
    "size": (GUIDED | {"size": True}, [row(-2, -3, -1)], "holds", "2 [1, 3], n = 3", ""),
    "size about 0": (GUIDED | {"size": True}, [row(1, -1, 3)], "undecided", "1 [0, 3], n = 3", "the interval allows both"),
    "a row less": (LESS, [row(4, 3, 5, n=2), OTHER], "holds", "3 [1.59, 4.41], n = 2 and 3", ""),
    "each less": (GUIDED | {"less": {"method": ["random", "vanilla"]}}, [row(4, 3.9, 4.1), RANDOM, OTHER], "holds",
                  "random: 2 [0.995, 3], n = 3; vanilla: 3 [2, 4], n = 3", ""),
    "a row less one run": (LESS, [row(4, 3, 5), row(1, method="vanilla", n=1)], "undecided", "3 [no interval], n = 3 and 1",
                           "one run has no interval"),
    "a row less none": (LESS, [row(4, 3, 5)], "not run", "", "the table t has no row of it"),
    "a column less": (GUIDED | {"less": "printed"}, [row(2, 1.5, 3, printed=1)], "holds", "1 [0.5, 2], n = 3", ""),
    "sizes less": (LESS | {"size": True}, [row(-4, -5, -3), OTHER], "holds", "3 [1.59, 4.41], n = 3", ""),
    "same sign": (GUIDED | {"toward": "y"}, [row(-2, -3, -1, y=-5, y_low=-6, y_high=-4)], "holds", "2 [1, 3], n = 3", ""),
    "no sign": (GUIDED | {"toward": "y"}, [row(-2, -3, -1, y=-5, y_low=-6, y_high=1)], "undecided", "2 [-3, 3], n = 3",
                "the interval allows both"),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGMENTS)
def test_a_number_is_judged_by_its_interval(case):
    number, rows, *expected = JUDGMENTS[case]
    rows = [{"dataset": "modelnet40"} | r for r in rows]
    judged = found(number, rows)
    assert [judged.verdict, judged.evidence, judged.reason] == expected
    assert judged.measured == judged.verdict


def test_a_data_set_is_told_by_its_start_and_by_how_its_test_examples_are_biased():
    rows = [row(-1, -1, -1, start=s, x_by_label=2) for s in ("scratch", "pretrained")]
    rows[1] |= row(1, 1, 1)
    assert found(GUIDED, rows, data="nvgesture pretrained").verdict == "holds"
    assert found(GUIDED, rows, data="nvgesture scratch").verdict == "does not hold"
    by_label = found(GUIDED | {"exact": True}, rows[:1], data="nvgesture by_label")
    assert by_label.evidence == "2, n = 3"
    assert data_name("nvgesture pretrained") == "NVGesture-pretrained"
    assert data_name("nvgesture by_label") == "NVGesture, test colors by label"
    assert data_name("sounds") == "sounds"


def test_demo_data_cannot_say_but_what_was_measured_stays():
    """Real data of another protocol get a verdict that says so, but none on printed numbers."""
    stand_ins = {"modelnet40": Limit("its data are stand-ins")}
    classes = {"modelnet40": Limit("ten classes", real=True)}
    for why, printed in ((stand_ins, False), (classes, False), (classes, True)):
        judged = found(GUIDED, [row(2, 1, 3)], limits=why, printed=printed)
        plain = why is classes and not printed
        assert judged.verdict == ("holds" if plain else "these data cannot say")
        assert (judged.measured, judged.evidence) == ("holds", "2 [1, 3], n = 3")
        assert judged.reason == why["modelnet40"].why
        assert found(GUIDED, None, limits=why).verdict == "not run"


def test_every_claim_about_a_printed_number_says_that_it_is_one():
    """Such numbers are columns `published_...`, or what Table 1 has less these."""
    for name, claim in LEDGER.claims.items():
        number = claim.number
        less = isinstance(number.less, str) and number.less.startswith("published")
        table1 = (number.table, number.column) == ("table1", "difference")
        assert claim.printed == (less or table1), name


@pytest.mark.parametrize("number", [{"rows": {"z": 1}}, {"column": "z"}, {"less": "z"}])
def test_a_table_that_lacks_a_column_of_the_ledger_is_told(number):
    with pytest.raises(UserError, match=r"claims.yaml: the table t has no column z"):
        found(GUIDED | number, [row(2, 1, 3)])


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"lies": {}}, "expected above, below or both"),
        ({"says": "So.", "ours": True}, "expected one of quote, says and ours"),
        ({"ours": False}, "expected one of quote, says and ours"),
    ],
)
def test_a_claim_without_a_region_or_a_source_is_refused(section, said):
    claim = LEDGER.claims["insensitive_to_window"].model_dump(exclude_none=True)
    with pytest.raises(ValidationError, match=said):
        Claim.model_validate(claim | section)


@pytest.mark.parametrize(
    "text", ["claims: [", "fidelity: paper\nclaims: {a: {}, a: {}}", "", "a: 1"]
)
def test_a_damaged_ledger_is_told_in_one_sentence(tmp_path, monkeypatch, text):
    (tmp_path / "claims.yaml").write_text(text)
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    with pytest.raises(UserError, match=r"claims.yaml is damaged .*install equimodal again"):
        read_claims()


def limits_of(settings):
    """Why the data sets of a scale can not speak for the paper's."""
    found = limits(settings, load_params(scale="paper"), LEDGER)
    return {data: limit.why for data, limit in found.items()}


SAID = {  # what a scale like the paper's says -> data sets that it takes the voice
    "": set(),
    "note: Any text.": set(),
    "training: {colored_mnist: {max_epochs: 1}}": {"colored_mnist"},
    "networks: {modelnet40: {width: 0.5}}": {"modelnet40"},
    "sweeps: {nvgesture: {high: 0.5}}": {"nvgesture"},
    "presets: {paper: {gate_scale: 1}}": {"colored_mnist", "modelnet40", "nvgesture"},
    "presets: {official: {gate_scale: 2}}": set(),  # no claim rests on it
    "leave_out: [nvgesture/*]": set(),
    "experiments: {sweep: []}": set(),
    "experiments: {table1: [{dataset: modelnet40, inputs: [distinct], policy: [guided], rates: table1, seeds: 9}]}": set(),
    "datasets: {colored_mnist: {coloring: {variance: 0.03}}}": {"colored_mnist"},
    "analysis: {confidence: 0.5}": {"colored_mnist", "modelnet40", "nvgesture"},
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_only_networks_of_the_paper_s_protocol_get_verdicts_whatever_a_note_says(project, said):
    reasons = limits_of(project.load_scale(f"like: paper\n{said}\n"))
    assert reasons.keys() == SAID[said] | ({"all"} if SAID[said] else set())
    for name in SAID[said]:
        assert "networks of the scale mine have other settings" in reasons[name]


def test_stand_ins_cannot_speak(project):
    reasons = limits_of(project.load())
    assert reasons["colored_mnist"].startswith("networks of the scale tiny have other settings")
    assert reasons["nvgesture"].startswith("its data are stand-ins; ")
    assert "ModelNet40" in reasons["all"]


@pytest.mark.parametrize(
    ("scale", "data"),
    [("own_colors", "colored_mnist"), ("views", "modelnet40"), ("gestures", "nvgesture")],
)
def test_other_networks_of_real_data_are_known_and_changed_ones_are_not(project, scale, data):
    """Where the scale was changed on purpose, its fingerprint belongs into claims.yaml."""
    paper, settings = load_params(scale="paper"), load_params(ROOT / "params.yaml", scale)
    known = limits(settings, paper, LEDGER)
    assert fingerprint(networks(settings, LEDGER)[data]) in LEDGER.others[data]
    assert known[data].real
    assert "not the paper's protocol" in known[data].why
    assert not known["all"].real
    changed = project.load_scale(f"like: {scale}\ntraining: {{{data}: {{max_epochs: 1}}}}\n")
    assert not limits(changed, paper, LEDGER)[data].real


def test_the_fingerprints_are_those_of_the_paper_scale_in_git():
    """Where the protocol was changed on purpose, these belong into claims.yaml."""
    paper = load_params(ROOT / "params.yaml", "paper")
    asked = networks(paper, LEDGER) | {"analysis": {paper.analysis.model_dump_json()}}
    assert {name: fingerprint(specs) for name, specs in asked.items()} == LEDGER.protocol


def test_a_protocol_that_was_changed_for_all_scales_is_not_the_paper_s(project):
    project.edit("params.yaml", "    tolerance: 0.1 ", "    tolerance: 0.2 ")
    assert limits_of(load_params(scale="paper")) == {
        "colored_mnist": "the settings of the paper scale are no longer the paper's",
        "all": "data of Colored-and-gray-MNIST cannot speak for the paper's",
    }
    project.edit("params.yaml", "  confidence: 0.95 ", "  confidence: 0.05 ")
    assert limits_of(load_params(scale="paper")).keys() == {
        "colored_mnist",
        "modelnet40",
        "nvgesture",
        "all",
    }


def test_what_the_paper_does_not_tell_is_said_of_all_claims(project):
    rates, colors = caveats(project.load())
    assert rates.startswith("The learning rates of all sweeps are ours")
    assert colors == (
        "Colored-and-gray-MNIST: its colors have Kim et al.'s means, drawn anew, as the paper's file was"
        " not at hand."
    )
    data = load_params(ROOT / "params.yaml", "paper").datasets["colored_mnist"]
    assert data.model_copy(update={"digits": "kim"}).caveat is None
    hues = data.coloring.model_copy(update={"palette": "hues"})
    assert "means of ours (palette hues)" in data.model_copy(update={"coloring": hues}).caveat


def test_of_data_of_one_s_own_alone_the_paper_claims_nothing():
    assert LEDGER.about(["digits", "nvgesture"]) == LEDGER
    judged = judge({}, ledger=LEDGER.about(["digits"]))
    assert judged.empty
    assert list(judged) == list(COLUMNS["claims"])
    assert "0 claims on 0 rows: the paper has none on these data." in as_markdown(judged, [])


def test_the_ledger_for_readers_has_every_claim_its_source_its_region_and_its_numbers():
    judged = judge(made_up_tables(), limits={"nvgesture": Limit("stand-in")})
    text = as_markdown(judged, ["A note.", "Another."])
    assert "A note.\n\nAnother." in text
    plain = text.replace("\\", "").replace("<br>", "; ")
    for claim in judged.itertuples():
        for words in (claim.claim, claim.paper, claim.evidence, claim.region, claim.command):
            assert words in plain
    assert "Sec. 4.1: “It is bounded between [−1] and [1]”" in plain
    assert "Sec. 6.4, Table 1, in our words: RUBi does not help." in plain
    assert "Not the paper's but ours, beside App. B, Fig. 9a." in plain
    assert "**these data cannot say** (the numbers alone: holds)" in plain
