"""What is measured on a GPU; here, that nothing is where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import table

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so():
    command = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "make bench-gpu measures on a GPU, and torch finds none here.\n"


def test_a_table_has_a_line_for_each_row():
    lines = ["| network | eager |", "| --- | --- |", "| four_conv | 0.02 |"]
    assert table([{"network": "four_conv", "eager": 0.02}]) == "\n".join(lines)
    assert table([]) == "Nothing was measured."
