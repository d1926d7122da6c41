"""Verbs of data: fetch, prepare, data-status."""

from importlib import import_module
from typing import Annotated, Any

import typer

from equimodal.study import layout, receipts, spares, steps
from equimodal.study.expansion import expand_runs
from equimodal.study.locks import sole
from equimodal.study.options import Wait
from equimodal.study.params import Params
from equimodal.study.verbs import one_of

Dataset = Annotated[str, typer.Argument(help="A data set of params.yaml.")]
Raw = Annotated[str, typer.Argument(help="A data set of params.yaml, or kinetics.")]


def fetch(settings: Params, dataset: Raw, wait: Wait = False) -> None:
    """Download or make the raw files of a data set, or the weights `kinetics`, and verify their checksums."""
    if dataset == "kinetics":
        source: Any = import_module("equimodal.study.data.kinetics")
        folder = layout.raw(dataset)
    else:
        source = settings.datasets[one_of(dataset, settings.datasets, "data set")]
        folder = layout.raw(source.raw)
    with sole(f"the download to {folder}", layout.data_lock(folder), wait=wait):
        source.fetch(folder, mirror=settings.mirror)


def prepare(
    settings: Params,
    dataset: Dataset,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 1,
    wait: Wait = False,
) -> None:
    """Turn the raw files of a data set into arrays. Work that was stopped goes on."""
    chosen = settings.datasets[one_of(dataset, settings.datasets, "data set")]
    out = layout.prepared(settings.scale, dataset)
    with sole(f"the preparation of {out}", layout.data_lock(out), wait=wait):
        of = steps.preparation(dataset, settings)
        if not spares.bring_back(of.receipt, of.files, of.scale, of.asked):
            chosen.prepare(layout.raw(chosen.raw), out, processes=processes)
            spares.lay_aside(of.receipt, of.scale)


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


VERBS = (fetch, prepare, data_status)
