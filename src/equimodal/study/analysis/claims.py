"""The claims ledger: what the paper claims, judged by our tables.

claims.yaml holds the claims. Each names a number of a table, with its interval, and the region where it
has to lie. The interval decides, never the bare number: wholly inside, the claim holds; wholly outside, it
does not; anything else is undecided.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from importlib.resources import as_file, files
from itertools import product
from typing import Annotated, Any, Self

import pandas as pd
from pydantic import Field, model_validator
from ruamel.yaml import YAML

from equimodal.study.analysis.names import DATASETS, column_name
from equimodal.study.analysis.statistics import Estimate, difference_of, magnitude, toward
from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading
from equimodal.study.markup import for_markdown, table_for_markdown
from equimodal.study.params import Params
from equimodal.study.schema import Name, Section

VERDICTS = ("holds", "does not hold", "undecided", "not run", "these data cannot say")
HOLDS, FAILS, UNDECIDED, NOT_RUN, CANNOT_SAY = VERDICTS
HOW = (
    "Intervals decide, never a bare number. A claim holds if the whole interval lies where the claim says. It"
    " does not hold if the whole interval lies elsewhere. Otherwise it is undecided. Data that cannot speak for"
    " the paper's get their numbers and no verdict. Real data under some other settings get verdicts that say so,"
    " but none on a number that the paper prints. Judged are networks of the preset `paper` with the regular"
    ' flow. Bounds other than 0 and 1 are ours, as the paper says "about" or "many". A difference of two means is'
    " unpaired."
)
NO_CLAIM = "the paper has none on these data"
_FLOAT = r"-?(?:\d[\d.e+-]*|inf)"
_TOLD = re.compile(
    rf"(?:(.+): )?(?:missing|({_FLOAT})(?: \[(?:({_FLOAT}), ({_FLOAT})|no interval)\])?)(?:, n = .*)?"
)  # what `_decide` writes
BY_LABEL = "by_label"  # on the test examples biased as those for training are

Tables = Mapping[str, pd.DataFrame]
Rows = dict[str, str | float | tuple[str | float, ...]]
Row = Mapping[str, Any]


class Region(Section):
    """Where a number has to lie: above one bound, below another, or both."""

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("expected above, below or both")
        return self

    def verdict(self, low: float, high: float) -> str:
        """Judge an interval: wholly in the region, wholly out of it, or neither."""
        above = -float("inf") if self.above is None else self.above
        below = float("inf") if self.below is None else self.below
        if above < low and high < below:
            return HOLDS
        return FAILS if high < above or low > below else UNDECIDED

    def __str__(self) -> str:
        """Say it in words."""
        if self.above is None or self.below is None:
            return " ".join(f"{side} {bound:g}" for side, bound in self if bound is not None)
        return f"between {self.above:g} and {self.below:g}"


class Number(Section):
    """Where a number and its interval stand in a table."""

    table: str
    rows: Rows = Field(default_factory=dict)  # column -> what it is; of several values each in turn
    column: str
    exact: bool = False  # it has no interval and needs none
    less: str | Rows = Field(default_factory=dict)  # a column, or what is else in another row
    toward: str | None = None  # a column: the number counts as positive if it has that one's sign
    size: bool = False  # of the number without its sign

    def of(self, row: Row, end: str) -> Estimate:
        """Read the number off a row; `end` closes the name of the column that tells of d_util."""
        if self.toward is None:
            found = self._read(row, self.column + end)
        else:
            found = toward(self._read(row, self.column), self._read(row, self.toward + end))
        if self.size:
            found = magnitude(found)
        if isinstance(self.less, str):
            found = difference_of(found, Estimate(*3 * [float(row[self.less])]))
        return found

    def _read(self, row: Row, column: str) -> Estimate:
        """The ends stand in <column>_low and _high; of a table's only estimate in low and high."""
        own = [f"{column}_{end}" if f"{column}_{end}" in row else end for end in ("low", "high")]
        low, high = 2 * [column] if self.exact else own
        return Estimate(float(row[column]), float(row[low]), float(row[high]))


class Claim(Section):
    """One claim, what the paper says of it, and the number that decides on it."""

    claim: str
    where: str  # in the paper
    quote: str | None = None  # the paper's own words
    says: str | None = None  # what the paper says there, in our words
    ours: bool = False  # the paper says nothing of the kind
    printed: bool = False  # it is about numbers that the paper prints, so that only its protocol can speak to it
    experiments: Annotated[tuple[str, ...], Field(min_length=1)]  # whose runs it needs
    data: Annotated[tuple[str, ...], Field(min_length=1)]
    measure: str
    number: Number
    lies: Region

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if sum((self.quote is not None, self.says is not None, self.ours)) != 1:
            raise ValueError("expected one of quote, says and ours")
        return self

    @property
    def paper(self) -> str:
        """What the paper says, for readers."""
        if self.ours:
            return f"Not the paper's but ours, beside {self.where}."
        words = f", in our words: {self.says}" if self.quote is None else f": “{self.quote}”"
        return self.where + words


