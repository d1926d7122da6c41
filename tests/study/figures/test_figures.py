import re
from functools import cache
from html import unescape
from importlib import import_module
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from equimodal.study.analysis.names import DATASETS
from equimodal.study.figures import FIGURES, style
from equimodal.study.figures.parts import (
    NothingToShow,
    as_drawn,
    number,
    of_one_preset,
    with_interval,
)
from equimodal.study.figures.style import FORMATS, new_figure, save
from tests.built import Built, whole_study
from tests.made_up import study

STAND_INS = ("modelnet40", "nvgesture")
MEASURES = ["accuracy", "d_util", "d_speed", "below_0.001"]


def make_examples():
    """A few images of each data set, and what is said of them."""
    rng = np.random.default_rng(0)
    shapes = {
        "colored_mnist": {"color": (10, 8, 8, 3), "gray": (10, 8, 8, 1)},
        "modelnet40": dict.fromkeys(("view0", "view4", "view6", "view8"), (8, 8, 8, 1)),
        "nvgesture": {"color": (6, 3, 8, 8, 3), "depth": (6, 3, 8, 8, 1)},
    }
    examples = {
        dataset: {
            f"{split}.{source}": rng.integers(0, 255, shape, np.uint8)
            for split in ("train", "test")
            for source, shape in sources.items()
        }
        | {f"{s}.labels": np.arange(next(iter(sources.values()))[0]) for s in ("train", "test")}
        for dataset, sources in shapes.items()
    }
    return {"examples": examples}


@pytest.fixture
def inputs():
    """The same, to be changed."""
    return complete().copy()


@pytest.fixture
def nothing():
    """Tables of a study without a run, and no examples."""
    tables = Built({name: table[:0] for name, table in study().items()})
    tables |= {"examples": {}}
    return tables


def with_runs(runs):
    return Built(study() | {"runs": runs} | make_examples())


def fail(runs, which):
    """Return the runs, some of them failed."""
    runs = runs.copy()
    runs.loc[which, "status"] = "failed"
    runs.loc[which, MEASURES] = np.nan
    return runs


def draw(figure, inputs):
    module = import_module(f"equimodal.study.figures.{figure}")
    return module.draw(**{name: inputs[name] for name in FIGURES[figure].inputs})


@cache
def complete():
    """Every table of the whole study, and examples. Tests leave them as they are."""
    for name in (n for about in FIGURES.values() for n in about.inputs):
        if name != "examples":
            whole_study()[name]
    return Built(whole_study().copy() | make_examples())


@cache
def picture(figure):
    """A figure of the whole study."""
    return draw(figure, complete())


def words(figure, inputs):
    """All text of a figure's SVG, without spaces: formulas have each letter on its own."""
    file = StringIO()
    draw(figure, inputs).savefig(file, format="svg")
    return words_of(file.getvalue())


def words_of(svg):
    text = re.sub(r"<[^>]+>", "", re.sub(r"(?s)<!--.*?-->|<metadata>.*</metadata>", "", svg))
    return "".join(unescape(text).split())


def said(phrase, text):
    return "".join(phrase.split()) in text


SAID = {
    "figure2": """(a) ModelNet40 (stand-in): utilization | (b) NVGesture (stand-in): utilization | learning speed |
        distinct | identical | 6 models | published −0.1 | published 0.4 | our mean, with interval | units)""",
    "figure4": "a model (10 models) | weight of the L1 penalty, λ | sparsity | ρ = | units)",
    "figure5": """ModelNet40 | NVGesture | vanilla | random | guided | 6 models | published −0.1 | published −0.0
        | published 0.4 | published 0.3 | published 0.1""",
    "figure6": """Colored-and-gray-MNIST, training: the color follows the label | test: the color is drawn at random |
        ModelNet40 (stand-in) | NVGesture (stand-in) | front | rear | depth | class 0""",
    "figure7": """Colored-and-gray-MNIST: utilization | distinct | identical | 6 models | published ±0.3, sign lost |
        published 0.0""",
    "figure8": "threshold | 0.0001 | the sparser half: 6 of 10 models | sparsity",
    "figure9": """against tolerance | against window | n = 2 | test accuracy (%) | the paper's choice | (steps) |
        units)""",
    "evaluations": """preset paper | + guided, gray branch | regular flow | no flow between branches |
        published mean ± 2 SD | test accuracy (%)""",
    "fidelity": """from the preset official | gate_scale | schedule | + guided | difference in test accuracy
        (points)""",
    "by_cap": """preset paper | + guided, gray branch | flat: published ± 2 SD | test accuracy (%) |
        cap: the last epoch""",
    "steps": """Colored-and-gray-MNIST, guided, preset paper, seed 0 | all 40 steps of 4 epochs | regular step |
        end of an epoch | ±α = ±0.1 | (color) | (gray) | training step | units)""",
    "methods": "paper | uniform | ensemble | agm | test accuracy (%)",
    "prediction": f"{' | '.join(DATASETS.values())} | ρ = | n = 12 | n = 36 | chance | models (%) | epoch",
    "learning_curves": """vanilla (3 seeds) | guided (3 seeds) | epoch | test accuracy (%) | units) | branch color |
        branch gray | s(gray @ color) | s(color @ gray)""",
}


