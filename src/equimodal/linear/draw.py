"""Drawing the second paper's figures from its tables."""

from importlib import import_module

import pandas as pd

from equimodal.linear import mnist_table, products
from equimodal.linear.figures import FIGURES
from equimodal.linear.settings import LinearSettings
from equimodal.study import layout, steps
from equimodal.study.analysis.stored import require_unaltered
from equimodal.study.figures.style import save
from equimodal.study.params import Params
from equimodal.study.table_files import read_table


def draw_linear(name: str, study: Params, settings: LinearSettings) -> None:
    """Draw one figure as SVG, PNG and PDF.

    Raises:
        UserError: If a table is missing, damaged, empty or of other settings than now.
    """
    inputs = {table: _read(table, study, settings) for table in FIGURES[name].inputs}
    drawn = import_module(f"equimodal.linear.figures.{name}").draw(**inputs)
    save(drawn, layout.figures(study.scale) / name, settings.note)
    steps.sign(steps.figure(name, FIGURES[name].inputs, study), study)


def _read(name: str, study: Params, settings: LinearSettings) -> pd.DataFrame:
    path = layout.table(study.scale, name)
    of_mnist = name == "linear_mnist"
    product = (products.mnist_table if of_mnist else products.simulations)(settings, study)
    columns = mnist_table.COLUMNS if of_mnist else ()
    require_unaltered(path, product.receipt, product.remedy, product.asked(study)["settings"])
    return read_table(path, product.remedy, columns, rows=True)
