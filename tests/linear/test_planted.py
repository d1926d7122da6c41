import numpy as np
import pytest
from scipy.stats import binom

from equimodal.metrics.utilization import accuracy, utilization_rate
from equimodal.study.errors import UserError
from tests.linear.planted import Planted

PLANTED = [
    Planted(classes=10, both=0.2, only_a=0.4, only_b=0.1),
    Planted(classes=2, both=0.0, only_a=0.3, only_b=0.5),
    Planted(classes=5, both=0.9, only_a=0.0, only_b=0.0),  # the same twice: neither is needed
    Planted(classes=4, both=0.0, only_a=0.0, only_b=0.7),  # A is empty
]
N = 20_000


def fused(a, b):
    """The best fusion, sure of nothing but what it sees; it guesses the first class."""
    return a + b


def interval(successes_of, share):
    """Shares that a binomial of so many trials shows in 99.9 % of samples."""
    low, high = binom.interval(0.999, successes_of, share)
    return low / successes_of, high / successes_of


@pytest.mark.parametrize("planted", PLANTED)
def test_accuracy_of_the_best_fusion_is_what_was_planted(planted):
    drawn = planted.draw(N, 0)
    low, high = interval(N, planted.accuracy())
    assert low <= accuracy(fused(drawn.a, drawn.b), drawn.labels) <= high


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("of", ["a", "b"])
def test_utilization_of_the_best_fusion_is_what_was_planted(planted, of):
    """1 - u is the share of what the fusion has right that the other modality has right alone."""
    train, test = planted.draw(N, 1), planted.draw(N, 2)
    # Means of the classes in equal parts: those of a sample would break ties of no evidence.
    mean = np.full(planted.classes, getattr(train, of).sum(1).mean() / planted.classes)
    switched = {"a": test.a, "b": test.b} | {of: np.broadcast_to(mean, test.a.shape)}
    whole = accuracy(fused(test.a, test.b), test.labels)
    rest = accuracy(fused(**switched), test.labels)
    low, high = interval(round(whole * N), 1 - planted.utilization(of))
    assert 1 - high <= utilization_rate(whole, rest) <= 1 - low


def test_utilization_worked_out_by_hand():
    planted = Planted(classes=2, both=0.0, only_a=0.4, only_b=0.2)
    assert planted.accuracy() == pytest.approx(0.8)  # 0.6 + 0.4 / 2
    assert planted.accuracy_alone("a") == pytest.approx(0.7)
    assert planted.utilization("b") == pytest.approx(1 - 0.7 / 0.8)
    assert planted.utilization("a") == pytest.approx(1 - 0.6 / 0.8)


def test_what_is_shown_is_the_label_in_the_planted_shares():
    planted, drawn = PLANTED[0], PLANTED[0].draw(N, 0)
    a, b = drawn.a.any(1), drawn.b.any(1)
    for share, seen in ((0.2, a & b), (0.4, a & ~b), (0.1, b & ~a)):
        low, high = interval(N, share)
        assert low <= seen.mean() <= high
    assert (drawn.a.argmax(1) == drawn.labels)[a].all()
    assert (drawn.b.argmax(1) == drawn.labels)[b].all()
    assert planted.draw(5, 3).labels.tolist() == planted.draw(5, 3).labels.tolist()


@pytest.mark.parametrize(
    ("shares", "message"),
    [((2, 0.5, 0.4, 0.2), "are no shares"), ((2, -0.1, 0.4, 0.2), "are no shares"),
     ((1, 0.5, 0.1, 0.1), "classes is 1")],
)  # fmt: skip
def test_what_cannot_be_planted_is_refused(shares, message):
    with pytest.raises(UserError, match=message):
        Planted(*shares)
