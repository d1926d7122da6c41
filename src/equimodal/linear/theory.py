"""What a two-modality deep linear network does, in formulas: which modality first, when, how well.

Common symbols: s_A = <y x_A'>, Sigma_A = <x_A x_A'>, |.| the Euclidean norm, A the modality that is
learned first,

    W_A^uni = s_A Sigma_A^-1                        least squares on A alone,
    s~_B    = s_B - s_A Sigma_A^-1 Sigma_AB         what B correlates with once A is fitted,
    k       = |s_B| / |s_A|.

Every function takes moments of many runs and returns one value a run; times are in units of tau.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray
from scipy.integrate import quad_vec

from equimodal.linear.moments import Moments

PerRun = Float64[ndarray, " runs"]
SINGULAR = 1e-10  # of the smallest eigenvalue, relative to the largest


def norm(rows: Float64[ndarray, "*runs d"]) -> Float64[ndarray, "*runs"]:
    """Return |s| of each row."""
    return np.sqrt((rows**2).sum(-1))


def unimodal_solution(moments: Moments) -> Float64[ndarray, "runs da"]:
    """Return W_A^uni = s_A Sigma_A^-1: M_A is reached with these weights on A and 0 on B.

    Domain: Sigma_A of full rank.
    """
    return np.linalg.solve(moments.a, moments.y_a[:, :, None])[:, :, 0]


def shortest_solution(
    sigma: Float64[ndarray, "runs d d"], s: Float64[ndarray, "runs d"]
) -> Float64[ndarray, "runs d"]:
    """Return the shortest w with w Sigma = s."""
    return np.einsum("rj,rij->ri", s, np.linalg.pinv(sigma, rcond=SINGULAR, hermitian=True))


def joint_solution(
    moments: Moments,
) -> tuple[Float64[ndarray, "runs da"], Float64[ndarray, "runs db"]]:
    """Return W* = [W_A*, W_B*] = s Sigma^-1, the global minimum M_*.

    With a singular Sigma it is the shortest of the minima, to which training from small weights
    comes near.
    """
    w = shortest_solution(moments.covariance, moments.cross)
    size = moments.a.shape[1]
    return w[:, :size], w[:, size:]


def residual_cross(moments: Moments) -> Float64[ndarray, "runs db"]:
    """Return s~_B = s_B - s_A Sigma_A^-1 Sigma_AB, the correlation of B with what A leaves."""
    return moments.y_b - np.einsum("ri,rij->rj", unimodal_solution(moments), moments.ab)


def explained_by_b_alone(moments: Moments) -> PerRun:
    """Return W_B* Sch_B W_B*', what of <y^2> only B explains.

    Sch_B = Sigma_B - Sigma_BA Sigma_A^-1 Sigma_AB is what of B cannot be told from A.
    """
    w_b = joint_solution(moments)[1]
    schur = moments.b - moments.ab.swapaxes(1, 2) @ np.linalg.solve(moments.a, moments.ab)
    return np.einsum("ri,rij,rj->r", w_b, schur, w_b)


def loss(
    moments: Moments, w_a: Float64[ndarray, "*records runs da"], w_b: ndarray
) -> Float64[ndarray, "*records runs"]:
    """Return 1/2 <(y - W x)^2> = 1/2 (<y^2> - 2 s W' + W Sigma W') of total weights."""
    w = np.concatenate([w_a, w_b], axis=-1)
    quadratic = np.einsum("...ri,rij,...rj->...r", w, moments.covariance, w, optimize=True)
    return 0.5 * (moments.yy - 2 * np.einsum("ri,...ri->...r", moments.cross, w) + quadratic)


def fixed_point_losses(moments: Moments) -> dict[str, PerRun]:
    """Return the loss on the manifolds of fixed points, M_0, M_A, M_B (saddles) and M_*.

    1/2 <y^2> less 1/2 of: nothing, s_A Sigma_A^-1 s_A', s_B Sigma_B^-1 s_B', s Sigma^-1 s'. M_A and
    M_B exist only for L_f >= 2; early fusion goes from M_0 straight to M_*, since its last layers,
    learned with A, teach B at once. Sigma_A and Sigma_B of full rank.
    """
    a, b = unimodal_solution(moments), unimodal_solution(moments.swapped())
    return {
        "M_0": loss(moments, 0 * a, 0 * b),
        "M_A": loss(moments, a, 0 * b),
        "M_B": loss(moments, 0 * a, b),
        "M_*": loss(moments, *joint_solution(moments)),
    }


def balanced_flow(
    moments: Moments, fusion: Literal["early", "late"], w: Float64[ndarray, "runs 2"]
) -> Float64[ndarray, "runs 2"]:
    """Return tau dW/dt of balanced two-layer networks of scalar modalities, at total weights W.

    Late fusion: 2 |W_b| e_b of each modality b. Early: |W| e + (e W') W / |W|, the last layer being
    shared. e = s - W Sigma.
    """
    e = moments.cross - np.einsum("ri,rij->rj", w, moments.covariance)
    if fusion == "late":
        return 2 * np.abs(w) * e
    size = norm(w)[:, None]
    along = (e * w).sum(1, keepdims=True)
    return size * e + np.divide(along * w, size, out=np.zeros_like(w), where=size > 0)


def a_is_first(moments: Moments) -> Bool[ndarray, " runs"]:
    """Say whether A is learned first: |s_A| > |s_B|.

    For L_f >= 2 and branches that start with weights of equal size. Early fusion knows no order:
    both grow along s.
    """
    return norm(moments.y_a) > norm(moments.y_b)


def faster_as_a(moments: Moments) -> Moments:
    """Return the moments with A and B, of as many inputs, exchanged in the runs that learn B first."""
    first, other = a_is_first(moments), vars(moments.swapped())
    return Moments(
        **{
            name: np.where(first.reshape(-1, *[1] * (x.ndim - 1)), x, other[name])
            for name, x in vars(moments).items()
        }
    )


def mis_attribution(moments: Moments) -> Float64[ndarray, "runs da"]:
    """Return W_A^tot in the unimodal phase less what it is in the end.

    W_A^uni - W_A* = W_B* Sigma_BA Sigma_A^-1, for every depth, L_f >= 2 and initialization: A takes
    the credit for what it shares with B. rho sigma_B / sigma_A for y = x_A + x_B. Valid where A is
    learned first, with Sigma_A of full rank.
    """
    return unimodal_solution(moments) - joint_solution(moments)[0]


def time_ratio(
    moments: Moments,
    depth: int,
    fusion: int,
    *,
    scale: float | PerRun = np.nan,
    step_size: float = 0.0,
) -> PerRun:
    """Return t_B / t_A, when each modality has reached half of its plateau (R1 to R6).

    L_f = 1: 1 (R3). L_f = L: 1 + (|s_A| - |s_B|) / |s~_B|, whatever L and u_0 (R1, R2, R4). Else
    1 + (t_B - t_A) / t_A with `time_between` and `time_of_first` (R5, R6), which nears 1 as u_0
    goes to 0.

    Domain: A learned first (or at the same time), and both modalities with something to add.
    Leading order in u_0: too high by some percent for u_0 = 0.1 at L = 4, and for L = 2 with
    modalities of many inputs, as 1 / ln(1 / u_0). Random deep weights do not start in the aligned
    state that it assumes, and have smaller excesses over 1.

    Where B is a scalar, |s_B| carries the sign of s_B s~_B: a first phase that grows B away from its
    final sign makes the wait longer (R2). For vectors the norms are right unless s_B and s~_B are
    nearly opposite.

    Args:
        moments: A learned first.
        depth: L.
        fusion: L_f.
        scale: u_0, norm of a branch's layers at the start, in (0, 1); only for 1 < L_f < L. One for
            all runs or one each.
        step_size: eta. For L = 2 a mode grows by 1 + eta |s| a step, so that every rate |s|
            becomes ln(1 + eta |s|) / eta; 0: gradient flow. Not known for deeper networks.
    """
    if fusion == 1:
        return np.ones(len(moments))
    if fusion == depth:
        rates = np.stack(_speeds(moments))
        # Growth in steps of eta that is that of a rate in continuous time.
        first, second, residual = np.log1p(step_size * rates) / step_size if step_size else rates
        return 1 + (first - second) / residual
    between = time_between(moments, depth, fusion, scale=scale)
    return 1 + between / time_of_first(moments, depth, fusion, scale=scale)


def _speeds(moments: Moments) -> tuple[PerRun, PerRun, PerRun]:
    """|s_A|, |s_B| (signed for a scalar B) and |s~_B|."""
    second, residual = norm(moments.y_b), residual_cross(moments)
    if moments.b.shape[1] == 1:
        second = second * np.sign(moments.y_b * residual)[:, 0]
    return norm(moments.y_a), second, norm(residual)


def time_of_first(moments: Moments, depth: int, fusion: int, *, scale: float | PerRun) -> PerRun:
    """Return t_A in units of tau, from aligned layers of norm u_0 (`scale`).

    The integral over u_A from u_0 to 1, ln(1 / u_0) / |s_A| for L = 2, of

        1 / ( |s_A| u_A^(L_f - 1) (u_A^2 + u_B^2)^((L - L_f) / 2) ),

    u_B = u_0^(1 - k) u_A^k for L_f = 2, [k u_A^(2 - L_f) + (1 - k) u_0^(2 - L_f)]^(1 / (2 - L_f))
    above. With x = u_A / u_0 it is u_0^(2 - L) I(L, L_f) / |s_A|. Domain as `time_ratio`, and
    L_f >= 2: early fusion grows along s = (s_A, s_B), faster than at |s_A|.
    """
    first, second, _ = _speeds(moments)
    k, after, whole = second / first, (depth - fusion) / 2, np.log(1 / scale)

    def integrand(share: float) -> PerRun:
        """Integrand over z = ln x, as a share of its range: x^(2 - L) (1 + (u_B / u_A)^2)^-after."""
        z = share * whole
        if fusion == 2:
            ratio = np.exp((k - 1) * z)
        else:
            grown = np.exp(-(fusion - 2) * z)  # x^(2 - L_f), so that nothing overflows
            ratio = np.exp(-z) * (k * grown + 1 - k) ** (1 / (2 - fusion))
        return np.exp((2 - depth) * z) * (1 + ratio**2) ** -after

    integral, _ = quad_vec(integrand, 0, 1, epsrel=1e-13, epsabs=0, norm="max")
    return whole * scale ** (2.0 - depth) * integral / first


def time_between(moments: Moments, depth: int, fusion: int, *, scale: float | PerRun) -> PerRun:
    """Return t_B - t_A, how long the unimodal phase lasts, in units of tau.

    (1 - k) / (|W_A^uni|^(1 - L_f / L) |s~_B|) times ln(1 / u_0) for L_f = 2, and times
    u_0^(2 - L_f) / (L_f - 2) above. It grows with the depth of the fusion. Domain as `time_ratio`, and
    L_f >= 2.
    """
    first, second, residual = _speeds(moments)
    growth = np.log(1 / scale) if fusion == 2 else scale ** (2.0 - fusion) / (fusion - 2)
    plateau = norm(unimodal_solution(moments)) ** (1 - fusion / depth)
    return (1 - second / first) * growth / (plateau * residual)


def generalization_error(
    population: Moments, w_a: Float64[ndarray, "*records runs da"], w_b: ndarray
) -> Float64[ndarray, "*records runs"]:
    """Return E_g = 1/2 (W - w*) Sigma (W - w*)', the loss above that of the best weights w*."""
    return loss(population, w_a, w_b) - fixed_point_losses(population)["M_*"]


def unimodal_generalization_error(population: Moments, examples: int) -> PerRun:
    """Return E_g at the unimodal least squares of `examples` examples, the cost of stopping there.

    With v = W_B* Sch_B W_B*', which A cannot explain, and the variance of the noise sigma^2,

        E_g = v / 2 + (sigma^2 + v) / 2 * D_A / (P - D_A - 1).

    The expectation over Gaussian examples; A learned first. Domain: P > D_A + 1, not P > D. For
    P < D the phase is the best the network ever gets (`times.permanently_biased`); no closed form
    tells that from the data.
    """
    size = population.a.shape[1]
    left = explained_by_b_alone(population)
    noise = 2 * fixed_point_losses(population)["M_*"]
    return left / 2 + (noise + left) / 2 * size / (examples - size - 1)
