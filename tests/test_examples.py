import runpy
from pathlib import Path

from equimodal.fusion.base import REGULAR
from equimodal.fusion.mmtm import MMTM

ROOT = Path(__file__).parents[1]


def test_on_the_example_s_digits_guided_training_keeps_the_gray_branch():
    example = runpy.run_path(str(ROOT / "examples/digits.py"))
    (vanilla, greedy), (guided, mended) = (
        example["train"](guided, epochs=8) for guided in (False, True)
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
    runpy.run_path(str(ROOT / "examples/digits.py"))["train"](guided=True, epochs=1)
    assert modes[0]
    assert not modes[-1]