@pytest.fixture(scope="module", params=FIGURES)
def saved(request, tmp_path_factory):
    """A figure's name, and its files without their suffix, saved with a note."""
    figure = request.param
    out = tmp_path_factory.mktemp("figures") / figure
    save(draw(figure, with_runs(study()["runs"])), out, "Tiny scale.", STAND_INS)
    return figure, out


def test_a_figure_says_what_it_shows_in_which_units_and_the_note_of_the_scale(saved):
    figure, out = saved
    text = words_of(out.with_suffix(".svg").read_text())
    phrases = [*SAID[figure].split("|"), "Tiny scale."]
    assert [p for p in phrases if not said(p.replace("@", "|"), text)] == []


NOTES = [
    r"$\foo$ and $x",
    r"50 % of a_b \ ~ <b>&amp;</b> | `code` **bold** # {x}",
    "é ± λ",
    r"\$a$ \\$ $",
]


@pytest.mark.parametrize("note", NOTES)
def test_the_note_of_a_scale_is_text_whatever_it_says(tmp_path, monkeypatch, note):
    monkeypatch.setattr(style, "FORMATS", {".svg": {}})
    save(new_figure(3, 1), tmp_path / "figure", note)
    assert said(note, words_of((tmp_path / "figure.svg").read_text(encoding="utf-8")))


def test_the_same_input_gives_the_same_bytes_and_stays_as_it_is(
    saved, inputs, tmp_path, monkeypatch
):
    figure, out = saved
    again = tmp_path / figure
    before = {k: v.copy() for k, v in inputs.items() if isinstance(v, pd.DataFrame)}
    if figure != "figure7":  # one in every format; of the others the first that is drawn
        monkeypatch.setattr(style, "FORMATS", {".svg": FORMATS[".svg"]})
    save(draw(figure, inputs), again, "Tiny scale.", STAND_INS)
    for suffix in style.FORMATS:
        assert again.with_suffix(suffix).read_bytes() == out.with_suffix(suffix).read_bytes()
    for name, table in before.items():
        pd.testing.assert_frame_equal(inputs[name], table)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_caption_says_what_is_shown_and_what_the_paper_says(figure):
    about = FIGURES[figure]
    assert about.published in (None, f"Figure {figure.removeprefix('figure')}")
    assert [text for text in (about.caption, about.expect) if not text.endswith(".")] == []


@pytest.mark.parametrize("figure", FIGURES)
def test_there_is_no_figure_of_nothing(figure, nothing):
    with pytest.raises(NothingToShow):
        draw(figure, nothing)


def test_no_figure_has_an_interval_of_two_values_nor_a_published_value_beside_stand_ins():
    ends = ["low", "high", "difference_low", "difference_high"]
    one = {"n": 3, "published_mean": 9.0, **dict.fromkeys(ends, 1.0)}
    table = pd.DataFrame([{"dataset": "colored_mnist", **one}, {"dataset": "nvgesture", **one}])
    table.loc[1, "n"] = 2
    shown = as_drawn(table, STAND_INS)
    assert shown[[*ends, "published_mean"]].notna().all(axis=1).tolist() == [True, False]
    assert shown.loc[1, [*ends, "published_mean"]].isna().all()
    assert table.loc[1].notna().all()


