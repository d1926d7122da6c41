import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest

from equimodal.training.balance import Balance
from equimodal.training.policies import Guided, Random, RUBi, Vanilla


def modes(policy, speeds, epochs):
    """Modes of successive steps under constant speeds; one step for each entry of `epochs`."""
    taken = []
    for epoch in epochs:
        taken.append(int(policy.mode))
        policy.advance(torch.tensor(speeds, dtype=torch.float64), epoch=epoch)
    return taken


def guided(window=3, tolerance=0.1):
    return Guided(Balance(tolerance=tolerance, window=window, warmup_epochs=1))


@pytest.mark.parametrize(
    ("speeds", "tolerance", "epochs", "taken"),
    [
        ([0.5, 0.0], 0.1, [2] * 9, [-1, 0, 0, 0, -1, 0, 0, 0, -1]),  # a regular step, a window
        ([0.0, 0.5], 0.1, [2, 2], [-1, 1]),  # the branch whose fusion is faster
        ([0.0, 0.1, 0.5], 0.1, [2, 2], [-1, 2]),
        ([0.5, 0.0], 0.1, [1, 1, 1, 2, 2], [-1, -1, -1, -1, 0]),  # the warm-up decides nothing
        ([0.5, 0.0], 0.5, [2] * 4, [-1] * 4),  # exactly the tolerance
        ([0.5, 0.0], 0.1, [2, 2, 3, 3, 3], [-1, 0, 0, 0, -1]),  # across the border of an epoch
        ([float("nan"), float("nan")], 0.1, [2] * 3, [-1] * 3),  # no speed yet
    ],
)
def test_guided_steps_follow_algorithm_1(speeds, tolerance, epochs, taken):
    assert modes(guided(tolerance=tolerance), speeds, epochs) == taken


GOOD = {"tolerance": 0.0, "window": 1, "warmup_epochs": 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tolerance", x) for x in (-0.1, float("nan"), float("inf"), "0.1", True)),
        *((name, x) for name in ("window", "warmup_epochs") for x in (0, 1.5, "1")),
    ],
)
def test_a_balance_that_can_not_be_is_refused_by_name(name, value):
    assert vars(Balance(**GOOD)) == GOOD  # as small as they may be
    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected a .*number from"):
        Balance(**GOOD | {name: value})


def test_vanilla_has_no_mode():
    policy = Vanilla()
    policy.advance(torch.tensor([5.0, 0.0]), epoch=9)
    assert policy.mode is None


def test_random_takes_each_kind_of_step_a_third_of_the_time():
    taken = modes(Random(("color", "gray"), warmup_epochs=1, seed=0), [0.0, 0.0], [2] * 3001)[1:]
    for mode in (-1, 0, 1):
        share = binomtest(taken.count(mode), len(taken), 1 / 3)
        assert share.pvalue > 0.001


def test_random_is_regular_in_the_warm_up_and_at_the_first_step_after_it():
    policy = Random(("color", "gray"), warmup_epochs=1, seed=0)
    assert modes(policy, [0.0, 0.0], [1] * 50 + [2]) == [-1] * 51


# `random.Random(777).choice([0, 1, 2])`: regular, on m1, on m0.
OFFICIAL = "01112112012221210020102022112102201201201202202221"  # the first 50


def official():
    return Random(("color", "gray"), warmup_epochs=1, seed=777, as_official=True)


def test_the_official_code_s_sequence_is_python_s():
    meaning = {"0": -1, "1": 1, "2": 0}
    taken = modes(official(), [0.0, 0.0], [2] * (len(OFFICIAL) + 1))[1:]
    assert taken == [meaning[choice] for choice in OFFICIAL]
    usual = [Random(("color", "gray"), warmup_epochs=1, seed=seed) for seed in (777, 777, 778)]
    others = [modes(policy, [0.0, 0.0], [2] * (len(OFFICIAL) + 1))[1:] for policy in usual]
    assert others[0] == others[1] not in (taken, others[2])


def test_the_official_sequence_leaves_the_gray_branch_s_mode_behind_after_these_epochs():
    """With 469 steps an epoch: seven epochs up to 17, then none before 33 (docs/reproduction.md)."""
    policy, left_behind = official(), []
    for epoch in range(2, 34):
        for _ in range(469):
            policy.advance(None, epoch=epoch)
        left_behind += [epoch] if int(policy.mode) == 1 else []
    assert left_behind == [2, 4, 6, 9, 11, 14, 17, 33]


@pytest.mark.parametrize("as_official", [False, True])
def test_random_goes_on_with_its_sequence_after_a_restore(as_official):
    whole, first, second = (
        Random(("color", "gray"), warmup_epochs=1, seed=0, as_official=as_official)
        for _ in range(3)
    )
    expected = modes(whole, [0.0, 0.0], [2] * 40)
    start = modes(first, [0.0, 0.0], [2] * 13)
    second.load_state_dict(first.state_dict())
    assert start + modes(second, [0.0, 0.0], [2] * 27) == expected


@pytest.fixture
def rubi():
    return RUBi("color", features=4, classes=3, hidden_layers=1, weight=0.5, seed=0)


def test_the_weights_of_rubi_follow_its_seed_and_are_restored(rubi):
    settings = {"features": 4, "classes": 3, "hidden_layers": 1, "weight": 0.5}
    outside = torch.get_rng_state()
    same, other = (RUBi("color", **settings, seed=seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), outside)
    assert all(map(torch.equal, rubi.parameters(), same.parameters()))
    assert not any(map(torch.equal, rubi.parameters(), other.parameters()))
    other.load_state_dict(rubi.state_dict())
    assert all(map(torch.equal, rubi.parameters(), other.parameters()))


def test_rubi_masks_the_logits_by_the_biased_branch_and_adds_its_own_loss(rubi):
    torch.manual_seed(1)
    logits = {m: torch.randn(5, 3) for m in ("color", "gray")}
    features = {m: torch.rand(5, 4, 2, 2) for m in logits}
    labels = torch.tensor([0, 1, 2, 0, 1])
    bias = rubi._c1(features["color"].mean((2, 3)))
    expected = [F.cross_entropy(z * bias.sigmoid(), labels) for z in logits.values()]
    expected.append(0.5 * F.cross_entropy(rubi._c2(bias), labels))
    torch.testing.assert_close(rubi.losses(logits, features, labels), torch.stack(expected))


def test_the_bias_of_rubi_sends_no_gradient_into_the_branch(rubi):
    features = {"color": torch.rand(5, 4, 2, 2, requires_grad=True)}
    logits = {"color": torch.randn(5, 3)}
    rubi.losses(logits, features, torch.zeros(5, dtype=torch.int64)).sum().backward()
    assert features["color"].grad is None
    assert all(p.grad.abs().max() > 0 for p in rubi.parameters())


@pytest.mark.parametrize(
    "policy", [guided(), Random(("color", "gray"), warmup_epochs=1, seed=0), official()]
)
def test_a_mode_is_changed_where_it_lies_and_a_state_stays_what_it_was(policy):
    mode, state = policy.mode, policy.state_dict()
    before = {k: x.clone() for k, x in state.items()}
    taken = modes(policy, [0.5, 0.0], [2] * 9)
    assert len(set(taken)) > 1
    assert policy.mode is mode
    assert all(torch.equal(x, before[k]) for k, x in state.items())
    policy.load_state_dict(state)
    assert policy.mode is mode
    assert modes(policy, [0.5, 0.0], [2] * 9) == taken
