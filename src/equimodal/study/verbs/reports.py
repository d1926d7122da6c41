"""Verbs that tell and check: report, findings, pages, show, verify."""

import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from equimodal.linear import products as linear_products
from equimodal.linear.settings import load_linear
from equimodal.study import layout, steps
from equimodal.study.analysis import TABLES
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.files import is_there, read_text, reading, write_text
from equimodal.study.options import DEFAULT_PARAMS, ParamsFile
from equimodal.study.params import Params
from equimodal.study.verbs import one_of
from equimodal.study.verbs.products import figures_of, reader


def report(settings: Params) -> None:
    """Write the report of a scale: claims, tables, figures and costs. Status 1 if anything is missing."""
    from equimodal.study.report.page import as_html
    from equimodal.study.report.sources import gather

    tables = steps.made_at(TABLES, settings)
    content = gather(settings, tables=tables, figures=figures_of(settings))
    write_text(as_html(content), layout.report(settings.scale))
    for sentence in content.missing:
        print(f"equimodal: {sentence}", file=sys.stderr)
    if content.missing:
        raise typer.Exit(1)


def findings(params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Write results/findings.html: which claims of the paper hold, at all scales with collected runs on real data."""
    from equimodal.study.report.findings import as_html, collected_scales, read_scale
    from equimodal.study.report.sources import read_figure

    scales = []
    for settings in collected_scales(params).values():
        figures = figures_of(settings).items()
        drawn = [read_figure(name, about, settings.scale) for name, about in figures]
        scales.append(read_scale(settings, drawn))
    write_text(as_html([scale for scale in scales if len(scale.runs)]), layout.findings())
    print(f"Wrote {layout.findings()}")


def pages(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; only say which pages are stale.")
    ] = False,
) -> None:
    """Write README.md and the pages of docs that hold numbers of tables. Status 1 if --check finds a stale one."""
    from equimodal.study.report.pages import made

    stale = []
    for page, text in made().items():
        with reading(page, "a page", "remove it, and run `make docs`"):
            if is_there(page) and read_text(page) == text:
                continue
        stale.append(page)
        if check:
            print(f"equimodal: {page} is stale; run `make docs` and commit it", file=sys.stderr)
        else:
            write_text(text, page)
            print(f"Wrote {page}")
    if check and stale:
        raise typer.Exit(1)


def show(settings: Params) -> None:
    """Print Table 1, the verdicts on the claims, and where the results are. Status 1 if any are missing."""
    from equimodal.study.analysis.claims import counted
    from equimodal.study.analysis.collect import failures
    from equimodal.study.analysis.names import stand_ins
    from equimodal.study.report.sources import gaps
    from equimodal.study.report.terminal import as_text

    read = reader(settings)
    if "table1" in steps.made_at(TABLES, settings):
        shown = as_text(read("table1"), stand_ins(settings))
        table1 = f"Table 1, {settings.scale} scale. {shown}"
    else:
        table1 = f"The {settings.scale} scale asks for no run of Table 1."
    verdicts = counted(read("claims"))
    print(f"{table1}\n")
    print(textwrap.fill(f"Claims:    {verdicts}", 79, subsequent_indent=" " * 11))
    print("Tables:   ", layout.tables(settings.scale))
    if is_there(layout.figures(settings.scale)):
        print("Figures:  ", layout.figures(settings.scale))
    if is_there(layout.findings()):
        print("Real data:", layout.findings())
    if is_there(layout.report(settings.scale)):
        print("Report:   ", layout.report(settings.scale))
    runs = read("runs")
    asked = {e: list(expand_runs(settings, e)) for e in settings.experiments}
    missing = list(gaps(asked, runs))
    for sentence in (*failures(runs), *missing):
        print(sentence, file=sys.stderr)
    if missing:
        raise typer.Exit(1)


def verify(
    settings: Params,
    params: Path,
    datasets: Annotated[
        list[str] | None, typer.Argument(help="Check only the prepared arrays of these data sets.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Hash every file, whatever its size and time say.")
    ] = False,
) -> None:
    """Check data, networks, logit banks, tables and figures. Status 1 if any is not as it should be.

    Of raw files, those are checked that `fetch` brought or that have a published checksum. What was never made is
    counted, but is not wrong. A product that only differs in the code that made it is outdated, but not wrong: the
    workflow makes it again when it runs.
    """
    if datasets:
        for name in datasets:
            steps.require_prepared(one_of(name, settings.datasets, "data set"), settings, deep=deep)
        print(f"{', '.join(datasets)}: all arrays are as they should be")
        return
    wrong = outdated = never = whole = 0
    used = dict.fromkeys(spec.dataset for spec in expand_runs(settings).values())
    raw = {settings.datasets[name].raw: settings.datasets[name] for name in used}
    for name, dataset in raw.items():
        folder = layout.raw(name)
        try:
            if not any(p.exists() for p in dataset.raw_files(folder, mirror=settings.mirror)):
                never += 1
            else:
                whole += dataset.require_unaltered(folder, deep=deep)
        except UserError as error:
            print(error)
            wrong += 1
    linear = linear_products.products(load_linear(settings, params), settings)
    products = {product.receipt: product for product in (*steps.products(settings), *linear)}
    for product in products.values():
        if not product.is_there:
            never += 1
            continue
        found = list(product.objections(deep=deep))
        serious = [o for o in found if o.what != "code"]
        for objection in serious or found:
            what = "outdated" if objection.what == "code" else objection.what
            remedy = "" if objection.tells_remedy else f"; {product.remedy}"
            print(f"{objection.file}: {what}: {objection.reason}{remedy}")
        wrong += bool(serious)
        outdated += bool(found) and not serious
        whole += not found
    print(f"{whole} as they should be, {outdated} of other code, {wrong} wrong, {never} never made")
    if wrong:
        raise typer.Exit(1)


VERBS = (report, findings, pages, show, verify)
