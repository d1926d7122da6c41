"""Table 1: accuracy of each method, published against ours."""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import pandas as pd

CELL = ["dataset", "fidelity", "method", "inputs"]
METHODS = {
    "unimodal": "Uni-modal (best)",
    "vanilla": "Multi-modal (vanilla)",
    "rubi": "+ RUBi",
    "random": "+ random",
    "guided": "+ guided",
}
DATASETS = {"colored_mnist": "Colored-and-gray-MNIST"}


def table1(
    runs: pd.DataFrame, evaluations: pd.DataFrame, published: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Build Table 1 from the runs that it asks for.

    Args:
        runs: The `runs` table, these runs only.
        evaluations: The `evaluations` table of `collect`.
        published: The paper's numbers: dataset, method, output, mean, sd.

    Returns:
        `table1`: accuracy of the network's prediction in percent, evaluated as the fidelity preset
        reports it (`evaluation`): mean and sample standard deviation over seeds, number of runs `n`
        and of `failed` ones, the published pair and our difference from it.
        `table1_evaluations`: the same for every output under every way of evaluating.
    """
    cells = _accuracy_of_cells(runs, evaluations)
    wanted = cells[(cells["method"] != "unimodal") | _of_best_unimodal(cells)]
    keys = [*CELL, "evaluation", "output"]
    summary = wanted.groupby(keys, sort=False)["percent"].agg(["mean", "std", "count"])
    summary = summary.rename(columns={"std": "sd", "count": "n"}).reset_index()
    summary = _with_failures(summary, runs)
    full = summary.merge(
        published, on=["dataset", "method", "output"], how="left", validate="many_to_one"
    )
    full["difference"] = full["mean"] - full["published_mean"]
    order = {
        "fidelity": {preset: i for i, preset in enumerate(runs["fidelity"].unique())},
        "method": {method: i for i, method in enumerate(METHODS)},
    }
    full = full.sort_values(
        ["dataset", "fidelity", "method"],
        key=lambda column: column.map(order[column.name]) if column.name in order else column,
        kind="stable",
        ignore_index=True,
    )
    main = full[(full["evaluation"] == full["reported"]) & (full["output"] == "fused")]
    return {
        "table1": main.drop(columns=["reported", "output"]).reset_index(drop=True),
        "table1_evaluations": full.drop(columns="reported"),
    }


def read_published() -> pd.DataFrame:
    """Read the paper's Table 1, in percent: dataset, method, output, mean, sd of three runs."""
    with files("equimodal.analysis").joinpath("published.csv").open() as file:
        return pd.read_csv(file)


def _accuracy_of_cells(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in percent of every output; the one branch of a uni-modal network is `fused`."""
    cells = runs[["run", *CELL]].merge(evaluations, on="run", validate="one_to_many")
    doubled = (cells["method"] == "unimodal") & (cells["output"] != "fused")
    return cells[~doubled].assign(percent=100 * cells["accuracy"])


def _of_best_unimodal(cells: pd.DataFrame) -> pd.Series:
    """Whether a row is of the uni-modal network with the best mean accuracy of its column."""
    unimodal = cells[cells["method"] == "unimodal"]
    means = unimodal.groupby(["dataset", "fidelity", "inputs"])["percent"].mean()
    best = {
        index for _, group in means.groupby(["dataset", "fidelity"]) for index in [group.idxmax()]
    }
    rows = zip(cells["dataset"], cells["fidelity"], cells["inputs"], strict=True)
    return pd.Series([row in best for row in rows], index=cells.index)


def _with_failures(summary: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Add how many runs of each cell failed, and a row for a method of which every run failed."""
    counts = runs.groupby([*CELL, "reported"], sort=False)["status"]
    failed = counts.agg(lambda s: int((s != "finished").sum())).rename("failed").reset_index()
    summary = summary.merge(failed, on=CELL, validate="many_to_one")
    present = set(zip(summary["dataset"], summary["fidelity"], summary["method"], strict=True))
    holes = failed[
        [
            (row.dataset, row.fidelity, row.method) not in present
            for row in failed.itertuples(index=False)
        ]
    ]
    if holes.empty:
        return summary
    holes = holes.assign(evaluation=holes["reported"], output="fused", n=0)
    of_method = ["dataset", "fidelity", "method", "reported", "evaluation", "output", "n"]
    holes = holes.groupby(of_method, as_index=False, sort=False).agg(
        {"inputs": " or ".join, "failed": "sum"}
    )
    return pd.concat([summary, holes], ignore_index=True)


def paired_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare each method with vanilla, seed by seed: equal weights, equal order of examples.

    Args:
        runs: The `runs` table, the runs of Table 1 only.

    Returns:
        A row for each data set, preset, method and seed: `accuracy`, `accuracy_m0` and `accuracy_m1` of the
        method less those of vanilla, regular flow, in percentage points.
    """
    keys = ["dataset", "fidelity", "inputs", "learning_rate", "seed"]
    columns = ["accuracy", "accuracy_m0", "accuracy_m1"]
    vanilla = runs[runs["method"] == "vanilla"][[*keys, *columns]]
    others = runs[~runs["method"].isin(["vanilla", "unimodal"])][["method", *keys, *columns]]
    pairs = others.merge(vanilla, on=keys, suffixes=("", "_vanilla"), validate="many_to_one")
    for column in columns:
        pairs[column] = 100 * (pairs[column] - pairs.pop(f"{column}_vanilla"))
    return pairs


def as_markdown(table: pd.DataFrame, pairs: pd.DataFrame, notes: Iterable[str]) -> str:
    """Render Table 1 for readers: a table a data set, the paired differences below it, and notes."""
    parts = []
    for dataset, cells in table.groupby("dataset", sort=False):
        parts += [
            f"## {DATASETS.get(dataset, dataset)}",
            "Test accuracy in %, mean ± sample SD over runs that differ in seed only.",
            _markdown([_cell(row) for row in cells.itertuples()]),
        ]
        differences = pairs[pairs["dataset"] == dataset]
        if len(differences):
            parts += [
                "Less vanilla at the same seed, percentage points, regular flow, one number a seed.",
                _markdown(_paired_rows(differences)),
            ]
    return "\n\n".join([*parts, *notes]) + "\n"


def _cell(row: Any) -> dict[str, str]:
    best = f", {row.inputs}" if row.method == "unimodal" and row.n else ""
    return {
        "preset": row.fidelity,
        "method": METHODS[row.method] + best,
        "evaluated": row.evaluation.replace("_", " "),
        "ours": mean_and_sd(row.mean, row.sd),
        "runs": f"{row.n}" + (f" ({row.failed} failed)" if row.failed else ""),
        "published": mean_and_sd(row.published_mean, row.published_sd),
        "difference": "" if pd.isna(row.difference) else f"{row.difference:+.2f}",
    }


def _paired_rows(pairs: pd.DataFrame) -> list[dict[str, str]]:
    columns = {"accuracy": "prediction", "accuracy_m0": "branch m0", "accuracy_m1": "branch m1"}
    return [
        {"preset": fidelity, "method": METHODS[method]}
        | {t: ", ".join(map(_signed, group[c])) for c, t in columns.items()}
        for (fidelity, method), group in pairs.groupby(["fidelity", "method"], sort=False)
    ]


def _signed(x: float) -> str:
    return "missing" if pd.isna(x) else f"{x:+.1f}"


def _markdown(rows: list[dict[str, str]]) -> str:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def mean_and_sd(mean: float, sd: float) -> str:
    """Write a pair as in the paper; says so where it is missing."""
    if pd.isna(mean):
        return "missing"
    return f"{mean:.2f} ± {sd:.2f}" if pd.notna(sd) else f"{mean:.2f} (no SD)"
