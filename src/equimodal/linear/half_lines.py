"""The ReLU variant of two-layer late fusion with scalar modalities, exact without examples.

Without biases a ReLU unit sees only the sign of its scalar input: relu(w x) = |w| relu(+-x), the sign
being that of w. So a branch is a linear function of two half-lines, relu(x) and relu(-x), and the
squared loss depends on the data through the second moments of the four half-lines alone.
"""

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from equimodal.linear.descent import Moved, Step, Trajectory, check_step_size, follow
from equimodal.linear.moments import Moments
from equimodal.linear.networks import Architecture, Layers, stability_limit


def half_line_moments(
    moments: Moments,
) -> tuple[Float64[ndarray, "runs 4 4"], Float64[ndarray, "runs 4"]]:
    """Return the second moments of relu(+-x_A), relu(+-x_B), and those with y, of Gaussian inputs.

    E[relu(x) relu(z)] = s_x s_z / (2 pi) (sqrt(1 - c^2) + c (pi / 2 + asin c)), c the correlation of
    x and z. E[y relu(+-x)] is half of +-E[y x], for a linear target.
    """
    spread = np.sqrt(np.stack([moments.a[:, 0, 0], moments.b[:, 0, 0]], axis=1))
    rho = moments.ab[:, 0, 0] / spread.prod(1)
    sign = np.array([1, -1, 1, -1])
    same = np.kron(np.eye(2), np.ones((2, 2))).astype(bool)
    c = np.clip(np.where(same, 1.0, rho[:, None, None]) * sign * sign[:, None], -1, 1)
    size = np.repeat(spread, 2, axis=1)
    kernel = np.sqrt(1 - c**2) + c * (np.pi / 2 + np.arcsin(c))
    gram = size[:, :, None] * size[:, None] * kernel / (2 * np.pi)
    return gram, 0.5 * sign * np.repeat(moments.cross, 2, axis=1)


def descend_relu(
    moments: Moments, layers: Layers, step_size: float, *, steps: int, tolerance: float = 0.0
) -> Trajectory:
    """Train two-layer late-fusion ReLU networks on a linear target of Gaussian scalar modalities.

    The total weights recorded are those of the linear part of each branch, W^2 W^1 / 2: half of
    the product, since a unit sees half of its input. They end at the weights of the target, as in
    the linear network; each rate is half of the linear network's.

    The arguments are those of `descend`. The layers are of a linear network with depth and fusion 2, and
    the tolerance is on the correlation of the residual with the four half-lines.

    Raises:
        UserError: If the step size is beyond the stability limit of the linear network (half-lines
            only lower the curvature).
    """
    check_step_size(step_size, stability_limit(Architecture(2, 2, layers[0].shape[2]), moments))
    gram, cross = half_line_moments(moments)

    def step_of(runs: Int64[ndarray, " runs"]) -> Step:
        own_gram, own_cross = gram[runs], cross[runs]

        def step(layers: Layers) -> Moved:
            w1, w2 = layers[0][:, :, :, 0], layers[1][:, :, 0]  # runs, branches, units
            up, down = np.maximum(w1, 0), np.minimum(w1, 0)
            # Of relu(x) and relu(-x).
            slopes = np.stack([(w2 * up).sum(2), -(w2 * down).sum(2)], axis=2)
            residual = own_cross - (slopes.reshape(-1, 1, 4) @ own_gram)[:, 0]
            e = residual.reshape(-1, 2, 2, 1)
            # -d loss / d w1 and d w2, with |w1| = up - down on the unit's half-line.
            g1 = w2 * np.where(w1 > 0, e[:, :, 0], -e[:, :, 1])
            g2 = up * e[:, :, 0] - down * e[:, :, 1]
            total = (slopes[:, :, :1] - slopes[:, :, 1:]) / 2
            return [step_size * g1[:, :, :, None], step_size * g2[:, :, None]], total, residual

        return step

    return Trajectory.of(moments, follow(step_of, layers, (2, 1), steps=steps, tolerance=tolerance))
