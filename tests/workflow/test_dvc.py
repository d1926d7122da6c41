"""DVC and Snakemake on one set of files: each takes for made what the other made.

A git repository of the tiny scale with the real Snakefile and dvc.yaml, cut down to the runs of one data set.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from equimodal.study.code import COMPUTE_NOTHING, imported_modules
from tests.conftest import ROOT
from tests.workflow.checkout import TINY, Checkout, jobs_of, trained_anew
from tests.workflow.test_workflow import (
    AFTER_RUNS,
    DRAWN,
    GUIDED,
    REPORTED,
    TABLE1,
    VANILLA,
    work_on,
)

pytestmark = pytest.mark.workflow

RESULTS = "results/tiny"
STAGES = ("prepare@tiny", "train@tiny", "report@tiny")
TOLERANCE = ("params.yaml", "    tolerance: 0.1 ", "    tolerance: 0.2 ")
NO_CHANGE = "Data and pipelines are up to date."


class Repository(Checkout):
    """A checkout under git and DVC."""

    def environment(self) -> dict[str, str]:
        programs = Path(sys.executable).parent
        return os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site-cache"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "AWS_ACCESS_KEY_ID": "of-the-test-server",
            "AWS_SECRET_ACCESS_KEY": "of-the-test-server",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            **{f"GIT_{who}_NAME": "Someone" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "someone@example.org" for who in ("AUTHOR", "COMMITTER")},
        }

    def start(self, *command: str) -> subprocess.Popen:
        """A command in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, *command: str, may_fail: bool = False) -> str:
        ended = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert may_fail or ended.returncode == 0, ended.stdout
        return ended.stdout

    def dvc(self, *arguments: str, may_fail: bool = False) -> str:
        return self.run("dvc", *arguments, may_fail=may_fail)

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "State")

    def make_target(self, target: str, *more: str, may_fail: bool = False) -> str:
        environment = self.folder / ".venv/installed"
        environment.parent.mkdir(exist_ok=True)
        environment.touch()  # the tests' own environment serves
        settings = ("SCALE=tiny", *more)
        return self.run("make", target, *settings, may_fail=may_fail)

    def clone(self, folder: Path) -> "Repository":
        self.run("git", "clone", "--quiet", ".", str(folder))
        return Repository(folder)


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"^Running stage '(.*)':$", output, re.MULTILINE))


@pytest.fixture(scope="module")
def repository(made_once, tmp_path_factory):
    """All made by Snakemake, taken over by DVC, committed and pushed to a folder."""
    folder = tmp_path_factory.mktemp("dvc") / "repository"
    made_once.copied(folder)
    for left_out in ("modelnet40", "nvgesture"):
        for made_of_it in folder.glob(f"*/*/*/{left_out}"):
            shutil.rmtree(made_of_it)
    shutil.rmtree(folder / RESULTS / "figures")
    shared = ("Makefile", "constraints.txt", "dvc.yaml", "pyproject.toml")
    for name in (".gitignore", ".dvcignore", *shared):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")
    made = Repository(folder)
    made.edit("dvc.yaml", "[vanilla, rubi, random, guided]", "[vanilla, guided]")
    made.edit("params.yaml", "leave_out: []", 'leave_out: ["modelnet40/*", "nvgesture/*"]')
    made.run("git", "init", "--quiet")
    made.make()
    made.taken_over = made.dvc("repro")
    made.dvc("remote", "add", "--quiet", "--default", "share", "../share")
    made.commit()
    made.dvc("push")
    return made


def pulled_clone(repository: Repository, folder: Path) -> Repository:
    clone = repository.clone(folder)
    share = str(repository.folder.parent / "share")
    clone.dvc("remote", "modify", "--local", "share", "url", share)
    clone.dvc("pull")
    return clone


@pytest.fixture
def pulled(repository, tmp_path):
    """A fresh clone with everything pulled."""
    return pulled_clone(repository, tmp_path / "clone")


@pytest.fixture(scope="module")
def restored_once(repository, tmp_path_factory):
    """The same after Snakemake has asked all receipts."""
    clone = pulled_clone(repository, tmp_path_factory.mktemp("restored") / "clone")
    assert trained_anew(clone.make()) == set()
    return clone


@pytest.fixture
def restored(restored_once, tmp_path):
    """A copy of it for one test, which saves the pull."""
    return restored_once.copied(tmp_path / "clone")


def test_after_snakemake_dvc_trains_nothing(repository):
    assert stages_run(repository.taken_over) == set(STAGES)
    assert repository.taken_over.count("Nothing to be done") == len(STAGES)
    assert "Job " not in repository.taken_over


