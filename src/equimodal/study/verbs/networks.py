"""Verbs of networks: train, evaluate, cell, runs, estimate, prune."""

import csv
import fnmatch
import sys
import traceback
from functools import partial
from math import ceil
from pathlib import Path
from typing import Annotated, Any

import typer

from equimodal.study import layout, steps
from equimodal.study.cost import with_noted_cost
from equimodal.study.devices import placed, require_device
from equimodal.study.errors import UserError, in_a_sentence
from equimodal.study.expansion import expand_runs
from equimodal.study.files import require_places
from equimodal.study.locks import sole
from equimodal.study.options import Wait
from equimodal.study.params import Params
from equimodal.study.spec import RunSpec
from equimodal.study.turns import Walk, alone, in_turn, to_its_end, without_steps
from equimodal.study.verbs import one_of

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
AT_ONCE_ON_GPU = 4  # ASSUME: never measured; a small network leaves most of a GPU idle


def runs(
    settings: Params,
    experiment: Annotated[
        str | None, typer.Option(help="List the runs of this experiment only.")
    ] = None,
) -> None:
    """List the runs that a scale asks for."""
    if experiment is not None:
        one_of(experiment, settings.experiments, "experiment")
    print(*expand_runs(settings, experiment), sep="\n")
    every = expand_runs(settings.model_copy(update={"leave_out": ()}))
    for pattern in settings.leave_out:
        if not fnmatch.filter(every, pattern):
            said = f"leave_out: {pattern!r} is the name of no run of this scale"
            print(f"{said}; * stands for any text", file=sys.stderr)


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
        made = yield from steps.making(steps.training(spec, settings), work, again=again)
        scratch = layout.scratch(settings.scale)
        layout.checkpoint_in(scratch, spec.name).unlink(missing_ok=True)
        return made


def _train(
    spec: RunSpec, settings: Params, device: str, *, bar: bool = True, **how: Any
) -> Walk[str]:
    """Train one run as `walk_run` does, and print how it ended; the walk returns what it was trained on."""
    require_device(device)
    from equimodal.study.progress import show_progress
    from equimodal.study.runs.loop import Training
    from equimodal.study.runs.run import walk_run

    folder = layout.run(settings.scale, spec.name)
    cost = layout.benchmark(settings.scale, "train", spec.name)
    require_places(cost)
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
            _tell(error, spec.name)
    if failed:
        raise UserError(
            f"{failed} of these {len(specs)} runs failed, as is said above; what the others gave is kept"
        )


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
    chosen = [one_of(name, asked, "experiment") for name in experiment or asked]
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


def _tell(error: Exception, of: str) -> None:
    """Say what failed where the work goes on: in a sentence, or with all that leads to a mistake of ours."""
    if (sentence := in_a_sentence(error, of)) is None:
        traceback.print_exception(error)
    else:
        print(f"equimodal: {sentence}", file=sys.stderr)


def _specs(names: list[str], settings: Params) -> list[RunSpec]:
    specs, scale = expand_runs(settings), settings.scale
    if unknown := [name for name in names if name not in specs]:
        raise UserError(
            f"there is no run {unknown[0]!r} at scale {scale}; `equimodal runs --scale {scale}` lists the"
            f" {len(specs)} runs"
        )
    return [specs[name] for name in names]


VERBS = (train, evaluate, cell, runs, estimate, prune)
