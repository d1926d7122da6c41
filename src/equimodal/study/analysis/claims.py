"""The claims ledger: what the paper claims, judged by our tables.

claims.yaml holds the claims; a check's `judge` looks at the rows of one data set and says what they
show. Intervals decide, never a bare mean: wholly where the claim says, it holds; wholly outside of
that, it does not; anything else is inconclusive.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from ruamel.yaml import YAML

from equimodal.study.analysis.names import DATASETS, column_name
from equimodal.study.analysis.statistics import difference_of_means, wilson_interval
from equimodal.study.markup import for_markdown
from equimodal.study.params import Params, expand_runs
from equimodal.study.schema import Section

HOLDS, FAILS, INCONCLUSIVE, NOT_TESTED, CANNOT_SAY = VERDICTS = (
    "holds",
    "does not hold",
    "inconclusive",
    "not tested",
    "these data cannot say",
)
HOW = (
    "Intervals decide, never a bare mean. A claim about data that cannot speak for the paper's gets its"
    " numbers and no verdict on them."
)
ONE_RUN = "one run has no interval"
NO_INTERVAL = "there is no interval: too few runs, or no spread among them"

Bounds = tuple[float, float]
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Given:
    """What a check may look at."""

    tables: Tables
    data: Mapping[str, str]  # dataset, fidelity and, if it matters, start
    confidence: float  # of every interval


@dataclass(frozen=True)
class Finding:
    """What one row of a table says about a claim."""

    verdict: str
    evidence: str  # the numbers in words
    reason: str = ""  # why it decides nothing, where it does not


class _NoDataError(Exception):
    """What a check needs is not in the tables; the message says what and why."""


class Range(Section):
    """Numbers from one to another, both included."""

    low: float = Field(alias="from")
    high: float = Field(alias="to")


Wanted = str | float | Range | tuple[str | float, ...]
Rows = dict[str, Wanted]


class Region(Section):
    """Where a claim says that a true value lies: one of these."""

    above: float | None = None
    below: float | None = None
    inside: Bounds | None = None
    outside: Bounds | None = None
    within: float | None = None  # so far from the value in the column `of`, at most
    of: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [k for k, v in self if v is not None and k != "of"]
        if len(given) != 1 or (self.of is None) == (self.within is not None):
            raise ValueError(
                f"lies takes one of above, below, inside, outside, or within with of; given {given}"
            )
        return self

    def around(self, row: Any) -> "Region":
        """Put the bounds in place of `within` and `of`, from a row of the table."""
        if self.within is None:
            return self
        center = _number(row, str(self.of))
        return Region(inside=(center - self.within, center + self.within))

    def verdict(self, low: float, high: float) -> str:
        """Judge an interval: wholly in the region, wholly out of it, or neither."""
        if self.outside is not None:
            swapped = {HOLDS: FAILS, FAILS: HOLDS}
            found = Region(inside=self.outside).verdict(low, high)
            return swapped.get(found, found)
        first, last = self.inside or (
            -np.inf if self.above is None else self.above,
            np.inf if self.below is None else self.below,
        )
        if first < low and high < last:
            return HOLDS
        return FAILS if high <= first or low >= last else INCONCLUSIVE


class Check(Section):
    """What all kinds of check share: the rows of a table, and how their numbers are spoken of."""

    table: str
    rows: Rows
    measure: str
    unit: str = ""
    n: str = "n"

    def judge(self, given: Given) -> list[Finding]:
        """Say what each of the rows shows about the claim, for one data set."""
        found = _select(given, self.table, self.rows)
        return [self.finding(row, given) for _, row in found.iterrows()] + self._absent(found)

    def finding(self, row: Any, given: Given) -> Finding:
        """Say what one row shows."""
        raise NotImplementedError

    def _absent(self, found: pd.DataFrame) -> list[Finding]:
        """One finding for each row that the claim names and the table lacks."""
        return [
            Finding(
                NOT_TESTED, "", f"the table {self.table} has no row of {column} {_plain(value)}"
            )
            for column, wanted in self.rows.items()
            if isinstance(wanted, tuple)
            for value in wanted
            if value not in set(found[column])
        ]

    def _decide(self, row: Any, value: float, bounds: Bounds, region: Region) -> Finding:
        words = self._words(row, value, bounds)
        if pd.isna(value):
            return Finding(NOT_TESTED, words, _why_no_value(row, self.n))
        if pd.isna(bounds[0]) or pd.isna(bounds[1]):
            return Finding(INCONCLUSIVE, words, _why_no_interval(row, self.n))
        verdict = region.verdict(*bounds)
        reason = "the interval allows both" if verdict == INCONCLUSIVE else ""
        return Finding(verdict, words, reason)

    def _words(self, row: Any, value: float, bounds: Bounds) -> str:
        several = [c for c, wanted in self.rows.items() if isinstance(wanted, tuple | Range)]
        label = "".join(f"{_plain(row[c])}: " for c in several)
        return f"{label}{self.measure} {_interval(value, bounds, self.unit)}{_count(row, self.n)}"


class Interval(Check):
    """The interval that stands in the table lies in a region."""

    kind: Literal["interval"]
    value: str
    interval: tuple[str, str]
    magnitude: bool = False  # of the value without its sign
    lies: Region

    def finding(self, row: Any, given: Given) -> Finding:
        """Say what one row shows."""
        value = _number(row, self.value)
        bounds = _number(row, self.interval[0]), _number(row, self.interval[1])
        if self.magnitude:
            value, bounds = abs(value), _magnitudes(bounds)
        return self._decide(row, value, bounds, self.lies.around(row))


class Proportion(Check):
    """A share of n lies in a region, by Wilson's interval."""

    kind: Literal["share"]
    value: str
    lies: Region

    def finding(self, row: Any, given: Given) -> Finding:
        """Say what one row shows."""
        value, n = _number(row, self.value), _number(row, self.n)
        bounds = np.nan, np.nan
        if n >= 1 and not pd.isna(value):
            _, low, high = wilson_interval(round(value * n), int(n), given.confidence)
            bounds = low, high
        return self._decide(row, value, bounds, self.lies)


