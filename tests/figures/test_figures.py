import re
from html import unescape
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from equimodal.figures import FIGURES
from equimodal.figures.style import save

RUNS = [  # inputs, policy, seed, experiment, d_util, d_speed
    ("distinct", "vanilla", 0, "table1", 0.3, 0.4),
    ("distinct", "guided", 0, "table1", 0.0, 0.0),
    ("distinct", "vanilla", 1, "sweep", 0.4, 0.5),
    ("distinct", "vanilla", 2, "sweep", 0.2, 0.3),
    ("identical", "vanilla", 1, "sweep", 0.0, 0.1),
]


def runs_table():
    table = pd.DataFrame(
        RUNS, columns=["inputs", "policy", "seed", "experiments", "d_util", "d_speed"]
    )
    names = table["inputs"] + "/" + table["policy"] + "/" + table["seed"].astype(str)
    return table.assign(
        run=names,
        method=table["policy"],
        dataset="colored_mnist",
        fidelity="paper",
        status="finished",
        learning_rate=0.001 * (1 + table["seed"]),
        m0="color",
        m1="gray",
    )


def make_inputs():
    """What any figure may ask for: two epochs of every run, and black digits."""
    runs = runs_table()
    history = {
        "epoch": [1, 2],
        "test_accuracy": [0.2, 0.4],
        "test_accuracy_m0": [0.2, 0.3],
        "test_accuracy_m1": [0.3, 0.5],
        "speed_m0": [-1.0, -0.9],
        "speed_m1": [-1.1, -1.2],
    }
    examples = {}
    for split in ("train", "test"):
        examples[f"{split}.color"] = np.zeros((10, 4, 4, 3), np.uint8)
        examples[f"{split}.gray"] = np.zeros((10, 4, 4, 1), np.uint8)
        examples[f"{split}.labels"] = np.arange(10)
    histories = [pd.DataFrame(history).assign(run=run) for run in runs["run"]]
    return {"runs": runs, "histories": pd.concat(histories), "examples": examples}


@pytest.fixture
def inputs():
    return make_inputs()


def draw(figure, inputs):
    module = import_module(f"equimodal.figures.{figure}")
    return module.draw(**{name: inputs[name] for name in FIGURES[figure]})


def words(figure, inputs, folder, note=None):
    """All text of a figure's SVG, without spaces: formulas have each letter on its own."""
    save(draw(figure, inputs), folder / figure, note)
    svg = (folder / f"{figure}.svg").read_text()
    text = re.sub(r"<[^>]+>", "", re.sub(r"(?s)<!--.*?-->|<metadata>.*</metadata>", "", svg))
    return "".join(unescape(text).split())


def said(phrase, text):
    return phrase.replace(" ", "") in text


SAID = {
    "figure6": ["training: the color follows the label", "test: the color is drawn at random"],
    "figure7": [
        "distinct 2 models",
        "identical 1 models",
        "(a) conditional utilization rates",
        "(b) conditional learning speeds",
        "published",
        "mean of our models",
        "units)",
    ],
    "learning_curves": [
        "vanilla (1 seeds)",
        "guided (1 seeds)",
        "epoch",
        "test accuracy (%)",
        "units)",
        "branch color",
        "branch gray",
        "s(gray | color)",
        "s(color | gray)",
    ],
}


@pytest.fixture(scope="module", params=FIGURES)
def figure_and_text(request, tmp_path_factory):
    """A figure's name, and all text of it, drawn with a note."""
    figure = request.param
    return figure, words(figure, make_inputs(), tmp_path_factory.mktemp(figure), "Tiny scale.")


def test_a_figure_says_what_it_shows_and_in_which_units(figure_and_text):
    figure, text = figure_and_text
    assert SAID[figure]
    for phrase in SAID[figure]:
        assert said(phrase, text)


def test_the_note_of_the_scale_is_in_the_figure(figure_and_text):
    assert said("Tiny scale.", figure_and_text[1])


@pytest.mark.parametrize("figure", FIGURES)
def test_the_same_input_gives_the_same_bytes(figure, inputs, tmp_path):
    for name in ("one", "two"):
        save(draw(figure, inputs), tmp_path / name, "Note.")
    for suffix in (".svg", ".png"):
        one, two = (tmp_path / f"{name}{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("figure", FIGURES)
def test_drawing_changes_no_input(figure, inputs):
    before = {k: v.copy() for k, v in inputs.items() if k != "examples"}
    draw(figure, inputs)
    for name, table in before.items():
        pd.testing.assert_frame_equal(inputs[name], table)


def points(axes):
    """Places of the dots, row by row."""
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    return [sorted(line.get_xdata().tolist()) for line in dots]


def test_figure_7_has_one_dot_a_model_of_the_sweep_and_a_bar_at_their_mean(inputs):
    left, right = draw("figure7", inputs).axes
    assert points(left) == [[0.2, 0.4], [0.0]]
    assert points(right) == [[0.3, 0.5], [0.1]]
    bars = [line.get_xdata()[0] for line in left.lines if line.get_markersize() == 22]
    assert bars == pytest.approx([0.3, 0.0])


def test_figure_7_leaves_failed_models_out(inputs):
    failed = inputs["runs"]["d_util"] == 0.4
    inputs["runs"].loc[failed, ["status", "d_util", "d_speed"]] = ["failed", np.nan, np.nan]
    left, _ = draw("figure7", inputs).axes
    assert points(left) == [[0.2], [0.0]]


def test_figure_7_of_no_model_says_so(inputs, tmp_path):
    inputs["runs"] = inputs["runs"].query("experiments != 'sweep'")
    text = words("figure7", inputs, tmp_path)
    assert said("no model", text)
    assert said("distinct 0 models", text)


def test_learning_curves_of_no_run_are_empty_axes(inputs, tmp_path):
    inputs["runs"] = inputs["runs"].query("experiments != 'table1'")
    assert said("vanilla (0 seeds)", words("learning_curves", inputs, tmp_path))


def test_learning_curves_are_in_percent_one_line_a_seed(inputs):
    top, bottom = (draw("learning_curves", inputs).axes[i] for i in (0, 4))
    assert top.get_title(loc="left").startswith("vanilla")
    lines = {tuple(line.get_ydata()) for line in top.lines}
    assert lines == {(20.0, 40.0), (20.0, 30.0), (30.0, 50.0)}
    assert (-1.0, -0.9) in {tuple(line.get_ydata()) for line in bottom.lines}


def test_figure_6_shows_every_class_of_both_splits_in_both_modalities(inputs):
    images = [ax for part in draw("figure6", inputs).subfigs for ax in part.axes if ax.images]
    assert len(images) == 2 * 2 * 10
