"""Second moments of two modalities and a target: all that a linear network ever sees of its data."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.stats import invwishart


@dataclass(frozen=True)
class Moments:
    """Averages over the examples of a data set, or of its distribution, one row a run.

    Inputs have zero mean. Under the squared loss the gradients of a linear network depend on the
    examples through these alone.
    """

    a: Float64[ndarray, "runs da da"]  # Sigma_A = <x_A x_A'>
    b: Float64[ndarray, "runs db db"]  # Sigma_B
    ab: Float64[ndarray, "runs da db"]  # Sigma_AB = <x_A x_B'>
    y_a: Float64[ndarray, "runs da"]  # s_A = <y x_A'>
    y_b: Float64[ndarray, "runs db"]  # s_B
    yy: Float64[ndarray, " runs"]  # <y^2>

    def __len__(self) -> int:
        return len(self.yy)

    @property
    def covariance(self) -> Float64[ndarray, "runs d d"]:
        """Sigma, of both modalities joined."""
        return np.block([[self.a, self.ab], [self.ab.swapaxes(1, 2), self.b]])

    @property
    def cross(self) -> Float64[ndarray, "runs d"]:
        """S = [s_A, s_B], the correlation of the target with both."""
        return np.concatenate([self.y_a, self.y_b], axis=1)

    def __getitem__(self, runs: slice | ndarray | list[int]) -> "Moments":
        """Return those of some runs."""
        return Moments(**{name: values[runs] for name, values in vars(self).items()})

    def swapped(self) -> "Moments":
        """Return the same data with the names of A and B exchanged."""
        return replace(
            self, a=self.b, b=self.a, ab=self.ab.swapaxes(1, 2), y_a=self.y_b, y_b=self.y_a
        )


def toy_moments(
    rho: ArrayLike, ratio: ArrayLike, *, w_a: ArrayLike = 1.0, w_b: ArrayLike = 1.0
) -> Moments:
    """Return the moments of y = w_A x_A + w_B x_B with scalar modalities.

    `rho` is the correlation of x_A and x_B, in [-1, 1]; `ratio` the standard deviation of x_A, > 0, that
    of x_B being 1. The arguments are broadcast against each other; each combination is a run.
    """
    given = np.broadcast_arrays(*(np.asarray(x, float) for x in (rho, ratio, w_a, w_b)))
    rho, ratio, w_a, w_b = (x.ravel() for x in given)
    shared = rho * ratio
    return Moments(
        a=(ratio**2)[:, None, None],
        b=np.ones_like(rho)[:, None, None],
        ab=shared[:, None, None],
        y_a=(w_a * ratio**2 + w_b * shared)[:, None],
        y_b=(w_b + w_a * shared)[:, None],
        yy=w_a**2 * ratio**2 + w_b**2 + 2 * w_a * w_b * shared,
    )


def planted_moments(
    a: Float64[ndarray, "runs da da"],
    b: Float64[ndarray, "runs db db"],
    ab: Float64[ndarray, "runs da db"],
    weights: Float64[ndarray, "runs d"],
    noise: float = 0.0,
) -> Moments:
    """Return the moments of y = w x + noise, for a covariance of the inputs and weights w."""
    sigma = np.block([[a, ab], [ab.swapaxes(1, 2), b]])
    cross = np.einsum("ri,rij->rj", weights, sigma)
    da = a.shape[1]
    yy = np.einsum("ri,ri->r", cross, weights) + noise**2
    return Moments(a, b, ab, cross[:, :da], cross[:, da:], yy)


def sample_moments(
    x_a: Float64[ndarray, "runs n da"],
    x_b: Float64[ndarray, "runs n db"],
    y: Float64[ndarray, "runs n"],
) -> Moments:
    """Return the moments of n examples a run: averages, means not taken off."""
    n = y.shape[1]
    return Moments(
        a=x_a.swapaxes(1, 2) @ x_a / n,
        b=x_b.swapaxes(1, 2) @ x_b / n,
        ab=x_a.swapaxes(1, 2) @ x_b / n,
        y_a=np.einsum("rn,rni->ri", y, x_a) / n,
        y_b=np.einsum("rn,rni->ri", y, x_b) / n,
        yy=(y**2).mean(1),
    )


def random_moments(count: int, size: int, seed: int) -> Moments:
    """Draw data sets with `size` inputs a modality, those of A of twice the variance of those of B.

    Sigma is inverse-Wishart with 2 * size + 2 degrees of freedom, the weights of the target are
    uniform in (-1, 1); no noise. For size 10 this is the authors' setting.
    """
    rng = np.random.default_rng(seed)
    scale = np.diag(np.repeat([2.0, 1.0], size))
    sigma = invwishart(df=2 * size + 2, scale=scale).rvs(count, random_state=rng)
    sigma = sigma.reshape(count, 2 * size, 2 * size)
    weights = rng.uniform(-1, 1, (count, 2 * size))
    a, b, ab = sigma[:, :size, :size], sigma[:, size:, size:], sigma[:, :size, size:]
    return planted_moments(a, b, ab, weights)
