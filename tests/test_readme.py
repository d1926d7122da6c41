import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from equimodal.__main__ import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_readme_s_table_is_the_committed_one():
    shown = README.split("<!-- table1")[1].split("<!-- /table1")[0]
    made = (ROOT / "results/demo/tables/table1.md").read_text()
    assert table_lines(shown) == table_lines(made)


def test_the_paired_differences_in_the_readme_are_the_committed_ones():
    made = (ROOT / "results/demo/tables/table1.md").read_text()
    note = next(line for line in made.splitlines() if line.startswith("Guided less vanilla"))
    prediction, gray = (
        re.search(f"{name} ([-+0-9., ]+[0-9])", note)[1] for name in ("prediction", "gray branch")
    )
    text = " ".join(README.split())
    assert f"{prediction} percentage points for the prediction, {gray} for its gray branch" in text


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z]+)", README))))
def test_the_make_targets_that_the_readme_names_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"`equimodal ([a-z]+)", README))))
def test_the_verbs_that_the_readme_names_exist(verb):
    assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_what_the_readme_links_to_exists(path):
    assert (ROOT / path).exists()
