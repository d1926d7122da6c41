"""The verbs of the second paper, and drawing its figures."""

from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer

from equimodal.linear import products
from equimodal.linear.figures import FIGURES
from equimodal.linear.settings import LinearSettings, load_linear
from equimodal.study import layout, steps
from equimodal.study.files import write_text
from equimodal.study.options import DEFAULT_PARAMS, ParamsFile, Scale
from equimodal.study.params import Params, load_params
from equimodal.study.spec import Modality


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (linear, noisy_mnist, linear_mnist):
        app.command()(verb)


def linear(params: ParamsFile = DEFAULT_PARAMS, scale: Scale = None) -> None:
    """Simulate the deep linear networks of the second paper, and put their theory beside them."""
    study = load_params(params, scale)
    settings = load_linear(study, params)

    def simulate() -> None:
        from equimodal.linear.experiment import all_tables
        from equimodal.study.table_files import write_table

        for name, table in all_tables(settings):
            write_table(table, layout.table(study.scale, name), "%.6g")

    steps.make(products.simulations(settings, study), study, simulate)


def noisy_mnist(
    layers: Annotated[list[int], typer.Argument(help="L_f, 1 to the depth; one network each.")],
    params: ParamsFile = DEFAULT_PARAMS,
    scale: Scale = None,
) -> None:
    """Train the second paper's networks on noisy MNIST, each going on from its checkpoint if it has one."""
    from equimodal.linear.theory import check_depth

    study = load_params(params, scale)
    settings = load_linear(study, params)
    for fusion in layers:
        check_depth(settings.noisy_mnist.depth, fusion)
    steps.require_prepared(settings.noisy_mnist.dataset, study)
    for fusion in layers:
        product = products.noisy_mnist(fusion, settings, study)
        steps.make(product, study, partial(_train_noisy_mnist, fusion, settings, study))


def _train_noisy_mnist(fusion: int, settings: LinearSettings, study: Params) -> None:
    from equimodal.linear.noisy_mnist import train_noisy_mnist
    from equimodal.study.progress import show_progress

    own = settings.noisy_mnist
    digits = study.datasets[own.dataset]
    with show_progress(f"noisy MNIST, L_f = {fusion}, epochs", own.epochs) as advance:

        def report(row: dict[str, Any]) -> None:
            advance(row["epoch"], f"B alone {100 * row['accuracy_b']:.1f} %")

        train_noisy_mnist(
            own,
            fusion,
            gray=Modality(source="gray", **dict(digits.sources["gray"])),
            classes=digits.class_count,
            data=layout.prepared(study.scale, own.dataset),
            out=products.record(study.scale, fusion),
            checkpoint=layout.scratch(study.scale) / "noisy_mnist" / f"L_f{fusion}.pt",
            report=report,
        )


def linear_mnist(params: ParamsFile = DEFAULT_PARAMS, scale: Scale = None) -> None:
    """Put the networks on noisy MNIST into one table, as CSV, Markdown and LaTeX."""
    from equimodal.linear import mnist_table
    from equimodal.study.analysis.documents import documents
    from equimodal.study.analysis.stored import require_unaltered

    study = load_params(params, scale)
    settings = load_linear(study, params)
    own, made = settings.noisy_mnist, products.mnist_table(settings, study)
    records = {f: products.record(study.scale, f) for f in range(1, own.depth + 1)}
    for fusion, record in records.items():
        product = products.noisy_mnist(fusion, settings, study)
        require_unaltered(record, product.receipt, product.remedy, made.asked(study)["settings"])
    table = mnist_table.linear_mnist(records, own)
    notes = [settings.note] if settings.note else []
    texts = documents("linear_mnist", mnist_table.ABOUT, mnist_table.for_readers(table), notes)
    texts[".csv"] = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    for path in made.files:
        write_text(texts[path.suffix], path)
    steps.sign(made, study)


def draw_linear(name: str, study: Params, settings: LinearSettings) -> None:
    """Draw one figure as SVG, PNG and PDF.

    Raises:
        UserError: If a table is missing, damaged, empty or of other settings than now.
    """
    from equimodal.linear import mnist_table
    from equimodal.study.analysis.stored import require_unaltered
    from equimodal.study.figures.style import save
    from equimodal.study.table_files import read_table

    of_mnist, about = name == "linear_mnist", FIGURES[name]
    product = (products.mnist_table if of_mnist else products.simulations)(settings, study)
    columns = mnist_table.COLUMNS if of_mnist else ()
    inputs = {}
    for table in about.inputs:
        path = layout.table(study.scale, table)
        require_unaltered(path, product.receipt, product.remedy, product.asked(study)["settings"])
        inputs[table] = read_table(path, product.remedy, columns, rows=True)
    drawn = import_module(f"equimodal.linear.figures.{name}").draw(**inputs)
    save(drawn, layout.figures(study.scale) / name, settings.note)
    steps.sign(steps.figure(name, about.inputs, study), study)