def test_after_dvc_both_say_that_there_is_nothing_to_do(repository):
    assert repository.to_do() == set()
    assert NO_CHANGE in repository.dvc("repro")
    assert NO_CHANGE in repository.dvc("status")
    assert repository.to_do() == set()


def test_a_clone_that_pulled_trains_nothing_and_shows_a_change(restored):
    assert restored.to_do() == set()
    assert stages_run(restored.dvc("repro")) <= {"report@tiny"}  # it tells what the jobs cost here
    assert NO_CHANGE in restored.dvc("repro")
    with restored.edited(*TOLERANCE):
        assert restored.to_do() == work_on(GUIDED) | AFTER_RUNS
        status = json.loads(restored.dvc("status", "--json"))
        assert set(status) == {"prepare@tiny", "train@tiny", "report@tiny"}


def test_damaged_files_of_the_cache_are_made_anew_or_refused_by_name(pulled):
    history = pulled.folder / RESULTS / f"runs/{VANILLA}/history.csv"
    labels = pulled.folder / "data/prepared/tiny/colored_mnist/test.labels.npy"
    true = {file: file.read_bytes() for file in (history, labels)}
    history.write_bytes(true[history][:-2] + b"!!")
    assert trained_anew(pulled.make("evaluated_colored_mnist")) == {VANILLA}
    assert history.read_bytes() == true[history]
    labels.write_bytes(true[labels][:-2] + b"!!")
    refused = pulled.snakemake("evaluated_colored_mnist")
    assert refused.returncode != 0
    assert "test.labels.npy can not be used: its bytes are not those" in refused.stdout
    assert "run `equimodal prepare colored_mnist --scale tiny`" in refused.stdout


def hash_of(lock: str, out: str) -> str:
    outs = [o for stage in YAML(typ="safe").load(lock)["stages"].values() for o in stage["outs"]]
    (found,) = (o["md5"] for o in outs if o["path"] == out)
    return found


def test_after_checkouts_and_whatever_times_files_have_there_is_nothing_to_do(repository):
    files = [p for d in ("data", "results") for p in (repository.folder / d).rglob("*")]
    shuffled = random.Random(0)
    shutil.rmtree(repository.folder / RESULTS / "models")
    repository.dvc("checkout")
    for file in files:
        os.utime(file, (shuffled.uniform(1e9, 1.7e9),) * 2)
    assert repository.to_do() == set()
    assert NO_CHANGE in repository.dvc("status")


def test_a_changed_figure_redraws_figures_and_runs_the_last_stage_only(restored):
    with restored.edited(
        "src/equimodal/study/figures/learning_curves.py", '{"alpha": 0.7', '{"alpha": 0.6'
    ):
        output = restored.dvc("repro")
    assert stages_run(output) == {"report@tiny"}
    assert jobs_of(output) == {DRAWN} | REPORTED


def test_metrics_and_plots_are_shown_by_name(repository):
    (shown,) = json.loads(repository.dvc("metrics", "show", "--json"))[""]["data"].values()
    table1 = pd.read_csv(repository.tables("table1.csv")).set_index("method")["mean"]
    guided = shown["data"]["table1"]["colored_mnist"]["guided"]
    assert guided == pytest.approx(table1["guided"], abs=0.01)
    repository.dvc("plots", "show")
    page = (repository.folder / "dvc_plots/index.html").read_text()
    for label in ("mean test accuracy, %", "d_speed, log10 units", "guided"):
        assert label in page
    shutil.rmtree(repository.folder / "dvc_plots")


def test_a_changed_setting_is_named_with_its_old_and_its_new_value(repository):
    with repository.edited(*TOLERANCE):
        (change,) = json.loads(repository.dvc("params", "diff", "--json"))["params.yaml"].items()
    assert change == ("balance.colored_mnist.tolerance", {"old": 0.1, "new": 0.2, "diff": 0.1})


def test_a_setting_that_changed_before_the_first_run_of_a_clone_is_seen_as_an_experiment(pulled):
    tolerance = "balance.colored_mnist.tolerance=0.2"
    output = pulled.dvc("exp", "run", "--name", "wider", "-S", tolerance)
    assert trained_anew(output) == {GUIDED}
    assert pulled.run("git", "status", "--short").split() == ["M", "dvc.lock", "M", "params.yaml"]
    shown = pulled.dvc("exp", "show", "--csv")
    rows = pd.read_csv(StringIO(shown[shown.index("Experiment,") :])).set_index("Experiment")
    assert rows.loc["wider", "balance.colored_mnist.tolerance"] == 0.2
    assert "table1.colored_mnist.guided" in rows.columns