class Ledger(Section):
    """All of claims.yaml."""

    fidelity: str
    # data set -> fingerprint of the paper scale's networks
    protocol: dict[str, str] = Field(default_factory=dict)
    # data set -> fingerprint of networks of real data that are not the paper's -> what they are
    others: dict[str, dict[str, str]] = Field(default_factory=dict)
    claims: dict[Name, Claim]

    def about(self, datasets: Iterable[str]) -> Self:
        """Leave out all claims if none of the data sets is the paper's."""
        return (
            self.model_copy(update={"claims": {}}) if DATASETS.keys().isdisjoint(datasets) else self
        )


@dataclass(frozen=True)
class Judgment:
    """What the numbers say of a claim and a data set; `claims.csv` has a row of each."""

    id: str
    claim: str
    where: str
    paper: str  # what it says
    experiments: str
    table: str
    dataset: str
    measure: str
    evidence: str  # the numbers in words
    region: str
    verdict: str
    measured: str  # the verdict that the numbers alone would get
    reason: str  # why `verdict` is not plain holds or does not hold
    command: str


COLUMNS = tuple(field.name for field in fields(Judgment))


@dataclass(frozen=True)
class Limit:
    """Why a data set cannot speak for the paper's."""

    why: str
    real: bool = False  # its data and networks are known, so that it can speak to what the paper does not print


@dataclass(frozen=True)
class Finding:
    """What one number, or several together, say about a claim."""

    verdict: str
    evidence: str  # the numbers in words
    reason: str = ""  # why it decides nothing, where it does not


def read_claims() -> Ledger:
    """Read the claims that come with the package; UserError if they are missing or damaged."""
    source = files("equimodal.study.analysis").joinpath("claims.yaml")
    with as_file(source) as path, reading(path, "the claims ledger", "install equimodal"):
        return Ledger.model_validate(YAML(typ="safe").load(read_text(path)))


def tables_of(ledger: Ledger) -> list[str]:
    """Names of the tables that the claims look at, in their order."""
    return list(dict.fromkeys(claim.number.table for claim in ledger.claims.values()))


def caveats(settings: Params) -> list[str]:
    """Say what the numbers rest on that the paper does not tell, so that it is ours."""
    known = {data_name(name): dataset.caveat for name, dataset in settings.datasets.items()}
    return [
        "The learning rates of all sweeps are ours, as the paper's intervals are not known.",
        *(f"{name}: {caveat}." for name, caveat in known.items() if caveat),
    ]


def judge_claims(
    ledger: Ledger, tables: Tables, *, limits: Mapping[str, Limit], scale: str
) -> pd.DataFrame:
    """Judge every claim on each of its data sets by those tables that are there.

    `limits`: data set -> why its data cannot speak for the paper's.

    Returns:
        A row for each claim and data set, see `Judgment`. UserError if a table lacks a column that a claim names.
    """
    rows = []
    for name, claim in ledger.claims.items():
        for data in claim.data:
            found = _judge(claim, tables, data, ledger.fidelity)
            limit = limits.get(data.split()[0]) if found.verdict != NOT_RUN else None
            silent = limit is not None and (claim.printed or not limit.real)
            rows.append(
                Judgment(
                    id=name,
                    claim=claim.claim,
                    where=claim.where,
                    paper=claim.paper,
                    experiments=" ".join(claim.experiments),
                    table=claim.number.table,
                    dataset=data,
                    measure=claim.measure,
                    evidence=found.evidence,
                    region=str(claim.lies),
                    verdict=CANNOT_SAY if silent else found.verdict,
                    measured=found.verdict,
                    reason="; ".join(filter(None, [limit.why if limit else "", found.reason])),
                    command=f"equimodal claims --scale {scale} --claim {name}",
                )
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def as_markdown(judged: pd.DataFrame, notes: Iterable[str]) -> str:
    """Render the ledger for readers: a claim a heading, a data set a line of its table."""
    parts = [
        "# Claims of the paper",
        HOW,
        f"{judged['id'].nunique()} claims on {len(judged)} rows: {counted(judged)}.",
        *map(for_markdown, notes),
    ]
    for _, rows in judged.groupby("id", sort=False):
        first = rows.iloc[0]
        heading = f"{first['measure']}: has to lie {first['region']}"
        shown = pd.DataFrame(
            {
                "data": rows["dataset"].map(data_name),
                heading: rows["evidence"].replace("", "missing").str.replace("; ", "<br>"),
                "verdict": [_verdict(row) for row in rows.itertuples()],
                "why": rows["reason"],
            }
        )
        parts += [
            f"## {for_markdown(first['claim'])}",
            for_markdown(first["paper"]),
            table_for_markdown(shown),
            f"Decided by the table {first['table']}: `{first['command']}`",
        ]
    return "\n\n".join(parts) + "\n"


def counted(judged: pd.DataFrame) -> str:
    """Say how many judgments have each verdict."""
    counts = judged["verdict"].value_counts()
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items()) or NO_CLAIM


