"""Verbs of what is made of the runs: collect, table, claims, draw, summarize."""

import gc
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from equimodal.linear import cli as linear_cli
from equimodal.linear import figures as linear
from equimodal.linear.settings import load_linear
from equimodal.study import layout, receipts, steps
from equimodal.study.analysis import TABLES
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.figures import FIGURES, AboutFigure
from equimodal.study.files import read_arrays, reading, write_aside, write_text
from equimodal.study.params import Params, load_params
from equimodal.study.spec import read_specs
from equimodal.study.verbs import one_of


def collect(
    settings: Params,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep the rows of runs that are not here, if their settings are those of now.",
        ),
    ] = False,
) -> None:
    """Collect all runs in tables: runs.csv, evaluations.csv, histories.csv.gz and steps.csv.gz.

    The spec of each run that has results goes into specs.jsonl.
    """
    from equimodal.study.analysis import collect as analysis
    from equimodal.study.analysis import stored
    from equimodal.study.table_files import as_bytes

    specs = expand_runs(settings)
    written = layout.specs(settings.scale)
    folders, banks = (
        {name: place(settings.scale, name) for name in specs} for place in (layout.run, layout.bank)
    )
    asked = {e: set(expand_runs(settings, e)) for e in settings.experiments}
    product, earlier = steps.collected(settings), None
    if keep:
        without = "collect without --keep"
        receipts.require(product.receipt, without, **product.asked())
        before = {name: stored.read_stored(name, settings.scale) for name in layout.COLLECTED}
        earlier = analysis.Earlier(before, read_specs(written, without))
    check = partial(steps.require_whole, params=settings)
    tables = analysis.collect(specs, folders, banks, check, asked, earlier)
    runs = tables["runs"]
    read = runs.loc[runs["status"] != "missing", "run"]
    lines = [specs[name].model_dump_json() + "\n" for name in read]
    # Renamed at its end, one right after the other, so that a kill before changes none.
    with ExitStack() as together:
        asides = {path: together.enter_context(write_aside(path)) for path in product.files}
        for name, table in tables.items():
            path = layout.table(settings.scale, name)
            asides[path].write_bytes(as_bytes(table, path))
        asides[written].write_text("".join(lines), encoding="utf-8")
        steps.sign(product, asides)
    for sentence in analysis.failures(runs):
        print(sentence, file=sys.stderr)


def table(
    settings: Params,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of tables; all tables of the scale if left out."),
    ] = None,
) -> None:
    """Build tables as CSV, Markdown and LaTeX, with published numbers beside ours. If one fails, the others are built."""
    from equimodal.study.analysis.documents import notes_on, render
    from equimodal.study.analysis.names import notice

    of_scale = steps.made_at(TABLES, settings)
    chosen = [one_of(name, TABLES, "table") for name in names or TABLES]
    read = reader(settings)  # a table that others need is made before them

    def make(name: str) -> None:
        product = steps.table(name, settings)
        if name not in of_scale:
            why = f"table {name}: the settings of this scale ask for no run of it"
            _withdraw(product, why if names else "")
            return
        made = built(name, read, settings)
        notes = [*filter(None, [notice(settings)])]
        notes += notes_on(name, made, read("runs"), settings.datasets)
        for suffix, text in render(name, made, notes, settings.analysis).items():
            write_text(text, layout.table(settings.scale, name).with_suffix(suffix))
        steps.sign(product)

    _each(chosen, make)


def draw(
    settings: Params,
    params: Path,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of figures; all figures of the scale if left out."),
    ] = None,
    of_runs: Annotated[
        bool,
        typer.Option(
            "--of-runs", help="Draw only those that need nothing but the collected tables."
        ),
    ] = False,
) -> None:
    """Draw the figures for which a scale has data, as SVG, PNG and PDF. If one fails, the others are drawn."""
    from equimodal.study.analysis.names import notice, stand_ins
    from equimodal.study.figures.parts import NothingToShow, as_drawn, saying
    from equimodal.study.figures.style import save

    every = FIGURES | linear.FIGURES
    chosen = [one_of(name, every, "figure") for name in names or figures_of(settings)]
    if of_runs:
        decided = {*layout.COLLECTED, *TABLES}
        chosen = [name for name in chosen if set(every[name].inputs) <= decided]
    read = reader(settings)
    shown = cache(lambda name: as_drawn(read(name), stand_ins(settings)))
    # A figure is a hundred thousand small objects, and most live until it is saved.
    gc.set_threshold(50_000, 20, 20)

    def make(name: str) -> None:
        if name in linear.FIGURES:
            linear_cli.draw_linear(name, settings, load_linear(settings, params))
            return
        about = FIGURES[name]
        product = steps.figure(name, about.inputs, settings)
        inputs = {i: _examples(settings) if i == "examples" else shown(i) for i in about.inputs}
        try:
            drawn = import_module(f"equimodal.study.figures.{name}").draw(**inputs)
        except NothingToShow as nothing:
            if of_runs or not _has_runs(about, read("runs")):
                _withdraw(product, f"figure {name}: {nothing}")
                return
            drawn = saying(str(nothing))  # the report asks for it, as the scale does for its runs
        save(drawn, layout.figures(settings.scale) / name, notice(settings), stand_ins(settings))
        steps.sign(product)

    _each(chosen, make)


