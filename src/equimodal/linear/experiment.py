"""The `linear` experiment: simulations and theory as tidy tables, one or more a figure of the paper.

`all_tables` takes the settings and makes them. Networks of one `seed` in a table start from the
same draw of weights. F1 to F17 are the names that docs and specification give to the paper's figures.
"""

from collections.abc import Collection, Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from equimodal.linear import theory
from equimodal.linear.agreement import summed_up
from equimodal.linear.bridge import (
    branch_speeds,
    conditional_gain,
    explained_alone,
    guided,
    ratio_from_speeds,
    utilization,
)
from equimodal.linear.descent import Trajectory, descend
from equimodal.linear.half_lines import descend_relu
from equimodal.linear.moments import (
    Moments,
    planted_moments,
    random_moments,
    sample_moments,
    toy_moments,
)
from equimodal.linear.networks import Architecture, Layers, stability_limit, start
from equimodal.linear.settings import Deep, LinearSettings, RandomData, TwoLayer
from equimodal.linear.theory import norm
from equimodal.linear.times import (
    at,
    censored,
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
CORRELATIONS = np.linspace(-0.92, 0.92, LINE)  # of a line of theory
Tables = dict[str, pd.DataFrame]


def _all_of(**values: Collection[Any]) -> pd.DataFrame:
    """One row for each combination of values, the last changing fastest."""
    return pd.MultiIndex.from_product(values.values(), names=values).to_frame(index=False)


def _networks(
    own: TwoLayer | Deep | RandomData,
    fusion: int,
    moments: Moments,
    seed: int,
    *,
    scale: ArrayLike | None = None,
    draws: pd.Series | None = None,
) -> tuple[Architecture, Moments, Layers, float]:
    """Networks of a section of the settings from a seeded start, one a run, as `descend` takes them."""
    architecture = Architecture(own.depth, fusion, own.width)
    layers = start(
        architecture,
        moments,
        "frobenius" if own.depth > 2 else "iid",
        own.scale if scale is None else scale,
        seed,
        None if draws is None else draws.to_numpy(),
    )
    return architecture, moments, layers, own.step_size


def _courses(runs: pd.DataFrame, steps: ndarray, **measured: ndarray) -> pd.DataFrame:
    """One row a record, of at most `CURVE`, and run: `step` and what was measured (records, runs)."""
    kept = slice(None, None, -(-len(steps) // CURVE))
    each = np.tile(np.arange(len(runs)), len(steps[kept]))
    columns = {name: values[kept].ravel() for name, values in measured.items()}
    return (
        runs.iloc[each]
        .reset_index(drop=True)
        .assign(step=np.repeat(steps[kept], len(runs)), **columns)
    )


def _curves(
    runs: pd.DataFrame, moments: Moments, trajectory: Trajectory, **more: ndarray
) -> pd.DataFrame:
    """`_courses` of `loss`, over that of zero weights, `w_a` and `w_b`: |W| of vectors."""
    w_a, w_b = (
        w[:, :, 0] if w.shape[2] == 1 else norm(w) for w in (trajectory.w_a, trajectory.w_b)
    )
    loss = theory.loss(moments, trajectory.w_a, trajectory.w_b) / (0.5 * moments.yy)
    return _courses(runs, trajectory.steps, loss=loss, w_a=w_a, w_b=w_b, **more)


def curves(settings: LinearSettings) -> Tables:
    """Two-layer early and late fusion (F1, F2, F4).

    `linear_curves`, loss and total weights: `fusion`, `rho`, what the unimodal phase of late fusion should
    show, `loss_plateau` and `w_a_plateau`, then `step`, `loss` (over that of zero weights), `w_a`, `w_b`.

    `linear_units`, first-layer weights of early fusion, one row a hidden unit: `rho`, `r`, `when` (at t_A,
    in the end), `step`, `unit`, `w_a`, `w_b`, and the direction `s_a`, `s_b` along which small weights
    grow; those learned lie along W* = (1, 1).
    """
    own = settings.two_layer
    moments = toy_moments(own.curve_correlations, own.curve_ratio)
    losses = theory.fixed_point_losses(moments)
    runs = pd.DataFrame(
        {
            "rho": own.curve_correlations,
            "loss_plateau": losses["M_A"] / losses["M_0"],
            "w_a_plateau": theory.unimodal_solution(moments)[:, 0],
        }
    )
    tables = []
    for name, fusion in FUSIONS.items():
        networks = _networks(own, fusion, moments, settings.seed)
        trajectory = descend(*networks, steps=own.curve_steps)
        labeled = runs.copy()
        labeled.insert(0, "fusion", name)
        tables.append(_curves(labeled, moments, trajectory))
        if name == "early":
            t_a = learning_times(trajectory, moments)["t_a"].to_numpy()
            at_t_a = np.nan_to_num(t_a).astype(int)  # step 0 where A is never learned
            then = descend(*networks, steps=at_t_a)
            ends = np.full(len(moments), own.curve_steps)
            units = [
                _units(own, moments, "at t_A", at_t_a, then.layers[0]),
                _units(own, moments, "in the end", ends, trajectory.layers[0]),
            ]
    return {
        "linear_curves": pd.concat(tables, ignore_index=True),
        "linear_units": pd.concat(units, ignore_index=True),
    }


def _units(
    own: TwoLayer, moments: Moments, when: str, steps: ndarray, first: ndarray
) -> pd.DataFrame:
    table = _all_of(
        rho=own.curve_correlations, r=[own.curve_ratio], when=[when], unit=range(own.width)
    )
    table.insert(3, "step", np.repeat(steps, own.width))
    return table.assign(
        w_a=first[:, 0, :, 0].ravel(),
        w_b=first[:, 1, :, 0].ravel(),
        s_a=np.repeat(moments.y_a[:, 0], own.width),
        s_b=np.repeat(moments.y_b[:, 0], own.width),
    )


def superficial(settings: LinearSettings) -> Tables:
    """`linear_superficial`: the same curves where the modality learned first explains less (F10), late fusion.

    Beside the columns of `linear_curves`, `other_plateau`: the loss of the other modality alone.
    """
    own, two = settings.superficial, settings.two_layer
    moments = toy_moments(0.0, own.ratio, w_b=own.w_b)
    losses = theory.fixed_point_losses(moments)
    networks = _networks(two, FUSIONS["late"], moments, settings.seed)
    trajectory = descend(*networks, steps=own.steps)
    runs = pd.DataFrame(
        {
            "fusion": "late",
            "rho": 0.0,
            "loss_plateau": losses["M_A"] / losses["M_0"],
            "other_plateau": losses["M_B"] / losses["M_0"],
            "w_a_plateau": theory.unimodal_solution(moments)[:, 0],
        }
    )
    return {"linear_superficial": _curves(runs, moments, trajectory)}


def phase(settings: LinearSettings) -> Tables:
    """`linear_phase`: arrows and a path in the plane of total weights, two layers, no correlation (F3).

    Columns: `fusion`, `kind` (arrow, path), `w_a`, `w_b`, and `flow_a`, `flow_b`: tau dW/dt.
    """

    def flow(_: float, w: ndarray, fusion: Fusion) -> ndarray:
        points = w.reshape(-1, 2)
        moments = toy_moments(np.zeros(len(points)), settings.two_layer.curve_ratio)
        return theory.balanced_flow(moments, fusion, points).reshape(w.shape)

    side, times = np.linspace(0, 1.2, 13), np.linspace(0, 20, CURVE)
    grid = np.stack(np.meshgrid(side, side), axis=2).reshape(-1, 2)
    tables = []
    for fusion in FUSIONS:
        path = solve_ivp(flow, (0, 20), [0.01, 0.01], t_eval=times, rtol=1e-8, args=(fusion,)).y.T
        for kind, w in (("arrow", grid), ("path", path)):
            columns = np.hstack([w, flow(0, w, fusion)])
            table = pd.DataFrame(columns, columns=["w_a", "w_b", "flow_a", "flow_b"])
            table.insert(0, "fusion", fusion)
            table.insert(1, "kind", kind)
            tables.append(table)
    return {"linear_phase": pd.concat(tables, ignore_index=True)}


def ratio(settings: LinearSettings) -> Tables:
    """Two-layer late fusion by correlation and ratio of SDs, sigma_A / sigma_B (F5, F6, F7).

    `linear_ratio`, a run of linear or ReLU networks a row: `units` (linear, relu), `rho`, `r`, `seed`, those
    of `times.learning_times`, and predicted: `theory` (R2), `theory_finite` (R2 at the step size),
    `theory_loss` (at M_A) and `theory_mis` (over |W_A*|).

    `linear_ratio_theory`, the lines beside it: `rho`, `r`, `ratio` (R2), `ratio_finite`,
    `mis_attribution`. `linear_ratio_map`: the same over r in [1, 3].
    """
    own = settings.two_layer
    runs = _all_of(r=own.ratios, rho=own.correlations, seed=range(own.seeds))
    moments = toy_moments(runs["rho"], runs["r"])
    networks = _networks(own, FUSIONS["late"], moments, settings.seed, draws=runs["seed"])
    linear = descend(*networks, steps=own.steps, tolerance=own.tolerance)
    # Its rates are half as large.
    relu = descend_relu(*networks[1:], steps=2 * own.steps, tolerance=own.tolerance)
    losses = theory.fixed_point_losses(moments)
    mis_attribution = theory.mis_attribution(moments) / theory.joint_solution(moments)[0]
    tables = []
    for units, trajectory, slower in (("linear", linear, 1), ("relu", relu, 2)):
        table = runs[["rho", "r", "seed"]].join(learning_times(trajectory, moments))
        table.insert(0, "units", units)
        tables.append(
            table.assign(
                theory=theory.time_ratio(moments, 2, 2),
                theory_loss=losses["M_A"] / losses["M_0"],
                theory_mis=mis_attribution[:, 0],
                theory_finite=theory.time_ratio(moments, 2, 2, step_size=own.step_size / slower),
            )
        )
    return {
        "linear_ratio": pd.concat(tables, ignore_index=True),
        "linear_ratio_theory": _toy_theory(own.ratios, own),
        "linear_ratio_map": _toy_theory(np.linspace(1, 3, LINE), own),
    }


def _toy_theory(ratios: Collection[float], own: TwoLayer) -> pd.DataFrame:
    points = _all_of(r=ratios, rho=CORRELATIONS)[["rho", "r"]]
    moments = toy_moments(points["rho"], points["r"])
    return points.assign(
        ratio=theory.time_ratio(moments, 2, 2),
        ratio_finite=theory.time_ratio(moments, 2, 2, step_size=own.step_size),
        mis_attribution=theory.mis_attribution(moments)[:, 0],
    )


def random(settings: LinearSettings) -> Tables:
    """`linear_random`: time ratio of two-layer late fusion on random data of many inputs, against R1 (F8).

    One row a draw, with A the modality that is learned first: `draw`, `status`, `theory`,
    `theory_finite`, and the columns of `times.learning_times`. Status: `trained`; `outside`, if the
    ratio predicted is above `largest`; `unstable`, if the step size is beyond the stability limit.
    """
    own = settings.random
    drawn = theory.faster_as_a(random_moments(own.draws, own.inputs, own.seed))
    predicted = theory.time_ratio(drawn, 2, 2)
    stable = stability_limit(Architecture(2, 2, own.width), drawn) > own.step_size
    trained = np.flatnonzero((predicted <= own.largest) & stable)
    moments = drawn[trained]
    networks = _networks(own, FUSIONS["late"], moments, settings.seed)
    trajectory = descend(*networks, steps=own.steps, every=own.every, tolerance=own.tolerance)
    table = pd.DataFrame(
        {
            "draw": np.arange(own.draws),
            "status": np.where(predicted > own.largest, "outside", "unstable"),
            "theory": predicted,
            "theory_finite": theory.time_ratio(drawn, 2, 2, step_size=own.step_size),
        }
    )
    table.loc[trained, "status"] = "trained"
    return {"linear_random": table.join(learning_times(trajectory, moments).set_index(trained))}


def generalization(settings: LinearSettings) -> Tables:
    """`linear_generalization`: two-layer networks on many or few noisy examples (F11).

    Columns: `fusion`, `seed`, those of `linear_curves` (|W_A|, |W_B|; loss on the examples), `examples`,
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
        noise = own.noise * rng.standard_normal((seeds, examples))
        moments = sample_moments(x_a, x_b, own.weight * (x_a.sum(2) + x_b.sum(2)) + noise)
        for name, fusion in FUSIONS.items():
            networks = _networks(two, fusion, moments, settings.seed + 1)
            trajectory = descend(*networks, steps=own.steps)
            error = theory.generalization_error(population, trajectory.w_a, trajectory.w_b)
            b = norm(trajectory.w_b)
            if too_short := int((b.max(0) < half_plateaus(moments)[1]).sum()):
                raise UserError(
                    f"linear.generalization.steps is {own.steps}: too few for {too_short} of {seeds}"
                    f" networks of {name} fusion to learn the second modality from {examples}"
                    " examples; give more steps or other examples"
                )
            runs = pd.DataFrame(
                {
                    "fusion": name,
                    "seed": np.arange(seeds),
                    "theory": theory.unimodal_generalization_error(population, examples),
                    "best_step": error.argmin(0),
                    "onset": onset_of_b(b),
                    "permanent": permanently_biased(error, b),
                }
            )
            measured = {"examples": np.full(error.shape, examples), "error": error}
            tables.append(_curves(runs, moments, trajectory, **measured))
    return {"linear_generalization": pd.concat(tables, ignore_index=True)}


def deep(settings: LinearSettings) -> Tables:
    """Deep networks at every fusion layer `L_f` (F12 to F15).

    `linear_deep_curves`: as `linear_curves`, without theory.

    `linear_deep_ratio`, one row a run: `varied` (rho, r, scale), `rho`, `r`, `scale` (u_0), `seed`, `L_f`,
    `theory` (R3 to R6, finite integral), and the columns of `times.learning_times`.

    `linear_deep_theory`, the lines beside it: `rho`, `r`, `scale`, `L_f`, `ratio`, `varied`.
    """
    own = settings.deep
    fixed = {"rho": [0.0], "r": [own.ratio], "scale": [own.scale]}
    simulated = {"rho": own.correlations, "r": own.ratios, "scale": own.scales}
    drawn = {
        "rho": CORRELATIONS,
        "r": np.linspace(1, 3, LINE),
        "scale": np.linspace(0.01, 0.2, LINE),
    }
    fusions = range(1, own.depth + 1)
    one = toy_moments(0.0, own.ratio)
    curves, tables, lines = [], [], []
    for fusion in fusions:
        trajectory = descend(*_networks(own, fusion, one, settings.seed), steps=own.curve_steps)
        curves.append(_curves(pd.DataFrame({"rho": [0.0]}), one, trajectory).assign(L_f=fusion))
    for varied in fixed:
        runs = _all_of(**fixed | {varied: simulated[varied]}, seed=range(own.seeds))
        points = _all_of(**fixed | {varied: drawn[varied]})
        moments, of_line = (toy_moments(p["rho"], p["r"]) for p in (runs, points))
        starts = {"scale": runs["scale"], "draws": runs["seed"]}
        for fusion in fusions:
            predicted, ratio = (
                theory.time_ratio(m, own.depth, fusion, scale=p["scale"].to_numpy())
                for m, p in ((moments, runs), (of_line, points))
            )
            trajectory = descend(
                *_networks(own, fusion, moments, settings.seed, **starts),
                steps=own.steps,
                every=own.every,
                tolerance=own.tolerance,
            )
            table = runs.assign(L_f=fusion, theory=predicted)
            table.insert(0, "varied", varied)
            tables.append(table.join(learning_times(trajectory, moments)))
            lines.append(points.assign(L_f=fusion, ratio=ratio, varied=varied))
    return {
        "linear_deep_curves": pd.concat(curves, ignore_index=True),
        "linear_deep_ratio": pd.concat(tables, ignore_index=True),
        "linear_deep_theory": pd.concat(lines, ignore_index=True),
    }


def xor(settings: LinearSettings) -> Tables:
    """Two-layer ReLU networks that learn a linear modality and an XOR (F16).

    `linear_xor`, one row a run: `fusion`, `variance`, `seed`, `t_linear`, `t_xor` (steps to half of their
    weight; NaN where never), `ratio`, `censored`, `mid_loss`, `end_loss` (over that of zero weights),
    `on_axes` (share of the units that read x_B along the XOR directions; NaN where none reads it) and, for
    late fusion, `theory`, `theory_loss`.

    `linear_xor_curves`, the loss of the same runs: `fusion`, `variance`, `seed`, `step`, `loss`.

    `linear_xor_units`, first-layer weights of the first seed's networks in the end, one row a hidden unit:
    `fusion`, `variance`, `unit`, `w_a`, `w_b1`, `w_b2` (those of x_A and of x_B) and `w_out`, of the second
    layer.
    """
    own, two = settings.xor, settings.two_layer
    steps = np.arange(own.steps + 1.0)
    tables, curves, units = [], [], []
    for fusion in FUSIONS:
        runs = _all_of(fusion=[fusion], variance=own.variances, seed=range(own.seeds))
        variances = runs["variance"].to_numpy()
        run = train_xor(
            fusion,
            variances,
            width=own.width,
            scale=two.scale,
            step_size=two.step_size,
            steps=own.steps,
            quantiles=own.quantiles,
            seed=settings.seed,
            draws=runs["seed"].to_numpy(),
        )
        half = np.full(len(runs), 0.5)
        t_linear, t_xor = (first_crossing(steps, w, half) for w in (run.linear, run.xor))
        table = runs.assign(
            t_linear=t_linear,
            t_xor=t_xor,
            ratio=t_xor / t_linear,
            censored=censored(linear=t_linear, xor=t_xor),
            mid_loss=at(steps, run.loss, (t_linear + t_xor) / 2),
            end_loss=run.loss[-1],
            on_axes=share_on_xor_axes(run),
            theory=predicted_ratio(variances) if fusion == "late" else np.nan,
            theory_loss=plateau_loss(variances) if fusion == "late" else np.nan,
        )
        tables.append(table)
        curves.append(_courses(runs, steps, loss=run.loss))
        one = runs["seed"] == 0
        of_one = _all_of(fusion=[fusion], variance=own.variances, unit=range(run.first.shape[1]))
        of_one[["w_a", "w_b1", "w_b2"]] = run.first[one].reshape(-1, 3)
        units.append(of_one.assign(w_out=run.second[one].ravel()))
    return {
        "linear_xor": pd.concat(tables, ignore_index=True),
        "linear_xor_curves": pd.concat(curves, ignore_index=True),
        "linear_xor_units": pd.concat(units, ignore_index=True),
    }


def bridge(settings: LinearSettings) -> Tables:
    """`linear_bridge`: Wu et al.'s measures on linear networks of two and more layers, and guided training.

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
    tables = [_bridge(two, fusion, settings) for fusion in FUSIONS.values()]
    tables += [_bridge(deep, fusion, settings) for fusion in range(1, deep.depth + 1)]
    return {"linear_bridge": pd.concat(tables, ignore_index=True)}


def _bridge(own: TwoLayer | Deep, fusion: int, settings: LinearSettings) -> pd.DataFrame:
    two, deep, measures = settings.two_layer, settings.deep, settings.bridge
    runs = _all_of(
        depth=[own.depth],
        L_f=[fusion],
        rho=two.curve_correlations,
        r=[two.curve_ratio],
        seed=range(deep.seeds),
    )
    moments = toy_moments(runs["rho"], runs["r"])
    networks = _networks(own, fusion, moments, settings.seed, draws=runs["seed"])
    vanilla = descend(*networks, steps=own.steps, tolerance=deep.tolerance)
    times = learning_times(vanilla, moments)
    # A held branch moves in one of window + 1 steps: no run needs more than so many times its own.
    needed = int((measures.window + 1) * np.nanmax([*times["t_b"], *times["t_a"], 1.0]))
    guide = guided(len(moments), tolerance=measures.tolerance, window=measures.window)
    balanced = learning_times(
        descend(*networks, steps=needed, tolerance=deep.tolerance, guide=guide), moments
    )
    middle = ((times["t_a"] + times["t_b"]) / 2).to_numpy()
    then = descend(*networks, steps=np.nan_to_num(middle).astype(int)).layers
    speeds, mid_speeds = (branch_speeds(moments, layers) for layers in (networks[2], then))
    mid_speeds[np.isnan(middle)] = np.nan
    mid = utilization(moments, *(at(vanilla.steps, w, middle) for w in (vanilla.w_a, vanilla.w_b)))
    end = utilization(moments, vanilla.w_a[-1], vanilla.w_b[-1])
    best = utilization(moments, *theory.joint_solution(moments))
    return runs.join(times).assign(
        theory=theory.time_ratio(moments, own.depth, fusion, scale=deep.scale),
        ratio_from_speeds=ratio_from_speeds(speeds, mid_speeds)
        if own.depth == fusion == 2
        else np.nan,
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


EXPERIMENTS = (curves, superficial, phase, ratio, random, generalization, deep, xor, bridge)


def all_tables(settings: LinearSettings) -> Iterable[tuple[str, pd.DataFrame]]:
    """Yield the name and the content of each table, once it is made; those that sum up the others come last."""
    made: Tables = {}
    for build in EXPERIMENTS:
        tables = build(settings)
        made |= tables
        yield from tables.items()
    yield from summed_up(made).items()
