import pkgutil
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import equimodal.linear
import equimodal.linear.figures
import equimodal.study.analysis
import equimodal.study.figures
import equimodal.study.report
import equimodal.study.verbs
from equimodal.linear import products
from equimodal.study import layout
from equimodal.study.analysis import TABLES
from equimodal.study.expansion import expand_runs
from equimodal.study.steps import made_at
from tests.conftest import write_result
from tests.linear.conftest import made_up_courses
from tests.study.figures.test_figures import make_examples

REFUSE_TORCH = """
import sys

class NoTorch:
    def find_spec(name, path=None, target=None):
        if name == "torch":
            raise ImportError("import of torch refused")

sys.meta_path.insert(0, NoTorch)
"""
LIGHT = [
    "equimodal.study.expansion",
    "equimodal.study.params",
    "equimodal.study.code",
    "equimodal.study.estimate",
    "equimodal.study.cli",
    *(
        f"{package.__name__}.{module.name}"
        for package in (
            equimodal.study.analysis,
            equimodal.study.figures,
            equimodal.linear,
            equimodal.linear.figures,
            equimodal.study.report,
            equimodal.study.verbs,
        )
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != "noisy_mnist"  # the networks that are not linear
    ),
]
DRAWN = ("figure6", "figure7", "linear_mnist")  # of examples, runs, courses


def run_without_torch(code):
    """Run code in a Python where importing torch fails; return what it says on stderr."""
    command = [sys.executable, "-c", REFUSE_TORCH + code]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr


def test_settings_tables_and_figures_load_without_torch():
    assert run_without_torch(f"import {', '.join(LIGHT)}") == ""


def test_they_do_not_load_it_later_either():
    heavy = re.compile(
        r"^ *(?:import|from) (?:torch|equimodal\.training\.(?!balance)|equimodal\.study\.runs)\b",
        re.MULTILINE,
    )
    sources = {m: Path(find_spec(m).origin).read_text() for m in LIGHT}
    assert [m for m, source in sources.items() if heavy.search(source)] == [
        "equimodal.study.verbs.networks"
    ]


@pytest.mark.parametrize("module", ["study.runs.loop", "linear.noisy_mnist"])
def test_training_does_load_torch(module):
    assert "import of torch refused" in run_without_torch(f"import equimodal.{module}")


def run_verbs(verbs):
    code = f"from equimodal.study.cli import app; [app(v, standalone_mode=False) for v in {verbs}]"
    return run_without_torch(code)


@pytest.fixture
def _runs_and_examples(project):
    """Run folders and prepared examples as the verbs before `collect` leave them."""
    settings = project.load()
    for spec in expand_runs(settings).values():
        count = len(spec.modalities)
        right = {"regular": (5, 4, 3)[:count]} | (
            {"isolated": (4, 4, 3)[:count]} if count > 1 else {}
        )
        speeds = (0.1, 0.2, 0.3)[:count] if count > 1 else ()
        write_result(spec, right, speeds=speeds)
    for fusion, course in made_up_courses(project.load_linear().noisy_mnist).groupby("L_f"):
        products.record("tiny", 1).parent.mkdir(exist_ok=True)
        course.to_csv(products.record("tiny", fusion), index=False)
    for dataset, examples in make_examples()["examples"].items():
        folder = layout.prepared("tiny", dataset)
        folder.mkdir(parents=True)
        np.savez(folder / "examples.npz", **examples)


@pytest.mark.usefixtures("_runs_and_examples")
def test_collecting_tabulating_and_drawing_need_no_torch(project):
    verbs = [["collect"], ["table"], ["linear-mnist"], *(["draw", figure] for figure in DRAWN)]
    verbs += [["claims"], ["report"], ["show"]]
    complaints = run_verbs(verbs).splitlines()  # of the report: figures that are not drawn here
    assert [line for line in complaints if "svg is missing" not in line] == []
    for table in made_at(TABLES, project.load()):
        assert (layout.tables("tiny") / f"{table}.md").is_file()
    for figure in DRAWN:
        assert (layout.figures("tiny") / f"{figure}.svg").is_file()
