"""What a user of the library meets: the names of `import equimodal`, and what they cost."""

import inspect
import subprocess
import sys

import pytest

import equimodal
from tests.conftest import ROOT

# In a Python of its own: what was imported for a name is printed.
WHAT_IT_LOADS = """
import sys
import torch, numpy, jaxtyping
before = {name.partition(".")[0] for name in sys.modules}
import equimodal
public = [getattr(equimodal, name) for name in equimodal.__all__]
print(*{name.partition(".")[0] for name in sys.modules} - before)
print(*(name for name in sys.modules if name.startswith(("equimodal.study", "equimodal.linear"))))
"""


def python(code):
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_the_public_names_need_torch_numpy_and_jaxtyping_alone():
    loaded, of_the_study = python(WHAT_IT_LOADS)
    ours_and_python_s = {"equimodal", *sys.stdlib_module_names}
    assert {*loaded.split()} - ours_and_python_s == set()
    assert of_the_study == ""


def test_importing_the_package_alone_does_not_load_torch():
    assert python("import sys, equimodal; print('torch' in sys.modules)") == ["False"]


@pytest.mark.parametrize("name", equimodal.__all__)
def test_help_tells_what_a_public_name_does(name):
    thing = getattr(equimodal, name)
    assert inspect.getdoc(thing)
    assert name in dir(equimodal)
    assert f"{name}" in equimodal.__doc__


def test_every_public_name_is_on_the_page_of_the_interface():
    page = (ROOT / "docs/api.md").read_text()
    assert [name for name in equimodal.__all__ if f"::: equimodal.{name}\n" not in page] == []


def test_an_unknown_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        equimodal.Nothing  # noqa: B018
