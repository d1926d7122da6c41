"""How far simulations and theory agree: short tables of the tables of `experiment`, for docs/linear.md."""

from collections.abc import Mapping

import pandas as pd

DEVIATION = ["compared", "runs", "censored", "median_size", "least", "largest"]


def summed_up(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return `linear_agreement`, `linear_agreement_by_depth` and `linear_bridge_means` of the tables of all experiments."""
    return {
        "linear_agreement": agreement(tables),
        "linear_agreement_by_depth": agreement_by_depth(tables["linear_deep_ratio"]),
        "linear_bridge_means": bridge_means(tables["linear_bridge"]),
    }


def agreement(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """`linear_agreement`, one row a comparison: by how much simulations deviate from theory, in %.

    Columns: `compared`; `runs`, and how many of them are `censored` and left out; then, of the deviations,
    `median_size` (without the sign), `least` and `largest`.
    """
    waits = tables["linear_ratio"].query("r > 1")  # at equal SDs either modality may be the first
    linear, relu = (waits[waits["units"] == units] for units in ("linear", "relu"))
    drawn = tables["linear_random"].query("status == 'trained'")
    late = tables["linear_bridge"].query("depth == 2 and L_f == 2")
    xor = tables["linear_xor"].query("fusion == 'late'")
    compared = {
        "ratio of the times, at the step size of the simulation": (
            linear,
            "ratio",
            "theory_finite",
        ),
        "the same, in continuous time": (linear, "ratio", "theory"),
        "the same of ReLU networks, at their step size": (relu, "ratio", "theory_finite"),
        "loss half-way between the times": (linear, "mid_loss", "theory_loss"),
        "ratio of the times, random data of many inputs": (drawn, "ratio", "theory_finite"),
        "ratio of the times, by two readings of the speeds": (late, "ratio_from_speeds", "theory"),
        "ratio of the times, XOR beside a linear modality": (xor, "ratio", "theory"),
    }
    rows = []
    for what, (runs, simulated, theory) in compared.items():
        off = 100 * (runs[simulated] / runs[theory] - 1)[runs["censored"] == "neither"]
        spread = (off.abs().median(), off.min(), off.max())
        rows.append([what, len(runs), len(runs) - len(off), *spread])
    return _short(pd.DataFrame(rows, columns=DEVIATION), "{:.2f}")


def agreement_by_depth(linear_deep_ratio: pd.DataFrame) -> pd.DataFrame:
    """`linear_agreement_by_depth`, one row a fusion layer of deep networks.

    Columns: `L_f`; `points` of data and starts, `runs` over all of them, and how many are `censored`;
    `ratio_least` and `ratio_largest`, of the mean over the seeds of a point; `excess_least` and
    `excess_largest`: this mean less 1, over the theory less 1; `run_least` and `run_largest`, the same of
    single runs; `over_u_0`: by how much one seed's ratio changes with the initial scale, in %, at most.
    """
    point = ["varied", "rho", "r", "scale"]
    rows = []
    for fusion, runs in linear_deep_ratio.groupby("L_f"):
        means = runs.groupby(point).agg(ratio=("ratio", "mean"), theory=("theory", "first"))
        excess, of_run = (
            ((of["ratio"] - 1) / (of["theory"] - 1)).where(of["theory"] > 1) for of in (means, runs)
        )
        seeds = runs[runs["varied"] == "scale"].groupby("seed")["ratio"]
        rows.append(
            {
                "L_f": fusion,
                "points": len(means),
                "runs": len(runs),
                "censored": (runs["censored"] != "neither").sum(),
                "ratio_least": means["ratio"].min(),
                "ratio_largest": means["ratio"].max(),
                "excess_least": excess.min(),
                "excess_largest": excess.max(),
                "run_least": of_run.min(),
                "run_largest": of_run.max(),
                "over_u_0": 100 * (seeds.max() / seeds.min() - 1).max(),
            }
        )
    return _short(pd.DataFrame(rows), "{:.3g}")


def bridge_means(linear_bridge: pd.DataFrame) -> pd.DataFrame:
    """`linear_bridge_means`: `linear_bridge` with one row a kind of network and data, means over its seeds.

    Columns: `depth`, `L_f`, `rho`; `runs`, and how many are `censored` in vanilla or in guided training;
    then means: `ratio`, `theory`, `u_a_mid`, `u_b_mid`, `phase_factor`.
    """
    censored = linear_bridge[["censored", "censored_balanced"]].ne("neither").any(axis=1)
    cells = linear_bridge.assign(censored=censored).groupby(["depth", "L_f", "rho"])
    means = cells[["ratio", "theory", "u_a_mid", "u_b_mid", "phase_factor"]].mean()
    counts = cells.agg(runs=("seed", "size"), censored=("censored", "sum"))
    return _short(counts.join(means).reset_index(), "{:.3g}")


def _short(table: pd.DataFrame, form: str) -> pd.DataFrame:
    """The table with the digits that a reader needs."""
    numbers = table.select_dtypes(float).columns.difference(["rho"])
    # 0.0 is added so that a zero has no minus.
    return table.assign(**{c: table[c].map(lambda x: float(form.format(x)) + 0.0) for c in numbers})
