"""What tables and figures there are is declared once, and read by rules, verbs and the report."""

import subprocess
import sys
from importlib import import_module
from inspect import signature

import pytest

from equimodal.study.analysis import COLLECTED, GIVEN, JUDGED, SUMMARIZED, TABLES
from equimodal.study.analysis.stored import columns_of
from equimodal.study.figures import ALL_FIGURES, LINEAR_TABLES


def test_the_registry_loads_nothing_that_takes_long():
    """Every start of Snakemake reads it."""
    code = "import equimodal.study.analysis, equimodal.study.figures, equimodal.study.report, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"pandas", "matplotlib", "torch", "numpy"} & {*done.stdout.split()}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_built_of_what_it_names(name):
    build = import_module(f"equimodal.study.analysis.{name}").build
    assert (*signature(build).parameters,) == (*TABLES[name].inputs, "settings")
    assert {*TABLES[name].inputs} <= {*COLLECTED, *GIVEN, *TABLES}


@pytest.mark.parametrize("name", ALL_FIGURES)
def test_a_figure_is_drawn_of_what_it_names(name):
    draw = import_module(f"equimodal.study.figures.{name}").draw
    assert (*signature(draw).parameters,) == ALL_FIGURES[name].inputs
    known = {*COLLECTED, *TABLES, *LINEAR_TABLES, "linear_mnist", "examples", "labels"}
    assert {*ALL_FIGURES[name].inputs} <= known


def test_what_is_read_again_has_columns_that_are_known():
    assert [
        name for name in (*COLLECTED, *JUDGED, *SUMMARIZED, "claims") if not columns_of(name)
    ] == []


def test_captions_stand_once():
    captions = [about.caption for about in (*TABLES.values(), *ALL_FIGURES.values())]
    assert len({*captions}) == len(captions)
