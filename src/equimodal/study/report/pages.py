"""Pages of Markdown whose numbers come from collected tables: each is made from a template.

A template may call the functions of `CALLED`. A condition on rows is a column of the CSV with the value that
is asked for, or with a list of them; "" stands for a missing value.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from equimodal.study import layout
from equimodal.study.analysis import TABLES
from equimodal.study.analysis.documents import for_readers
from equimodal.study.analysis.stored import read_stored
from equimodal.study.errors import UserError, in_words
from equimodal.study.estimate import with_the_code
from equimodal.study.files import is_there
from equimodal.study.markup import table_for_markdown
from equimodal.study.report.performance import performance

TEMPLATES = Path("docs/templates")
HEAD = "<!-- Made from {} by `make docs`: change the template, not this page. -->\n"


def made() -> dict[Path, str]:
    """Return each page, as its template gives it now; the README lies at the top, the others in docs.

    UserError, with a template and its line, if it asks for what there is not, or not once.
    """
    found = sorted(TEMPLATES.glob("*.md.j2"))
    if not found:
        raise UserError(f"{TEMPLATES} has no template; run `equimodal pages` in a checkout")
    return {
        Path("README.md" if t.stem == "README.md" else f"docs/{t.stem}"): page_of(t) for t in found
    }


def page_of(template: Path) -> str:
    """Return the page of one template; raises as `made`."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.globals |= CALLED
    try:
        return HEAD.format(template.as_posix()) + environment.get_template(template.name).render()
    except Exception as error:  # noqa: BLE001  a template may do whatever Jinja lets it
        line = _line(error, template)
        raise UserError(f"{template.as_posix()}, line {line}: {in_words(error)}") from None


def table(scale: str, name: str, /, show: Collection[str] = (), **where: Any) -> str:
    """Return rows of a table as Markdown: all or those chosen, with all columns or those to show.

    Columns to show are headings for readers, such as `ours`. A section that all rows are of is left out.
    """
    rows = _rows(scale, name, where)
    known = TABLES.get(name)
    if known:
        shown = for_readers(rows, best_alone=known.best_alone)
    else:
        shown = rows.astype(object).fillna("").astype(str)
    sections = [c for c in (known.sections if known else ()) if rows[c].nunique() == 1]
    _require(show, shown, layout.table(scale, name))
    shown = shown[list(show)] if show else shown.drop(columns=sections)
    return table_for_markdown(shown)


def number(scale: str, name: str, column: str, form: str, /, **where: Any) -> str:
    """Return a value of the one row that is as asked for, in a format such as `{:.2f}`."""
    rows, path = _rows(scale, name, where), layout.table(scale, name)
    _require([column], rows, path)
    if len(rows) != 1:
        raise UserError(f"{len(rows)} rows of {path} are as {where}, not one")
    if pd.isna(value := rows[column].iloc[0]):
        raise UserError(f"{path} has no {column} where {where}")
    return form.format(value)


def count(scale: str, name: str, /, **where: Any) -> int:
    """Return how many rows are as asked for, which may be none."""
    return len(_rows(scale, name, where, maybe_none=True))


def those(scale: str, name: str, column: str, condition: str, /, **where: Any) -> list[str]:
    """Return the values of a column in the rows that meet a condition, such as `accuracy > 90`; there may be none."""
    rows = _rows(scale, name, where)
    _require([column], rows, layout.table(scale, name))
    return list(dict.fromkeys(map(str, rows.query(condition)[column])))


def requires(scale: str, claim: str, dataset: str, measured: str, /) -> str:
    """Return nothing, or refuse the sentence before: the ledger has to say that the numbers alone say so."""
    found = number(scale, "claims", "measured", "{}", id=claim, dataset=dataset)
    if found != measured:
        raise UserError(
            f"the sentence needs {measured!r} of the claim {claim} on {dataset}, and the numbers say {found!r};"
            " word it anew"
        )
    return ""


CALLED = {
    "table": table,
    "number": number,
    "count": count,
    "those": those,
    "requires": requires,
    "performance": performance,
    "costs": with_the_code,
}


def _rows(
    scale: str, name: str, where: dict[str, Any], *, maybe_none: bool = False
) -> pd.DataFrame:
    path = layout.table(scale, name)
    if not is_there(path):
        raise UserError(f"{path} is missing: the scale {scale} has no table {name}")
    rows = read_stored(name, scale)
    _require(where, rows, path)
    for column, asked in where.items():
        there = rows[column].astype(object).where(rows[column].notna(), "")
        wanted = asked if isinstance(asked, list) else [asked]
        lost = [value for value in wanted if value not in set(there)]
        if lost and not maybe_none:
            raise UserError(
                f"no such row of {path} has {lost} as {column}; it is {sorted(map(str, set(there)))}"
            )
        rows = rows[there.isin(wanted)]
    return rows.reset_index(drop=True)


def _require(asked: Collection[str], of: pd.DataFrame, path: Path) -> None:
    if lost := [column for column in asked if column not in of]:
        raise UserError(f"{path} has no column {lost}; it has {list(of)}")


def _line(error: BaseException, template: Path) -> int:
    """Return the line of the template that an error comes from."""
    line, trace = getattr(error, "lineno", 1), error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(template):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