def test_a_data_set_without_runs_takes_no_room():
    runs = study()["runs"]
    of_modelnet40 = with_runs(runs[runs["dataset"] == "modelnet40"])
    assert len(draw("figure5", of_modelnet40).axes) == 1
    assert not said("NVGesture", words("figure2", of_modelnet40))


@pytest.mark.parametrize("figure", [f for f in FIGURES if f != "fidelity"])  # which is of pairs
def test_a_figure_of_one_model_a_group_is_drawn(figure):
    runs = study()["runs"]
    groups = ["experiments", "dataset", "start", "inputs", "policy", "l1", "tolerance", "window"]
    one = runs.groupby(groups, dropna=False).head(1)
    text = words(figure, with_runs(one))
    assert said("no interval", text) or figure not in ("figure2", "figure5", "figure7")


@pytest.mark.parametrize("figure", ["figure2", "figure4", "figure5", "figure7", "figure8"])
def test_failed_runs_are_counted_and_their_failing_said(figure):
    runs = study()["runs"]
    of_sweep = runs["experiments"].isin(["sweep", "sweep_balanced", "l1"])
    some = of_sweep & (runs.groupby(["experiments", "dataset", "inputs", "policy"]).cumcount() < 2)
    text = words(figure, with_runs(fail(runs, some)))
    counted = re.findall(r"(\d+)of(\d+)models", text)
    assert 2 in {int(n) - int(done) for done, n in counted}
    with pytest.raises(NothingToShow, match=r"has finished\."):
        draw(figure, with_runs(fail(runs, of_sweep)))


@pytest.mark.parametrize(
    "figure", [f for f in FIGURES if f not in ("fidelity", "figure6", "figure9")]
)
def test_finished_models_without_any_measure_are_drawn_all_the_same(figure):
    """As where a branch is never right: then no utilization rate is defined."""
    runs = study()["runs"].assign(d_util=np.nan, d_speed=np.nan, u_m1_given_m0=np.nan)
    one_rate = runs.groupby(["experiments", "dataset", "inputs", "policy"]).head(1)
    assert words(figure, with_runs(one_rate))


