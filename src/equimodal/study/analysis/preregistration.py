"""What was expected of Table 1's first column before its networks were trained, and what came out."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pandas as pd

from equimodal.study.analysis.by_cap import best_up_to_caps
from equimodal.study.analysis.collect import of_experiment
from equimodal.study.params import Analysis

DATASET, PRESET = "colored_mnist", "official"
SIZES = "d_util_by_label less d_util in size"  # |d_util by label| - |d_util|
COLUMNS = [
    *("method", "inputs", "measure", "output", "expected_from", "expected_to"),
    *("seeds", "n", "caps", "least", "most", "held_at", "result"),
]


def build(
    runs: pd.DataFrame, histories: pd.DataFrame, preregistered: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Compare each expectation of docs/preregistration.md with the mean over the seeds that it names.

    `held_at`: the caps at which it was as expected. `result`: `holds` if at all, `holds in part` if at some,
    `fails` if at none; `open` while a network lacks.
    """
    of_column = of_experiment(runs, "table1")
    of_column = of_column[(of_column["dataset"] == DATASET) & (of_column["fidelity"] == PRESET)]
    rows = [_judged(expected, of_column, histories) for expected in preregistered.itertuples()]
    return pd.DataFrame(rows if len(of_column) else [], columns=COLUMNS)


def _judged(expected: Any, runs: pd.DataFrame, histories: pd.DataFrame) -> dict[str, Any]:
    of_row = (runs["method"] == expected.method) & (runs["inputs"] == expected.inputs)
    seeds = range(expected.first_seed, expected.last_seed + 1)
    named = runs[of_row & runs["seed"].isin(seeds)]
    there = named[named["status"] == "finished"]
    caps = range(expected.first_cap, expected.last_cap + 1)
    row = {c: getattr(expected, c) for c in ("method", "inputs", "measure", "output")}
    row |= {"expected_from": expected.low, "expected_to": expected.high}
    row |= {"seeds": _span(seeds), "caps": _span(caps), "n": len(there)}
    means = dict(_means(expected, there, histories)) if len(there) else {}
    if not means or any(map(pd.isna, means.values())):
        return row | {"result": "open"}
    low = -float("inf") if pd.isna(expected.low) else expected.low
    high = float("inf") if pd.isna(expected.high) else expected.high
    held = [cap for cap, mean in means.items() if low <= mean <= high]
    result = "holds" if len(held) == len(means) else "holds in part" if held else "fails"
    result = result if len(there) == len(seeds) else "open"
    row |= {"least": min(means.values()), "most": max(means.values())}
    return row | {"held_at": _spans(held), "result": result}


def _means(
    expected: Any, runs: pd.DataFrame, histories: pd.DataFrame
) -> Iterator[tuple[int, float]]:
    """Yield each cap and the mean over runs."""
    if expected.measure == "accuracy":
        best = best_up_to_caps(runs, histories)
        best = best[best["evaluation"].isin(runs["reported"])]
        for cap in range(expected.first_cap, expected.last_cap + 1):
            yield cap, 100 * best.loc[best["cap"] == cap, expected.output].mean()
    elif expected.measure == SIZES:
        means = runs[["d_util_by_label", "d_util"]].mean().abs()
        yield expected.last_cap, means["d_util_by_label"] - means["d_util"]
    else:
        yield expected.last_cap, runs[expected.measure].mean()


def _span(numbers: range) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"


def _spans(numbers: list[int]) -> str:
    """Write numbers as spans, such as `18 to 20, 25`."""
    lasting = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in pairs] for _, pairs in lasting]
    return ", ".join(_span(range(span[0], span[-1] + 1)) for span in spans) or "none"
