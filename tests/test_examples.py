import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from equimodal import Balance, Guided, Vanilla
from equimodal.fusion.base import REGULAR
from equimodal.fusion.mmtm import MMTM

ROOT = Path(__file__).parents[1]
BALANCE = Balance(tolerance=0.1, window=5, warmup_epochs=1)


def test_on_the_example_s_digits_guided_training_keeps_the_gray_branch():
    example = runpy.run_path(str(ROOT / "examples/digits.py"))
    (vanilla, greedy), (guided, mended) = (
        example["train"](policy, epochs=8) for policy in (Vanilla(), Guided(BALANCE))
    )
    assert guided["gray"] > vanilla["gray"] + 0.2
    assert guided["both"] > vanilla["both"] + 0.1
    d_util = [u["color"] - u["gray"] for u in (greedy, mended)]
    assert 2 * abs(d_util[1]) < d_util[0]


def test_the_example_is_tested_in_evaluation_mode(monkeypatch):
    """In training mode the test images would go into batch norm and into the running means."""
    modes = []
    forward = MMTM.forward

    def noting(mmtm, features, flow=REGULAR):
        modes.append(mmtm.training)
        return forward(mmtm, features, flow)

    monkeypatch.setattr(MMTM, "forward", noting)
    runpy.run_path(str(ROOT / "examples/digits.py"))["train"](Guided(BALANCE), epochs=1)
    assert modes[0]
    assert not modes[-1]


@pytest.mark.parametrize("name", ["digits", "one_cell", "add_method"])
def test_a_tutorial_runs_and_draws_its_picture(name, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / f"examples/{name}.py"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{name}.png" in done.stdout
    with Image.open(tmp_path / f"{name}.png") as picture:
        assert picture.convert("L").getextrema() != (255, 255)


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
