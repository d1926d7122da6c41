"""Estimates, their intervals and tests: few numbers in, few out.

Missing values (NaN) are left out everywhere. What the values can not give is NaN: an interval of one
value or of values without spread, a correlation of two. Intervals are two-sided, of the `confidence`
given (0.95, say); those of means of few seeds are Student's, those of many models come from resampling.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy

from equimodal.study.params import Analysis

NAN = float("nan")
PUBLISHED_RUNS = 3  # behind every mean and SD of the paper's Table 1

Verdict = Literal["equivalent", "different", "inconclusive", ""]
Values = Any  # whatever numpy takes for a one-dimensional array of numbers


def ends(*names: str) -> list[str]:
    """Return the columns that hold estimates: each name, and the ends of its interval."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


class Estimate(NamedTuple):
    """A number and the interval about it."""

    value: float
    low: float
    high: float

    def named(self, name: str) -> dict[str, float]:
        """Return the columns of a table that hold it."""
        return dict(zip(ends(name), self, strict=True))


class Tested(NamedTuple):
    """An estimate from `n` cases, and the p-value of its being 0."""

    n: int
    value: float
    low: float
    high: float
    p: float


def present(values: Values) -> np.ndarray:
    """Return the values that are there, as float64."""
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]


def sample_sd(values: Values) -> float:
    """Return sqrt(sum (x - mean)^2 / (n - 1)), as the paper's Table 1; NaN of fewer than two."""
    x = present(values)
    return float(x.std(ddof=1)) if len(x) > 1 else NAN


def mean_t_interval(values: Values, confidence: float) -> Estimate:
    """Return the mean and mean ± t(n - 1) * SD / sqrt(n) (Student's interval).

    Values without spread say nothing about how far off their mean is, and give no interval.
    """
    x = present(values)
    if len(x) == 0:
        return Estimate(NAN, NAN, NAN)
    mean, n = float(x.mean()), len(x)
    half = _t_quantile(confidence, n - 1) * sample_sd(x) / np.sqrt(n) if _spreads(x) else NAN
    return Estimate(mean, float(mean - half), float(mean + half))


def over_seeds(values: Values, confidence: float, name: str) -> dict[str, float]:
    """Return the columns that tell of runs that differ in seed: n, their mean as `name`, sd, low, high."""
    mean, low, high = mean_t_interval(values, confidence)
    return {
        "n": len(present(values)),
        name: mean,
        "sd": sample_sd(values),
        "low": low,
        "high": high,
    }


def resampled_mean(values: Values, how: Analysis) -> Estimate:
    """Return the mean and the percentile interval of means of resamples (Efron 1979).

    Fewer than `fewest_resampled` values have Student's interval instead. The same values, number of
    resamples and seed give the same interval.
    """
    x = present(values)
    if len(x) < how.fewest_resampled or not _spreads(x):
        return mean_t_interval(x, how.confidence)
    interval = scipy.stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=how.resamples,
        confidence_level=how.confidence,
        method="percentile",
        rng=np.random.default_rng(how.seed),
    ).confidence_interval
    return Estimate(float(x.mean()), float(interval.low), float(interval.high))


def paired_difference(ours: Values, other: Values, confidence: float) -> Tested:
    """Return the mean of `ours - other`, pair by pair, its t interval and the paired t-test's p.

    A pair of which one is missing is left out. Without spread among the differences there is no t:
    interval and p are NaN.
    """
    x = present(np.asarray(ours, dtype=np.float64) - np.asarray(other, dtype=np.float64))
    mean, low, high = mean_t_interval(x, confidence)
    p = float(scipy.stats.ttest_1samp(x, 0.0).pvalue) if _spreads(x) else NAN
    return Tested(len(x), mean, low, high, p)


