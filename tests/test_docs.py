import re
from pathlib import Path

import pandas as pd
import pytest

from equimodal.data import kinetics, mnist, modelnet40
from equimodal.params import load_params
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


def test_the_data_page_counts_the_stand_ins_of_the_demo():
    page = (ROOT / "docs/data.md").read_text()
    demo = load_params(ROOT / "params.yaml", "demo").datasets
    for name, what in {"modelnet40": "things made by code", "nvgesture": "clips of a"}.items():
        drawn = demo[name].stand_in
        count = demo[name].classes * (drawn.train_per_class + drawn.test_per_class)
        assert f"**stand-ins**: {count} {what}" in page


@pytest.mark.parametrize(
    ("file", "sha256"),
    [*(mnist.SHA256 | modelnet40.SHA256).items(), (kinetics.FILE, kinetics.SHA256)],
)
def test_the_data_page_names_every_download_with_its_checksum(file, sha256):
    (line,) = re.findall(
        rf"^\| {re.escape(file)} \|.*$", (ROOT / "docs/data.md").read_text(), re.MULTILINE
    )
    begin, end = re.search(r"(\w{8})…(\w+)", line).groups()
    assert sha256.startswith(begin)
    assert sha256.endswith(end)


def paper_scale(table):
    return (ROOT / f"results/paper/tables/{table}.md").read_text()


def test_the_reproduction_page_shows_rows_of_the_tables():
    page = (ROOT / "docs/reproduction.md").read_text()
    shown = page.split("<!-- evaluations")[1].split("<!-- /evaluations")[0]
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert rows[2:]
    assert set(rows) <= set(paper_scale("table1_evaluations").splitlines())


def test_the_accuracies_that_the_reproduction_page_tells_are_in_the_tables():
    page = (ROOT / "docs/reproduction.md").read_text()
    made = paper_scale("table1_evaluations") + paper_scale("table1")
    accuracies = pd.read_csv(ROOT / "results/paper/tables/evaluations.csv")["accuracy"]
    known = set(re.findall(r"\d+\.\d\d\b", made)) | {f"{100 * a:.2f}" for a in accuracies}
    told = set(re.findall(r"\b\d\d\.\d\d\b", page))
    assert told
    assert told - known == set()


def test_the_measures_that_the_reproduction_page_tells_are_of_vanilla_and_guided_runs():
    page = (ROOT / "docs/reproduction.md").read_text().replace("−", "-")
    runs = pd.read_csv(ROOT / "results/paper/tables/runs.csv")
    measures = runs.filter(regex="^(u_|s_|d_)").to_numpy().ravel()
    known = {f"{x:.3f}" for x in measures}
    told = set(re.findall(r"-?\b0\.\d{3}\b", page)) - {"0.020"}
    assert told
    assert told - known == set()
