"""The page of the real runs, made of what git holds."""

import re
import shutil
import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from equimodal.study import layout
from equimodal.study.analysis.claims import CANNOT_SAY, HOLDS, NOT_RUN, UNDECIDED, Region, told_in
from equimodal.study.cli import app
from equimodal.study.errors import UserError
from equimodal.study.report import pictures
from equimodal.study.report.findings import Claim
from equimodal.study.report.page import DEPENDS
from tests.browser import looked_at
from tests.conftest import ROOT
from tests.study.report.test_page import Outline, text_of


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a fresh clone."""
    clone = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "config", clone / "config")
    shutil.copy(ROOT / "params.yaml", clone)
    listed = subprocess.run(
        ["git", "ls-files", "results"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.split():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    done = CliRunner().invoke(app, ["--directory", str(clone), "findings"])
    assert done.exit_code == 0, done.output
    return clone / layout.findings()


@pytest.fixture(autouse=True)
def _stay(monkeypatch):
    monkeypatch.chdir(ROOT)  # the verb changes the folder


def test_every_claim_is_told_once_with_what_the_numbers_say(page):
    text = page.read_text(encoding="utf-8")
    judged = pd.read_csv(ROOT / layout.table("own_colors", "claims"))
    for name, rows in judged.groupby("id"):
        assert text.count(f'id="claim-{name}"') == 1
        for row in rows[rows["measured"] != NOT_RUN].itertuples():
            assert " ".join(row.evidence.split()) in text_of(text)
            assert row.command in text
    assert "mlxtend" not in text_of(text)
    # A place whose numbers do not say what the outcome is says so in the overview.
    row = text.partition('href="#claim-speed_predicts_rank"')[2].partition("</tr>")[0]
    assert "views, ModelNet40: undecided" in text_of(row)
    # Of a number that the paper prints, other networks than the paper's say nothing.
    row = text.partition('href="#claim-table1_as_published"')[2].partition("</tr>")[0]
    assert "these data cannot say" in text_of(row)
    assert "does not hold" not in text_of(row)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(page):
    text = page.read_text(encoding="utf-8")
    outline = Outline(re.sub(r"(?s)<(script|svg).*?</\1>", "", text))
    assert outline.open == []
    assert len(outline.ids) == len({*outline.ids})
    assert {link[1:] for link in outline.links if link.startswith("#")} <= {*outline.ids}
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


def test_table_1_has_the_status_of_every_column(page):
    text = text_of(page.read_text(encoding="utf-8"))
    assert "Colored-and-gray-MNIST: decisive , as the authors' code does" in text
    assert "NVGesture-pretrained: not run on real data." in text


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_finds_no_error_nothing_too_wide_and_no_pale_text(page, width, dark):
    seen = looked_at(page, width, dark=dark)
    assert (seen["errors"], seen["pale"]) == ([], [])
    assert seen["width"] <= width
    assert seen["text"] > 1000


def test_the_browser_would_see_each_fault(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<html><head></head><body><p style="width: 2000px; color: #999999">pale and wide</p>'
        "<script>nothing.there</script></body></html>",
        encoding="utf-8",
    )
    seen = looked_at(page, 360)
    assert seen["width"] >= 2000
    assert seen["pale"] == ["2.8: pale and wide"]
    assert "nothing is not defined" in seen["errors"][0]


def test_filters_hide_and_a_name_shows_what_its_network_was_asked_for(page):
    check = """
      const select = document.querySelector('#networks ~ p select[data-filter="method"]');
      select.value = "guided";
      select.dispatchEvent(new Event("change"));
      const rows = [...document.querySelectorAll("tr[data-method]:not(.hidden)")];
      if (!rows.length || rows.some((row) => row.dataset.method !== "guided")) console.error("rows");
      rows[0].querySelector("button").click();
      if (!document.getElementById("spec").textContent.includes('policy: "guided"')) console.error("spec");
    """
    assert looked_at(page, 1280, then=check)["errors"] == []


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([], NOT_RUN),
        (["holds", "holds"], HOLDS),
        (["holds", "undecided"], HOLDS),
        (["undecided"], UNDECIDED),
        (["holds", "does not hold", "undecided"], DEPENDS),
        (["these data cannot say", "undecided"], UNDECIDED),
        (["these data cannot say"], CANNOT_SAY),
    ],
)
def test_the_numbers_that_decide_make_the_outcome(verdicts, outcome):
    rows = [SimpleNamespace(dataset="colored_mnist", says=verdict) for verdict in verdicts]
    claim = Claim("c", "", "", "", Region(above=0), rows, ["nvgesture"])
    assert claim.outcome == outcome
    assert claim.datasets[-1] == "nvgesture"


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        ("0.8 [0.7, 0.9], n = 12 of 80", [("", 0.8, 0.7, 0.9)]),
        ("color: -2.47 [-3.92, 1e-05], n = 3; gray: missing", [("color", -2.47, -3.92, 1e-05), ("gray", None, None, None)]),
        ("0.003: 1 [no interval], n = 1", [("0.003", 1.0, None, None)]),
        ("missing, n = 0 of 3", [("", None, None, None)]),
        ("distinct: 1.23, n = 12", [("distinct", 1.23, None, None)]),
        ("", []),
    ],
)  # fmt: skip
def test_the_numbers_of_the_evidence_are_read_again(evidence, told):
    assert [(t.label, t.value, t.low, t.high) for t in told_in(evidence)] == told
    with pytest.raises(UserError, match="is 'about one', expected a number"):
        told_in("about one")


def test_a_picture_has_each_number_in_its_place():
    numbers = told_in("a: 1 [0, 2], n = 3; b: 4, n = 3; c: missing")
    svg = pictures.intervals(numbers, above=0.0, below=None)
    a, b = (float(x) for x in re.findall(r'class="value" cx="([\d.]+)"', svg))
    (bound,) = (float(x) for x in re.findall(r'class="bound" x1="([\d.]+)"', svg))
    assert bound < a < b
    assert (a - bound) * 3 == pytest.approx(b - a, rel=0.01)
    assert svg.count('class="interval"') == 1
    assert pictures.intervals(told_in("missing"), 0.0, None) == ""
