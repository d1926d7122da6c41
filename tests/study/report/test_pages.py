from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from equimodal.study import layout, receipts
from equimodal.study.analysis.stored import COLUMNS
from equimodal.study.cli import app
from equimodal.study.errors import UserError
from equimodal.study.report.pages import TEMPLATES, made, page_of
from equimodal.study.table_files import write_table

CALIBRATION = """sampling,seed,variance_0.020,variance_0.030,variance_0.050,mean_absolute_difference
published,,40.55,59.96,84.5,
clip,0,34.44,46.82,65.82,12.6433
redraw,0,39.85,54.55,77.85,4.25333
"""


@pytest.fixture(autouse=True)
def _tables(tmp_path, monkeypatch):
    """A folder with two tables of a scale, and the page of this template."""
    monkeypatch.chdir(tmp_path)
    layout.tables("mine").mkdir(parents=True)
    layout.table("mine", "calibration").write_text(CALIBRATION)
    claim = dict.fromkeys(COLUMNS["claims"], "x|y") | {"id": "greedy", "dataset": "digits"}
    claims = [claim | {"measured": "holds"}, claim | {"dataset": "all", "measured": "open"}]
    write_table(pd.DataFrame(claims), layout.table("mine", "claims"))
    TEMPLATES.mkdir(parents=True)


def page(text):
    """What a template gives, without the line that says so."""
    template = TEMPLATES / "page.md.j2"
    template.write_text(text)
    head, _, rest = page_of(template).partition("\n")
    assert head.startswith("<!-- Made from docs/templates/page.md.j2 by `make docs`")
    return rest


@pytest.mark.parametrize(
    ("template", "made_of_it"),
    [
        ('{{ number("mine", "calibration", "seed", "{:.0f}", sampling="clip") }}\n', "0\n"),
        ('{{ number("mine", "calibration", "variance_0.050", "{:.1f}", seed="") }} %', "84.5 %"),
        ('{{ count("mine", "calibration") }}', "3"),
        ('{{ count("mine", "calibration", sampling=["clip", "redraw"], seed=0) }}', "2"),
        ('{{ count("mine", "calibration", sampling="clip", seed=7) }}', "0"),
        (
            '{{ those("mine", "calibration", "sampling", "seed == 0 and `variance_0.020` > 39") }}',
            "['redraw']",
        ),
        ('{{ those("mine", "calibration", "sampling", "seed > 0") or "none" }}', "none"),
        ('So it is.{{ requires("mine", "greedy", "digits", "holds") }}', "So it is."),
    ],
)
def test_a_page_has_the_numbers_of_the_tables(template, made_of_it):
    assert page(template) == made_of_it


def test_a_table_is_shown_as_readers_get_it():
    shown = page(
        '{{ table("mine", "calibration", ["sampling", "seed"], sampling=["published", "clip"]) }}'
    )
    assert [line.split("|")[1:3] for line in shown.splitlines()[2:]] == [
        [" published  ", "        "],
        [" clip       ", " 0      "],
    ]
    assert r"| x\|y " in page('{{ table("mine", "claims", ["id", "claim"]) }}')


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('table("mine", "none")', "none.csv is missing: the scale mine has no table none"),
        ('table("other", "calibration")', "the scale other has no table calibration"),
        ('table("mine", "calibration", ["no"])', "has no column ['no']"),
        ('count("mine", "calibration", no=1)', "has no column ['no']"),
        ('table("mine", "calibration", sampling="no")', "has ['no'] as sampling; it is ['clip', "),
        ('number("mine", "calibration", "no", "{}", sampling="clip")', "has no column ['no']"),
        ('number("mine", "calibration", "seed", "{}", seed=0)', "2 rows of "),
        ('number("mine", "calibration", "seed", "{}", sampling="clip", seed="")', "has [''] as seed"),
        ('number("mine", "calibration", "seed", "{}", seed="")', "has no seed where"),
        ('number("mine", "calibration", "sampling", "{:d}", sampling="clip")', "format code 'd'"),
        ('requires("mine", "no", "digits", "holds")', "has ['no'] as id; it is ['greedy']"),
        ('requires("mine", "greedy", "no", "holds")', "has ['no'] as dataset"),
        ('requires("mine")', "missing 3 required positional arguments"),
        ('requires("mine", "greedy", "all", "holds")', "the numbers say 'open'; word it anew"),
        ("numbre", "'numbre' is undefined"),
        ('number("mine", "calibration", "seed", "{x}", sampling="clip")', "it has no 'x'"),
        ("count(", "unexpected"),
    ],
)  # fmt: skip
def test_what_a_template_asks_for_and_is_not_there_is_refused_with_its_line(call, said):
    with pytest.raises(UserError, match=r"^docs/templates/page\.md\.j2, line 2: ") as refused:
        page(f"One line.\n{{{{ {call} }}}}\n")
    assert said in str(refused.value)


def test_a_damaged_table_is_refused():
    path = layout.table("mine", "calibration")
    about = {"step": "table calibration", "settings": {"scale": "mine"}, "code": ""}
    receipts.write(layout.table_receipt("mine", "calibration"), files=[path], **about)
    path.write_text(CALIBRATION.replace("40.55", "45.26"))
    with pytest.raises(UserError, match=r"line 1: .*calibration\.csv can not be used"):
        page('{{ table("mine", "calibration") }}')


def test_pages_are_written_where_they_belong_and_told_when_stale():
    (TEMPLATES / "README.md.j2").write_text("Text.\n")
    (TEMPLATES / "more.md.j2").write_text('{{ count("mine", "calibration") }} rows.\n')
    run = CliRunner().invoke
    checked = run(app, ["pages", "--check"])
    assert (checked.exit_code, checked.output.count("is stale; run `make docs`")) == (1, 2)
    assert [page.exists() for page in made()] == [False, False]
    assert run(app, ["pages"]).exit_code == 0
    assert (Path("docs/more.md").read_text().splitlines()[1]) == "3 rows."
    assert (checked := run(app, ["pages", "--check"])).output == ""
    assert checked.exit_code == 0
    Path("README.md").write_text("Another text.\n")
    assert "README.md is stale" in run(app, ["pages", "--check"]).output


def test_without_templates_there_is_one_sentence():
    with pytest.raises(UserError, match="docs/templates has no template"):
        made()
