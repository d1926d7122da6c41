import importlib
import inspect

import pandas as pd
import pytest
from matplotlib.figure import Figure

from equimodal.figures import LINEAR_FIGURES
from equimodal.figures.linear_parts import how_many
from equimodal.figures.style import save
from equimodal.linear.experiment import TABLES


@pytest.mark.parametrize("name", LINEAR_FIGURES)
def test_a_figure_is_drawn_from_the_tables_that_it_names(name, tables, tmp_path):
    draw = importlib.import_module(f"equimodal.figures.{name}").draw
    inputs = LINEAR_FIGURES[name].inputs
    assert tuple(inspect.signature(draw).parameters) == inputs
    figure = draw(**{table: tables[table] for table in inputs})
    assert isinstance(figure, Figure)
    save(figure, tmp_path / name, None)


def test_tables_say_the_same_after_they_were_written(tables, tmp_path):
    tables["linear_deep_ratio"].to_csv(tmp_path / "ratio.csv", index=False)
    read = pd.read_csv(tmp_path / "ratio.csv")
    assert read["censored"].tolist() == tables["linear_deep_ratio"]["censored"].tolist()
    assert how_many(read) == how_many(tables["linear_deep_ratio"])


def test_every_table_is_drawn():
    drawn = {t for about in LINEAR_FIGURES.values() for t in about.inputs}
    assert drawn == {*TABLES, "linear_mnist"}