class Difference(Check):
    """The mean of each row less that of another row lies in a region, by Welch's interval."""

    kind: Literal["difference"]
    than: Rows
    mean: str
    sd: str
    lies: Region

    def judge(self, given: Given) -> list[Finding]:
        """Leave out the row that the others are compared with."""
        found = _select(given, self.table, self.rows)
        other = _only(_select(given, self.table, self.than), self.table)
        found = found.drop(index=other.name, errors="ignore")
        if found.empty:
            raise _NoDataError(f"the table {self.table} has only the row to compare with")
        findings = [self._compare(row, other, given) for _, row in found.iterrows()]
        return findings + self._absent(found)

    def _compare(self, row: Any, other: Any, given: Given) -> Finding:
        ours, theirs = (
            (_number(r, self.mean), _number(r, self.sd), _number(r, self.n)) for r in (row, other)
        )
        if pd.isna(theirs[0]):
            words = self._words(row, np.nan, (np.nan, np.nan))
            missing = _why_no_value(row if pd.isna(ours[0]) else other, self.n)
            return Finding(NOT_TESTED, words, missing)
        difference = difference_of_means(ours, theirs, given.confidence)
        bounds = difference.low, difference.high
        finding = self._decide(row, difference.value, bounds, self.lies)
        if finding.reason.startswith(ONE_RUN) and _number(row, self.n) > 1:
            return Finding(finding.verdict, finding.evidence, f"{ONE_RUN}, on the other side")
        return finding


