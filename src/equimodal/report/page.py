"""One self-contained HTML page from what the other verbs left: nothing in it comes from outside."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from equimodal.analysis.claims import VERDICTS, summary
from equimodal.analysis.table1 import DATASETS, METHODS, mean_and_sd
from equimodal.report import Item

MOST_ROWS = 200  # of a table in the page
OPEN_ROWS = 40  # a longer one is folded
SIGNS = dict(zip(VERDICTS, "✓✗?–◦", strict=True))  # so that color is not all that tells


@dataclass(frozen=True)
class Table:
    """A table of the page; None with the reason where there is none."""

    item: Item
    content: pd.DataFrame | None
    missing: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of the page, as the bytes of an SVG; None with the reason where there is none."""

    item: Item
    svg: bytes | None
    missing: str = ""


@dataclass(frozen=True)
class Data:
    """A data set, as the page speaks of it."""

    name: str
    source: str
    licence: str
    stand_in: bool


@dataclass(frozen=True)
class Report:
    """All that the page tells."""

    scale: str
    note: str | None
    presets: Sequence[str]
    data: Sequence[Data]
    claims: pd.DataFrame | None  # of claims.csv
    table1: Table
    tables: Sequence[Table]
    figures: Sequence[Figure]
    runs: int  # that the experiments ask for
    failed: pd.DataFrame | None  # run, experiments and reason of every failed run
    missing: Sequence[str]  # a sentence for each thing that should be there and is not
    costs: pd.DataFrame  # of `equimodal.report.costs.costs`
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Grid:
    """A table as text: groups of rows, each with a heading or none."""

    header: Sequence[str]
    numeric: Sequence[bool]
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(len(rows) for _, rows in self.groups)


def render(report: Report) -> str:
    """Write the page. The same report gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("equimodal.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"image": as_image, "slug": _slug}
    return environment.get_template("template.html").render(
        report=report,
        style=files("equimodal.report").joinpath("style.css").read_text(),
        claims=list(_claims(report.claims)),
        summary=[] if report.claims is None else summary(report.claims),
        signs=SIGNS,
        table1=_shown(report.table1, table1_grid),
        tables=[_shown(table, as_grid) for table in report.tables],
        failed=None if report.failed is None else as_grid(report.failed),
        costs=_cost_rows(report.costs),
        open_rows=OPEN_ROWS,
    )


def as_image(svg: bytes) -> str:
    """Return an SVG as the address of an image: its identifiers meet no other figure's."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def as_grid(table: pd.DataFrame) -> Grid:
    """Write a table of numbers for readers: an interval is one column, missing is a dash."""
    shown = _joined_intervals(table.head(MOST_ROWS))
    numeric = [pd.api.types.is_numeric_dtype(table.get(c)) for c in shown]
    rows = [[_cell(x) for x in row] for row in shown.itertuples(index=False)]
    return Grid([c.replace("_", " ") for c in shown], numeric, [("", rows)])


def table1_grid(table: pd.DataFrame) -> Grid:
    """Write Table 1 for readers: published against ours, a group for each column of the paper's."""
    header = ["method", "preset", "evaluated", "ours", "runs", "published", "ours less published"]
    starts = table.get("start", pd.Series("", index=table.index))
    groups = [
        (_column_title(dataset, start), [_table1_row(row) for _, row in rows.iterrows()])
        for (dataset, start), rows in table.groupby([table["dataset"], starts], sort=False)
    ]
    return Grid([*header, "verdict"], [False, False, False, True, True, True, True, False], groups)


def _table1_row(row: Any) -> list[str]:
    best = f", {row['inputs']}" if row["method"] == "unimodal" and row["n"] else ""
    failed = row.get("failed", 0)
    return [
        METHODS.get(row["method"], row["method"]) + best,
        row["fidelity"],
        row["evaluation"].replace("_", " "),
        mean_and_sd(row["mean"], row["sd"]),
        f"{row['n']}" + (f" ({failed} failed)" if failed else ""),
        mean_and_sd(row["published_mean"], row["published_sd"]),
        _with_interval(*(row.get(f"difference{x}") for x in ("", "_low", "_high"))),
        _cell(row.get("verdict")),
    ]


def _column_title(dataset: str, start: str) -> str:
    return DATASETS.get(dataset, dataset) + (f", {start}" if start == "pretrained" else "")


def _with_interval(value: Any, low: Any, high: Any) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:+.2f}" + ("" if pd.isna(low) else f" ({low:+.2f} to {high:+.2f})")


def _joined_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Put one column of text for each pair `<name>_low`, `<name>_high`, or `low`, `high`."""
    joined = table.copy()
    for low in [c for c in table if c == "low" or str(c).endswith("_low")]:
        high = f"{low[:-3]}high"
        if high in table:
            pairs = zip(table[low], table[high], strict=True)
            texts = ["–" if pd.isna(a) else f"{_cell(a)} to {_cell(b)}" for a, b in pairs]
            joined.insert(joined.columns.get_loc(low), f"{low[:-3]}95 % interval", texts)
            joined = joined.drop(columns=[low, high])
    return joined


def _cell(x: Any) -> str:
    if isinstance(x, bool):
        return "yes" if x else "no"
    if x is None or pd.isna(x) or x == "":
        return "–"
    if isinstance(x, float):
        return f"{x:.0f}" if x.is_integer() and abs(x) < 1e6 else f"{x:.4g}"
    return str(x)


def _shown(table: Table, write: Any) -> dict[str, Any]:
    grid = None if table.content is None else write(table.content)
    total = 0 if table.content is None else len(table.content)
    return {"item": table.item, "grid": grid, "total": total, "missing": table.missing}


def _claims(judged: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    """Each claim with its judgments, a data set each."""
    if judged is None:
        return
    rows = judged.fillna("").to_dict("records")
    for _, group in groupby(rows, key=lambda row: row["id"]):
        judgments = list(group)
        yield {**judgments[0], "judgments": judgments}


def _cost_rows(costs: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "what": row.what,
            "runs": _cell(row.runs),
            "measured": _cell(row.measured),
            "cpu": duration(row.cpu_seconds),
            "wall": duration(row.wall_seconds),
            "memory": "–" if pd.isna(row.peak_memory_mb) else f"{row.peak_memory_mb:,.0f} MB",
        }
        for row in costs.itertuples()
    ]


def duration(seconds: float) -> str:
    """Write seconds in the unit that suits them."""
    if pd.isna(seconds):
        return "–"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _slug(text: str) -> str:
    return text.replace(" ", "-").replace("/", "-")
