import json

import pytest

from equimodal.study.errors import UserError
from equimodal.study.report.performance import FOLDER, as_markdown, performance

TIMES = {"cpu": 0.1234, "cpu_iqr": 0.01, "wall": 0.25, "wall_iqr": 0.0}
MEASURED = {
    "machine": {"processor": "a chip", "gflop_s": 75.66},
    "about": {"step": "one step"},
    "ratios": [{"benchmark": "step", "call": "guided", "against": "vanilla", **TIMES}],
    "times": [{"benchmark": "step", "call": "guided", "peak_mb": None, "rounds": 7, **TIMES}],
    "floor": [
        dict.fromkeys(("gflop", "kept_mb", "operations", "memory"), 1.0)
        | {"network": "small", "floor": 0.5, "measured": 1.0}
    ],
    "history": [{"date": "2026-01-02", "commit": "abc", "cpu": {"step-i3d guided": 0.5}}],
}


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The file of a machine."""
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    (FOLDER / "chip.json").write_text(json.dumps(MEASURED))
    return FOLDER / "chip.json"


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("part", "row"),
    [
        ("machine", ["processor", "a chip"]),
        ("ratios", ["step", "one step", "guided", "vanilla", "0.123 (0.01)", "0.250 (0)"]),
        ("times", ["step", "guided", "0.123 (0.01)", "0.25 (0)", "", "7"]),
        ("floor", ["small", "1", "1", "1", "1", "0.5", "1", "2"]),
        ("history", ["2026-01-02", "abc", "0.5"]),
    ],
)
def test_each_part_is_a_table(part, row):
    first = performance("chip", part).splitlines()[2]
    assert [cell.strip() for cell in first.strip("|").split("|")] == row


def test_what_was_not_measured_has_no_table():
    shown = as_markdown(MEASURED | {"floor": []})
    assert "## Times" in shown
    assert "## Floor" not in shown


@pytest.mark.parametrize(
    ("content", "part", "message"),
    [
        ("{", "times", "chip.json is damaged"),
        ("{}", "times", "chip.json is damaged .it has no 'times'"),
        ("{}", "weather", "'weather' is no part of"),
        (None, "times", "chip.json is missing; run `make bench`"),
    ],
)
def test_what_is_wrong_is_said(path, content, part, message):
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=message):
        performance("chip", part)
