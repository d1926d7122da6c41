import numpy as np

from equimodal.linear.moments import random_moments, sample_moments, toy_moments


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


def test_swapping_twice_changes_nothing():
    m = random_moments(3, 4, 0)
    for name, values in vars(m.swapped().swapped()).items():
        np.testing.assert_array_equal(values, getattr(m, name))
