"""Table 1: accuracy of each method, published against ours."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import NAN, ends, over_seeds, verdict, welch_difference
from equimodal.study.params import Analysis

COLUMN = ["dataset", "start", "fidelity"]
CELL = [*COLUMN, "method", "inputs"]
OUTPUT = ["dataset", "start", "method", "output"]  # of which a number was published
PAIR = ["published_mean", "published_sd"]
Published = Mapping[tuple[Any, ...], tuple[float, float]]
COLUMNS = [
    *(*CELL, "evaluation", "mean", "sd", "low", "high", "n", "unfinished"),
    *(*PAIR, *ends("difference"), "verdict"),
]


def build(
    runs: pd.DataFrame, evaluations: pd.DataFrame, published: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Build Table 1 from the runs that it asks for: a row a method, a column of the paper at a time.

    `n` runs finished; those `unfinished` failed or have no results.
    """
    rows = summarize_cells(runs, evaluations, published, settings)
    main = rows[(rows["evaluation"] == rows["reported"]) & (rows["output"] == "fused")]
    return main[COLUMNS].reset_index(drop=True)


def summarize_cells(
    runs: pd.DataFrame, evaluations: pd.DataFrame, published: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Summarize every cell of Table 1, for every output under every way of evaluating.

    The columns are those of `table1_evaluations`, and `reported`: the way that the preset reports.
    """
    chosen = with_best_unimodal(in_order(of_experiment(runs, "table1"), *COLUMN, "method"))
    printed = by_output(published)
    rows = [
        row | against(printed, row, percent, settings)
        for row, percent in _cells(chosen, evaluations, settings)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "output", "reported"])


def _cells(
    runs: pd.DataFrame, evaluations: pd.DataFrame, settings: Analysis
) -> Iterator[tuple[dict[str, Any], pd.Series]]:
    """Yield each row without what was published, and the accuracies in percent that it is made of."""
    for cell, of_cell in by_cell(runs, CELL):
        row = cell | {"reported": of_cell["reported"].iloc[0]}
        answers = evaluations[evaluations["run"].isin(of_cell["run"])]
        if row["method"] == "unimodal":  # its one branch is its prediction
            answers = answers[answers["output"] == "fused"]
        keys = [answers["evaluation"], answers["output"]]
        ways = dict(iter((100 * answers["accuracy"]).groupby(keys, sort=False)))
        # Of a cell of which all runs failed: its one row, without a value.
        ways = ways or {(row["reported"], "fused"): pd.Series([], dtype=float)}
        for (evaluation, output), percent in ways.items():
            row |= {"evaluation": evaluation, "output": output}
            yield row | over_seeds(percent, settings.confidence, "mean"), percent


def by_output(published: pd.DataFrame) -> Published:
    """Return the published mean and SD of each data set, start, method and output."""
    keys, values = (published[c].itertuples(index=False, name=None) for c in (OUTPUT, PAIR))
    return dict(zip(keys, values, strict=True))


def against(
    published: Published, row: Mapping[str, Any], percent: pd.Series, settings: Analysis
) -> dict[str, Any]:
    """Compare accuracies in percent with the published ones (`by_output`) of a row's method and output.

    The columns are those of Table 1 from `published_mean` on; all are missing where none was published.
    """
    mean, sd = published.get(tuple(row[key] for key in OUTPUT), (NAN, NAN))
    difference = welch_difference(percent, mean, sd, settings.confidence).named("difference")
    judged = verdict(difference["difference_low"], difference["difference_high"], settings.margin)
    return {"published_mean": mean, "published_sd": sd} | difference | {"verdict": judged}


def with_best_unimodal(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep, of the uni-modal networks of a column and preset, the one with the best mean accuracy.

    While one of them is still to be trained, none is known to be the best, and where all failed there is
    none: what has no result stands as one cell without a value, with `inputs` such as "color or gray".
    """
    runs = runs.reset_index(drop=True)
    dropped = []
    for _, unimodal in runs[runs["method"] == "unimodal"].groupby(COLUMN, sort=False):
        means = unimodal.groupby("inputs", sort=False)["accuracy"].mean().dropna()
        without = unimodal[~unimodal["inputs"].isin(means.index)]
        if len(means) and not (without["status"] == "missing").any():
            dropped.append(unimodal.index[unimodal["inputs"] != means.idxmax()])
        else:
            dropped.append(unimodal.index[unimodal["status"] == "finished"])
            runs.loc[unimodal.index, "inputs"] = " or ".join(unimodal["inputs"].unique())
    return runs.drop(index=list(chain.from_iterable(dropped)))