MORE_SEEDS = (TINY, TABLE1, TABLE1.replace("seeds: 1", "seeds: 4"))
ADDED = {run.replace("seed0", f"seed{n}") for run in (VANILLA, GUIDED) for n in (1, 2, 3)}


def finished(checkout: Checkout) -> set[str]:
    """Added runs whose training has ended for good: it has a receipt."""
    runs = checkout.folder / RESULTS / "runs"
    return {run for run in ADDED if (runs / run / "receipt.json").is_file()}


@dataclass(frozen=True)
class Continued:
    """A repro that was asked for three more seeds a cell, killed after a run and started again."""

    checkout: Repository
    kept: set[str]  # runs that had finished for good when it was killed
    again: set[str]  # runs that were trained afterwards
    second: str  # what another repro said in the meantime


@pytest.fixture(scope="module")
def continued(restored_once, tmp_path_factory):
    checkout = restored_once.copied(tmp_path_factory.mktemp("continued") / "clone")
    checkout.edit(*MORE_SEEDS)
    killed = checkout.start("dvc", "repro")
    runs = checkout.folder / RESULTS / "scratch"
    while not any((runs / f"{run}.holder").exists() for run in ADDED):
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGSTOP)  # or a fast machine is done before the second says no
    second = checkout.dvc("repro", may_fail=True)
    os.killpg(killed.pid, signal.SIGCONT)
    while not (kept := finished(checkout)):
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    return Continued(checkout, kept, trained_anew(checkout.dvc("repro")), second)


def test_two_repros_at_once_are_one_and_a_message(continued):
    refused = "is busy, it is being blocked by|Unable to acquire lock"
    assert re.search(refused, continued.second), continued.second
    assert continued.kept  # of the other, which went on


def test_a_killed_repro_goes_on_without_what_was_finished_and_leaves_no_lock(continued):
    assert continued.again
    assert not continued.again & continued.kept
    assert continued.checkout.to_do() == set()


def test_more_seeds_train_as_many_a_cell_and_nothing_else(continued):
    assert continued.again < ADDED
    assert finished(continued.checkout) == ADDED
    assert set(pd.read_csv(continued.checkout.tables("runs.csv"))["run"]) > ADDED


def test_fewer_seeds_train_nothing_and_leave_no_stale_run(continued, restored_once, tmp_path):
    fewer = continued.checkout.copied(tmp_path / "clone")
    file, one, four = MORE_SEEDS
    fewer.edit(file, four, one)
    output = fewer.dvc("repro")
    assert trained_anew(output) == set()
    assert {f"Removed {run}" for run in ADDED} <= set(output.splitlines())
    assert not ADDED & set(pd.read_csv(fewer.tables("runs.csv"))["run"])
    assert not [p for p in (fewer.folder / RESULTS).rglob("*seed[123]*") if "logs" not in p.parts
                and "benchmarks" not in p.parts]  # fmt: skip
    for out in ("runs", "models", "banks"):
        before, after = (
            hash_of((c.folder / "dvc.lock").read_text(), f"{RESULTS}/{out}")
            for c in (restored_once, fewer)
        )
        assert before == after
    assert fewer.to_do() == set()


