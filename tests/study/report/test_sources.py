import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from equimodal.linear.figures import FIGURES as LINEAR_FIGURES
from equimodal.study import layout
from equimodal.study.analysis import TABLES
from equimodal.study.cli import app
from equimodal.study.expansion import expand_runs
from equimodal.study.figures import FIGURES
from equimodal.study.params import load_params
from equimodal.study.report.sources import gather, of_methods
from equimodal.study.steps import made_at
from tests.conftest import ROOT, run_verb
from tests.tables import made_up_tables, whole


def write_runs(project, failed=()):
    """The columns of runs.csv that the report reads."""
    settings = project.load()
    rows = []
    for name in expand_runs(settings):
        asked = [e for e in settings.experiments if name in expand_runs(settings, e)]
        row = {"run": name, "experiments": " ".join(asked), "dataset": "colored_mnist"}
        ended = {"status": "failed", "reason": "the loss became NaN"} if name in failed else {}
        rows.append(row | {"status": "finished", "reason": None} | ended)
    write_table("runs", pd.DataFrame(rows))


def write_table(name, table):
    """All columns of the table, those that are not given empty."""
    path = layout.tables("tiny") / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole(name, table).to_csv(path, index=False)


@pytest.fixture
def results(project):
    """All that the verbs before `report` leave, made up."""
    write_runs(project)
    made_up = made_up_tables()
    for name in TABLES:
        write_table(name, made_up.get(name, pd.DataFrame({"dataset": ["modelnet40"], "n": [1]})))
    layout.figures("tiny").mkdir(parents=True)
    for name in FIGURES | LINEAR_FIGURES:
        (layout.figures("tiny") / f"{name}.svg").write_text("<svg/>")
    run_verb("claims")
    return project


def test_the_report_of_a_whole_study_is_written_and_misses_nothing(results):
    done = run_verb("report")
    assert done.stderr == ""
    page = layout.report("tiny").read_text()
    for verb, every in (("table", TABLES), ("draw", FIGURES)):
        for name in made_at(every, results.load()):
            assert f"equimodal {verb} {name}" in page
    assert "What is missing" not in page
    assert "What the balancing methods were tuned on" not in page  # the scale asks for no such run
    assert "Zhang et al. (2024), F3. Phase portraits" in page
    assert "Conditional learning speed and utilization where the answer is known" in page
    assert "None. Conditional" not in page  # of a figure that no paper has


def test_without_results_the_report_is_written_names_all_that_is_missing_and_ends_with_1(project):
    done = CliRunner().invoke(app, ["report"])
    assert done.exit_code == 1
    page = layout.report("tiny").read_text()
    for name in ("runs", "claims", *made_at(TABLES, project.load())):
        assert f"tables/{name}.csv is missing" in page
        assert f"tables/{name}.csv is missing" in done.stderr
    for name in made_at(FIGURES, project.load()) | LINEAR_FIGURES:
        assert (
            f"figures/{name}.svg is missing; run `equimodal draw {name} --scale tiny` first."
            in page
        )


def gathered(project):
    return gather(project.load(), tables={"table1": TABLES["table1"]}, figures={})


@pytest.mark.parametrize("stands", [False, True])
def test_missing_runs_are_counted_and_named(results, stands):
    """Also one that stands in the table without results."""
    runs = pd.read_csv(layout.tables("tiny") / "runs.csv")
    first = runs.index == 0
    runs["status"] = runs["status"].mask(first, "missing")
    runs["reason"] = np.where(first, "spec.json is missing; train the run first", None)
    write_table("runs", runs if stands else runs[~first])
    report = gathered(results)
    (sentence,) = {s for s in report.missing if "table1" in s}
    assert sentence.startswith("1 of ")
    assert f"runs of table1 have no results: {runs['run'][0]}." in sentence
    assert report.failed["reason"].tolist() == [runs["reason"][0]][:stands]


def test_one_failed_run_is_told_and_is_no_gap_and_all_of_an_experiment_are_one(results):
    names = list(expand_runs(results.load(), "table1"))
    write_runs(results, failed=names[:1])
    report = gathered(results)
    assert report.missing == []
    assert report.failed.values.tolist() == [[names[0], "table1", "failed", "the loss became NaN"]]
    write_runs(results, failed=names)
    assert f"All {len(names)} runs of table1 failed" in gathered(results).missing[0]


def test_claims_and_runs_of_another_version_are_missing_and_the_report_is_written(results):
    for name in ("runs", "claims"):
        (layout.tables("tiny") / f"{name}.csv").write_text("method\nguided\n")
        (layout.tables("tiny") / f"{name}.json").unlink(missing_ok=True)  # of an earlier version
    done = CliRunner().invoke(app, ["report"])
    assert done.exit_code == 1
    for name, column in (("runs", "status"), ("claims", "verdict")):
        (sentence,) = {s for s in done.stderr.splitlines() if f"{name}.csv is damaged" in s}
        assert column in sentence
    assert "No claim was judged" in layout.report("tiny").read_text()


def test_the_last_verb_says_with_its_status_what_the_report_misses(results):
    run_verb("show")
    write_runs(results, failed=expand_runs(results.load()))
    done = CliRunner().invoke(app, ["show"])
    assert done.exit_code == 1
    assert "runs of table1 failed; see the failed runs for reasons." in done.stderr


def test_a_damaged_table_is_missing_and_says_why(results):
    (layout.tables("tiny") / "table1.csv").write_bytes(b"\xff\xfe\x00")
    assert "tables/table1.csv is damaged" in gathered(results).missing[0]


def test_versions_name_what_ran_and_stand_in_data_are_told_apart(project):
    report = gathered(project)
    names = ("Python", "torch", "equimodal", "git commit", "machine")
    assert all(report.versions[name] for name in names)
    assert [d.is_stand_in for d in report.data.values()] == [False, True, True]


def test_the_cost_of_each_compared_method_is_told_apart(project):
    assert of_methods(project.load()) == {}
    asked = of_methods(load_params(ROOT / "params.yaml", "methods"))
    assert {len(asked[f"methods, {method}"]) for method in ("agm", "guided", "uniform")} == {10}
    assert set(asked) > {"methods, unimodal", "methods, ensemble"}
