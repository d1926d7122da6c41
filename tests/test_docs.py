import re
from pathlib import Path

import pytest

from equimodal.spec import Fidelity

ROOT = Path(__file__).parents[1]


def test_the_page_on_own_networks_runs(capsys):
    page = (ROOT / "docs/own-network.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/own-network.md", "exec"), {})  # noqa: S102
    shown = capsys.readouterr().out
    assert len(re.findall(r"epoch \d+: d_speed [-+]\d", shown)) == 3
    assert len(re.findall(r"branch owes -?\d+ % of its accuracy", shown)) == 2


@pytest.mark.parametrize("switch", Fidelity.model_fields)
def test_the_fidelity_page_explains_every_switch(switch):
    assert f"| `{switch}` |" in (ROOT / "docs/fidelity.md").read_text()


@pytest.mark.parametrize("name", re.findall(r"\w+\.py", (ROOT / "docs/notation.md").read_text()))
def test_the_files_that_the_notation_page_names_exist(name):
    assert list((ROOT / "src").rglob(name))
