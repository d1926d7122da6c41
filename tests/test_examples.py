import re
import runpy
import shutil
import subprocess

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from equimodal import Balance, Guided
from equimodal.fusion.base import REGULAR
from equimodal.fusion.mmtm import MMTM
from equimodal.study.cli import app
from equimodal.study.data import colored_mnist as mnist
from tests.conftest import ROOT

DEMO = "config/scales/demo.yaml"


@pytest.fixture
def tutorial(tmp_path, monkeypatch, capfd):
    """Run a tutorial in a copy of the checkout with some texts replaced; return what it says."""
    monkeypatch.chdir(tmp_path)
    for part in ("examples", "config"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")

    def run(name, *edits):
        for file, old, new in edits:
            text = (tmp_path / file).read_text()
            assert old in text
            (tmp_path / file).write_text(text.replace(old, new))
        runpy.run_path(str(tmp_path / f"examples/{name}.py"), run_name="__main__")
        said = capfd.readouterr().out
        assert f"{name}.png" in said
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.convert("L").getextrema() != (255, 255)
        return said

    return run


def test_on_the_example_s_digits_guided_training_keeps_the_gray_branch(tutorial):
    said = tutorial("digits", ("examples/digits.py", "epochs=15", "epochs=8"))
    form = r"(\w+) +accuracy: both ([\d.]+), gray branch ([\d.]+); d_util ([-+\d.]+)"
    found = {method: list(map(float, numbers)) for method, *numbers in re.findall(form, said)}
    both, gray, d_util = zip(found["vanilla"], found["guided"], strict=True)
    assert gray[1] > gray[0] + 0.2
    assert both[1] > both[0] + 0.1
    assert 2 * abs(d_util[1]) < d_util[0]


def test_a_method_of_one_s_own_is_compared_with_the_others(tutorial):
    said = tutorial("add_method", ("examples/add_method.py", "epochs=15", "epochs=1"))
    assert re.findall(r"(?m)^(.+?) +accuracy: [\d.]+ %, [\d.]+ %$", said) == [
        *("vanilla", "random", "guided", "in turn")
    ]


def test_a_cell_of_table_1_is_read_and_one_such_network_trained(tutorial, monkeypatch):
    """In this process, and on fewer digits."""
    whole = mnist._idx
    monkeypatch.setattr(mnist, "_idx", lambda array: whole(array[::10]))

    def called(command, **how):
        if command[1:3] != ["-m", "equimodal"]:
            return run(command, **how)
        done = CliRunner().invoke(app, command[3:])
        assert done.exit_code == 0, done.output
        return done

    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", called)
    few = (DEMO, "test_per_class: 100", "test_per_class: 10"), (DEMO, "epochs: 4", "epochs: 1")
    tutorial("one_cell", *few)


def test_the_example_is_tested_in_evaluation_mode(monkeypatch):
    """In training mode the test images would go into batch norm and into the running means."""
    modes = []
    forward = MMTM.forward

    def noting(mmtm, features, flow=REGULAR):
        modes.append(mmtm.training)
        return forward(mmtm, features, flow)

    monkeypatch.setattr(MMTM, "forward", noting)
    balance = Balance(tolerance=0.1, window=5, warmup_epochs=1)
    runpy.run_path(str(ROOT / "examples/digits.py"))["train"](Guided(balance), epochs=1)
    assert modes[0]
    assert not modes[-1]


def test_the_cell_of_the_tutorial_is_the_one_of_the_table():
    example = runpy.run_path(str(ROOT / "examples/one_cell.py"))
    table = pd.read_csv(ROOT / "results/decisive/tables/table1_evaluations.csv")
    row = table.query(
        "method == 'guided' and output == 'fused' and evaluation == 'left_behind'"
    ).iloc[0]
    found = example["interval"](example["cell"]()["rebalance_m1"])
    assert found == pytest.approx(tuple(row[["mean", "low", "high"]]), abs=0.01)
    assert (example["PUBLISHED"], example["PUBLISHED_SD"]) == tuple(
        row[["published_mean", "published_sd"]]
    )