@dataclass(frozen=True)
class Told:
    """A number of the evidence, as `_decide` wrote it."""

    text: str
    label: str  # which of several numbers; empty if there is one
    value: float | None  # None where it is missing
    low: float | None
    high: float | None


def told_in(evidence: str) -> list[Told]:
    """Read the numbers that the evidence of a claim tells."""
    found = []
    for text in evidence.split("; ") if evidence else []:
        if not (match := _TOLD.fullmatch(text)):
            raise UserError(f"the evidence of a claim is {text!r}, expected a number; judge anew")
        value, low, high = (None if x is None else float(x) for x in match.group(2, 3, 4))
        found.append(Told(text, match[1] or "", value, low, high))
    return found


def data_name(data: str) -> str:
    """Name of a data set, or of a column of Table 1, for readers; `data` as in claims.yaml."""
    dataset, *more = data.split()
    if more == [BY_LABEL]:
        return f"{DATASETS.get(dataset, dataset)}, test colors by label"
    return column_name(dataset, more[0]) if more else DATASETS.get(dataset, dataset)


def _verdict(row: Any) -> str:
    alone = "" if row.measured == row.verdict else f" (the numbers alone: {row.measured})"
    return f"**{row.verdict}**{alone}"


def _judge(claim: Claim, tables: Tables, data: str, fidelity: str) -> Finding:
    """Judge all numbers together: the claim is about each of them."""
    if (name := claim.number.table) not in tables:
        return Finding(NOT_RUN, "", f"the table {name} is missing")
    try:
        found = list(_findings(claim, tables[name], data, fidelity))
    except KeyError as error:
        raise UserError(f"claims.yaml: the table {name} has no column {error.args[0]}") from None
    verdicts = {f.verdict for f in found}
    # One number that contradicts is enough; one that is missing leaves the claim open.
    mixed = FAILS if FAILS in verdicts else UNDECIDED
    verdict = mixed if len(verdicts) > 1 else found[0].verdict
    reasons = dict.fromkeys(f.reason for f in found if f.reason and verdict != FAILS)
    return Finding(verdict, "; ".join(f.evidence for f in found if f.evidence), "; ".join(reasons))


def _findings(claim: Claim, table: pd.DataFrame, data: str, fidelity: str) -> Iterator[Finding]:
    """Judge each number that the claim asks for."""
    number, (dataset, *more) = claim.number, data.split()
    end = f"_{BY_LABEL}" if more == [BY_LABEL] else ""
    about = {"dataset": dataset, "fidelity": fidelity, "start": "" if end else "".join(more)}
    about = {column: value for column, value in about.items() if value and column in table}
    less = {} if isinstance(number.less, str) else number.less
    for own, other in product(_choices(number.rows), _choices(less)):
        named = [own[c] for c in number.rows if isinstance(number.rows[c], tuple)]
        named += [other[c] for c in less if isinstance(less[c], tuple)]
        label = "".join(f"{v:g}: " if isinstance(v, float) else f"{v}: " for v in named)
        wanted = [about | own, about | own | other] if other else [about | own]
        found = [_select(table, conditions) for conditions in wanted]
        if any(len(rows) != 1 for rows in found):
            count = "several rows" if any(len(rows) > 1 for rows in found) else "no row"
            why = f"the table {number.table} has {count} of it"
            yield Finding(NOT_RUN, f"{label}missing" if label else "", why)
        else:
            yield _decide(claim, [rows.iloc[0] for rows in found], end, label)


def _decide(claim: Claim, rows: Sequence[Row], end: str, label: str) -> Finding:
    """Judge the number of one row, or of one less that of another."""
    value, low, high = reduce(difference_of, (claim.number.of(row, end) for row in rows))
    count = ", n = " + " and ".join(dict.fromkeys(map(_runs, rows)))
    if pd.isna(value):
        return Finding(NOT_RUN, f"{label}missing{count}", "there is no number for it")
    if pd.isna(low) or pd.isna(high):
        few = any(row["n"] <= 1 for row in rows)
        why = "one run has no interval" if few else "too few runs, or no spread among them"
        return Finding(UNDECIDED, f"{label}{value:.3g} [no interval]{count}", why)
    verdict = claim.lies.verdict(low, high)
    interval = "" if low == high else f" [{low:.3g}, {high:.3g}]"
    why = "the interval allows both" if verdict == UNDECIDED else ""
    return Finding(verdict, f"{label}{value:.3g}{interval}{count}", why)


def _choices(rows: Rows) -> list[dict[str, Any]]:
    """Every choice of one value a column."""
    values = [v if isinstance(v, tuple) else (v,) for v in rows.values()]
    return [dict(zip(rows, chosen, strict=True)) for chosen in product(*values)]


def _select(table: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def _runs(row: Row) -> str:
    """Say how many runs a row is made of, and of how many that were asked for."""
    gone = row.get("unfinished", 0)
    return f"{row['n']:g} of {row['n'] + gone:g}" if gone > 0 else f"{row['n']:g}"
