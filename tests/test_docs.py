"""What the pages say and can rot: commands, paths, names, numbers; and how long their sentences are."""

import re
import subprocess
from importlib import import_module
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
import typer

from equimodal.linear.figures import FIGURES as LINEAR_FIGURES
from equimodal.study import layout
from equimodal.study.analysis import TABLES
from equimodal.study.cli import app
from equimodal.study.data import colored_mnist, kinetics, modelnet40
from equimodal.study.expansion import expand_runs
from equimodal.study.figures import FIGURES
from equimodal.study.methods import METHODS
from equimodal.study.params import load_params
from equimodal.study.report.pages import made
from equimodal.study.spec import Switches
from tests.conftest import ROOT, scales_in_git

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
every_page = pytest.mark.parametrize("page", PAGES)
# Scales whose tables are in git.
COLLECTED = ("own_colors", "decisive", "calibration", "brief", "views", "methods", "methods_views")
SCALES = {*scales_in_git()}
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
VERBS = typer.main.get_command(app).commands


def code_of(page):
    """What stands in blocks or spans of code."""
    text = PAGES[page]
    return "\n".join(FENCED.findall(text) + re.findall(r"`([^`\n]+)`", FENCED.sub("", text)))


@every_page
def test_verbs_and_their_options_exist(page):
    for verb, rest in re.findall(
        r"(?<!from )\bequimodal ([a-z][a-z-]*)([^\n|&;#]*)", code_of(page)
    ):
        known = {option for p in VERBS[verb].params for option in p.opts} | {"--help"}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= known, (verb, rest)


@every_page
def test_names_of_targets_scales_tables_figures_and_runs_exist(page):
    code = code_of(page)
    written = re.findall(r"`(\w+)\.yaml` in `?config/scales", PAGES[page])  # by the reader
    named = {
        "target": (r"\bmake ([a-z]+(?:-[a-z]+)*)", re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)),
        "scale": (r"(?:\bscale=|--scale |SCALE=)(\w+)", {*SCALES, *written}),
        "table": (r"\bequimodal table ([a-z]\w+)", TABLES),
        "figure": (r"\bequimodal draw ([a-z]\w+)(?!\w|\.)", FIGURES | LINEAR_FIGURES),
        "run": (r"\b(?:colored_mnist|modelnet40|nvgesture)(?:/[\w.]+){4}/seed\d+", ALL_RUNS),
    }  # fmt: skip
    for what, (pattern, known) in named.items():
        assert set(re.findall(pattern, code)) <= set(known), what


ALL_RUNS = set(
    chain.from_iterable(expand_runs(load_params(ROOT / "params.yaml", s)) for s in SCALES)
)


@pytest.fixture(scope="module")
def tracked():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    files = [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]
    return {
        *files,
        *(str(folder) for f in files for folder in (ROOT / f).relative_to(ROOT).parents),
    }


@every_page
def test_paths_exist(page, tracked):
    """Those that git holds: nobody makes the products of the larger scales for a look."""
    of_git = rf"src|docs|tests|config|examples|workflow|\.ci|\.github|results/(?:{'|'.join(COLLECTED)})/(?:tables|figures)"
    named = re.findall(rf"(?<![\w/.<])(?:{of_git})/[\w./-]*\w(?![\w<*{{]|/<|/\*)", PAGES[page])
    assert set(named) <= tracked


@every_page
def test_links_lead_to_pages_and_their_sections(page):
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", PAGES[page]):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in slugs, anchor


def test_pages_are_what_their_templates_give(monkeypatch):
    monkeypatch.chdir(ROOT)
    stale = [str(p) for p, text in made().items() if PAGES.get(str(p)) != text]
    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("scale", COLLECTED)
def test_the_collected_tables_list_every_run_that_is_asked_for(scale):
    """Or "n of m" would be told of another m: `equimodal collect` it again."""
    collected = pd.read_csv(ROOT / f"results/{scale}/tables/runs.csv")["run"]
    assert set(collected) == set(expand_runs(load_params(ROOT / "params.yaml", scale)))


def test_the_page_on_own_networks_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["docs/own-network.md"], re.DOTALL)
    exec(compile(code, "docs/own-network.md", "exec"), {})  # noqa: S102
    shown = capsys.readouterr().out
    assert len(re.findall(r"epoch \d+: d_speed [-+]\d", shown)) == 3
    assert len(re.findall(r"branch owes -?\d+ % of its accuracy", shown)) == 2


