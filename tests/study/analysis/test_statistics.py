from math import isnan, sqrt

import numpy as np
import pytest

from equimodal.study.analysis.statistics import (
    detectable_difference,
    holm,
    mean_t_interval,
    paired_difference,
    resampled_mean,
    sample_sd,
    sign_agreement,
    spearman,
    symmetry_p,
    verdict,
    welch_difference,
    wilson_interval,
)
from tests.study.analysis.conftest import SETTINGS

FEWEST = SETTINGS.fewest_resampled
NAN = float("nan")
T2, T4 = 4.302653, 2.776445  # 97.5 % quantiles of Student's t with 2 and 4 degrees of freedom
Z2 = 1.959964**2
HALF2 = T2 / sqrt(3)  # of three values with SD 1
HALF4 = T4 * sqrt(1 / 3 + 1 / 3)  # n = 3 and SD = 1 on both sides: 4 degrees of freedom
P = 1 - 2 * sqrt(3) / sqrt(2 + 12)  # P(|T| > t) = 1 - t / sqrt(2 + t^2) with two, at t = 2 sqrt(3)


def how(**changes):
    return SETTINGS.model_copy(update=changes)


def t(x):
    return mean_t_interval(x, 0.95)


def resampled(x, **changes):
    return resampled_mean(x, how(**changes))


def paired(x, y):
    return paired_difference(x, y, 0.95)


def welch(x, mean, sd):
    return welch_difference(x, mean, sd, 0.95)


def ranks(x, y):
    return spearman(x, y, SETTINGS)


def signs(x, y):
    n, agreement = sign_agreement(x, y, 0.95)
    return n, agreement.value


NOTHING, ONE, EQUAL = [], [5, NAN], [5] * FEWEST
# The mean of a resample of as many zeros as ones is a tenth of the heads of ten fair coins:
# fewer than two have the chance 11/1024, fewer than three 56/1024.
COINS, MANY = [0, 1] * 5, {"resamples": 20_000}
WORKED_OUT = [  # what is found, what it has to be
    (sample_sd([1, 2, 3]), 1),
    (sample_sd([1]), NAN),
    (t([1, NAN, 2, 3]), (2, 2 - HALF2, 2 + HALF2)),
    *((f(NOTHING), (NAN, NAN, NAN)) for f in (t, resampled)),
    *((f(x), (5, NAN, NAN)) for f in (t, resampled) for x in (ONE, EQUAL[:3], EQUAL)),
    (t([1, 2, 3]).named("x"), {"x": 2, "x_low": 2 - HALF2, "x_high": 2 + HALF2}),
    (resampled(COINS, **MANY), (0.5, 0.2, 0.8)),
    (resampled(COINS, confidence=0.2, **MANY), (0.5, 0.5, 0.5)),
    (paired([11, 22, 33, NAN], [10, 20, 30, 0]), (3, 2, 2 - HALF2, 2 + HALF2, P)),
    (paired([1, NAN], [0, 0]), (1, 1, NAN, NAN, NAN)),
    (paired([1.1, 2.1], [1, 2]), (2, 0.1, NAN, NAN, NAN)),  # no spread proves nothing
    (holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]),  # the smallest by their number, in order
    (holm([0.9, 0.8]), [1, 1]),
    (holm([NAN, 0.01, 0.5]), [NAN, 0.02, 0.5]),  # what is missing counts for nothing
    (holm([NAN]), [NAN]),
    (holm([]), []),
    (detectable_difference(1, 3, 0.95, 0.8), 3.264),
    (detectable_difference(0, 3, 0.95, 0.8), NAN),
    (detectable_difference(NAN, 1, 0.95, 0.8), NAN),
    (welch([1, 2, 3], 5, 1), (-3, -3 - HALF4, -3 + HALF4)),  # equal spreads: Student's
    *((welch(*given), (NAN, NAN, NAN)) for given in (([], 5, 1), ([1, 2], NAN, NAN))),
    *((welch(*given), (1, NAN, NAN)) for given in (([6], 5, 1), ([6, 6], 5, 1), ([5, 7], 5, 0))),
    (ranks([1, 2, 3, 4], [1, 10, 1000, 100])[:4], (4, 0.8, NAN, NAN)),  # 1 - 6 * 2 / (4 * 15)
    (ranks([1, 2, 3, 4], [2, 4, 6, 8]).p, 2 / 24),  # of all orders two are as perfect
    (ranks([1, 2], [1, 2]), (2, *4 * [NAN])),
    (ranks([1, 2, 3], [5, 5, 5]), (3, *4 * [NAN])),
    (ranks([], []).n, 0),
    (ranks([1, 2, 3, NAN], [1, 2, 3, 4]).n, 3),
    (signs([1, -1, 2, NAN], [3, -2, -1, 1]), (3, 2 / 3)),
    (signs([0, 0, 0, 1], [0, 1, -1, 1]), (4, 1 / 4)),  # a difference of 0 has no sign
    (wilson_interval(0, 10, 0.95), (0, 0, Z2 / (10 + Z2))),
    (wilson_interval(10, 10, 0.95), (1, 10 / (10 + Z2), 1)),
    (wilson_interval(0, 0, 0.95), (NAN, NAN, NAN)),
    (symmetry_p([1, 2, 3, 4, 5]), 2 / 2**5),  # two of 32 choices of signs
    *((symmetry_p(x), NAN) for x in ([0, 0], [])),
]


@pytest.mark.parametrize(("found", "expected"), WORKED_OUT)
def test_an_estimate_is_what_is_worked_out_by_hand(found, expected):
    assert found == pytest.approx(expected, abs=1e-3, nan_ok=True)


def test_the_mean_of_few_models_has_student_s_interval():
    # Resamples of three values stay between the least and the greatest.
    few = [0.0, 0.1, 0.3]
    assert resampled(few) == t(few)
    assert t(few).low < 0 <= resampled(few, fewest_resampled=3).low


def test_the_bootstrap_of_many_values_agrees_with_the_t_interval_and_follows_from_its_seed():
    x = np.random.default_rng(0).normal(size=200)
    assert resampled(x, resamples=5000) == pytest.approx(t(x), abs=0.02)
    assert resampled(x, seed=1) == resampled(x, seed=1) != resampled(x, seed=2)


def test_the_detectable_difference_is_the_textbook_s():
    # Cohen's d = 0.5 needs 34 pairs for power 0.8 at level 0.05.
    assert 0.49 < detectable_difference(1, 34, 0.95, 0.8) <= 0.5
    assert detectable_difference(3, 34, 0.95, 0.8) == 3 * detectable_difference(1, 34, 0.95, 0.8)


@pytest.mark.parametrize(
    ("low", "high", "judged"),
    [
        *((-0.9, 0.9, "equivalent"), (0.1, 1.0, "equivalent"), (1.1, 5.0, "different")),
        *((-5.0, -1.1, "different"), (0.5, 5.0, "inconclusive"), (-5.0, 5.0, "inconclusive")),
        (NAN, NAN, ""),
    ],
)
def test_a_verdict_says_on_which_side_of_the_margin_the_interval_is(low, high, judged):
    assert verdict(low, high, 1.0) == judged


def test_enough_pairs_give_a_rank_correlation_an_interval():
    x = np.arange(FEWEST)
    tested = ranks(x, [*x[1:], -1])
    assert -1 <= tested.low < tested.value < tested.high <= 1
    assert isnan(ranks(x[1:], x[1:] ** 2).low)


def test_values_on_both_sides_may_be_symmetric_about_0():
    assert symmetry_p([1, -1.5, 2, -2.5]) > 0.5
