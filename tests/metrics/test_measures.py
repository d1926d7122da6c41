"""Shapley values and calibration error, by hand."""

from itertools import chain, combinations, permutations

import numpy as np
import pytest

from equimodal.metrics.calibration import calibration_error
from equimodal.metrics.shapley import shapley_values


@pytest.mark.parametrize("players", ["ab", "abc", "abcd"])
def test_a_shapley_value_is_the_mean_of_what_a_player_adds_over_all_orders(players):
    rng = np.random.default_rng(0)
    sets = chain.from_iterable(combinations(players, k) for k in range(len(players) + 1))
    worth = {frozenset(s): rng.random() for s in sets}
    orders = list(permutations(players))
    added = dict.fromkeys(players, 0.0)
    for order in orders:
        for i, u in enumerate(order):
            gain = worth[frozenset(order[: i + 1])] - worth[frozenset(order[:i])]
            added[u] += gain / len(orders)
    values = shapley_values(worth)
    assert values == pytest.approx(added, rel=1e-12)
    total = worth[frozenset(players)] - worth[frozenset()]
    assert sum(values.values()) == pytest.approx(total)


def test_who_adds_nothing_gets_nothing_and_equals_share():
    worth = {frozenset(): 0.1, frozenset("a"): 0.9, frozenset("b"): 0.1, frozenset("ab"): 0.9}
    assert shapley_values(worth) == pytest.approx({"a": 0.8, "b": 0.0})
    worth = {frozenset(): 0.1, frozenset("a"): 0.5, frozenset("b"): 0.5, frozenset("ab"): 0.9}
    assert shapley_values(worth) == pytest.approx({"a": 0.4, "b": 0.4})


def test_a_network_is_calibrated_if_it_is_right_as_often_as_it_is_sure():
    def answers(confidence, right):
        """Ten answers of two classes, so many of them right."""
        logits = np.tile([np.log(confidence / (1 - confidence)), 0.0], (10, 1))
        return logits, np.array([0] * right + [1] * (10 - right))

    assert calibration_error(*answers(0.7, 7)) == pytest.approx(0, abs=1e-12)
    assert calibration_error(*answers(0.9, 7)) == pytest.approx(0.2)
    assert calibration_error(*answers(0.6, 10)) == pytest.approx(0.4)
    both = [np.concatenate(x) for x in zip(answers(0.9, 7), answers(0.6, 10), strict=True)]
    assert calibration_error(*both) == pytest.approx(0.3)
    sure = np.array([[1e4, 0.0], [0.0, 1e4]])
    assert calibration_error(sure, np.array([0, 0])) == pytest.approx(0.5)
