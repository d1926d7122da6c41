import os
import re
import shutil
import sys
from importlib import import_module

import pytest

from equimodal.study import code
from equimodal.study.code import code_hash, imported_modules
from equimodal.study.figures import FIGURES
from tests.conftest import ROOT

RULES = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
HASHED = re.findall(r'"(equimodal\.[a-z0-9_.]+)"', RULES)
ENTRIES = sorted({*HASHED, *(f"equimodal.study.figures.{figure}" for figure in FIGURES)})
TRAINING = ("equimodal.study.runs.run", "equimodal.study.runs.logit_bank")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that `code_hash` reads in place of the real one."""
    copy = tmp_path / "equimodal"
    shutil.copytree(code.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", copy)
    return copy


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "# A comment.\n"),
        ('"""Train one network', '"""Learn one network'),
        ('"""All that a training remembers', '"""What a training remembers'),
        ('"""Return the mode', '"""Give the mode'),
        ("steps: int = 0", "steps: int = (\n        0  # none yet\n    )"),
    ],
    ids=["comment", "docstring of the module", "of a class", "of a method", "format"],
)
def test_words_and_format_leave_the_hash(package, old, new):
    before = code_hash("equimodal.study.runs.run")
    edit(package / "study/runs/loop.py", old, new)
    assert code_hash("equimodal.study.runs.run") == before


@pytest.mark.parametrize(
    ("entry", "file", "old", "new"),
    [
        ("study.runs.run", "__init__.py", "__version__ = ", "__version__ = 1 or "),
        ("study.data.colored_mnist", "study/data/download.py", "TIMEOUT = ", "TIMEOUT = 1 + "),
    ],
    ids=["version", "patience of a download"],
)
def test_what_shows_in_no_result_leaves_the_hash(package, entry, file, old, new):
    before = code_hash(f"equimodal.{entry}")
    edit(package / file, old, new)
    assert code_hash(f"equimodal.{entry}") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "study/runs/run.py",
            "checkpoint_seconds: float = 60.0",
            "checkpoint_seconds: float = 61.0",
        ),
        ("study/runs/loop.py", "steps: int = 0", "steps: int = 1"),
        ("metrics/learning_speed.py", "import torch\n", "import torch\n\nONE = 1\n"),
    ],
    ids=["entry", "imported by it", "imported by an import"],
)
def test_a_changed_constant_changes_the_hash(package, file, old, new):
    before = code_hash("equimodal.study.runs.run")
    edit(package / file, old, new)
    assert code_hash("equimodal.study.runs.run") != before


def test_a_new_module_counts_once_it_is_imported(package):
    before = code_hash("equimodal.study.runs.run")
    (package / "training/tricks.py").write_text("TRICK = 1\n")
    assert code_hash("equimodal.study.runs.run") == before
    edit(
        package / "training/step.py",
        "import torch\n",
        "import torch\n\nfrom equimodal.training import tricks\n",
    )
    assert "equimodal.training.tricks" in imported_modules("equimodal.study.runs.run")
    assert code_hash("equimodal.study.runs.run") != before


def test_a_changed_figure_or_table_trains_nothing_again():
    modules = imported_modules(*TRAINING)
    assert not [
        m for m in modules if m.startswith(("equimodal.study.figures", "equimodal.study.analysis"))
    ]


def test_a_changed_figure_redraws_no_other():
    for figure in FIGURES:
        others = {f"equimodal.study.figures.{f}" for f in FIGURES if f != figure}
        assert not imported_modules(f"equimodal.study.figures.{figure}") & others


def test_a_name_without_a_module_is_refused():
    with pytest.raises(ModuleNotFoundError, match=r"equimodal\.nowhere") as raised:
        code_hash("equimodal.nowhere")
    # By which the command line tells a module of ours from a library that is not installed.
    assert raised.value.name == "equimodal.nowhere"


def loaded_by(entry):
    """Modules of ours that an import loads, in a fork of this process, which has the libraries loaded."""
    read, write = os.pipe()
    if process := os.fork():
        os.close(write)
        with os.fdopen(read) as said:
            loaded = said.read().split()
        assert os.waitpid(process, 0)[1] == 0
        return set(loaded)
    status = 1
    try:
        for name in [n for n in sys.modules if n.partition(".")[0] == "equimodal"]:
            del sys.modules[name]
        import_module(entry)
        ours = [n for n in sys.modules if n.partition(".")[0] == "equimodal"]
        status = int(not os.write(write, " ".join(ours).encode()))
    finally:
        os._exit(status)


@pytest.mark.parametrize("entry", ENTRIES)
def test_all_modules_that_an_entry_really_loads_are_in_its_hash(entry):
    ours = loaded_by(entry)
    assert entry in ours
    assert ours <= imported_modules(entry)
