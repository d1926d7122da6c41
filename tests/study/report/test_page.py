import base64
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest

from equimodal.study.analysis import TABLES, AboutTable
from equimodal.study.analysis.claims import Limit, judge_claims, read_claims
from equimodal.study.figures import AboutFigure
from equimodal.study.report.costs import COLUMNS
from equimodal.study.report.page import MOST_ROWS, Report, Shown, as_grid, as_html, duration
from tests.browser import looked_at
from tests.tables import made_up_tables

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><title>dots</title></svg>'
REASON = "the loss became infinite or NaN at step 7 (epoch 1) at learning rate 1 <&>"


def table(name, content, missing="", sections=()):
    texts = {"title": f"Title of {name}", "caption": f"Caption of {name}."}
    about = AboutTable(**texts, inputs=(), sections=sections)
    return Shown(name, about, f"make-{name}", content, missing)


def figure(name, content, missing=""):
    texts = {"title": f"Title of {name}", "caption": f"Caption of {name}.", "expect": "Dots."}
    return Shown(name, AboutFigure(**texts, inputs=()), f"make-{name}", content, missing)


@pytest.fixture(scope="module")
def report():
    tables = made_up_tables()
    judged = judge_claims(
        read_claims(), tables, limits={"nvgesture": Limit("its data are stand-ins")}, scale="tiny"
    )
    costs = pd.DataFrame(
        [("table1", 5, 5, 7200.0, 90.0, 512.0), ("data", pd.NA, 0, *[float("nan")] * 3)],
        columns=COLUMNS,
    )
    return Report(
        scale="tiny",
        note="Tiny scale.",
        caveats=["Its colors are ours."],
        presets=["paper", "official"],
        data={
            name: SimpleNamespace(
                origin=SimpleNamespace(source="the source", license="free"), is_stand_in=stand_in
            )
            for name, stand_in in (("colored_mnist", False), ("nvgesture", True))
        },
        claims=judged,
        tables=[
            table(name, content, sections=TABLES[name].sections * (name == "table1"))
            for name, content in tables.items()
        ],
        figures=[figure(name, SVG) for name in ("figure2", "figure7")],
        runs=12,
        failed=pd.DataFrame([("a/run/seed0", "table1", REASON)], columns=FAILED),
        missing=[],
        costs=costs,
        versions={"Python": "3.11", "git commit": "abc123"},
    )


FAILED = ["run", "experiments", "reason"]


class Outline(HTMLParser):
    """Ids, links inside the page, levels of headings and tags that are still open."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.levels, self.open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.levels += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(page):
    return " ".join(unescape(re.sub("<[^>]*>", " ", page)).split())


def test_the_page_tells_every_claim_with_its_verdict_numbers_and_command(report):
    text = text_of(as_html(report))
    for claim in report.claims.itertuples():
        shown = [
            claim.claim,
            claim.paper,
            claim.region,
            claim.verdict,
            claim.evidence,
            claim.command,
        ]
        assert [words for words in shown if " ".join(words.split()) not in text] == []
    assert "these data cannot say the numbers alone: holds" in text


def test_the_page_has_every_table_and_figure_with_caption_and_command(report):
    page = as_html(report)
    for shown in (*report.tables, *report.figures):
        for words in (shown.about.title, shown.about.caption, shown.command):
            assert words in page
    images = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', page)
    assert [base64.b64decode(data) for data, _ in images] == [SVG, SVG]
    assert [alt for _, alt in images] == ["Title of figure2", "Title of figure7"]


def test_table_1_stands_published_against_ours_a_group_for_each_column_of_the_paper(report):
    text = text_of(as_html(report))
    assert "NVGesture-pretrained" in text
    assert "+ guided distinct regular 80.00 ± 0.30 [79.30, 80.70] 3 80.00 ± 0.40" in text


def test_the_page_names_scale_note_presets_stand_ins_failures_cost_and_versions(report):
    text = text_of(as_html(report))
    said = [
        "Tiny scale.",
        "Its colors are ours.",
        "paper, official",
        "Stand-in data NVGesture",
        REASON,
    ]
    said += ["table1 5 5 90.0 s 2.0 h 512 MB", "data – 0 – – –", "abc123"]
    assert [words for words in said if words not in text] == []


def test_every_link_leads_to_one_place_and_headings_skip_no_level(report):
    outline = Outline(as_html(report))
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link[0] == "#"} <= set(outline.ids)
    assert "#cost-table1" in outline.links
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    steps = zip(outline.levels, outline.levels[1:], strict=False)
    assert all(b - a <= 1 for a, b in steps)


def test_what_is_missing_is_said_where_it_would_stand(report):
    holes = replace(
        report,
        claims=None,
        tables=[
            table("table1", None, "table1.csv is missing; run it."),
            table("greediness", pd.DataFrame(columns=["dataset", "n"])),
        ],
        figures=[figure("figure2", None, "figure2.svg is missing; draw it.")],
        failed=None,
        missing=["Something is not there."],
    )
    text = text_of(as_html(holes))
    said = [
        "What is missing Something is not there.",
        "No claim was judged",
        "The table has no row.",
    ]
    said += [*(shown.missing for shown in (*holes.tables, *holes.figures))]
    said += ["The table of runs is not there."]
    assert [words for words in said if words not in text] == []


def test_the_page_takes_nothing_from_outside_and_what_stands_in_results_is_text(report):
    page = as_html(replace(report, note="<script>alert(1)</script>"))
    assert "http" not in page
    assert "<script" not in page
    assert {link for link in Outline(page).links if link[0] != "#"} == {"../findings.html"}


def test_only_cost_and_versions_at_the_end_of_the_page_change_with_the_machine(report):
    other = replace(report, costs=report.costs.head(1), versions={"Python": "3.12"})
    ours, theirs = (as_html(r).split('<h2 id="cost">')[0] for r in (report, other))
    assert ours == theirs


def test_a_long_table_is_folded_and_the_rest_of_a_longer_one_left_to_its_file(report):
    long = table("long", pd.DataFrame({"n": range(MOST_ROWS + 1)}))
    page = as_html(replace(report, tables=[long]))
    assert f"<summary>{MOST_ROWS + 1} rows</summary>" in page
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 1} rows; the file long.csv has all." in page
    assert as_grid(pd.DataFrame({"method": ["guided"], "d_util": [-0.5]})).numeric == [False, True]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5.0 s"), (150, "2.5 min"), (9000, "2.5 h"), (float("nan"), "–")]
)
def test_durations_are_in_the_unit_that_suits_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_finds_no_error_nothing_too_wide_and_no_pale_text(report, tmp_path, width):
    page = tmp_path / "report.html"
    page.write_text(as_html(report), encoding="utf-8")
    seen = looked_at(page, width)
    assert (seen["errors"], seen["pale"]) == ([], [])
    assert seen["width"] <= width
