"""The verbs that the rules of the workflow call, and some for people.

Each verb imports what it needs when it runs, so that drawing a figure does not load torch.
"""

import csv
import errno
import fnmatch
import gc
import json
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from importlib import import_module
from io import TextIOWrapper
from math import ceil
from pathlib import Path
from typing import Annotated, Any

import typer

from equimodal import __version__
from equimodal.linear import cli as linear_cli
from equimodal.linear import figures as linear
from equimodal.linear import products as linear_products
from equimodal.linear.settings import load_linear
from equimodal.study import layout, receipts, spares, steps
from equimodal.study.analysis import TABLES
from equimodal.study.cost import with_noted_cost
from equimodal.study.devices import placed, require_device
from equimodal.study.errors import STOPPED, UserError, in_words, lacks_memory
from equimodal.study.figures import FIGURES, AboutFigure
from equimodal.study.files import is_there, read_arrays, read_text, reading, write_aside, write_text
from equimodal.study.locks import sole
from equimodal.study.options import DEFAULT_PARAMS, ParamsFile, with_settings
from equimodal.study.params import Params, expand_runs, load_params
from equimodal.study.spec import RunSpec, read_specs
from equimodal.study.turns import Walk, alone, in_turn, to_its_end, without_steps

app = typer.Typer(
    help="Measure and reduce the greed of multi-modal networks.",
    epilog=(
        "Experiments are those of config/scales (table1, sweep, ...); `runs` lists their networks."
        f" Tables: {', '.join(TABLES)}. Figures: {', '.join((*FIGURES, *linear.FIGURES))}."
        " A scale has the tables and figures whose runs it asks for."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Dataset = Annotated[str, typer.Argument(help="A data set of params.yaml.")]
Raw = Annotated[str, typer.Argument(help="A data set of params.yaml, or kinetics.")]
Runs = Annotated[list[str], typer.Argument(help="Names of runs; `equimodal runs` lists them.")]
Device = Annotated[
    str,
    typer.Option(
        envvar="EQUIMODAL_DEVICE", help="cpu, cuda, cuda:1, ...; no part of a run's name."
    ),
]
Graphs = Annotated[
    bool,
    typer.Option(
        envvar="EQUIMODAL_GRAPHS",
        help="Whether a GPU runs each training step as one CUDA graph; no part of a run's name.",
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        min=0,
        envvar="EQUIMODAL_CHECKPOINT_MINUTES",
        help="Minutes between two checkpoints; more if they would take over 2 % of the time.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        envvar="EQUIMODAL_WAIT",
        help="Wait for a process that does the same work already.",
    ),
]
AT_ONCE_ON_GPU = 4  # ASSUME: never measured; a small network leaves most of a GPU idle


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Add a verb that takes the settings."""
    return app.command()(with_settings(function))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"equimodal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    directory: Annotated[
        Path | None,
        typer.Option(help="The folder of data/ and results/; the working folder if left out."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if directory is not None:
        if not directory.is_dir():
            raise UserError(f"--directory: there is no folder {directory}; make it first")
        os.chdir(directory)


@verb
def runs(
    settings: Params,
    experiment: Annotated[
        str | None, typer.Option(help="List the runs of this experiment only.")
    ] = None,
) -> None:
    """List the runs that a scale asks for."""
    if experiment is not None:
        _one_of(experiment, settings.experiments, "experiment")
    print(*expand_runs(settings, experiment), sep="\n")
    every = expand_runs(settings.model_copy(update={"leave_out": ()}))
    for pattern in settings.leave_out:
        if not fnmatch.filter(every, pattern):
            said = f"leave_out: {pattern!r} is the name of no run of this scale"
            print(f"{said}; * stands for any text", file=sys.stderr)


@verb
def prune(
    settings: Params,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
) -> None:
    """Remove results of runs that a scale does not ask for, or not with these settings.

    Runs that `leave_out` names keep their results.
    """
    from equimodal.study.prune import files_of_other_runs, remove

    wanted = expand_runs(settings.model_copy(update={"leave_out": ()}))
    others = files_of_other_runs(settings.scale, wanted)
    for name, files in others.items():
        if dry_run:
            print(f"Would remove {name}")
            continue
        lock = layout.training_lock(settings.scale, name)
        try:
            with sole(f"the training of {name}", lock):
                remove({*files, lock})
            print(f"Removed {name}")
        except UserError as error:
            print(f"Kept {name}: {error}")
    if not others:
        print("No run is left that the settings do not ask for.")


@verb
def fetch(settings: Params, dataset: Raw, wait: Wait = False) -> None:
    """Download or make the raw files of a data set, or the weights `kinetics`, and verify their checksums."""
    if dataset == "kinetics":
        source: Any = import_module("equimodal.study.data.kinetics")
        folder = layout.raw(dataset)
    else:
        source = settings.datasets[_one_of(dataset, settings.datasets, "data set")]
        folder = layout.raw(source.raw)
    with sole(f"the download to {folder}", layout.data_lock(folder), wait=wait):
        source.fetch(folder, mirror=settings.mirror)


@verb
def data_status(settings: Params) -> None:
    """Say for each data set of a scale what is there, where it comes from, on which terms, and what to do next."""
    from equimodal.study.data.status import describe

    print(f"Data of the {settings.scale} scale; mirror: {settings.mirror or 'none'}\n")
    used = {spec.dataset for spec in expand_runs(settings).values()}
    for name in (name for name in settings.datasets if name in used):
        dataset = settings.datasets[name]
        product = steps.preparation(name, settings)
        raw_files = dataset.raw_files(layout.raw(dataset.raw), mirror=settings.mirror)
        asked = product.asked() | {"code": None}
        found = receipts.objections(product.receipt, **asked)
        said = next((objection.reason for objection in found), None)
        print(describe(name, settings.scale, dataset.origin, raw_files, product.files, said), "\n")


@verb
def prepare(
    settings: Params,
    dataset: Dataset,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 1,
    wait: Wait = False,
) -> None:
    """Turn the raw files of a data set into arrays. Work that was stopped goes on."""
    chosen = settings.datasets[_one_of(dataset, settings.datasets, "data set")]
    out = layout.prepared(settings.scale, dataset)
    with sole(f"the preparation of {out}", layout.data_lock(out), wait=wait):
        of = steps.preparation(dataset, settings)
        if not spares.bring_back(of.receipt, of.files, of.scale, of.asked):
            chosen.prepare(layout.raw(chosen.raw), out, processes=processes)
            spares.lay_aside(of.receipt, of.scale)


@verb
def train(
    settings: Params,
    context: typer.Context,
    runs: Runs,
    again: Annotated[
        bool, typer.Option("--again", help="Train again what is trained already.")
    ] = False,
    device: Device = "cpu",
    graphs: Graphs = True,
    checkpoint_minutes: CheckpointMinutes = 1.0,
    wait: Wait = False,
) -> None:
    """Train runs, one after the other. Each goes on from its checkpoint if it has one.

    A run that is trained already with these settings is left as it is.
    """
    specs = _specs(runs, settings)
    device = context.with_resource(placed(device))
    how = {"graphs": graphs, "checkpoint_seconds": 60 * checkpoint_minutes}
    for dataset in {spec.dataset for spec in specs}:
        steps.require_prepared(dataset, settings)
    for spec in specs:
        if not alone(_make_network(spec, settings, device, wait=wait, again=again, **how)):
            print(f"{spec.name} is trained already; --again trains it anew", file=sys.stderr)


def _make_network(
    spec: RunSpec,
    settings: Params,
    device: str,
    *,
    wait: bool,
    again: bool = False,
    **how: Any,
) -> Walk[bool]:
    """Train a run, unless it is trained already; the walk returns whether it was trained."""
    lock = layout.training_lock(settings.scale, spec.name)
    with sole(f"the training of {spec.name}", lock, wait=wait):
        work = _train(spec, settings, device, **how)
        return (yield from steps.making(steps.training(spec, settings), work, again=again))


def _train(
    spec: RunSpec, settings: Params, device: str, *, bar: bool = True, **how: Any
) -> Walk[str]:
    """Train one run as `walk_run` does, and print how it ended; the walk returns what it was trained on."""
    require_device(device)
    from equimodal.study.progress import show_progress
    from equimodal.study.runs.loop import Training
    from equimodal.study.runs.run import walk_run

    folder = layout.run(settings.scale, spec.name)
    with show_progress(f"{spec.name}, epochs", spec.training.max_epochs, bar=bar) as advance:

        def report(training: Training) -> None:
            rows, batch = training.progress.rows, training.progress.batch
            accuracy = f"test accuracy {100 * rows[-1]['test_accuracy']:.1f} %" if rows else ""
            batches = ceil(len(training.splits["train"]) / training.spec.training.batch_size)
            advance(len(rows) + batch / batches, accuracy)

        walk = walk_run(
            spec,
            data=layout.prepared(settings.scale, spec.dataset),
            out=folder,
            model=layout.model(settings.scale, spec.name),
            scratch=layout.scratch(settings.scale),
            device=device,
            report=report,
            **how,
        )
        cost = layout.benchmark(settings.scale, "train", spec.name)
        outcome = yield from with_noted_cost(walk, cost)
    print(f"{spec.name}: {_how_it_ended(outcome, folder)}", file=sys.stderr)
    return str(outcome["trained_on"])


def _how_it_ended(outcome: dict[str, Any], folder: Path) -> str:
    if outcome["status"] == "failed":
        return f"failed: {outcome['reason']}"
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        accuracy = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    best = outcome["best_epoch"]
    return (
        f"{outcome['epochs']} epochs, {outcome['steps']} steps; in the best epoch, {best}, test accuracy"
        f" {100 * accuracy[best - 1]:.2f} %"
    )


@verb
def evaluate(settings: Params, runs: Runs, device: Device = "cpu") -> None:
    """Write the logit banks of trained runs, and print their test accuracies."""
    specs = _specs(runs, settings)
    for spec in specs:
        steps.require_trained(spec, settings)
    for spec in specs:
        answers = [f"{way} {said}" for way, said in _make_bank(spec, settings, device).items()]
        print(f"{spec.name}: test accuracy {', '.join(answers) or 'of nothing: it failed'}")


def _make_bank(spec: RunSpec, settings: Params, device: str) -> dict[str, str]:
    """Write the logit bank of a run, unless it is there; return the accuracy of each way of evaluating."""
    from equimodal.study.analysis.collect import accuracies

    steps.make(steps.evaluation(spec, settings), lambda: _evaluate(spec, settings, device))
    names = {m: m for m in spec.modalities}
    found = accuracies(layout.bank(settings.scale, spec.name), names)
    fused = {way: a for (way, output), a in found.items() if output == "fused"}
    return {way.replace("_", " "): f"{100 * a:.2f} %" for way, a in fused.items()}


def _evaluate(spec: RunSpec, settings: Params, device: str) -> None:
    """Write the logit bank of a run."""
    require_device(device)
    from equimodal.study.runs.logit_bank import evaluate_run

    scale, name = settings.scale, spec.name
    work = partial(
        evaluate_run,
        layout.run(scale, name),
        model=layout.model(scale, name),
        data=layout.prepared(scale, spec.dataset),
        out=layout.bank(scale, name),
        by_label=settings.datasets[spec.dataset].by_label,
        device=device,
    )
    to_its_end(with_noted_cost(without_steps(work), layout.benchmark(scale, "evaluate", name)))


@verb
def cell(
    settings: Params,
    context: typer.Context,
    runs: Runs,
    device: Device = "cpu",
    graphs: Graphs = True,
    checkpoint_minutes: CheckpointMinutes = 1.0,
    wait: Wait = False,
    side_by_side: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="EQUIMODAL_SIDE_BY_SIDE",
            help="How many runs train at a time, each a step in turn; no part of a run's name."
            f" [default: {AT_ONCE_ON_GPU} on a GPU, else 1]",
        ),
    ] = None,
) -> None:
    """Train and evaluate runs, as a job of the workflow does. If one fails, the others go on.

    A run that is trained or evaluated already with these settings is left as it is.
    """
    specs = _specs(runs, settings)
    device = context.with_resource(placed(device))
    at_once = side_by_side or (AT_ONCE_ON_GPU if device.startswith("cuda") else 1)
    how: dict[str, Any] = {"graphs": graphs, "checkpoint_seconds": 60 * checkpoint_minutes}
    how["bar"] = at_once == 1  # only one can be shown

    failed = 0
    networks = (_make_network(spec, settings, device, wait=wait, **how) for spec in specs)
    for number, trained in in_turn(networks, at_once=at_once):
        spec = specs[number]
        try:
            if isinstance(trained, Exception):
                raise trained
            accuracy = _make_bank(spec, settings, device).get("regular", "none: it failed")
            done = "Trained" if trained else "Kept"
            print(f"{done} {spec.name}: test accuracy {accuracy}", flush=True)
        except Exception as error:  # noqa: BLE001  of one run: the log says it all
            failed += 1
            _told(error, spec.name)
    if failed:
        raise UserError(
            f"{failed} of these {len(specs)} runs failed, as is said above; what the others gave is kept"
        )


@verb
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
            steps.require_prepared(
                _one_of(name, settings.datasets, "data set"), settings, deep=deep
            )
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


@verb
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


@verb
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
    chosen = [_one_of(name, TABLES, "table") for name in names or TABLES]
    read = _reader(settings)  # a table that others need is made before them

    def make(name: str) -> None:
        product = steps.table(name, settings)
        if name not in of_scale:
            why = f"table {name}: the settings of this scale ask for no run of it"
            _withdraw(product, why if names else "")
            return
        made = _built(name, read, settings)
        notes = [*filter(None, [notice(settings)])]
        notes += notes_on(name, made, read("runs"), settings.datasets)
        for suffix, text in render(name, made, notes, settings.analysis).items():
            write_text(text, layout.table(settings.scale, name).with_suffix(suffix))
        steps.sign(product)

    _each(chosen, make)


@verb
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
    chosen = [_one_of(name, every, "figure") for name in names or _figures_of(settings)]
    if of_runs:
        decided = {*layout.COLLECTED, *TABLES}
        chosen = [name for name in chosen if set(every[name].inputs) <= decided]
    read = _reader(settings)
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


@verb
def estimate(
    settings: Params,
    experiment: Annotated[
        list[str] | None, typer.Option(help="Only this experiment; may be given several times.")
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            help="First time a few training steps of each kind of network on this machine."
        ),
    ] = False,
    device: Device = "cpu",
) -> None:
    """Say what experiments will cost at most, in hours, memory and disk, and how that is known."""
    from equimodal.study import estimate as analysis
    from equimodal.study import paces as known

    asked = settings.experiments
    chosen = [_one_of(name, asked, "experiment") for name in experiment or asked]
    specs = {name: spec for e in chosen for name, spec in expand_runs(settings, e).items()}
    if not specs:
        why = "they list none, or leave_out names all"
        print(f"The {settings.scale} scale asks for no run of {', '.join(chosen)}: {why}.")
        return
    kinds = {known.kind_of(spec, settings): spec for spec in specs.values()}
    paces = known.paces_known(device) | analysis.paces_from_benchmarks(settings)
    from equimodal.study.runs import pace

    if measure:
        require_device(device)
        for kind, found in pace.measure(kinds, settings, device):
            paces[kind] = found
            known.keep({kind: found}, device)
    sizes = {kind: pace.size_of(spec) for kind, spec in kinds.items()}
    print(f"\nThe {settings.scale} scale: {len(specs)} runs, {len(kinds)} kinds of network.\n")
    print(analysis.as_text(analysis.estimate(settings, chosen, paces, sizes)), "\n")
    print(analysis.HOW, "\n")
    print(*analysis.explain(settings, chosen, paces), sep="\n")


@verb
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
        chosen = {claim: ledger.claims[_one_of(claim, ledger.claims, "claim")]}
        ledger = ledger.model_copy(update={"claims": chosen})
    read = _reader(settings)
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


@verb
def summarize(settings: Params) -> None:
    """Write key numbers and learning curves for `dvc metrics` and `dvc plots`."""
    from equimodal.study.analysis import SUMMARIZED, summary
    from equimodal.study.table_files import write_table

    read = _reader(settings)
    tables = {name: read(name) for name in SUMMARIZED}
    numbers = summary.key_numbers(tables["table1"], tables["greediness"], tables["prediction"])
    write_text(json.dumps(numbers, indent=2) + "\n", layout.metrics(settings.scale))
    curves = summary.learning_curves(tables["runs"], tables["histories"])
    for dataset, curve in curves.items():
        write_table(curve, layout.curves(settings.scale, dataset))
    steps.sign(steps.summary(settings))


@verb
def report(settings: Params) -> None:
    """Write the report of a scale: claims, tables, figures and costs. Status 1 if anything is missing."""
    from equimodal.study.report.page import as_html
    from equimodal.study.report.sources import gather

    tables = steps.made_at(TABLES, settings)
    content = gather(settings, tables=tables, figures=_figures_of(settings))
    write_text(as_html(content), layout.report(settings.scale))
    for sentence in content.missing:
        print(f"equimodal: {sentence}", file=sys.stderr)
    if content.missing:
        raise typer.Exit(1)


@app.command()
def findings(params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Write results/findings.html: which claims of the paper hold, at all scales with collected runs on real data."""
    from equimodal.study.report.findings import as_html, collected_scales, read_scale
    from equimodal.study.report.sources import read_figure

    scales = []
    for settings in collected_scales(params).values():
        figures = _figures_of(settings).items()
        drawn = [read_figure(name, about, settings.scale) for name, about in figures]
        scales.append(read_scale(settings, drawn))
    write_text(as_html([scale for scale in scales if len(scale.runs)]), layout.findings())
    print(f"Wrote {layout.findings()}")


@app.command()
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


@verb
def show(settings: Params) -> None:
    """Print Table 1, the verdicts on the claims, and where the results are. Status 1 if any are missing."""
    from equimodal.study.analysis.claims import counted
    from equimodal.study.analysis.collect import failures
    from equimodal.study.analysis.names import stand_ins
    from equimodal.study.report.sources import gaps
    from equimodal.study.report.terminal import as_text

    read = _reader(settings)
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


linear_cli.add_to(app)


def main() -> None:
    """Run the verb that the command line names; what a user or the machine did wrong is one message, status 2.

    One that SIGTERM stops has status 75: it goes on when it is called again.
    On one thread, as the workflow does: networks as small as these train several times slower with more
    beside one another, and to other last digits. Who sets OMP_NUM_THREADS has that many.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a verb imports what reads it
    signal.signal(signal.SIGTERM, _stopped)  # a training under way saves first, see `in_turn`
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Whatever the locale, and whatever bytes a file's name has.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app(prog_name="equimodal")
    except Exception as error:
        if (sentence := _in_a_sentence(error)) is None:
            raise
        sys.exit(_said(sentence))


def _stopped(*_: object) -> None:
    _said("stopped by SIGTERM, as clusters send it at a time limit; the same command goes on")
    sys.exit(STOPPED)


def _said(sentence: str) -> int:
    print(f"equimodal: {sentence}", file=sys.stderr)
    return 2


def _told(error: Exception, of: str) -> None:
    """Say what failed of a run where the work goes on: in a sentence, or with all that leads to a mistake of ours."""
    if (sentence := _in_a_sentence(error, of)) is None:
        traceback.print_exception(error)
    else:
        _said(sentence)


def _in_a_sentence(error: Exception, of: str = "a file or a setting") -> str | None:
    """What a user or the machine did wrong; None of a mistake of ours."""
    if isinstance(error, UserError):
        return str(error)
    remedy = "see that it is what it should be"
    if lacks_memory(error):
        remedy = "take a smaller network or batch, or fewer runs side by side"
    elif not isinstance(error, OSError | RecursionError | UnicodeError):
        return None
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "make room on its disk"
    file = getattr(error, "filename", None) or of
    return f"{file} can not be used: {in_words(error)}; {remedy}"


def _specs(names: list[str], settings: Params) -> list[RunSpec]:
    specs, scale = expand_runs(settings), settings.scale
    if unknown := [name for name in names if name not in specs]:
        raise UserError(
            f"there is no run {unknown[0]!r} at scale {scale}; `equimodal runs --scale {scale}` lists the"
            f" {len(specs)} runs"
        )
    return [specs[name] for name in names]


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


def _one_of(name: str, known: Any, what: str) -> str:
    if name not in known:
        raise UserError(f"there is no {what} {name!r}; there are {sorted(known)}")
    return name


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


def _figures_of(settings: Params) -> dict[str, AboutFigure]:
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


def _reader(settings: Params) -> Callable[[str], Any]:
    """Return what reads a table by its name, once. One that the scale asks no run for is built: it has no row."""
    from equimodal.study.analysis import GIVEN
    from equimodal.study.analysis.stored import read_published, read_stored

    without_runs = {*TABLES} - {*steps.made_at(TABLES, settings)}

    @cache
    def read(name: str) -> Any:
        if name in GIVEN:
            return read_published(name)
        if name in without_runs:
            return _built(name, read, settings)
        if name == "runs":
            _require_of_settings(settings)
        return read_stored(name, settings.scale)

    return read


def _built(name: str, read: Callable[[str], Any], settings: Params) -> Any:
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
