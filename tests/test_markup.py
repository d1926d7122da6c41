"""Free text stays text in LaTeX, Markdown and reStructuredText."""

import re

import pytest
from docutils.core import publish_parts

from equimodal.linear.figures import FIGURES as LINEAR_FIGURES
from equimodal.study.analysis import TABLES
from equimodal.study.figures import FIGURES
from equimodal.study.markup import for_latex, for_markdown, for_rest
from tests.study.analysis.conftest import SETTINGS

TEXTS = [
    *("|E[d_util]| is 0.1", "`code` and *this*, a_b_ and c_", "**", r"$\foo$ \ end\\"),
    *("50 % of {x} & y # ~ ^ <b>", "# no heading", "1. no list", "- neither", "| a | b |"),
    *(about.caption for about in (FIGURES | LINEAR_FIGURES).values()),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("form", ["{}", "**{}**"])
def test_restructured_text_says_what_was_given(text, form):
    source = f"Before {form.format(for_rest(text))}."
    settings = {"report_level": 1, "halt_level": 1, "output_encoding": "unicode"}
    shown = publish_parts(source, writer="pseudoxml", settings_overrides=settings)["whole"]
    shown = shown.replace(' source="<string>"', "")
    kinds = {tag for tag in re.findall(r"<(\w+)", shown) if not text.count(f"<{tag}")}
    assert kinds <= {"document", "paragraph", "strong"}
    said = " ".join(re.sub(r"<(document|paragraph|strong)[^>]*>", "", shown).split())
    assert said.replace(" .", ".") == " ".join(f"Before {text}.".split())


def test_latex_has_no_command_of_the_text():
    assert for_latex("50 % of a_b: ~/x^2 $\\foo$ {&#<>|}") == (
        r"50 \% of a\_b: \textasciitilde{}/x\textasciicircum{}2 \$\textbackslash{}foo\$"
        r" \{\&\#\textless{}\textgreater{}\textbar{}\}"
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("# a", r"\# a"),
        ("1. a", r"1\. a"),
        ("<b>a</b> | `b` *c* _d_ [e](f)", r"\<b>a\</b> \| \`b\` \*c\* \_d\_ \[e\](f)"),
        ("d_util of a_b is 5 * 3 - 2", r"d_util of a_b is 5 \* 3 - 2"),
        ("Demo scale: 5,000 digits.", "Demo scale: 5,000 digits."),
    ],
)
def test_markdown_has_no_marks_of_the_text(text, escaped):
    assert for_markdown(text) == escaped


def test_captions_of_tables_name_settings_and_nothing_else_in_braces():
    for table in TABLES.values():
        assert "{" not in table.caption.format(**SETTINGS.model_dump())
