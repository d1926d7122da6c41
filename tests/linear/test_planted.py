"""Utilization where the best fusion is known: each of two modalities shows the label, or hides it."""

import numpy as np
import pytest
from scipy.stats import binom

from equimodal.metrics.utilization import accuracy, utilization_rate

N = 20_000
# Classes; shares of the examples whose label both modalities show, only A, only B. The rest shows it in none.
planted = pytest.mark.parametrize(
    ("classes", "shares"),
    [
        (10, (0.2, 0.4, 0.1)),
        (2, (0.0, 0.3, 0.5)),
        (5, (0.9, 0.0, 0.0)),  # the same twice: neither is needed
        (4, (0.0, 0.0, 0.7)),  # A is empty
    ],
)


def draw(classes, shares, seed):
    """Labels, uniform, and the evidence of A and B: one-hot of a label in sight, else all 0."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=N)
    kind = rng.choice(4, size=(N, 1), p=[*shares, 1 - sum(shares)])
    one_hot = np.eye(classes)[labels]
    return labels, {"a": one_hot * np.isin(kind, [0, 1]), "b": one_hot * np.isin(kind, [0, 2])}


def right(classes, *shown):
    """Accuracy of the sum of both evidences: with no label in sight it guesses the first class."""
    return sum(shown) + (1 - sum(shown)) / classes


def interval(trials, share):
    """Shares that a binomial of so many trials shows in 99.9 % of samples."""
    low, high = binom.interval(0.999, trials, share)
    return low / trials, high / trials


@planted
def test_accuracy_of_the_best_fusion_is_what_was_planted(classes, shares):
    labels, evidence = draw(classes, shares, 0)
    low, high = interval(N, right(classes, *shares))
    assert low <= accuracy(evidence["a"] + evidence["b"], labels) <= high


@planted
@pytest.mark.parametrize("of", ["a", "b"])
def test_utilization_of_the_best_fusion_is_what_was_planted(classes, shares, of):
    """1 - u is the share of what the fusion has right that the other modality has right alone.

    The mean of a modality is the same for every class: switching off by it is exact.
    """
    labels, evidence = draw(classes, shares, 2)
    both, only = shares[0], {"a": shares[2], "b": shares[1]}[of]  # of the other modality
    whole = accuracy(evidence["a"] + evidence["b"], labels)
    off = np.full((N, classes), evidence[of].mean())
    rest = accuracy(sum((evidence | {of: off}).values()), labels)
    low, high = interval(round(whole * N), right(classes, both, only) / right(classes, *shares))
    assert 1 - high <= utilization_rate(whole, rest) <= 1 - low
