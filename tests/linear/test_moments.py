import numpy as np
import pytest

from equimodal.linear.moments import (
    Moments,
    random_moments,
    sample_moments,
    toy_moments,
)
from equimodal.study.errors import UserError


def test_toy_moments_are_those_worked_out_by_hand():
    m = toy_moments(0.5, 2.0)
    assert m.cross.tolist() == [[5.0, 2.0]]  # r^2 + rho r, 1 + rho r
    assert m.covariance.tolist() == [[[4.0, 1.0], [1.0, 1.0]]]
    assert m.yy.tolist() == [7.0]  # r^2 + 1 + 2 rho r


def test_moments_of_a_sample_come_near_those_of_its_distribution():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 200_000, 2)) @ np.linalg.cholesky([[4.0, 1.0], [1.0, 1.0]]).T
    drawn = sample_moments(x[:, :, :1], x[:, :, 1:], x.sum(2))
    exact = toy_moments(0.5, [2.0, 2.0])
    for name, values in vars(exact).items():
        np.testing.assert_allclose(getattr(drawn, name), values, rtol=0.02)


def test_moments_of_fewer_examples_than_inputs_are_moments():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 7, 10))
    sample_moments(x[:, :, :5], x[:, :, 5:], rng.standard_normal((1, 7)))


def test_swapping_twice_changes_nothing():
    m = random_moments(3, 4, 0)
    for name, values in vars(m.swapped().swapped()).items():
        np.testing.assert_array_equal(values, getattr(m, name))


@pytest.mark.parametrize(
    ("rho", "ratio", "message"),
    [
        ([0.0, -1.2], 2.0, r"rho is -1.2; the covariance is positive semi-definite"),
        (0.0, [1.0, -2.0], "ratio is -2; a standard deviation has to be positive"),
    ],
)
def test_statistics_that_are_none_are_refused(rho, ratio, message):
    with pytest.raises(UserError, match=message):
        toy_moments(rho, ratio)


def moments(ab=0.0, yy=5.0, a=4.0):
    one = np.ones((1, 1, 1))
    return Moments(a * one, one, ab * one, 4 * one[0], one[0], np.array([yy]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ab": 2.5}, "covariance of the inputs of run 0 is not positive semi-definite"),
        ({"yy": 1.0}, "covariance of inputs and target of run 0 is not positive semi-definite"),
        ({"a": np.nan}, "not finite"),
    ],
)
def test_what_is_no_covariance_is_refused(wrong, message):
    moments()
    with pytest.raises(UserError, match=message):
        moments(**wrong)


def test_a_covariance_that_is_not_symmetric_is_refused():
    m = random_moments(1, 2, 0)
    with pytest.raises(UserError, match="not symmetric"):
        Moments(m.a + np.array([[0, 0.1], [0, 0]]), m.b, m.ab, m.y_a, m.y_b, m.yy)
