import importlib

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from equimodal.linear import products
from equimodal.linear.cli import draw_linear
from equimodal.linear.figures import (
    FIGURES,
    SIMULATED,
    linear_bridge,
    linear_curves,
    linear_depth,
    linear_map,
    linear_ratio,
)
from equimodal.linear.figures.linear_parts import how_many
from equimodal.study import layout, receipts
from equimodal.study.errors import UserError
from equimodal.study.figures import style
from equimodal.study.figures.parts import number
from equimodal.study.files import write_text


def test_a_table_that_is_missing_empty_or_altered_is_refused(project):
    path = layout.table("tiny", "linear_xor")
    asked = products.asked_of_simulations(project.load_linear())

    def refused():
        with pytest.raises(UserError, match=r"run `equimodal linear --scale tiny`") as raised:
            draw_linear("linear_xor", project.load(), project.load_linear())
        return str(raised.value)

    assert f"{path} is missing" in refused()
    write_text("variance,seed\n", path)
    assert f"{path} is damaged (it has no rows)" in refused()
    receipt = layout.table_receipt("tiny", "linear")
    receipts.write(receipt, step="linear networks", files=[path], **asked)
    write_text("variance,seed\n1,0\n", path)
    assert f"{path} can not be used: its bytes are not those that were written" in refused()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_from_the_tables_that_it_names(name, tables, tmp_path, monkeypatch):
    draw = importlib.import_module(f"equimodal.linear.figures.{name}").draw
    inputs = FIGURES[name].inputs
    figure = draw(**{table: tables[table] for table in inputs})
    assert isinstance(figure, Figure)
    monkeypatch.setattr(style, "FORMATS", {".svg": {}})
    style.save(figure, tmp_path / name, None)


def test_the_lines_of_theory_are_those_of_the_tables(tables):
    ratio, theory = tables["linear_ratio"], tables["linear_ratio_theory"]
    left, right = linear_ratio.draw(ratio, theory).axes
    drawn = [line.get_ydata() for line in (*left.lines[:2], right.lines[0])]
    of_r = theory[theory["r"] == ratio["r"].max()]
    np.testing.assert_array_equal(drawn, of_r[["ratio", "ratio_finite", "mis_attribution"]].T)


def test_the_map_is_of_gradient_flow(tables):
    """R2 and not the ratio at a finite step, which has lines of its own in F5."""
    of_theory = tables["linear_ratio_map"]
    plane = linear_map.draw(of_theory).axes[0].collections[0].get_array()
    drawn = of_theory.pivot(index="r", columns="rho", values="ratio").to_numpy()
    np.testing.assert_array_equal(np.reshape(plane, drawn.shape), drawn)
    assert (of_theory["ratio"] != of_theory["ratio_finite"]).any()


def test_plateaus_are_levels_beside_late_fusion(tables):
    curves, superficial = tables["linear_curves"], tables["linear_superficial"]
    last = linear_curves.draw(curves, superficial).axes[-1]
    levels = [line.get_ydata()[0] for line in last.lines[3:]]
    end = superficial.iloc[-1]
    a_alone = end["w_a_plateau"] / end["w_a"]
    assert levels == pytest.approx([end["loss_plateau"], a_alone, end["other_plateau"]])


def test_utilization_is_drawn_half_way_between_the_times(tables):
    bridge = tables["linear_bridge"]
    middle = linear_bridge.draw(bridge).axes[1]
    for line, column in zip(middle.lines, ("u_a_mid", "u_b_mid", "u_a_theory"), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), bridge[column])


def test_the_bridge_tells_its_correlations_apart(tables):
    bridge = tables["linear_bridge"]
    right = linear_bridge.draw(bridge).axes[2]
    drawn = {line.get_label(): line for line in right.lines if line.get_marker() == "o"}
    assert len({to_hex(line.get_color()) for line in drawn.values()}) == len(drawn)
    lengths = bridge.groupby("rho")["phase_factor"]
    assert set(drawn) == {number(rho, 1) for rho in lengths.groups}
    for rho, length in lengths:
        np.testing.assert_array_equal(drawn[number(rho, 1)].get_ydata(), length)


def test_every_fusion_layer_has_its_line_of_theory_and_a_color_of_its_own(tables):
    deep = (tables[f"linear_deep_{name}"] for name in ("curves", "ratio", "theory"))
    curves, runs, lines = (pd.concat([t, t[t["L_f"] == 4].assign(L_f=5)]) for t in deep)
    first, *others = linear_depth.draw(curves, runs, lines).axes
    assert [line.get_label() for line in first.lines] == [f"$L_f$ = {n}" for n in (1, 2, 3, 4, 5)]
    assert len({to_hex(line.get_color()) for line in first.lines}) == 5
    for axes, varied in zip(others, ("rho", "r", "scale"), strict=True):
        labeled = {line.get_label(): line for line in axes.lines}
        for fusion, points in lines[lines["varied"] == varied].groupby("L_f"):
            line = labeled[f"$L_f$ = {fusion}"]
            np.testing.assert_array_equal(line.get_xydata(), points[[varied, "ratio"]])


def test_tables_say_the_same_after_they_were_written(tables, tmp_path):
    tables["linear_deep_ratio"].to_csv(tmp_path / "ratio.csv", index=False)
    read = pd.read_csv(tmp_path / "ratio.csv")
    assert read["censored"].tolist() == tables["linear_deep_ratio"]["censored"].tolist()
    assert how_many(read) == how_many(tables["linear_deep_ratio"])


def test_every_table_is_drawn(tables):
    assert {*SIMULATED, "linear_mnist"} == {*tables}
