"""One self-contained HTML page from what the other verbs left: nothing in it comes from outside."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from equimodal.study.analysis import AboutTable
from equimodal.study.analysis.claims import HOW, VERDICTS, data_name
from equimodal.study.analysis.documents import for_readers
from equimodal.study.analysis.names import EVERY, column_name
from equimodal.study.data.dataset import Dataset
from equimodal.study.figures import AboutFigure

MOST_ROWS = 200  # of a table in the page
OPEN_ROWS = 40  # a longer one is folded
DEPENDS = "depends"  # it holds at one scale or on one data set, and not at another
# So that color is not all that tells.
SIGNS = dict(zip((*VERDICTS, DEPENDS), "✓✗?–◦±", strict=True))


@dataclass(frozen=True)
class Shown:
    """A table, or a figure as the bytes of an SVG; None with the reason where there is none."""

    name: str  # of its file, without folder and suffix
    about: AboutTable | AboutFigure
    command: str  # that makes it
    content: Any
    missing: str = ""

    @property
    def grid(self) -> "TextTable | None":
        """A table as text."""
        if self.content is None or isinstance(self.about, AboutFigure):
            return None
        return as_grid(self.content, self.about.sections, best_alone=self.about.best_alone)


@dataclass(frozen=True)
class Report:
    """All that the page tells."""

    scale: str
    note: str | None
    caveats: Sequence[str]  # of all numbers
    presets: Sequence[str]
    data: Mapping[str, Dataset]
    claims: pd.DataFrame | None  # of claims.csv
    tables: Sequence[Shown]
    figures: Sequence[Shown]
    runs: int  # that the experiments ask for
    failed: pd.DataFrame | None  # run, experiments, status and reason of those that did not finish
    missing: Sequence[str]  # a sentence for each thing that should be there and is not
    costs: pd.DataFrame  # of `equimodal.study.report.costs.costs`
    versions: Mapping[str, str]


@dataclass(frozen=True)
class TextTable:
    """A table as text: groups of rows, each with a heading or none."""

    header: Sequence[str]
    numeric: Sequence[bool]
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(len(rows) for _, rows in self.groups)


def as_html(report: Report) -> str:
    """Write the page. The same report gives the same bytes."""
    claims = list(_claims(report.claims))
    data = dict.fromkeys(column for claim in claims for column in claim["by_column"])
    return render(
        "template.html",
        report=report,
        claims=claims,
        overview=sorted(data, key=lambda column: column == EVERY),  # all of them together come last
        failed=None if report.failed is None else as_grid(report.failed),
        costs=list(report.costs.itertuples()),
        open_rows=OPEN_ROWS,
    )


def render(template: str, **context: Any) -> str:
    """Fill in a template of this folder, with its style and with what both pages share."""
    environment = Environment(
        loader=PackageLoader("equimodal.study.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    filters: dict[str, Callable[..., Any]] = {
        # Identifiers in an image meet no other figure's.
        "image": lambda svg: f"data:image/svg+xml;base64,{b64encode(svg).decode()}",
        "slug": lambda text: text.replace(" ", "-").replace("/", "-"),
        "data_name": data_name,
        "first_word": lambda text: text.split()[0],
        "twice": lambda text: (text, text),
        "duration": duration,
        "number": lambda x, form="{}": "–" if pd.isna(x) else form.format(x),
    }
    environment.filters |= filters
    style = files("equimodal.study.report").joinpath("style.css").read_text(encoding="utf-8")
    shared = {"how": HOW.replace("`", ""), "signs": SIGNS, "style": style}
    return environment.get_template(template).render(**shared, **context)


def as_grid(
    table: pd.DataFrame, sections: Sequence[str] = (), *, best_alone: bool = False
) -> TextTable:
    """Write a table for readers, in groups of rows that agree in the columns `sections`.

    An estimate stands in one cell with its interval and verdict, in lines below it: tables are wide.
    """
    head = table.head(MOST_ROWS)
    sections = sections if set(sections) <= set(table) else ()  # a table of another version
    shown = for_readers(head, best_alone=best_alone)
    shown = shown.set_index(head.index).drop(columns=list(sections))
    shown = shown.map(lambda cell: cell.replace(" [", "\n[").replace("]: ", "]\n"))
    numeric = [any(re.match(r"[+-]?\d", cell) for cell in shown[c]) for c in shown]
    groups: list[tuple[str, list[list[str]]]] = [("", shown.to_numpy().tolist())]
    if sections and len(head):
        by = head.groupby(list(sections), sort=False)
        groups = [(column_name(*s), shown.loc[g.index].to_numpy().tolist()) for s, g in by]
    return TextTable(list(map(str, shown)), numeric, groups)


def _claims(judged: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    """Each claim with its judgments, a data set each."""
    rows = [] if judged is None else judged.fillna("").to_dict("records")
    for _, group in groupby(rows, key=lambda row: row["id"]):
        judgments = list(group)
        # In the overview, training from scratch is the usual start.
        by_column = {j["dataset"].removesuffix(" scratch"): j for j in judgments}
        yield {**judgments[0], "judgments": judgments, "by_column": by_column}


def duration(seconds: float) -> str:
    """Write seconds in the unit that suits them."""
    if pd.isna(seconds):
        return "–"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"