def marks(axes, marker):
    """Places (x, y) of the marks of a kind, line by line."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in lines]


def of_sweep(runs, dataset, pair):
    asked = (runs["experiments"] == "sweep") & (runs["dataset"] == dataset)
    return runs[asked & (runs["inputs"] == pair)]


def test_figure_7_has_a_mark_a_model_of_the_sweep_and_a_diamond_at_their_mean():
    measures = ("d_util", "d_util_by_label", "d_speed")
    for axes, measure in zip(picture("figure7").axes, measures, strict=True):
        pairs = {
            p: of_sweep(complete()["runs"], "colored_mnist", p) for p in ("distinct", "identical")
        }
        for marker, models in zip("os", pairs.values(), strict=True):
            (dots,) = marks(axes, marker)
            assert sorted(x for x, _ in dots) == pytest.approx(sorted(models[measure]))
        means = [x for line in marks(axes, "D") for x, _ in line]
        assert means == pytest.approx([models[measure].mean() for models in pairs.values()])


@pytest.mark.parametrize(
    ("figure", "published"),
    [
        ("figure5", [[-0.1, 0.0, 0.0], [0.4, 0.1, 0.3]]),
        ("figure7", [[-0.3, 0.3, 0.0], [], []]),  # of unknown sign, so on both sides
    ],
)
def test_the_published_mean_is_in_its_row(figure, published):
    stars = [marks(axes, "*") for axes in picture(figure).axes]
    assert [[x for line in lines for x, _ in line] for lines in stars] == published


def test_the_figure_of_methods_has_a_row_of_panels_a_coloring(inputs):
    known = inputs["methods"].dropna(subset=["d_util_by_label"])
    both = draw("methods", inputs).axes
    points, _ = both[-1].get_legend_handles_labels()
    drawn = [point.lines[0].get_xdata()[0] for point in points]
    assert drawn == pytest.approx(known["d_util_by_label"].abs())
    inputs["methods"] = inputs["methods"].assign(d_util_by_label=np.nan)
    assert len(draw("methods", inputs).axes) == len(both) / 2


def test_figure_7_leaves_failed_models_out_and_counts_those_without_d_util():
    runs = study()["runs"]
    first = of_sweep(runs, "colored_mnist", "distinct").index
    left, *_ = draw("figure7", with_runs(fail(runs, first[:4]))).axes
    assert len(marks(left, "o")[0]) == 2
    runs.loc[first[0], "d_util"] = np.nan
    assert said("1 without d_util", words("figure7", with_runs(runs)))


def test_a_higher_learning_rate_raises_a_dot():
    models = of_sweep(complete()["runs"], "colored_mnist", "distinct")
    (dots,) = marks(picture("figure7").axes[0], "o")
    by_rate = [d for _, d in sorted(zip(models["learning_rate"], models["d_util"], strict=True))]
    assert [x for x, _ in sorted(dots, key=lambda dot: -dot[1])] == by_rate


def test_figure_4_has_a_dot_a_model_and_a_square_a_lambda():
    figure = picture("figure4")
    drawn = [axes for axes in figure.axes if axes.lines]
    assert len(drawn) == 5
    for axes in drawn:
        assert len(marks(axes, "o")[0]) == 10
        assert len(marks(axes, "s")[0]) == 5
    against_lambda = drawn[1]
    wanted = complete()["l1_study"][["l1", "abs_d_util"]].to_numpy()
    assert marks(against_lambda, "s")[0] == pytest.approx(wanted)


@pytest.mark.parametrize(("figure", "panel"), [("figure4", 1), ("figure8", 0)])
def test_networks_without_a_penalty_have_a_place_on_the_axis(inputs, figure, panel):
    least = inputs["l1_study"]["l1"].min()
    inputs["l1_study"] = inputs["l1_study"].replace({"l1": {least: 0.0}})
    inputs["runs"].loc[inputs["runs"]["l1"] == least, "l1"] = 0.0
    axes = [axes for axes in draw(figure, inputs).axes if axes.lines][panel]
    left, right = axes.get_xlim()
    drawn = np.concatenate([line.get_xdata() for line in axes.lines if len(line.get_xdata()) > 2])
    assert left < 0 == drawn.min() < drawn.max() < right


def test_figure_8_shows_every_threshold_and_the_sparser_half():
    left, right = picture("figure8").axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        *("0.01", "0.001", "0.0001", "1e-05", "1e-06")
    ]
    runs = complete()["runs"].query("experiments == 'l1'")
    assert min(x for x, _ in marks(right, "o")[0]) >= runs["below_0.001"].median()


@pytest.mark.parametrize("name", ["figure4", "figure8", "figure9", "prediction"])
def test_rows_of_another_preset_are_not_drawn(inputs, name):
    tables = ("l1_study", "l1_trends", "sensitivity", "prediction", "prediction_by_epoch")
    other = {t: pd.concat([inputs[t].assign(fidelity="official"), inputs[t]]) for t in tables}
    one, both = (
        [line.get_xydata().tolist() for axes in draw(name, given).axes for line in axes.lines]
        for given in (inputs, inputs | other)
    )
    assert repr(both) == repr(one)


@pytest.mark.parametrize("presets", [["b", "a"], ["a", "b"]])
def test_without_the_usual_preset_every_table_shows_the_same_one(presets):
    for there, shown in ((presets, "a"), ([*presets, "paper"], "paper")):
        assert list(of_one_preset(pd.DataFrame({"fidelity": there}))["fidelity"]) == [shown]


def test_figure_9_marks_the_means_and_the_paper_s_choice():
    top, _, bottom, _ = picture("figure9").axes
    rows = complete()["sensitivity"].query("setting == 'tolerance'")
    assert marks(top, "o")[0] == pytest.approx(rows[["value", "accuracy"]].to_numpy())
    assert marks(bottom, "s")[0] == pytest.approx(rows[["value", "d_util"]].to_numpy())
    dashed = [line.get_xdata()[0] for line in top.lines if line.get_linestyle() == "--"]
    assert dashed == [0.01]


def test_one_value_of_figure_9_may_have_no_interval_and_another_no_model(inputs):
    ends = ["low", "high", "d_util_low", "d_util_high"]
    inputs["sensitivity"].loc[0, [*ends, "n"]] = [*[np.nan] * 4, 1]
    lost = ["accuracy", "d_util", *ends]
    inputs["sensitivity"].loc[1, [*lost, "n", "unfinished"]] = [*[np.nan] * 6, 0, 2]
    text = words("figure9", inputs)
    assert said("n = 1", text)
    assert said("n = 0 of 2", text)


def ribbons(axes):
    """Share of steps of each part and mode, stacked: mode -> heights."""
    data = [patch.get_data() for patch in axes.patches]
    names = ("rebalance_m0", "regular", "rebalance_m1")
    return {n: d.values - d.baseline for n, d in zip(names, data, strict=True)}


def test_the_step_diagram_shows_the_mode_of_every_step():
    whole, close = picture("steps").axes[:2]
    run = complete()["runs"].query("policy == 'guided'")["run"].iloc[0]
    modes = complete()["steps"].loc[complete()["steps"]["run"] == run, "mode"].to_numpy()
    for mode, heights in ribbons(whole).items():
        assert heights.tolist() == (modes == mode).astype(float).tolist()
    first = np.flatnonzero(modes != "regular")[0]
    assert ribbons(close)["rebalance_m1"].tolist()[:11] == [0.0] * 10 + [1.0]
    assert close.get_xlim()[0] == first - 10
    gap = picture("steps").axes[4]  # with the tolerance
    dashed = [line.get_ydata()[0] for line in gap.lines if line.get_linestyle() == "--"]
    assert dashed == [-0.1, 0.1]


def test_a_long_training_is_shown_by_shares_of_its_steps(inputs):
    step = np.arange(3000)
    modes = np.where(step % 3 == 0, "regular", "rebalance_m0")
    steps = {"step": step + 1, "epoch": 1 + step // 300, "mode": modes, "speed_m0": 0.0}
    run = inputs["runs"].query("policy == 'guided'")["run"].iloc[0]
    inputs["steps"] = pd.DataFrame(steps | {"speed_m1": -1.0, "run": run})
    shares = ribbons(draw("steps", inputs).axes[0])
    assert shares["regular"] == pytest.approx(np.full(100, 1 / 3))
    assert shares["rebalance_m0"] == pytest.approx(np.full(100, 2 / 3))


def test_prediction_has_a_mark_a_model_filled_if_distinct():
    left, right = picture("prediction").axes
    lines = [line for line in left.lines if len(line.get_xdata()) == 6]
    assert len(lines) == 6
    assert [line.get_markerfacecolor() == "none" for line in lines] == [False, True] * 3
    rows = complete()["prediction_by_epoch"].query("dataset == 'colored_mnist'")
    assert marks(right, "o")[0] == pytest.approx(
        rows[["epoch", "sign_agreement"]].to_numpy() * [1, 100]
    )


def test_the_evaluations_stand_at_their_means_beside_the_published_bands():
    table = complete()["table1_evaluations"]
    cell = table[(table["dataset"] == "colored_mnist") & (table["method"] == "guided")]
    of_way = cell[cell["output"] == "fused"].set_index("evaluation")["mean"]
    axes = picture("evaluations").axes[0]
    (place,) = [t.get_position()[1] for t in axes.get_yticklabels() if t.get_text() == "+ guided"]
    drawn = [line for line in axes.get_lines() if len(line.get_ydata())]  # not for the legend alone
    near = [line for line in drawn if abs(line.get_ydata()[0] - place) < 0.5]
    at = {line.get_label(): line.get_xdata()[0] for line in near}
    assert at["no flow between branches"] == pytest.approx(of_way["isolated"])
    assert at["each mode as often as in training"] == pytest.approx(of_way["as_trained"])
    bands = {round(p.get_y() + p.get_height() / 2): p for p in axes.patches}
    assert bands[round(place)].get_x() == pytest.approx(91.01 - 2 * 1.20)
    assert bands[round(place)].get_width() == pytest.approx(4 * 1.20)


def test_the_fidelity_figure_tells_fewer_seeds_and_none_from_no_effect(inputs):
    table = inputs["fidelity_study"]
    full = words("fidelity", inputs)
    assert not said("fewer seeds", full)
    assert not said("missing", full)
    thrown = table.index[table["switch"] != ""]
    differs = [c for c in table if c.startswith("difference")]
    some = table.assign(unfinished=table["unfinished"].where(table.index != thrown[0], 1))
    some.loc[thrown[1], differs] = np.nan
    text = words("fidelity", inputs | {"fidelity_study": some})
    assert said("hollow: fewer seeds than asked for", text)
    assert said("+ guided: missing", text)


def test_where_all_runs_failed_the_figure_says_so(inputs):
    inputs["table1_evaluations"] = inputs["table1_evaluations"].assign(mean=np.nan)
    inputs["runs"] = fail(inputs["runs"], inputs["runs"]["experiments"] == "table1")
    for figure, why in (("evaluations", "No run of"), ("learning_curves", "None of 12 runs of")):
        with pytest.raises(NothingToShow, match=f"{why} table1 on Colored-and-gray-MNIST has"):
            draw(figure, inputs)


def test_learning_curves_are_in_percent_one_line_a_seed():
    top = picture("learning_curves").axes[0]
    assert top.get_title(loc="left") == "vanilla (3 seeds)"
    where = "experiments == 'table1' and dataset == 'colored_mnist' and inputs == 'distinct'"
    vanilla = complete()["runs"].query(f"{where} and policy == 'vanilla'")
    of_runs = complete()["histories"][complete()["histories"]["run"].isin(vanilla["run"])]
    columns = ["test_accuracy", "test_accuracy_m0", "test_accuracy_m1"]
    wanted = {tuple(100 * run[c]) for _, run in of_runs.groupby("run") for c in columns}
    assert {tuple(line.get_ydata()) for line in top.lines} == wanted


@pytest.mark.parametrize("figure", ["learning_curves", "prediction"])
def test_runs_of_another_preset_are_drawn_where_the_usual_one_has_none(inputs, figure):
    for name in FIGURES[figure].inputs:
        if "fidelity" in inputs[name]:
            inputs[name] = inputs[name].assign(fidelity="official")
    unfinished = fail(inputs["runs"].assign(fidelity="paper"), inputs["runs"]["run"].notna())
    inputs["runs"] = pd.concat([inputs["runs"], unfinished], ignore_index=True)
    assert not said("has finished", words(figure, inputs))


def test_figure_6_shows_every_class_in_every_modality_of_data_that_have_examples(inputs):
    pictures = [len(axes.images) for axes in picture("figure6").axes]
    assert pictures == [20, 20, 4 * 8, 2 * 5 * 3]
    del inputs["examples"]["nvgesture"]
    assert len(draw("figure6", inputs).axes) == 3


def test_empty_tables_beside_real_runs_leave_the_dots(inputs, nothing):
    """Tables that sum up may lack a row; what the runs say is still drawn."""
    inputs["greediness"] = nothing["greediness"]
    left, *_ = draw("figure7", inputs).axes
    assert len(marks(left, "o")[0]) == 6
    assert marks(left, "D") == []


def test_a_number_that_rounds_to_zero_has_no_sign_and_an_interval_s_ends_are_told_apart():
    assert [number(x) for x in (-0.001, -0.006, 0.001)] == ["0.00", "−0.01", "0.00"]
    assert with_interval(0.0001, -0.002, 0.003) == "0.000 [−0.002, 0.003]"
    assert with_interval(0.58, 0.49, 0.67) == "0.58 [0.49, 0.67]"


@pytest.mark.parametrize("datasets", [("modelnet40",), tuple(DATASETS)])
@pytest.mark.parametrize("figure", sorted(FIGURES))
def test_a_legend_has_room_within_its_figure(inputs, figure, datasets):
    for name in {"runs", "greediness"} & {*FIGURES[figure].inputs}:
        inputs[name] = inputs[name][inputs[name]["dataset"].isin(datasets)]
    try:
        drawn = draw(figure, inputs)
    except NothingToShow:
        return
    drawn.draw_without_rendering()
    for text in (text for legend in drawn.legends for text in legend.get_texts()):
        place = text.get_window_extent()
        assert min(place.x0, place.y0) >= 0
        assert place.x1 <= drawn.bbox.width
        assert place.y1 <= drawn.bbox.height
