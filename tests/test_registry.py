"""What tables and figures there are is declared once, and read by rules, verbs and the report."""

import re
import subprocess
import sys
from importlib import import_module
from inspect import signature

import pytest

from equimodal.linear import figures as linear
from equimodal.study.analysis import GIVEN, JUDGED, SUMMARIZED, TABLES
from equimodal.study.analysis.stored import columns_of
from equimodal.study.figures import FIGURES
from equimodal.study.layout import COLLECTED
from equimodal.study.steps import made_at
from tests.conftest import ROOT

PAPERS = {"study": FIGURES, "linear": linear.FIGURES}


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


@pytest.mark.parametrize(
    ("package", "name"), [(p, name) for p, of_paper in PAPERS.items() for name in of_paper]
)
def test_a_figure_is_drawn_of_what_it_names(package, name):
    draw = import_module(f"equimodal.{package}.figures.{name}").draw
    inputs = PAPERS[package][name].inputs
    assert (*signature(draw).parameters,) == inputs
    known = {"study": {*COLLECTED, *TABLES, "examples"}}
    known["linear"] = {*linear.SIMULATED, "linear_mnist"}
    assert {*inputs} <= known[package]


def test_what_is_read_again_has_columns_that_are_known():
    assert [
        name for name in (*COLLECTED, *JUDGED, *SUMMARIZED, "claims") if not columns_of(name)
    ] == []


CAPTIONS = [
    *(table.caption for table in TABLES.values()),
    *(figure.caption for of_paper in PAPERS.values() for figure in of_paper.values()),
]


def test_captions_stand_once():
    assert len({*CAPTIONS}) == len(CAPTIONS)


def test_a_scale_has_the_figures_and_tables_that_it_asks_runs_for(project):
    every = TABLES | FIGURES  # of which `methods` is both
    of_scale = made_at(every, project.load())
    assert {*FIGURES} - {*of_scale} == {"fidelity", "figure2", "methods"}
    assert {*TABLES} - {*of_scale} == {
        *("calibration", "fidelity_study", "methods", "preregistration", "stop_rule", "tuning")
    }
    project.edit("params.yaml", "leave_out: []", 'leave_out: ["modelnet40/*", "nvgesture/*"]')
    assert {"figure4", "figure5", "figure9", "l1_study"}.isdisjoint(made_at(every, project.load()))


def test_a_scale_with_a_figure_has_the_tables_that_it_is_drawn_from():
    for about in FIGURES.values():
        for table in {*about.inputs} & {*TABLES}:
            assert {*about.experiments} <= {*TABLES[table].experiments}
            of = TABLES[table].datasets
            assert not of or {*about.datasets} <= {*of}


def test_sentences_of_captions_are_short():
    expected = [figure.expect for of_paper in PAPERS.values() for figure in of_paper.values()]
    sentences = [
        s for caption in (*CAPTIONS, *expected) for s in re.split(r"(?<=[.!?])\s+", caption)
    ]
    assert [s for s in sentences if len(s.split()) > 25] == []


def test_the_hashes_are_of_the_pinned_versions():
    of_the_machine = re.compile(r"(torch|torchvision|triton)==|nvidia-|cuda-")
    pinned = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line]
    hashed = re.findall(
        r"(?m)^([^\s#][^\\\n]*?) \\$", (ROOT / "constraints.hashes.txt").read_text()
    )
    assert hashed == [line for line in pinned if not of_the_machine.match(line)]
