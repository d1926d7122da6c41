from math import isnan, sqrt

import numpy as np
import pytest

from equimodal.study.analysis.statistics import (
    Estimate,
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


def how(**changes):
    return SETTINGS.model_copy(update=changes)


def test_the_sd_is_that_of_a_sample():
    assert sample_sd([1, 2, 3]) == 1
    assert isnan(sample_sd([1]))


def test_a_mean_has_student_s_interval():
    assert mean_t_interval([1, 2, 3], 0.95) == pytest.approx(
        (2, 2 - T2 / sqrt(3), 2 + T2 / sqrt(3))
    )


@pytest.mark.parametrize(
    "interval", [mean_t_interval, lambda x, c: resampled_mean(x, how(confidence=c))]
)
def test_few_or_equal_values_give_what_they_can(interval):
    assert interval([], 0.95) == pytest.approx((NAN, NAN, NAN), nan_ok=True)
    assert interval([5], 0.95) == pytest.approx((5, NAN, NAN), nan_ok=True)
    assert interval([5, NAN], 0.95) == pytest.approx((5, NAN, NAN), nan_ok=True)
    assert interval([5] * 3, 0.95) == pytest.approx((5, NAN, NAN), nan_ok=True)
    assert interval([5] * FEWEST, 0.95) == pytest.approx((5, NAN, NAN), nan_ok=True)


def test_missing_values_are_left_out():
    assert mean_t_interval([1, NAN, 2, 3], 0.95) == mean_t_interval([1, 2, 3], 0.95)


def test_an_estimate_fills_three_columns():
    assert Estimate(1, 0, 2).named("x") == {"x": 1, "x_low": 0, "x_high": 2}


def test_zeros_and_ones_resampled_are_coins():
    # The mean of a resample of as many zeros as ones is a tenth of the heads of ten fair coins:
    # fewer than two have the chance 11/1024, fewer than three 56/1024.
    coins = [0, 1] * 5
    assert resampled_mean(coins, how(resamples=20_000)) == pytest.approx((0.5, 0.2, 0.8))
    assert resampled_mean(coins, how(confidence=0.2, resamples=20_000)) == pytest.approx(
        (0.5, 0.5, 0.5)
    )


def test_the_mean_of_few_models_has_student_s_interval():
    # Resamples of three values stay between the least and the greatest.
    few = [0.0, 0.1, 0.3]
    assert resampled_mean(few, SETTINGS) == mean_t_interval(few, 0.95)
    assert mean_t_interval(few, 0.95).low < 0
    assert resampled_mean(few, how(fewest_resampled=3)).low >= 0


def test_the_bootstrap_of_many_values_agrees_with_the_t_interval():
    x = np.random.default_rng(0).normal(size=200)
    assert resampled_mean(x, how(resamples=5000)) == pytest.approx(
        mean_t_interval(x, 0.95), abs=0.02
    )


def test_equal_seeds_give_equal_intervals():
    x = np.random.default_rng(0).normal(size=20)
    assert resampled_mean(x, how(seed=1)) == resampled_mean(x, how(seed=1))
    assert resampled_mean(x, how(seed=1)) != resampled_mean(x, how(seed=2))


def test_a_paired_difference_is_that_of_the_pairs():
    n, difference, low, high, p = paired_difference([11, 22, 33], [10, 20, 30], 0.95)
    assert (n, difference) == (3, 2)
    assert (low, high) == pytest.approx((2 - T2 / sqrt(3), 2 + T2 / sqrt(3)))
    t = 2 * sqrt(3)  # with two degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t^2)
    assert p == pytest.approx(1 - t / sqrt(2 + t**2))


def test_a_pair_of_which_one_is_missing_is_left_out():
    assert paired_difference([1, 2, 3, NAN], [0, 0, 0, 0], 0.95).n == 3
    assert paired_difference([1, NAN], [0, 0], 0.95) == pytest.approx(
        (1, 1, NAN, NAN, NAN), nan_ok=True
    )


def test_differences_without_spread_prove_nothing():
    assert paired_difference([1.1, 2.1], [1, 2], 0.95) == pytest.approx(
        (2, 0.1, NAN, NAN, NAN), nan_ok=True
    )


def test_holm_multiplies_the_smallest_p_by_their_number_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])


def test_a_missing_p_counts_for_nothing_in_holm_s_correction():
    assert holm([NAN, 0.01, 0.5]) == pytest.approx([NAN, 0.02, 0.5], nan_ok=True)
    assert np.isnan(holm([NAN])).all()
    assert len(holm([])) == 0