PAGE = (ROOT / "docs/dvc.md").read_text()
COMMANDS = [
    line.split(" #")[0].strip()
    for block in re.findall(r"```(?:ba)?sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
PULLED = [c for c in COMMANDS if c.startswith("dvc pull ")]
# What a test says in place of the page.
INSTEAD = {
    **dict.fromkeys(PULLED, "true"),  # the test below
    "make redraw": "true",
    **dict.fromkeys(
        ("dvc repro", "dvc status", "dvc metrics show", "dvc pull"), "true"
    ),  # those above
    "snakemake --cores all": "true",
    "make setup": "true",  # the tests' own environment serves
    "dvc remote add --default share ../share": "dvc remote list",
    "git push": "git push --dry-run origin HEAD:refs/heads/elsewhere",
    "git checkout <commit>": "git checkout HEAD",
    "dvc gc --workspace": "dvc gc --workspace --force",
}


def test_tables_and_figures_are_made_of_what_the_page_pulls_without_a_network(repository, tmp_path):
    clone = repository.clone(tmp_path / "clone")
    share = str(repository.folder.parent / "share")
    clone.dvc("remote", "modify", "--local", "share", "url", share)
    assert len(PULLED) == 1
    for command in PULLED:
        clone.run("bash", "-c", command.replace("demo", "tiny"))
    output = clone.make_target("redraw")
    assert not trained_anew(output)
    assert not (clone.folder / RESULTS / "models").exists()
    for pattern in ("tables/*.csv", "tables/*.md", "figures/*.svg"):
        for made in (repository.folder / RESULTS).glob(pattern):
            drawn = clone.folder / made.relative_to(repository.folder)
            assert drawn.read_bytes() == made.read_bytes(), made.name


def test_every_command_of_the_page_works(restored):
    assert set(INSTEAD) <= set(COMMANDS)
    for command in COMMANDS:
        restored.run(*INSTEAD.get(command, command).replace("@demo", "@tiny").split())


@pytest.fixture
def bucket(tmp_path):
    """Endpoint of an S3 server of our own with the bucket `share`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    program = str(Path(sys.executable).parent / "moto_server")
    with (tmp_path / "s3.log").open("w") as log:
        server = subprocess.Popen([program, "-p", str(port)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                request = urllib.request.Request(f"{endpoint}/share", method="PUT")
                urllib.request.urlopen(request).close()
                break
            except OSError:
                time.sleep(0.2)
        yield endpoint
    finally:
        server.terminate()
        server.wait()


def test_what_was_pushed_to_s3_is_pulled_from_it_by_another_clone(pulled, bucket, tmp_path):
    pulled.dvc("remote", "add", "--quiet", "--default", "s3", "s3://share/equimodal")
    pulled.dvc("remote", "modify", "s3", "endpointurl", bucket)
    pulled.dvc("push")
    pulled.commit()
    other = pulled.clone(tmp_path / "other")
    other.dvc("pull")
    assert NO_CHANGE in other.dvc("status")


def test_a_remote_that_is_down_is_named_and_costs_nothing(pulled, tmp_path):
    other = pulled.clone(tmp_path / "other")
    other.dvc("remote", "modify", "--local", "share", "url", "s3://share")
    other.dvc("remote", "modify", "--local", "share", "endpointurl", "http://127.0.0.1:9")
    said = other.dvc("pull", may_fail=True)
    assert "Could not connect to the endpoint" in said
    assert not (other.folder / RESULTS / "models").exists()


def test_a_remote_that_lacks_an_object_is_named_and_can_be_filled(repository, tmp_path):
    share = repository.folder.parent / "share"
    (lacking,) = share.rglob(model_hash(repository)[2:])
    kept = lacking.read_bytes()
    lacking.unlink()
    clone = repository.clone(tmp_path / "clone")
    clone.dvc("remote", "modify", "--local", "share", "url", str(share))
    said = clone.dvc("pull", may_fail=True)
    lacking.write_bytes(kept)  # the other tests' remote is whole again
    assert "failed to transfer" in said
    # As docs/dvc.md has it: a push asks for folders only, so it would not fill this remote.
    repository.dvc("remote", "add", "--local", "--quiet", "second", str(tmp_path / "second"))
    repository.dvc("push", "--remote", "second")
    clone.dvc("remote", "add", "--local", "--quiet", "second", str(tmp_path / "second"))
    clone.dvc("pull", "--remote", "second")
    assert (clone.folder / RESULTS / f"models/{VANILLA}.pt").is_file()


def model_hash(repository) -> str:
    """MD5 of the one network of Table 1's vanilla run."""
    model = repository.folder / RESULTS / f"models/{VANILLA}.pt"
    return hashlib.md5(model.read_bytes()).hexdigest()


def pipeline() -> dict:
    return YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def test_dvc_keeps_no_data_that_may_not_be_passed_on():
    outs = pipeline()["prepare"]["do"]["outs"]
    assert [name.rpartition("/")[2] for out in outs for name in out] == ["colored_mnist"]


def test_the_lock_is_short(repository):
    lock = (repository.folder / "dvc.lock").read_text()
    assert len(lock.splitlines()) <= 300


@pytest.mark.parametrize(
    ("stage", "entries"),
    [
        ("prepare", ["equimodal.study.data.{}"]),
        ("train", ["equimodal.study.runs.run", "equimodal.models.{}"]),
        ("train", ["equimodal.study.runs.logit_bank"]),
        ("report", ["equimodal.study.analysis.claims", "equimodal.linear.noisy_mnist"]),
    ],
)
def test_a_stage_depends_on_the_code_that_it_runs(stage, entries):
    settings = YAML(typ="safe").load(ROOT / "params.yaml")
    kinds = {x["kind"] for section in ("datasets", "networks") for x in settings[section].values()}
    run = {e.format(kind) for e in entries for kind in kinds}
    there = {e for e in run if (ROOT / "src" / f"{e.replace('.', '/')}.py").is_file()}
    deps = pipeline()[stage]["do"]["deps"]
    named = [dep.removeprefix("src/").removesuffix(".py").replace("/", ".") for dep in deps]
    computing = imported_modules(*there) - COMPUTE_NOTHING
    assert {m for m in computing if not any(f"{m}.".startswith(f"{n}.") for n in named)} == set()
