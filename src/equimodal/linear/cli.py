"""The verbs of the second paper, and drawing its figures."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from equimodal.linear import products
from equimodal.linear.figures import FIGURES
from equimodal.linear.settings import LinearSettings, NoisyMnist, load_linear
from equimodal.study import layout, steps
from equimodal.study.errors import UserError
from equimodal.study.files import write_text
from equimodal.study.params import Params
from equimodal.study.spec import Modality


def linear(settings: Params, params: Path) -> None:
    """Simulate the deep linear networks of the second paper, and put their theory beside them."""
    own = load_linear(settings, params)

    def simulate() -> None:
        from equimodal.linear.experiment import all_tables
        from equimodal.study.table_files import write_table

        for name, table in all_tables(own):
            write_table(table, layout.table(settings.scale, name), "%.6g")

    steps.make(products.simulations(own, settings), simulate)


def noisy_mnist(
    settings: Params,
    params: Path,
    layers: Annotated[
        list[int], typer.Argument(help="Fusion layers L_f, from 1 to the depth; one network each.")
    ],
) -> None:
    """Train the second paper's networks on noisy MNIST. Each goes on from its checkpoint if it has one."""
    own = load_linear(settings, params)
    depth = own.noisy_mnist.depth
    if wrong := [fusion for fusion in layers if not 1 <= fusion <= depth]:
        raise UserError(
            f"fusion layer L_f is {wrong[0]}; expected 1 (early) to {depth} (late), the depth"
        )
    steps.require_prepared(own.noisy_mnist.dataset, settings)
    for fusion in layers:
        product = products.noisy_mnist(fusion, own, settings)
        steps.make(product, partial(_train_noisy_mnist, fusion, own.noisy_mnist, settings))


def _train_noisy_mnist(fusion: int, own: NoisyMnist, settings: Params) -> None:
    from equimodal.linear.noisy_mnist import train_noisy_mnist
    from equimodal.study.progress import show_progress

    digits = settings.datasets[own.dataset]
    with show_progress(f"noisy MNIST, L_f = {fusion}, epochs", own.epochs) as advance:

        def report(row: dict[str, Any]) -> None:
            advance(row["epoch"], f"B alone {100 * row['accuracy_b']:.1f} %")

        train_noisy_mnist(
            own,
            fusion,
            gray=Modality(source="gray", **dict(digits.sources["gray"])),
            classes=digits.class_count,
            data=layout.prepared(settings.scale, own.dataset),
            out=products.record(settings.scale, fusion),
            checkpoint=layout.scratch(settings.scale) / "noisy_mnist" / f"L_f{fusion}.pt",
            report=report,
        )


def linear_mnist(settings: Params, params: Path) -> None:
    """Put the results on noisy MNIST into one table, as CSV, Markdown and LaTeX."""
    from equimodal.linear import mnist_table
    from equimodal.study.analysis.documents import documents
    from equimodal.study.analysis.stored import require_unaltered

    own = load_linear(settings, params)
    made, depth = products.mnist_table(own, settings), own.noisy_mnist.depth
    records = {f: products.record(settings.scale, f) for f in range(1, depth + 1)}
    for fusion, record in records.items():
        product = products.noisy_mnist(fusion, own, settings)
        require_unaltered(record, product.receipt, product.remedy, made.asked()["settings"])
    table = mnist_table.linear_mnist(records, own.noisy_mnist)
    notes = [own.note] if own.note else []
    texts = documents("linear_mnist", mnist_table.ABOUT, mnist_table.for_readers(table), notes)
    texts[".csv"] = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    for path in made.files:
        write_text(texts[path.suffix], path)
    steps.sign(made)


VERBS = (linear, noisy_mnist, linear_mnist)


def draw_linear(name: str, settings: Params, own: LinearSettings) -> None:
    """Draw one figure as SVG, PNG and PDF.

    Raises:
        UserError: If a table is missing, damaged, empty or of other settings than now.
    """
    from equimodal.linear import mnist_table
    from equimodal.study.analysis.stored import require_unaltered
    from equimodal.study.figures.style import save
    from equimodal.study.table_files import read_table

    of_mnist, about = name == "linear_mnist", FIGURES[name]
    product = (products.mnist_table if of_mnist else products.simulations)(own, settings)
    columns = mnist_table.COLUMNS if of_mnist else ()
    inputs = {}
    for table in about.inputs:
        path = layout.table(settings.scale, table)
        asked = product.asked()["settings"]
        require_unaltered(path, product.receipt, product.remedy, asked)
        inputs[table] = read_table(path, product.remedy, columns, rows=True)
    drawn = import_module(f"equimodal.linear.figures.{name}").draw(**inputs)
    save(drawn, layout.figures(settings.scale) / name, own.note)
    steps.sign(steps.figure(name, about.inputs, settings))
