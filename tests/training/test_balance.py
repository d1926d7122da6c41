import pytest
import torch

from equimodal.spec import Balance
from equimodal.training.balance import Guided, Vanilla


def modes(policy, speeds, epochs):
    """Modes of successive steps under constant speeds; one step for each entry of `epochs`."""
    taken = []
    for epoch in epochs:
        taken.append(int(policy.mode))
        policy.advance(torch.tensor(speeds, dtype=torch.float64), epoch=epoch)
    return taken


def guided(window=3, tolerance=0.1):
    return Guided(Balance(tolerance=tolerance, window=window, warmup_epochs=1))


def test_forced_imbalance_gives_one_regular_step_then_a_window_again_and_again():
    assert modes(guided(), [0.5, 0.0], [2] * 9) == [-1, 0, 0, 0, -1, 0, 0, 0, -1]


@pytest.mark.parametrize(("speeds", "branch"), [([0.5, 0.0], 0), ([0.0, 0.5], 1)])
def test_the_branch_whose_fusion_is_faster_is_rebalanced(speeds, branch):
    assert modes(guided(), speeds, [2, 2]) == [-1, branch]


def test_of_three_branches_the_fastest_fusion_is_rebalanced():
    assert modes(guided(), [0.0, 0.1, 0.5], [2, 2]) == [-1, 2]


def test_the_first_epoch_is_regular_and_its_last_step_decides_nothing():
    assert modes(guided(), [0.5, 0.0], [1, 1, 1, 2, 2]) == [-1, -1, -1, -1, 0]


def test_an_imbalance_of_exactly_the_tolerance_is_tolerated():
    assert modes(guided(tolerance=0.5), [0.5, 0.0], [2] * 4) == [-1] * 4


def test_windows_cross_the_borders_of_epochs():
    assert modes(guided(), [0.5, 0.0], [2, 2, 3, 3, 3]) == [-1, 0, 0, 0, -1]


def test_no_speed_yet_means_no_rebalancing():
    assert modes(guided(), [float("nan"), float("nan")], [2] * 3) == [-1] * 3


def test_vanilla_has_no_mode():
    policy = Vanilla()
    policy.advance(torch.tensor([5.0, 0.0]), epoch=9)
    assert policy.mode is None