def claims(
    settings: Params,
    params: Path,
    claim: Annotated[
        str | None, typer.Option(help="Only print what decides on this claim.")
    ] = None,
) -> None:
    """Judge the paper's claims by our tables. Writes claims.csv and claims.md."""
    from equimodal.study.analysis import claims as analysis
    from equimodal.study.analysis.names import notice
    from equimodal.study.analysis.protocol import limits
    from equimodal.study.table_files import write_table

    _require_of_settings(settings)
    ledger = analysis.read_claims()
    # By the networks of all claims.
    why_not = limits(settings, load_params(params, "paper"), ledger)
    ledger = ledger.about(spec.dataset for spec in expand_runs(settings).values())
    if claim is not None:
        chosen = {claim: ledger.claims[one_of(claim, ledger.claims, "claim")]}
        ledger = ledger.model_copy(update={"claims": chosen})
    read = reader(settings)
    tables = {name: read(name) for name in analysis.tables_of(ledger)}
    judged = analysis.judge_claims(ledger, tables, limits=why_not, scale=settings.scale)
    notes = [*filter(None, [notice(settings)])]
    notes += analysis.caveats(settings) if len(judged) else []
    if claim is not None:
        print(analysis.as_markdown(judged, notes))
        return
    written = layout.table(settings.scale, "claims")
    write_table(judged, written)
    write_text(analysis.as_markdown(judged, notes), written.with_suffix(".md"))
    steps.sign(steps.claims(settings))


def summarize(settings: Params) -> None:
    """Write key numbers and learning curves for `dvc metrics` and `dvc plots`."""
    from equimodal.study.analysis import SUMMARIZED, summary
    from equimodal.study.table_files import write_table

    read = reader(settings)
    tables = {name: read(name) for name in SUMMARIZED}
    numbers = summary.key_numbers(tables["table1"], tables["greediness"], tables["prediction"])
    write_text(json.dumps(numbers, indent=2) + "\n", layout.metrics(settings.scale))
    curves = summary.learning_curves(tables["runs"], tables["histories"])
    for dataset, curve in curves.items():
        write_table(curve, layout.curves(settings.scale, dataset))
    steps.sign(steps.summary(settings))


def _each(names: list[str], make: Callable[[str], None]) -> None:
    """Make one product after the other. One that fails takes down no other; then the first error is raised."""
    failed: list[Exception] = []
    for name in names:
        try:
            make(name)
        except Exception as error:  # noqa: BLE001  it is raised below
            failed.append(error)
    if failed:
        raise failed[0]


def _withdraw(product: steps.Product, why: str) -> None:
    """Remove what was shown before, and say why there is nothing to show, unless that is to be expected."""
    for path in (*product.files, product.receipt):
        path.unlink(missing_ok=True)
    if why:
        print(f"equimodal: no {why}", file=sys.stderr)


def _has_runs(about: Any, runs: Any) -> bool:
    """Whether runs that a figure shows have finished or failed."""
    from equimodal.study.analysis.collect import of_experiment
    from equimodal.study.figures.parts import tried

    of_figure = tried(runs[runs["dataset"].isin(about.datasets)] if about.datasets else runs)
    return any(len(of_experiment(of_figure, experiment)) for experiment in about.experiments)


def figures_of(settings: Params) -> dict[str, AboutFigure]:
    """Figures of both papers that a scale asks for."""
    return steps.made_at(FIGURES, settings) | linear.figures_of(settings)


def _examples(settings: Params) -> dict[str, Any]:
    """Images of the data sets that runs use and that may be shown: data set -> arrays."""
    examples = {}
    used = {spec.dataset for spec in expand_runs(settings).values()}
    for dataset in sorted(d for d in used if settings.datasets[d].has_examples):
        path = layout.prepared(settings.scale, dataset) / "examples.npz"
        remedy = steps.preparation(dataset, settings).remedy
        with reading(path, "examples of a data set", remedy):
            examples[dataset] = read_arrays(path)
    return examples


def reader(settings: Params) -> Callable[[str], Any]:
    """Return what reads a table by its name, once. One that the scale asks no run for is built: it has no row."""
    from equimodal.study.analysis import GIVEN
    from equimodal.study.analysis.stored import read_published, read_stored

    without_runs = {*TABLES} - {*steps.made_at(TABLES, settings)}

    @cache
    def read(name: str) -> Any:
        if name in GIVEN:
            return read_published(name)
        if name in without_runs:
            return built(name, read, settings)
        if name == "runs":
            _require_of_settings(settings)
        return read_stored(name, settings.scale)

    return read


def built(name: str, read: Callable[[str], Any], settings: Params) -> Any:
    """Build a table of those that it is made of; `read` gives them by their names."""
    build, about = import_module(f"equimodal.study.analysis.{name}").build, TABLES[name]
    inputs = {i: read(i) for i in about.inputs}
    if about.datasets and "runs" in inputs:
        inputs["runs"] = inputs["runs"][inputs["runs"]["dataset"].isin(about.datasets)]
    return build(**inputs, settings=settings.analysis)


def _require_of_settings(settings: Params) -> None:
    """Check that the collected runs have the settings of now: their names do not tell all of them."""
    path, remedy = layout.specs(settings.scale), f"run `equimodal collect --scale {settings.scale}`"
    if (receipt := layout.table_receipt(settings.scale, "runs")).exists():
        receipts.require(receipt, f"{remedy} again", among=[path.name])
    asked = expand_runs(settings.model_copy(update={"leave_out": ()}))
    for name, spec in (read_specs(path, remedy) if path.exists() else {}).items():
        if asked.get(name, spec) != spec:
            raise UserError(f"{path} has {name} with other settings than now; {remedy} again")


VERBS = (collect, table, claims, draw, summarize)