def holm(p_values: Values) -> np.ndarray:
    """Return p-values corrected for all that are there (Holm 1979): the i-th smallest of m by m - i + 1."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    corrected = np.full(len(p), NAN)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return corrected


def detectable_difference(sd: float, n: int, confidence: float, power: float) -> float:
    """Return the smallest mean difference that a paired t-test of `n` pairs finds.

    That is, finds with chance `power` at level `1 - confidence`, if the differences have the standard
    deviation `sd`: by the noncentral t distribution (Cohen 1988). NaN of one pair or no spread.
    """
    return _detectable_in_sd(n, confidence, power) * sd if n > 1 and sd > 0 else NAN


@cache
def _detectable_in_sd(n: int, confidence: float, power: float) -> float:
    from statsmodels.stats.power import TTestPower

    try:
        found = TTestPower().solve_power(nobs=n, alpha=1 - confidence, power=power)
    except ValueError:  # at this confidence any difference has more power than is asked for
        return NAN
    return float(np.squeeze(found))


def welch_difference(ours: Values, mean: float, sd: float, confidence: float) -> Estimate:
    """Return our mean less a published mean ± SD, with Welch's interval.

    With v_i = SD_i^2 / n_i the interval is d ± t(df) * sqrt(v_1 + v_2), where
    df = (v_1 + v_2)^2 / (v_1^2 / (n_1 - 1) + v_2^2 / (n_2 - 1)) (Welch 1947). There is none where one of
    the two has no spread, which says nothing about how far off that mean is.
    """
    x = present(ours)
    difference = float(x.mean() - mean) if len(x) else NAN
    sds, n = np.array([sample_sd(x), sd]), np.array([len(x), PUBLISHED_RUNS])
    if np.isnan(difference) or n.min() < 2 or not (sds > 0).all():  # NaN is not above 0
        return Estimate(difference, NAN, NAN)
    v = sds**2 / n
    df = v.sum() ** 2 / (v**2 / (n - 1)).sum()
    half = float(_t_quantile(confidence, df) * np.sqrt(v.sum()))
    return Estimate(difference, difference - half, difference + half)


def difference_of(ours: Estimate, other: Estimate) -> Estimate:
    """Return the difference of two independent estimates, whatever their intervals come from.

    With an estimate x in [l, u] and another y in [m, v] the interval of x - y reaches from
    x - y - sqrt((x - l)^2 + (v - y)^2) to x - y + sqrt((u - x)^2 + (y - m)^2) (Zou and Donner 2008).
    """
    value = ours.value - other.value
    down = np.hypot(ours.value - ours.low, other.high - other.value)
    up = np.hypot(ours.high - ours.value, other.value - other.low)
    return Estimate(value, float(value - down), float(value + up))


def magnitude(x: Estimate) -> Estimate:
    """Return |x|, with the interval of |x|."""
    nearest = 0.0 if x.low <= 0 <= x.high else min(abs(x.low), abs(x.high))
    return Estimate(abs(x.value), nearest, max(abs(x.low), abs(x.high)))


def toward(x: Estimate, y: Estimate) -> Estimate:
    """Return x times the sign of y; where the interval of y has both signs, the interval has x and -x."""
    signs = [s for s, allowed in ((1, y.high > 0), (-1, y.low < 0)) if allowed]
    ends = [s * end for s in signs for end in (x.low, x.high)] or [NAN]
    return Estimate(float(np.sign(y.value)) * x.value, min(ends), max(ends))


def verdict(low: float, high: float, margin: float) -> Verdict:
    """Judge a difference by its interval against the margin below which it does not count.

    `equivalent` if the whole interval is inside ±margin, as in two one-sided tests (Schuirmann 1987),
    each at level (1 - confidence) / 2; `different` if the whole interval is outside; `inconclusive` if
    it is partly inside; "" without an interval.
    """
    if np.isnan(low) or np.isnan(high):
        return ""
    if -margin <= low and high <= margin:
        return "equivalent"
    return "different" if low > margin or high < -margin else "inconclusive"


def spearman(x: Values, y: Values, how: Analysis) -> Tested:
    """Return Spearman's rank correlation, its bootstrap interval and a permutation test's p.

    The interval is the percentile interval over resampled pairs (resamples without spread give no
    correlation and are left out), of at least `fewest_resampled` pairs; it has no width where the order is
    perfect. The test is exact where there are no more orders than `resamples`, drawn at random
    otherwise, so that p is at least 2 / (resamples + 1). Fewer than three pairs, or no spread in one
    of the two, give NaN.
    """
    pairs = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    a, b = pairs[~np.isnan(pairs).any(axis=1)].T
    if len(a) < 3 or not (_spreads(a) and _spreads(b)):
        return Tested(len(a), NAN, NAN, NAN, NAN)
    rng = np.random.default_rng(how.seed)
    low = high = NAN
    if len(a) >= how.fewest_resampled:
        drawn = rng.integers(len(a), size=(how.resamples, len(a)))
        resampled = _rank_correlation(a[drawn], b[drawn])
        low, high = np.nanquantile(resampled, [(1 - how.confidence) / 2, (1 + how.confidence) / 2])
    test = scipy.stats.permutation_test(
        (a,),
        lambda order, axis: _rank_correlation(order, b, axis=axis),
        permutation_type="pairings",
        n_resamples=how.resamples,
        vectorized=True,
        rng=rng,
    )
    return Tested(
        len(a), float(_rank_correlation(a, b)), float(low), float(high), float(test.pvalue)
    )


def _rank_correlation(x: np.ndarray, y: np.ndarray, axis: int = -1) -> Any:
    """Pearson's correlation of the ranks; NaN where all ranks are equal."""
    ranks = [scipy.stats.rankdata(values, axis=axis) for values in (x, y)]
    a, b = (r - r.mean(axis=axis, keepdims=True) for r in ranks)
    spread = np.sqrt((a**2).sum(axis) * (b**2).sum(axis))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis) / spread


def sign_agreement(x: Values, y: Values, confidence: float) -> tuple[int, Estimate]:
    """Return how many pairs there are and the share of one sign (0 has none), with Wilson's interval."""
    signs = np.sign(np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)]))
    signs = signs[~np.isnan(signs).any(axis=1)]
    agreeing = int((signs.prod(axis=1) > 0).sum())
    return len(signs), wilson_interval(agreeing, len(signs), confidence)


def wilson_interval(successes: int, n: int, confidence: float) -> Estimate:
    """Return a share and its interval: all p with |share - p| <= z * sqrt(p (1 - p) / n) (Wilson 1927)."""
    if n == 0:
        return Estimate(NAN, NAN, NAN)
    interval = scipy.stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high))


def symmetry_p(values: Values) -> float:
    """Return p of the values' being symmetric about 0 (Wilcoxon's signed-rank test; zeros left out)."""
    x = present(values)
    x = x[x != 0]
    return float(scipy.stats.wilcoxon(x).pvalue) if len(x) else NAN


def _spreads(x: Sequence[float] | np.ndarray) -> bool:
    """Whether there are two values that differ by more than rounding."""
    return len(x) > 1 and float(np.ptp(x)) > 1e-12 * float(np.abs(x).max())


@cache
def _t_quantile(confidence: float, df: float) -> float:
    return float(scipy.stats.t.ppf((1 + confidence) / 2, df))
