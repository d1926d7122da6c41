"""Drawing the second paper's figures from its tables."""

from importlib import import_module

import pandas as pd

from equimodal.linear import mnist_table, products
from equimodal.linear.figures import FIGURES
from equimodal.linear.settings import LinearSettings
from equimodal.study import layout
from equimodal.study.analysis.stored import require_unaltered, sign_figure
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
    sign_figure(study.scale, name)


def _read(name: str, study: Params, settings: LinearSettings) -> pd.DataFrame:
    path = layout.table(study.scale, name)
    if name == "linear_mnist":
        remedy = f"run `equimodal linear-mnist --scale {study.scale}`"
        require_unaltered(path, path.with_suffix(".json"), remedy)
        return read_table(path, remedy, mnist_table.COLUMNS, rows=True)
    product = products.simulations(settings, study)
    require_unaltered(path, product.receipt, product.remedy, product.asked(study)["settings"])
    return read_table(path, product.remedy, rows=True)