def test_the_detectable_difference_is_the_textbook_s():
    # Cohen's d = 0.5 needs 34 pairs for power 0.8 at level 0.05.
    assert 0.49 < detectable_difference(1, 34, 0.95, 0.8) <= 0.5
    assert detectable_difference(3, 34, 0.95, 0.8) == 3 * detectable_difference(1, 34, 0.95, 0.8)
    assert detectable_difference(1, 3, 0.95, 0.8) == pytest.approx(3.264, abs=1e-3)


def test_without_spread_or_pairs_the_detectable_difference_is_unknown():
    assert isnan(detectable_difference(0, 3, 0.95, 0.8))
    assert isnan(detectable_difference(NAN, 1, 0.95, 0.8))


def test_welch_s_interval_with_equal_spreads_is_student_s():
    half = T4 * sqrt(1 / 3 + 1 / 3)  # n = 3 and SD = 1 on both sides: 4 degrees of freedom
    assert welch_difference([1, 2, 3], 5, 1, 0.95) == pytest.approx((-3, -3 - half, -3 + half))


def test_welch_s_interval_says_what_it_can_of_little():
    assert welch_difference([], 5, 1, 0.95) == pytest.approx((NAN,) * 3, nan_ok=True)
    assert welch_difference([1, 2], NAN, NAN, 0.95) == pytest.approx((NAN,) * 3, nan_ok=True)
    assert welch_difference([6], 5, 1, 0.95) == pytest.approx((1, NAN, NAN), nan_ok=True)
    assert welch_difference([6, 6], 5, 1, 0.95) == pytest.approx((1, NAN, NAN), nan_ok=True)
    assert welch_difference([5, 7], 5, 0, 0.95) == pytest.approx((1, NAN, NAN), nan_ok=True)


@pytest.mark.parametrize(
    ("low", "high", "judged"),
    [
        (-0.9, 0.9, "equivalent"),
        (0.1, 1.0, "equivalent"),
        (1.1, 5.0, "different"),
        (-5.0, -1.1, "different"),
        (0.5, 5.0, "inconclusive"),
        (-5.0, 5.0, "inconclusive"),
        (NAN, NAN, ""),
    ],
)
def test_a_verdict_says_on_which_side_of_the_margin_the_interval_is(low, high, judged):
    assert verdict(low, high, 1.0) == judged


def test_spearman_s_correlation_is_that_of_ranks():
    tested = spearman([1, 2, 3, 4], [1, 10, 1000, 100], SETTINGS)
    assert (tested.n, tested.value) == (4, pytest.approx(0.8))  # 1 - 6 * 2 / (4 * 15)
    assert isnan(tested.low)
    assert isnan(tested.high)


def test_enough_pairs_give_a_rank_correlation_an_interval():
    x = np.arange(FEWEST)
    tested = spearman(x, [*x[1:], -1], SETTINGS)
    assert -1 <= tested.low < tested.value < tested.high <= 1
    assert isnan(spearman(x[1:], x[1:] ** 2, SETTINGS).low)


def test_the_p_of_a_perfect_order_counts_the_orders():
    assert spearman([1, 2, 3, 4], [2, 4, 6, 8], SETTINGS).p == pytest.approx(2 / 24)


def test_two_pairs_or_equal_values_have_no_rank_correlation():
    assert spearman([1, 2], [1, 2], SETTINGS) == pytest.approx((2, *4 * [NAN]), nan_ok=True)
    assert spearman([1, 2, 3], [5, 5, 5], SETTINGS) == pytest.approx((3, *4 * [NAN]), nan_ok=True)
    assert spearman([], [], SETTINGS).n == 0
    assert spearman([1, 2, 3, NAN], [1, 2, 3, 4], SETTINGS).n == 3


def test_signs_agree_where_both_are_equal():
    n, agreement = sign_agreement([1, -1, 2, NAN], [3, -2, -1, 1], 0.95)
    assert (n, agreement.value) == (3, pytest.approx(2 / 3))


def test_a_difference_of_0_has_no_sign_and_agrees_with_none():
    n, agreement = sign_agreement([0, 0, 0, 1], [0, 1, -1, 1], 0.95)
    assert (n, agreement.value) == (4, 1 / 4)


def test_wilson_s_interval_is_the_textbook_s():
    z2 = 1.959964**2
    assert wilson_interval(0, 10, 0.95) == pytest.approx((0, 0, z2 / (10 + z2)))
    assert wilson_interval(10, 10, 0.95) == pytest.approx((1, 10 / (10 + z2), 1))
    assert wilson_interval(0, 0, 0.95) == pytest.approx((NAN,) * 3, nan_ok=True)


def test_values_on_one_side_only_are_hardly_symmetric_about_0():
    assert symmetry_p([1, 2, 3, 4, 5]) == pytest.approx(2 / 2**5)  # two of 32 choices of signs
    assert symmetry_p([1, -1.5, 2, -2.5]) > 0.5
    assert isnan(symmetry_p([0, 0]))
    assert isnan(symmetry_p([]))
