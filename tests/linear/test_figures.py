import importlib
import inspect

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from equimodal.figures import LINEAR_FIGURES, linear_depth, linear_ratio
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


def test_the_lines_of_theory_are_those_of_the_tables(tables):
    ratio, theory = tables["linear_ratio"], tables["linear_ratio_theory"]
    left, right = linear_ratio.draw(ratio, theory).axes
    r = ratio["r"].max()
    of_r = theory[theory["r"] == r]
    assert left.lines[0].get_ydata() == pytest.approx(of_r["ratio"].to_numpy())
    assert left.lines[1].get_ydata() == pytest.approx(of_r["ratio_finite"].to_numpy())
    assert right.lines[0].get_ydata() == pytest.approx(of_r["mis_attribution"].to_numpy())


def test_every_fusion_layer_is_drawn_in_a_color_of_its_own(tables):
    curves, runs, lines = (tables[f"linear_deep_{name}"] for name in ("curves", "ratio", "theory"))
    deeper = [pd.concat([t, t[t["L_f"] == 4].assign(L_f=5)]) for t in (curves, runs, lines)]
    axes = linear_depth.draw(*deeper).axes[0]
    assert [line.get_label() for line in axes.lines] == [f"$L_f$ = {n}" for n in (1, 2, 3, 4, 5)]
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 5


def test_tables_say_the_same_after_they_were_written(tables, tmp_path):
    tables["linear_deep_ratio"].to_csv(tmp_path / "ratio.csv", index=False)
    read = pd.read_csv(tmp_path / "ratio.csv")
    assert read["censored"].tolist() == tables["linear_deep_ratio"]["censored"].tolist()
    assert how_many(read) == how_many(tables["linear_deep_ratio"])


def test_every_table_is_drawn():
    drawn = {t for about in LINEAR_FIGURES.values() for t in about.inputs}
    assert drawn == {*TABLES, "linear_mnist"}