class Closer(Check):
    """A value is closer to 0 than another row's: intervals of their sizes do not overlap."""

    kind: Literal["closer"]
    than: Rows
    value: str
    interval: tuple[str, str]

    def finding(self, row: Any, given: Given) -> Finding:
        """Say what one row shows."""
        other = _only(_select(given, self.table, self.than), self.table)
        value, low, high = self._numbers(row)
        theirs, *bounds = self._numbers(other)
        words = f"{self._words(row, value, (low, high))}; {self._than(other)}"
        if pd.isna(value) or pd.isna(theirs):
            return Finding(
                NOT_TESTED, words, _why_no_value(row if pd.isna(value) else other, self.n)
            )
        if pd.isna([low, high, *bounds]).any():
            bare = row if pd.isna([low, high]).any() else other
            return Finding(INCONCLUSIVE, words, _why_no_interval(bare, self.n))
        nearest, farthest = _magnitudes((low, high))
        other_nearest, other_farthest = _magnitudes((bounds[0], bounds[1]))
        if farthest < other_nearest:
            return Finding(HOLDS, words)
        if nearest > other_farthest:
            return Finding(FAILS, words)
        return Finding(INCONCLUSIVE, words, "the intervals of the two sizes overlap")

    def _numbers(self, row: Any) -> tuple[float, float, float]:
        return _number(row, self.value), *(_number(row, c) for c in self.interval)  # type: ignore[return-value]

    def _than(self, other: Any) -> str:
        value, low, high = self._numbers(other)
        label = ", ".join(_plain(other[c]) for c in self.than if self.than[c] != self.rows.get(c))
        return f"{label} {_interval(value, (low, high), self.unit)}{_count(other, self.n)}"


class Verdicts(Check):
    """Every row's own verdict is `equivalent`."""

    kind: Literal["verdicts"]
    value: str
    interval: tuple[str, str]
    column: str

    def finding(self, row: Any, given: Given) -> Finding:
        """Say what one row shows."""
        value = _number(row, self.value)
        words = self._words(
            row, value, (_number(row, self.interval[0]), _number(row, self.interval[1]))
        )
        own = row.get(self.column)
        if pd.isna(value):
            return Finding(NOT_TESTED, words, _why_no_value(row, self.n))
        if own == "equivalent":
            return Finding(HOLDS, words)
        if own == "different":
            return Finding(FAILS, words)
        reason = (
            "the interval allows both" if own == "inconclusive" else _why_no_interval(row, self.n)
        )
        return Finding(INCONCLUSIVE, words, reason)


AnyCheck = Annotated[
    Interval | Proportion | Difference | Closer | Verdicts, Field(discriminator="kind")
]


