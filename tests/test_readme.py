import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from equimodal.study.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def committed(path):
    """A file as it was committed: another machine's `make reproduce` rounds otherwise."""
    done = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else (ROOT / path).read_text()


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_readme_s_table_is_the_committed_one():
    shown = README.split("<!-- rows of")[1].split("<!-- /rows")[0]
    made = committed("results/own_colors/tables/table1.md")
    first_column = made.split("## Colored-and-gray-MNIST")[1].split("## ")[0]
    assert table_lines(shown) == table_lines(first_column) != []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?<![a-z])make ([a-z]+)", README))))
def test_the_make_targets_that_the_readme_names_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"`equimodal ([a-z-]+)", README))))
def test_the_verbs_that_the_readme_names_exist(verb):
    assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_what_the_readme_links_to_exists(path):
    assert (ROOT / path.partition("#")[0]).exists()
