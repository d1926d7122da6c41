"""What a terminal shows: the line of progress, and the end of `make reproduce`."""

import logging

import pandas as pd
import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_equimodal as plugin
from equimodal.study.report.terminal import as_text
from tests.tables import made_up_tables

STAND_INS = ("modelnet40", "nvgesture")


@pytest.fixture
def handler(monkeypatch):
    monkeypatch.setattr(plugin, "expected", {"cell_a": 100.0, "cell_b": 100.0})
    return plugin.LogHandler(None, None)


def tell(handler, event=None, msg="", level=logging.INFO, **fields):
    record = logging.LogRecord("snakemake", level, "", 0, msg, None, None)
    record.__dict__.update(fields, **({"event": event} if event else {}))
    handler.emit(record)


def start(handler):
    tell(handler, LogEvent.RESOURCES_INFO, cores=2)
    tell(handler, LogEvent.RUN_INFO, stats={"cell_a": 1, "cell_b": 1, "draw": 1, "total": 3})


def test_the_start_says_how_many_jobs_there_are_and_about_how_long_they_take(handler, capsys):
    start(handler)
    assert capsys.readouterr().err == "3 jobs, on 2 cores: about 2 min.\n"


def test_a_line_says_what_is_done_and_what_is_left_and_the_last_how_long_it_took(
    handler, capsys, monkeypatch
):
    monkeypatch.setattr(plugin, "EVERY", 0.0)
    start(handler)
    tell(handler, LogEvent.JOB_INFO, jobid=1, rule_name="cell_a", rule_msg="Train\n    some run")
    tell(handler, LogEvent.JOB_FINISHED, job_id=1)
    capsys.readouterr()
    tell(handler, LogEvent.PROGRESS, done=1, total=3)
    assert capsys.readouterr().err == "1 of 3 jobs done, about 20 s left: some run\n"
    tell(handler, LogEvent.PROGRESS, done=3, total=3)
    assert capsys.readouterr().err == "3 of 3 jobs done, 1 s in all\n"


def test_what_is_left_follows_the_pace(handler):
    start(handler)
    forecast = handler.forecast
    forecast.finish("cell_a")
    as_expected, twice_as_slow = (forecast.left(elapsed) for elapsed in (50.0, 130.0))
    assert as_expected == pytest.approx(100 / 2 + plugin.OTHER / 2)
    assert twice_as_slow == pytest.approx(2 * as_expected)


def test_a_job_that_failed_is_named_with_the_end_of_its_log(handler, capsys, tmp_path):
    log = tmp_path / "draw.log"
    log.write_text("\n".join(map(str, range(50))))
    tell(handler, LogEvent.JOB_ERROR, level=logging.ERROR, rule_name="draw", log=[str(log)])
    said = capsys.readouterr().err
    assert said.startswith("Failed: draw\n")
    assert "    49\n" in said
    assert "    5\n" not in said


@pytest.mark.parametrize(
    "end", ["returned non-zero exit status 130.", "died with <Signals.SIGINT: 2>."]
)
def test_a_job_that_ctrl_c_ended_is_no_failure_and_one_after_it_is(handler, capsys, end):
    tell(handler, msg=f"RuleException:\nCommand 'equimodal draw' {end}", level=logging.ERROR)
    for rule in ("draw", "collect"):
        tell(handler, LogEvent.JOB_ERROR, level=logging.ERROR, rule_name=rule, log=[])
    assert capsys.readouterr().err == "Interrupted: draw\nFailed: collect\n"


def test_the_scheduler_says_nothing_but_warnings_and_that_nothing_is_to_be_done(handler, capsys):
    tell(handler, msg="Building DAG of jobs...")
    tell(handler, LogEvent.SHELLCMD, msg="python")
    assert capsys.readouterr().err == ""
    tell(handler, msg="Nothing to be done (all requested files are present and up to date).")
    tell(handler, LogEvent.ERROR, msg="MissingOutputException: " + 999 * "a ", level=logging.ERROR)
    said = capsys.readouterr().err.splitlines()
    assert [line[:9] for line in said] == ["Nothing t", "MissingOu"]
    assert len(said[1]) <= plugin.LONGEST


def test_table_1_of_data_and_methods_of_one_s_own_is_shown():
    table1 = made_up_tables()["table1"].query("dataset == 'colored_mnist'")
    own = table1.assign(dataset="halves_of_digits", published_mean=float("nan"))
    text = as_text(own.replace({"method": {"random": "pmr"}}), ())
    head, *rows = [line.split() for line in text.splitlines()[1:]]
    assert head == ["preset", "paper", "halves_of_di"]
    assert {row[-2] for row in rows} >= {"pmr", "guided"}


def test_table_1_fits_a_terminal_and_has_nothing_published_beside_stand_ins():
    table1 = made_up_tables()["table1"]
    official = table1[table1["dataset"] == "colored_mnist"].assign(fidelity="official")
    text = as_text(pd.concat([table1, official], ignore_index=True), STAND_INS)
    lines = text.splitlines()
    assert max(map(len, lines)) < 80
    assert len(lines) <= 15
    guided = next(line for line in lines if line.startswith("+ guided"))
    assert guided.split()[2:] == ["80.0", "/", "80.0", "80.0", "80.0", "80.0"]
