import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_on_the_example_s_digits_guided_training_keeps_the_gray_branch():
    example = runpy.run_path(str(ROOT / "examples/digits.py"))
    (vanilla, greedy), (guided, mended) = (example["train"](guided) for guided in (False, True))
    assert guided["gray"] > vanilla["gray"] + 0.2
    assert guided["both"] > vanilla["both"] + 0.1
    d_util = [abs(u["color"] - u["gray"]) for u in (greedy, mended)]
    assert d_util[1] < d_util[0] / 2