def test_the_loop_of_the_readme_runs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    names = dict(vars(import_module("digits")))
    (inputs, labels), test = names["digits"]()
    names |= {"batches": [(inputs, labels)], "test_batches": [test], "epochs": 1}
    model = names["model"] = names["TwoBranches"]()
    names["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.02)
    names["cross_entropy"] = torch.nn.functional.cross_entropy
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    assert names["utilization"].keys() == {"color", "gray"}


def test_the_readme_fits_a_terminal():
    lines = PAGES["README.md"].splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("switch", Switches.model_fields)
def test_the_fidelity_page_explains_every_switch(switch):
    assert f"| `{switch}` |" in PAGES["docs/fidelity.md"]


def test_the_scale_of_the_fidelity_page_asks_for_what_the_page_says(project):
    page = PAGES["docs/fidelity.md"]
    (scale,) = re.findall(r"```yaml\n(like: .*?)```", page, re.DOTALL)
    runs = expand_runs(project.load_scale(scale))
    assert f"the names of its {len(runs)} networks" in page
    assert {run.fidelity for run in runs.values()} == {"paper", "paper_but_mine"}


def test_the_scale_of_one_s_own_views_on_the_data_page_gives_the_rows_of_table_1(project):
    (scale,) = re.findall(r"```yaml\n(like: .*?)```", PAGES["docs/data.md"], re.DOTALL)
    settings = project.load_scale(scale)
    runs = expand_runs(settings).values()
    assert {run.method for run in runs} == {"unimodal", "vanilla", "random", "guided"}
    assert {(run.dataset, run.network.kind) for run in runs} == {("shop", "resnet18")}
    assert {*settings.datasets["shop"].sources} == {"front", "side"}


def test_the_scale_of_the_page_on_methods_asks_for_runs_of_them_alone(project):
    (scale,) = re.findall(r"```yaml\n(like: .*?)```", PAGES["docs/methods.md"], re.DOTALL)
    for method in METHODS.keys() - {m for m, of in METHODS.items() if of.members}:
        settings = project.load_scale(scale.replace("ogm_ge", method))
        runs = expand_runs(settings)
        assert runs == expand_runs(settings, "methods")
        assert method in {run.policy for run in runs.values()}


def test_the_script_and_the_scale_of_the_page_on_own_data_fit_each_other(project):
    page = PAGES["docs/own-data.md"]
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (scale,) = re.findall(r"```yaml\n(like: .*?)```", page, re.DOTALL)
    exec(compile(script, "docs/own-data.md", "exec"), {})  # noqa: S102
    others = re.findall(r"```yaml\n((?!like).*?)```", page, re.DOTALL)
    (pair,) = re.findall(r"`(inputs: {.*})`", page)
    assert len(others) == 3
    for more in ("", *others):
        digits = project.load_scale(f"{scale}    {pair}\n{more}").datasets["digits"]
    digits.prepare(layout.raw("digits"), project.folder / "out")
    assert digits.sizes == {"train": 960, "validation": 240, "test": 597}
    assert len(np.load("out/train.top.npy")) == digits.sizes["train"]


@pytest.mark.parametrize(
    ("file", "sha256"),
    [*(colored_mnist.SHA256 | modelnet40.SHA256).items(), (kinetics.FILE, kinetics.SHA256)],
)
def test_the_data_page_names_every_download_with_its_checksum(file, sha256):
    begin, end = re.search(rf"\| {re.escape(file)} \|.*?(\w{{8}})…(\w+)", PAGES["docs/data.md"]).groups()  # fmt: skip
    assert sha256.startswith(begin)
    assert sha256.endswith(end)


def prose(page):
    """Lines that are neither code nor table, heading, image or comment, with links as their text."""
    text = re.sub(
        r"<!--.*?-->|^ {4}\S.*$", "", FENCED.sub("", PAGES[page]), flags=re.DOTALL | re.MULTILINE
    )
    lines = re.sub(r"\]\([^)]*\)", "]", text).splitlines()
    return [line.strip() for line in lines if not line.lstrip().startswith(("|", "#", "!["))]


def words_a_sentence(page):
    """How many words each sentence has; it ends with a blank line, a list item or its mark."""
    joined = re.sub(r"^(?:- |\d+\. |$)", "\n", "\n".join(prose(page)), flags=re.MULTILINE)
    ends = r"\n\n+|(?<=[.!?:])[*)\"]*\n|(?<=[.!?])[*)\"]*\s+(?=[A-Z`*\[])"
    return [len(s.split()) for s in re.split(ends, joined) if s.strip()]


@every_page
def test_sentences_are_short_and_each_has_its_line(page):
    words = words_a_sentence(page)
    assert sum(words) / len(words) <= 20
    assert max(words) <= (30 if page == "README.md" else 40)
    two = [line for line in prose(page) if re.search(r"(?<!\bal)[.!?] (?=[A-Z])", line)]
    assert two == []


@every_page
def test_numbers_stand_in_tables(page):
    lines = [re.sub(r"`[^`]*`", "", line) for line in prose(page)]
    assert [line for line in lines if len(re.findall(r"(?<![\w.])\d[\d.,]*", line)) > 5] == []
