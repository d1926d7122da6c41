"""The `linear` experiment: simulations and theory as tidy tables, one or two a figure of the paper.

`TABLES` names them; each takes the settings and returns a DataFrame. Networks of one `seed` in a table
start from the same draw of weights. F1 to F17 are the names that docs and specification give to the
paper's figures.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from equimodal.linear import theory
from equimodal.linear.bridge import (
    branch_speeds,
    conditional_gain,
    descend_balanced,
    explained_alone,
    ratio_from_speeds,
    utilization,
)
from equimodal.linear.descent import Trajectory, descend, networks_at
from equimodal.linear.half_lines import descend_relu
from equimodal.linear.moments import (
    Moments,
    planted_moments,
    random_moments,
    repeated,
    sample_moments,
    toy_moments,
)
from equimodal.linear.networks import Architecture, Init, output_rows, stability_limit, start
from equimodal.linear.settings import Deep, LinearSettings, RandomData, TwoLayer
from equimodal.linear.theory import norm
from equimodal.linear.times import (
    at,
    first_crossing,
    half_plateaus,
    learning_times,
    onset_of_b,
    permanently_biased,
)
from equimodal.linear.xor import plateau_loss, predicted_ratio, share_on_xor_axes, train_xor
from equimodal.study.errors import UserError

Fusion = Literal["early", "late"]
FUSIONS: dict[Fusion, int] = {"early": 1, "late": 2}  # L_f of two-layer networks
LINE = 101  # points of a line of theory
CURVE = 500  # points of a learning curve, at most
POINT = ("rho", "r", "scale")  # of a deep network on the toy data


def curves(settings: LinearSettings) -> pd.DataFrame:
    """Loss and total weights in two-layer early and late fusion (F1, F2, F4).

    Columns: `fusion`, `rho`, `step`, `loss` (over that of zero weights), `w_a`, `w_b`, and what the
    unimodal phase of late fusion should show: `loss_plateau`, `w_a_plateau`.
    """
    own = settings.two_layer
    moments = toy_moments(own.curve_correlations, own.curve_ratio)
    losses = theory.fixed_point_losses(moments)
    predicted = {
        "loss_plateau": losses["M_A"] / losses["M_0"],
        "w_a_plateau": theory.unimodal_solution(moments)[:, 0],
    }
    tables = []
    for name, fusion in FUSIONS.items():
        architecture = Architecture(2, fusion, own.width)
        trajectory = _train(architecture, moments, own, settings.seed, steps=own.curve_steps)
        labels = {"fusion": name, "rho": np.array(own.curve_correlations), **predicted}
        tables.append(_curve_table(trajectory, moments, labels))
    return pd.concat(tables, ignore_index=True)


def units(settings: LinearSettings) -> pd.DataFrame:
    """First-layer weights of early fusion, half-way to A and at the end (F1).

    The runs of `curves`. One row a hidden unit: `rho`, `r`, `when` (at t_A, in the end), `step`, `unit`,
    `w_a`, `w_b`, and the direction `s_a`, `s_b` along which small weights grow; those learned lie along
    W* = (1, 1).
    """
    own = settings.two_layer
    moments = toy_moments(own.curve_correlations, own.curve_ratio)
    architecture = Architecture(2, FUSIONS["early"], own.width)
    layers = start(architecture, moments, "iid", own.scale, settings.seed)
    trajectory = descend(
        architecture, moments, layers, step_size=own.step_size, steps=own.curve_steps
    )
    t_a = learning_times(trajectory, moments, half_plateaus(moments))["t_a"]
    early = np.nan_to_num(t_a.to_numpy()).astype(int)  # step 0 where A is never learned
    then = networks_at(architecture, moments, layers, early, step_size=own.step_size)
    found = {
        "at t_A": (early, then),
        "in the end": (np.full(len(moments), own.curve_steps), trajectory.layers),
    }
    runs, width = len(moments), own.width
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "rho": np.repeat(own.curve_correlations, width),
                    "r": own.curve_ratio,
                    "when": when,
                    "step": np.repeat(steps, width),
                    "unit": np.tile(np.arange(width), runs),
                    "w_a": at_when[0][:, 0, :, 0].ravel(),
                    "w_b": at_when[0][:, 1, :, 0].ravel(),
                    "s_a": np.repeat(moments.y_a[:, 0], width),
                    "s_b": np.repeat(moments.y_b[:, 0], width),
                }
            )
            for when, (steps, at_when) in found.items()
        ],
        ignore_index=True,
    )


def superficial(settings: LinearSettings) -> pd.DataFrame:
    """The same curves where the modality learned first explains less (F10); late fusion.

    Beside the columns of `curves`, `other_plateau`: the loss of the other modality alone.
    """
    own, two = settings.superficial, settings.two_layer
    moments = toy_moments(0.0, own.ratio, w_b=own.w_b)
    losses = theory.fixed_point_losses(moments)
    architecture = Architecture(2, 2, two.width)
    trajectory = _train(architecture, moments, two, settings.seed, steps=own.steps)
    labels = {
        "fusion": "late",
        "rho": np.zeros(1),
        "loss_plateau": losses["M_A"] / losses["M_0"],
        "other_plateau": losses["M_B"] / losses["M_0"],
        "w_a_plateau": theory.unimodal_solution(moments)[:, 0],
    }
    return _curve_table(trajectory, moments, labels)


def _train(
    architecture: Architecture,
    moments: Moments,
    own: TwoLayer | Deep | RandomData,
    seed: int,
    **options: Any,
) -> Trajectory:
    """Train one network a run from a seeded start as a section of the settings says, by `descend`."""
    init: Init = "frobenius" if isinstance(own, Deep) else "iid"
    layers = start(architecture, moments, init, own.scale, seed)
    return descend(architecture, moments, layers, step_size=own.step_size, **options)


def _curve_table(
    trajectory: Trajectory, moments: Moments, labels: dict[str, str | ndarray]
) -> pd.DataFrame:
    """One row a run and record, thinned to at most `CURVE` records; |W| for vectors."""
    kept = slice(None, None, -(-len(trajectory.steps) // CURVE))
    w_a, w_b = trajectory.w_a[kept], trajectory.w_b[kept]
    records, runs = w_a.shape[:2]
    scalar = w_a.shape[2] == 1
    columns = {
        "step": np.repeat(trajectory.steps[kept], runs),
        "loss": (theory.loss(moments, w_a, w_b) / (0.5 * moments.yy)).ravel(),
        "w_a": (w_a[:, :, 0] if scalar else norm(w_a)).ravel(),
        "w_b": (w_b[:, :, 0] if scalar else norm(w_b)).ravel(),
    }
    of_runs = {k: v if isinstance(v, str) else np.tile(v, records) for k, v in labels.items()}
    return pd.DataFrame({**of_runs, **columns})


def ratio(settings: LinearSettings) -> pd.DataFrame:
    """Times and mis-attribution of two-layer late fusion, linear and ReLU (F5, F6).

    Columns: `units` (linear, relu), `rho`, `r` (sigma_A / sigma_B), `seed`, those of
    `times.learning_times`, and predicted: `theory` (R2), `theory_finite` (R2 at the step size),
    `theory_loss` (at M_A) and `theory_mis` (over |W_A*|).
    """
    own = settings.two_layer
    rho, r = (x.ravel() for x in np.meshgrid(own.correlations, own.ratios))
    moments = repeated(toy_moments(rho, r), own.seeds)
    architecture = Architecture(2, 2, own.width)
    seeds = np.tile(np.arange(own.seeds), len(rho))
    layers = start(architecture, moments, "iid", own.scale, settings.seed, seeds)
    linear = descend(
        architecture,
        moments,
        layers,
        step_size=own.step_size,
        steps=own.steps,
        tolerance=own.tolerance,
    )
    relu = descend_relu(
        moments,
        layers,
        step_size=own.step_size,
        steps=2 * own.steps,  # its rates are half as large
        tolerance=own.tolerance,
    )
    losses = theory.fixed_point_losses(moments)
    predicted = {
        "theory": theory.time_ratio(moments, 2, 2),
        "theory_loss": losses["M_A"] / losses["M_0"],
        "theory_mis": theory.mis_attribution(moments)[:, 0]
        / theory.joint_solution(moments)[0][:, 0],
    }
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "units": units,
                    "rho": np.repeat(rho, own.seeds),
                    "r": np.repeat(r, own.seeds),
                    "seed": seeds,
                }
            )
            .join(learning_times(trajectory, moments, half_plateaus(moments)))
            .assign(
                **predicted,
                theory_finite=theory.time_ratio(moments, 2, 2, step_size=own.step_size / slower),
            )
            for units, trajectory, slower in (("linear", linear, 1), ("relu", relu, 2))
        ],
        ignore_index=True,
    )


def ratio_theory(settings: LinearSettings) -> pd.DataFrame:
    """The lines beside `ratio`: `rho`, `r`, `ratio` (R2), `ratio_finite`, `mis_attribution`."""
    rho, r = (
        x.ravel() for x in np.meshgrid(np.linspace(-0.92, 0.92, LINE), settings.two_layer.ratios)
    )
    return _toy_theory(rho, r, settings)


def ratio_map(settings: LinearSettings) -> pd.DataFrame:
    """The same over rho in [-0.92, 0.92] and r in [1, 3] (F7)."""
    rho, r = (
        x.ravel() for x in np.meshgrid(np.linspace(-0.92, 0.92, LINE), np.linspace(1, 3, LINE))
    )
    return _toy_theory(rho, r, settings)


def _toy_theory(rho: ndarray, r: ndarray, settings: LinearSettings) -> pd.DataFrame:
    moments = toy_moments(rho, r)
    return pd.DataFrame(
        {
            "rho": rho,
            "r": r,
            "ratio": theory.time_ratio(moments, 2, 2),
            "ratio_finite": theory.time_ratio(
                moments, 2, 2, step_size=settings.two_layer.step_size
            ),
            "mis_attribution": theory.mis_attribution(moments)[:, 0],
        }
    )


def random(settings: LinearSettings) -> pd.DataFrame:
    """Time ratio of two-layer late fusion on random data of many inputs, against R1 (F8).

    One row a draw, with A the modality that is learned first: `draw`, `status`, `theory`,
    `theory_finite`, and the columns of `times.learning_times`. Status: `trained`; `outside`, if the
    ratio predicted is above `largest`; `unstable`, if the step size is beyond the stability limit.
    """
    own = settings.random
    drawn = theory.faster_as_a(random_moments(own.draws, own.inputs, own.seed))
    architecture = Architecture(2, 2, own.width)
    predicted = theory.time_ratio(drawn, 2, 2)
    stable = stability_limit(architecture, drawn) > own.step_size
    trained = np.flatnonzero((predicted <= own.largest) & stable)
    moments = drawn[trained]
    often = {"steps": own.steps, "every": own.every, "tolerance": own.tolerance}
    trajectory = _train(architecture, moments, own, settings.seed, **often)
    times = learning_times(trajectory, moments, half_plateaus(moments)).set_index(trained)
    table = pd.DataFrame(
        {
            "draw": np.arange(own.draws),
            "status": np.where(predicted > own.largest, "outside", "unstable"),
            "theory": predicted,
            "theory_finite": theory.time_ratio(drawn, 2, 2, step_size=own.step_size),
        }
    )
    table.loc[trained, "status"] = "trained"
    return table.join(times)


def generalization(settings: LinearSettings) -> pd.DataFrame:
    """Training loss, generalization error and weights on many or few noisy examples (F11).

    Columns: `fusion`, `examples`, `seed`, those of `curves` (|W_A|, |W_B|; loss on the examples),
    `error` (E_g), `theory` (E_g at least squares on A), `best_step` (where E_g is lowest), `onset`
    (where |W_B| exceeds 5 % of what it is in the end), and `permanent`: whether the best step is
    before the onset and E_g ends above its minimum.

    Raises:
        UserError: If a network never learns B, so that nothing tells what is permanent.
    """
    own, two = settings.generalization, settings.two_layer
    d, seeds = own.inputs, own.seeds
    one = np.repeat(np.eye(d)[None], seeds, axis=0)
    weights = np.full((seeds, 2 * d), own.weight)
    population = planted_moments(own.variance * one, one, 0 * one, weights, own.noise)
    tables = []
    for examples in own.examples:
        rng = np.random.default_rng(settings.seed)
        x_a = own.variance**0.5 * rng.standard_normal((seeds, examples, d))
        x_b = rng.standard_normal((seeds, examples, d))
        y = own.weight * (x_a.sum(2) + x_b.sum(2)) + own.noise * rng.standard_normal(
            (seeds, examples)
        )
        moments = sample_moments(x_a, x_b, y)
        predicted = theory.unimodal_generalization_error(population, examples)
        for name, fusion in FUSIONS.items():
            architecture = Architecture(2, fusion, two.width)
            trajectory = _train(architecture, moments, two, settings.seed + 1, steps=own.steps)
            error = theory.generalization_error(population, trajectory.w_a, trajectory.w_b)
            b = norm(trajectory.w_b)
            if too_short := int((b.max(0) < half_plateaus(moments).b).sum()):
                raise UserError(
                    f"linear.generalization.steps is {own.steps}: too few for {too_short} of {seeds}"
                    f" networks of {name} fusion to learn the second modality from {examples}"
                    " examples; give more steps or other examples"
                )
            labels = {
                "fusion": name,
                "seed": np.arange(seeds),
                "theory": predicted,
                "best_step": error.argmin(0),
                "onset": onset_of_b(b),
                "permanent": permanently_biased(error, b),
            }
            table = _curve_table(trajectory, moments, labels)
            kept = slice(None, None, -(-len(trajectory.steps) // CURVE))
            tables.append(table.assign(examples=examples, error=error[kept].ravel()))
    return pd.concat(tables, ignore_index=True)


def phase(settings: LinearSettings) -> pd.DataFrame:
    """Arrows and a path in the plane of total weights, two-layer, uncorrelated modalities (F3).

    Columns: `fusion`, `kind` (arrow, path), `w_a`, `w_b`, and `flow_a`, `flow_b`: tau dW/dt.
    """
    r = settings.two_layer.curve_ratio
    side = np.linspace(0, 1.2, 13)
    grid = np.stack([x.ravel() for x in np.meshgrid(side, side)], axis=1)
    one = toy_moments(0.0, r)
    many = repeated(one, len(grid))
    tables = []
    for fusion in FUSIONS:

        def slope(_: float, w: ndarray, fusion: Fusion = fusion) -> ndarray:
            return theory.balanced_flow(one, fusion, w[None])[0]

        path = solve_ivp(
            slope, (0, 20), [0.01, 0.01], t_eval=np.linspace(0, 20, CURVE), rtol=1e-8
        ).y.T
        flows = [theory.balanced_flow(many, fusion, grid), np.array([slope(0, w) for w in path])]
        for kind, points, flow in zip(("arrow", "path"), (grid, path), flows, strict=True):
            columns = dict(
                zip(("w_a", "w_b", "flow_a", "flow_b"), (*points.T, *flow.T), strict=True)
            )
            tables.append(pd.DataFrame({"fusion": fusion, "kind": kind, **columns}))
    return pd.concat(tables, ignore_index=True)


def deep_curves(settings: LinearSettings) -> pd.DataFrame:
    """Loss and total weights of deep networks at every fusion layer (F12): `L_f` and as `curves`."""
    own = settings.deep
    moments = toy_moments(0.0, own.ratio)
    tables = []
    for fusion in range(1, own.depth + 1):
        architecture = Architecture(own.depth, fusion, own.width)
        trajectory = _train(architecture, moments, own, settings.seed, steps=own.curve_steps)
        table = _curve_table(trajectory, moments, {"rho": np.zeros(1)})
        tables.append(table.assign(L_f=fusion))
    return pd.concat(tables, ignore_index=True)


def deep_ratio(settings: LinearSettings) -> pd.DataFrame:
    """Time ratio of deep networks against correlation, variance and initialization (F13 to F15).

    One row a run: `varied` (rho, r, scale), `L_f`, `rho`, `r`, `scale` (u_0), `seed`, the columns of
    `times.learning_times`, and `theory` (R3 to R6, finite integral).
    """
    own = settings.deep
    tables = []
    for varied, (rho, r, scale) in _deep_points(own).items():
        points = pd.DataFrame({"rho": rho, "r": r, "scale": scale})
        runs = points.loc[points.index.repeat(own.seeds)].reset_index(drop=True)
        runs.insert(0, "varied", varied)
        seeds = np.tile(np.arange(own.seeds), len(points))
        runs["seed"] = seeds
        moments = toy_moments(runs["rho"], runs["r"])
        for fusion in range(1, own.depth + 1):
            architecture = Architecture(own.depth, fusion, own.width)
            trajectory = descend(
                architecture,
                moments,
                start(architecture, moments, "frobenius", runs["scale"], settings.seed, seeds),
                step_size=own.step_size,
                steps=own.steps,
                every=own.every,
                tolerance=own.tolerance,
            )
            times = learning_times(trajectory, moments, half_plateaus(moments))
            predicted = _deep_theory(own, fusion, points)["ratio"].repeat(own.seeds)
            tables.append(runs.assign(L_f=fusion, theory=predicted.to_numpy()).join(times))
    return pd.concat(tables, ignore_index=True)


def deep_theory(settings: LinearSettings) -> pd.DataFrame:
    """The lines beside `deep_ratio`: `varied`, `L_f`, `rho`, `r`, `scale`, `ratio`."""
    own = settings.deep
    lines = {
        "rho": (np.linspace(-0.92, 0.92, LINE), own.ratio, own.scale),
        "r": (0.0, np.linspace(1, 3, LINE), own.scale),
        "scale": (0.0, own.ratio, np.linspace(0.01, 0.2, LINE)),
    }
    return pd.concat(
        [
            _deep_theory(own, fusion, pd.DataFrame(dict(zip(POINT, line, strict=True)))).assign(
                varied=varied
            )
            for varied, line in lines.items()
            for fusion in range(1, own.depth + 1)
        ],
        ignore_index=True,
    )


def _deep_points(own: Deep) -> dict[str, tuple[ArrayLike, ArrayLike, ArrayLike]]:
    """What is simulated, by what changes: rho, r, u_0."""
    return {
        "rho": (own.correlations, own.ratio, own.scale),
        "r": (0.0, own.ratios, own.scale),
        "scale": (0.0, own.ratio, own.scales),
    }


def _deep_theory(own: Deep, fusion: int, points: pd.DataFrame) -> pd.DataFrame:
    """The points with the ratio predicted; u_0 is one for all in a call of the theory."""
    ratios = pd.Series(0.0, index=points.index)
    for scale, same in points.groupby("scale"):
        moments = toy_moments(same["rho"], same["r"])
        ratios[same.index] = theory.time_ratio(moments, own.depth, fusion, scale=float(scale))
    return points.assign(L_f=fusion, ratio=ratios)


def xor(settings: LinearSettings) -> pd.DataFrame:
    """When two-layer ReLU networks learn the linear modality and when the XOR (F16).

    One row a run: `fusion`, `variance`, `seed`, `t_linear`, `t_xor` (steps to half of their weight;
    NaN where never), `ratio`, `censored`, `mid_loss`, `end_loss` (over that of zero weights), `on_axes`
    (share of the units that read x_B along the XOR directions; NaN where none reads it) and, for late
    fusion, `theory`, `theory_loss`.
    """
    return _xor_runs(settings)[0]


def xor_curves(settings: LinearSettings) -> pd.DataFrame:
    """The loss of the same runs: `fusion`, `variance`, `seed`, `step`, `loss`."""
    return _xor_runs(settings)[1]


def xor_units(settings: LinearSettings) -> pd.DataFrame:
    """First-layer weights of the first seed's networks, in the end (F16).

    One row a hidden unit: `fusion`, `variance`, `unit`, `w_a`, `w_b1`, `w_b2` (those of x_A and of x_B) and
    `w_out`, of the second layer.
    """
    return _xor_runs(settings)[2]


@lru_cache(maxsize=1)  # three tables of the same runs
def _xor_runs(settings: LinearSettings) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    own, two = settings.xor, settings.two_layer
    variances = np.repeat(own.variances, own.seeds)
    seeds = np.tile(np.arange(own.seeds), len(own.variances))
    half, steps = np.full(len(variances), 0.5), np.arange(own.steps + 1.0)
    kept = slice(None, None, -(-len(steps) // CURVE))
    tables, curves, units = [], [], []
    for fusion in FUSIONS:
        run = train_xor(
            fusion,
            variances,
            width=own.width,
            scale=two.scale,
            step_size=two.step_size,
            steps=own.steps,
            quantiles=own.quantiles,
            seed=settings.seed,
            draws=seeds,
        )
        labels = pd.DataFrame({"fusion": fusion, "variance": variances, "seed": seeds})
        t_linear, t_xor = (first_crossing(steps, w, half) for w in (run.linear, run.xor))
        names = {(False, False): "neither", (True, False): "linear", (False, True): "xor"}
        tables.append(
            labels.assign(
                t_linear=t_linear,
                t_xor=t_xor,
                ratio=t_xor / t_linear,
                censored=[
                    names.get(pair, "linear and xor")
                    for pair in zip(np.isnan(t_linear), np.isnan(t_xor), strict=True)
                ],
                mid_loss=at(steps, run.loss, (t_linear + t_xor) / 2),
                end_loss=run.loss[-1],
                on_axes=share_on_xor_axes(run),
                theory=[predicted_ratio(v) if fusion == "late" else np.nan for v in variances],
                theory_loss=[plateau_loss(v) if fusion == "late" else np.nan for v in variances],
            )
        )
        thin = run.loss[kept]
        curves.append(
            labels.iloc[np.tile(labels.index, len(thin))].assign(
                step=np.repeat(steps[kept], len(labels)), loss=thin.ravel()
            )
        )
        one = seeds == 0
        first, width = run.first[one], run.first.shape[1]
        weights = dict(zip(("w_a", "w_b1", "w_b2"), first.reshape(-1, 3).T, strict=True))
        units.append(
            pd.DataFrame(
                {
                    "fusion": fusion,
                    "variance": np.repeat(variances[one], width),
                    "unit": np.tile(np.arange(width), len(first)),
                    **weights,
                    "w_out": run.second[one].ravel(),
                }
            )
        )
    joined = [pd.concat(parts, ignore_index=True) for parts in (tables, curves, units)]
    return joined[0], joined[1], joined[2]


def bridge(settings: LinearSettings) -> pd.DataFrame:
    """Wu et al.'s measures on linear networks of two and more layers, and guided training of the same.

    One row a run: `depth`, `L_f`, `rho`, `r`, `seed`, the columns of `times.learning_times`, and

    - `theory`: t_B / t_A, and `ratio_from_speeds`, the same from the speeds measured (R7; two-layer
      late fusion only).
    - `speed_a`, `speed_b`, `speed_b_mid`: sqrt(mu) of the branches at the start, of B half-way between
      the times. `u_a_mid`, `u_b_mid`, `u_a_end`, `u_b_end`: utilization.
    - `u_a_theory`, `u_a_end_theory`, `u_b_end_theory`: what utilization should be; `gain_b`: what B adds
      to a network retrained without it.
    - `t_a_balanced`, `t_b_balanced`, `ratio_balanced`, `censored_balanced`: of guided training.
    - `phase_factor`: |t_B - t_A| of guided over that of vanilla training.
    """
    two, deep = settings.two_layer, settings.deep
    cells = [(2, fusion) for fusion in (1, 2)]
    cells += [(deep.depth, fusion) for fusion in range(1, deep.depth + 1)]
    return pd.concat(
        [
            _bridge_runs(
                Architecture(depth, fusion, two.width if depth == 2 else deep.width), settings
            )
            for depth, fusion in cells
        ],
        ignore_index=True,
    )


def _bridge_runs(architecture: Architecture, settings: LinearSettings) -> pd.DataFrame:
    two, deep, own = settings.two_layer, settings.deep, settings.bridge
    shallow = architecture.depth == 2
    rho = np.array(two.curve_correlations)
    seeds = np.tile(np.arange(deep.seeds), len(rho))
    runs = pd.DataFrame(
        {
            "depth": architecture.depth,
            "L_f": architecture.fusion,
            "rho": np.repeat(rho, deep.seeds),
            "r": two.curve_ratio,
            "seed": seeds,
        }
    )
    moments = toy_moments(runs["rho"], runs["r"])
    scale = two.scale if shallow else deep.scale
    init: Init = "iid" if shallow else "frobenius"
    layers = start(architecture, moments, init, scale, settings.seed, seeds)
    step_size = two.step_size if shallow else deep.step_size
    levels = half_plateaus(moments)
    vanilla = descend(
        architecture,
        moments,
        layers,
        step_size=step_size,
        steps=two.steps if shallow else deep.steps,
        tolerance=deep.tolerance,
    )
    times = learning_times(vanilla, moments, levels)
    # A held branch moves in one of window + 1 steps: no run needs more than so many times its own.
    needed = int((own.window + 1) * np.nanmax([*times["t_b"], *times["t_a"], 1.0]))
    guided = descend_balanced(
        architecture,
        moments,
        layers,
        step_size=step_size,
        steps=needed,
        tolerance=own.tolerance,
        window=own.window,
        converged_at=deep.tolerance,
    )
    balanced = learning_times(guided, moments, levels)
    middle = ((times["t_a"] + times["t_b"]) / 2).to_numpy()
    known = np.isfinite(middle)[:, None]
    phase = networks_at(
        architecture, moments, layers, np.nan_to_num(middle).astype(int), step_size=step_size
    )
    speeds = branch_speeds(architecture, moments, layers)
    mid_speeds = np.where(known, branch_speeds(architecture, moments, phase), np.nan)
    w_a, w_b = (np.where(known, w, np.nan) for w in output_rows(phase)[0][:, :, 0].swapaxes(0, 1))
    mid = utilization(moments, w_a, w_b)
    end = utilization(moments, vanilla.w_a[-1], vanilla.w_b[-1])
    best = utilization(moments, *theory.joint_solution(moments))
    from_speeds = ratio_from_speeds(speeds, mid_speeds) if shallow else np.nan
    return runs.join(times).assign(
        theory=theory.time_ratio(
            moments, architecture.depth, architecture.fusion, scale=deep.scale
        ),
        ratio_from_speeds=from_speeds if architecture.fusion == 2 else np.nan,
        speed_a=speeds[:, 0],
        speed_b=speeds[:, 1],
        speed_b_mid=mid_speeds[:, 1],
        u_a_mid=mid["a"],
        u_b_mid=mid["b"],
        u_a_end=end["a"],
        u_b_end=end["b"],
        u_a_theory=explained_alone(moments),
        u_a_end_theory=best["a"],
        u_b_end_theory=best["b"],
        gain_b=conditional_gain(moments),
        t_a_balanced=balanced["t_a"],
        t_b_balanced=balanced["t_b"],
        ratio_balanced=balanced["ratio"],
        censored_balanced=balanced["censored"],
        phase_factor=(balanced["t_b"] - balanced["t_a"]).abs()
        / (times["t_b"] - times["t_a"]).abs(),
    )


TABLES: dict[str, Callable[[LinearSettings], pd.DataFrame]] = {
    f"linear_{build.__name__}": build
    for build in (
        *(curves, units, superficial, phase, ratio, ratio_theory, ratio_map, random),
        *(generalization, deep_curves, deep_ratio, deep_theory, xor, xor_curves, xor_units, bridge),
    )
}