class Claim(Section):
    """One claim of the paper, and what in our tables decides on it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    claim: str
    where: str
    experiments: Annotated[tuple[str, ...], Field(min_length=1)]  # whose runs it needs
    data: Annotated[tuple[str, ...], Field(min_length=1)]
    check: AnyCheck


class Ledger(Section):
    """All of claims.yaml."""

    fidelity: str
    protocol: dict[str, str] = Field(
        default_factory=dict
    )  # data set -> fingerprint of the paper scale's networks
    claims: tuple[Claim, ...]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [claim.id for claim in self.claims]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"claims have the same id: {twice}")
        return self


def read_claims() -> Ledger:
    """Read the claims that come with the package."""
    text = files("equimodal.study.analysis").joinpath("claims.yaml").read_text(encoding="utf-8")
    return Ledger.model_validate(YAML(typ="safe").load(text))


def tables_of(ledger: Ledger) -> list[str]:
    """Names of the tables that the claims look at, in their order."""
    return list(dict.fromkeys(claim.check.table for claim in ledger.claims))


def limits(settings: Params, paper: Params, ledger: Ledger) -> dict[str, str]:
    """Say of each data set that cannot speak for the paper's why; others are not in it.

    Those speak whose networks are all of the paper's protocol, whatever their seeds: what the claims rest on
    has the settings that the paper scale has. `all` is there as soon as one data set is.

    Args:
        settings: Of the scale that is judged.
        paper: Of the paper scale.
        ledger: The claims, with the fingerprints of the paper's protocol: params.yaml, which all scales
            share, may have been changed.
    """
    ours, theirs = networks(settings, ledger), networks(paper, ledger)
    judging = [(s.analysis.confidence, s.analysis.margin) for s in (settings, paper)]
    reasons = {}
    for name, dataset in settings.datasets.items():
        parts = ["its data are stand-ins"] if dataset.is_stand_in else []
        known = ledger.protocol.get(name) == fingerprint(theirs.get(name, ()))
        if judging[0] != judging[1] or (
            name in ours and not (known and ours[name] <= theirs.get(name, set()))
        ):
            parts.append(
                f"the {settings.scale} scale is not the paper's"
                if settings.scale != paper.scale
                else "the settings of the paper scale are no longer the paper's"
            )
        if parts:
            reasons[name] = "; ".join(parts)
    if reasons:
        names = ", ".join(map(data_name, reasons))
        reasons["all"] = f"data of {names} cannot speak for the paper's"
    return reasons


def networks(settings: Params, ledger: Ledger) -> dict[str, set[str]]:
    """Data set -> the settings of the networks that claims rest on, without their seeds, as JSON."""
    asked = {e for claim in ledger.claims for e in claim.experiments if e in settings.experiments}
    every = settings.model_copy(update={"leave_out": ()})
    found: dict[str, set[str]] = {}
    for spec in (spec for e in asked for spec in expand_runs(every, e).values()):
        if spec.fidelity == ledger.fidelity:
            seedless = spec.model_copy(update={"seed": 0}).model_dump_json()
            found.setdefault(spec.dataset, set()).add(seedless)
    return found


def fingerprint(networks: Iterable[str]) -> str:
    """Return a hash of the settings of networks, whatever their order."""
    return hashlib.sha256("\n".join(sorted(networks)).encode()).hexdigest()[:16]


def caveats(settings: Params) -> list[str]:
    """Say what the numbers rest on that the paper does not tell, so that it is ours."""
    known = {data_name(name): dataset.caveat for name, dataset in settings.datasets.items()}
    return [
        "The learning rates of all sweeps are ours, as the paper's intervals are not known.",
        *(f"{name}: {caveat}." for name, caveat in known.items() if caveat),
    ]


def judge_claims(
    ledger: Ledger, tables: Tables, *, confidence: float, limits: Mapping[str, str], scale: str
) -> pd.DataFrame:
    """Judge every claim on each of its data sets.

    Args:
        ledger: The claims.
        tables: Those tables that are there, by name.
        confidence: Of the intervals, 0.95 say; those in the tables are taken to have it.
        limits: Data set -> why its data cannot speak for the paper's.
        scale: Named in the commands.

    Returns:
        A row for each claim and data set: id, claim, where, experiments, table, dataset, `verdict`, `measured`
        (the verdict that the numbers alone would get), `evidence` (the numbers in words), `reason`
        (why the verdict is not plain holds or does not hold), and the command that shows it.
    """
    rows = []
    for claim in ledger.claims:
        for data in claim.data:
            given = Given(tables, _as_filter(data, ledger.fidelity), confidence)
            found = _judge(claim.check, given)
            limit = limits.get(data.split()[0]) if found.verdict != NOT_TESTED else None
            rows.append(
                {
                    "id": claim.id,
                    "claim": claim.claim,
                    "where": claim.where,
                    "experiments": " ".join(claim.experiments),
                    "table": claim.check.table,
                    "dataset": data,
                    "verdict": CANNOT_SAY if limit else found.verdict,
                    "measured": found.verdict,
                    "evidence": found.evidence,
                    "reason": "; ".join(filter(None, [limit, found.reason])),
                    "command": f"equimodal claims --scale {scale} --claim {claim.id}",
                }
            )
    return pd.DataFrame(rows)


def as_markdown(judged: pd.DataFrame, notes: Iterable[str]) -> str:
    """Render the ledger for readers: a claim a heading, a data set a line."""
    parts = ["# Claims of the paper", HOW, *map(for_markdown, notes)]
    for _, rows in judged.groupby("id", sort=False):
        first = rows.iloc[0]
        lines = [_line(row) for row in rows.itertuples()]
        parts += [
            f"## {first['claim']}",
            f"{first['where']}. Decided by the table {first['table']}: `{first['command']}`",
            "\n".join(lines),
        ]
    return "\n\n".join(parts) + "\n"


def _judge(check: Check, given: Given) -> Finding:
    """Judge all rows together: the claim is about each of them."""
    try:
        found = check.judge(given)
    except _NoDataError as error:
        return Finding(NOT_TESTED, "", str(error))
    verdicts = [f.verdict for f in found]
    # One row that contradicts is enough; one that is missing leaves the claim open.
    if FAILS in verdicts:
        verdict = FAILS
    elif all(v == verdicts[0] for v in verdicts):
        verdict = verdicts[0]
    else:
        verdict = INCONCLUSIVE
    reasons = dict.fromkeys(f.reason for f in found if f.reason and verdict != FAILS)
    return Finding(verdict, "; ".join(f.evidence for f in found if f.evidence), "; ".join(reasons))


def _as_filter(data: str, fidelity: str) -> dict[str, str]:
    dataset, *start = data.split()
    return {"dataset": dataset, "fidelity": fidelity} | ({"start": start[0]} if start else {})


def _select(given: Given, name: str, rows: Rows) -> pd.DataFrame:
    """Rows of a table. What `given.data` says only counts where the table has such a column."""
    if name not in given.tables:
        raise _NoDataError(f"the table {name} is missing")
    table = given.tables[name]
    if lacking := sorted(set(rows) - set(table)):
        raise _NoDataError(f"the table {name} has no column {', '.join(lacking)}")
    wanted: dict[str, Any] = {c: v for c, v in given.data.items() if c in table} | rows
    for column, value in wanted.items():
        table = table[_matches(table[column], value)]
    if table.empty:
        settings = ", ".join(f"{c} {_plain(v)}" for c, v in wanted.items())
        raise _NoDataError(f"the table {name} has no row of {settings}")
    return table


def _matches(column: pd.Series, wanted: Wanted) -> pd.Series:
    if isinstance(wanted, Range):
        return column.between(wanted.low, wanted.high)
    return column.isin(wanted if isinstance(wanted, tuple) else [wanted])


def _only(rows: pd.DataFrame, table: str) -> Any:
    if len(rows) > 1:
        raise _NoDataError(f"the table {table} has {len(rows)} rows to compare with, expected one")
    return rows.iloc[0]


def _number(row: Any, column: str) -> float:
    if column not in row:
        raise _NoDataError(f"the table has no column {column}")
    return float(row[column])


def _magnitudes(bounds: Bounds) -> Bounds:
    """Interval of |x| from that of x."""
    low, high = bounds
    if pd.isna(low) or pd.isna(high):
        return np.nan, np.nan
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return nearest, max(abs(low), abs(high))


def _why_no_value(row: Any, n: str) -> str:
    unfinished = row.get("unfinished", 0)
    if row.get(n, 0) == 0 and pd.notna(unfinished) and unfinished:
        return f"none of its {unfinished:g} runs has a result"
    return "there is no number for it"


def _why_no_interval(row: Any, n: str) -> str:
    return ONE_RUN if row.get(n, 0) <= 1 else NO_INTERVAL


def _interval(value: float, bounds: Bounds, unit: str) -> str:
    if pd.isna(value):
        return "missing"
    unit = f" {unit}" if unit else ""
    if pd.isna(bounds[0]) or pd.isna(bounds[1]):
        return f"{value:.3g}{unit} (no interval)"
    return f"{value:.3g}{unit} (interval {bounds[0]:.3g} to {bounds[1]:.3g})"


def _count(row: Any, n: str) -> str:
    if n not in row or pd.isna(row[n]):
        return ""
    unfinished = row.get("unfinished", 0)
    of = f" of {row[n] + unfinished:g}" if pd.notna(unfinished) and unfinished else ""
    return f", n = {row[n]:g}{of}"


def _plain(value: Any) -> str:
    if isinstance(value, Range):
        return f"{value.low:g} to {value.high:g}"
    if isinstance(value, tuple):
        return " or ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def data_name(data: str) -> str:
    """Name of a data set, or of a column of Table 1, for readers; `data` as in claims.yaml."""
    dataset, *start = data.split()
    return column_name(dataset, start[0]) if start else DATASETS.get(dataset, dataset)


def _line(row: Any) -> str:
    numbers = f" {row.evidence}." if row.evidence else ""
    why = f" Why: {row.reason.removesuffix('.')}." if row.reason else ""
    measured = f" The numbers alone: {row.measured}." if row.measured != row.verdict else ""
    return f"- {data_name(row.dataset)}: **{row.verdict}**.{numbers}{measured}{why}"
