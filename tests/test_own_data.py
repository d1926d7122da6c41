"""A scale with data of one's own: what it needs to say, and what comes of it, from files to Table 1."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from equimodal.linear.figures import figures_of
from equimodal.study import layout
from equimodal.study.analysis import TABLES
from equimodal.study.cli import main
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.paces import kind_of
from equimodal.study.params import load_params
from equimodal.study.steps import made_at

MINE = """\
like: own
datasets:
  mine:
    kind: own
    classes: 2
    sources:
      photo: {height: 4, width: 3, channels: 3}
      sound: {length: 5, channels: 2}
      table: {channels: 4}
"""
SMALL = """\
networks:
  mine: {widths: [2, 2, 2, 2]}
training:
  mine: {max_epochs: 1, batch_size: 4}
experiments:
  table1:
    - {dataset: own, inputs: alone, policy: [vanilla], rates: table1, seeds: 1}
    - {dataset: mine, inputs: [distinct], policy: [vanilla, random, guided], rates: table1, seeds: 1}
  sweep: []
  sweep_balanced: []
"""


@pytest.fixture
def scale(project):
    """Write a scale and read it."""

    def write(text):
        (project.folder / "config/scales/mine.yaml").write_text(text)
        return load_params(scale="mine")

    return write


def said(scale, text):
    with pytest.raises(UserError) as caught:
        scale(text)
    return str(caught.value).splitlines()


def test_eight_lines_ask_for_the_rows_of_table_1_and_for_greediness(scale):
    settings = scale(MINE)
    table1 = expand_runs(settings, "table1").values()
    assert {(run.inputs, run.method) for run in table1} == {
        *((m, "unimodal") for m in ("photo", "sound", "table")),
        *(("distinct", method) for method in ("vanilla", "random", "guided")),
    }
    assert {run.seed for run in table1} == {0, 1, 2}
    swept = expand_runs(settings, "sweep") | expand_runs(settings, "sweep_balanced")
    assert {run.policy for run in swept.values()} == {"vanilla", "random", "guided"}
    assert {run.dataset for run in expand_runs(settings).values()} == {"mine"}
    assert settings.datasets["mine"].raw == "mine"
    assert figures_of(settings) == {}  # of the second paper, which is about digits


def test_what_a_scale_says_of_its_own_data_goes_over_what_all_such_have(scale):
    usual = scale(MINE)
    other = scale(MINE + "training:\n  mine: {max_epochs: 7}\n")
    assert other.training["mine"] == usual.training["mine"].model_copy(update={"max_epochs": 7})
    images = MINE.replace("length: 5", "height: 5, width: 5").replace(
        "{ch", "{height: 1, width: 1, ch"
    )
    resnet = scale(images + "networks:\n  mine: {kind: resnet18, width: 0.5, fused_after: [2]}\n")
    assert resnet.networks["mine"].kind == "resnet18"


def test_a_pair_of_three_modalities_stands_beside_the_usual_inputs(scale):
    pair = "    inputs: {pair: {photo: photo, sound: sound}}\n"
    settings = scale(MINE + pair)
    assert {*settings.datasets["mine"].inputs} == {"photo", "sound", "table", "distinct", "pair"}
    assert expand_runs(settings) == expand_runs(scale(MINE))


def test_two_data_sets_of_one_s_own_stand_side_by_side(scale):
    yours = MINE.partition("  mine:")[2].replace("photo", "film")
    settings = scale(f"{MINE}  yours:{yours}")
    assert {*settings.datasets["yours"].sources} == {"film", "sound", "table"}
    assert {run.dataset for run in expand_runs(settings, "sweep").values()} == {"mine", "yours"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("like: own\n", "datasets has none of kind: own"),
        (MINE.replace("    classes: 2\n", ""), "datasets.mine.classes is missing"),
        (MINE.replace("{channels: 4}", "{count: 4}"), "unknown key datasets.mine.sources.table.count; it takes ['channels', 'height', 'length', 'width']"),
        (MINE.replace("photo:", "0:"), "datasets.mine.sources: in a table this name would be a number"),
        (MINE.replace("like: own", "like: paper"), "a scale with data of one's own, ['mine'], is `like: own`, which has the rest"),
        (MINE + "training:\n  mien: {max_epochs: 3}\n", "training has ['mien'], but datasets has"),
        (MINE + "networks:\n  mine: {widths: [2]}\n", "networks.mine.widths: expected at least 4 items, not 1, given [2]"),
        (MINE.replace("length: 5", "height: 5"), "datasets.mine.sources.sound: images have height and width"),
        (MINE + "augmentation:\n  mine: {flip: 0.5}\n", "augmentation.mine.flip is 0.5, but a mirror is for images"),
        (MINE + "networks:\n  mine: {kind: resnet18, width: 0.5, fused_after: [2]}\n", "networks.mine.kind is resnet18, which ['sound', 'table'] are not for"),
        (MINE + "experiments:\n  table1:\n    - {dataset: [mine], inputs: [distinct], policy: [vanilla], rates: table1, seeds: 1}\n", "experiments.table1.0.dataset: "),
        (MINE + "networks:\n  mine: {fused_after: [5]}\n", "networks.mine.fused_after.0: expected a number less than or equal to 4"),
    ],
)  # fmt: skip
def test_what_a_scale_lacks_is_said_with_its_file(scale, text, expected):
    assert any(f"config/scales/mine.yaml: {expected}" in line for line in said(scale, text))


@pytest.mark.parametrize(
    ("more", "said_of"),
    [
        ("inputs: [distinct, pair], rates: table1", "inputs ['distinct', 'pair']"),
        ("inputs: [distinct], rates: [0.1, 0.2]", "rates ['0.1', '0.2']"),
        ("inputs: [distinct], rates: table1, tolerance: [0.1, 0.2]", "tolerance ['0.1', '0.2']"),
    ],
)
def test_a_mean_over_seeds_is_of_nothing_else(scale, more, said_of):
    pair = "    inputs: {pair: {photo: photo, sound: sound}}\n"
    grid = f"    - {{dataset: own, policy: [guided], seeds: 1, {more}}}\n"
    lines = said(scale, f"{MINE}{pair}experiments:\n  table1:\n{grid}")
    of = "dataset mine, start scratch, fidelity paper, method guided"
    assert [f"experiments.table1 asks for {said_of} of {of}, " in line for line in lines] == [True]


def test_each_modality_alone_is_asked_for_by_one_word_of_a_data_set_too(scale):
    grid = "{dataset: NAME, inputs: alone, policy: [vanilla], rates: table1, seeds: 1}"
    asked = [
        expand_runs(scale(f"{MINE}experiments:\n  sweep:\n    - {grid.replace('NAME', name)}\n"))
        for name in ("own", "mine")
    ]
    assert asked[0] == asked[1]
    assert "mine/table/vanilla/paper/lr0.01/seed0" in asked[0]


def test_tables_of_one_data_set_of_the_paper_show_no_data_of_one_s_own(scale):
    grid = "{dataset: own, inputs: [distinct], policy: [vanilla], rates: table1, seeds: 1}"
    made = made_at(
        TABLES, scale(f"{MINE}experiments:\n  l1:\n    - {grid}\n  three_views:\n    - {grid}\n")
    )
    assert not {"l1_study", "l1_trends", "three_views", "by_cap", "readings"} & {*made}
    assert "table1" in made


def verb(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["equimodal", *arguments, "--scale", "mine"])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code


def test_a_last_batch_of_one_that_batch_norm_can_not_take_names_the_setting(scale, capfd):
    sources = {"a": "{height: 8, width: 8, channels: 1}", "b": "{height: 8, width: 8, channels: 1}"}
    listed = "".join(f"      {m}: {of}\n" for m, of in sources.items())
    small = SMALL.replace(
        "{widths: [2, 2, 2, 2]}", "{kind: resnet18, width: 0.125, fused_after: [4]}"
    )
    scale(f"{MINE.partition('      photo')[0]}{listed}{small}")
    layout.raw("mine").mkdir(parents=True)
    for split, n in (("train", 7), ("test", 2)):  # 6 train, in batches of 4 and 2
        images = dict.fromkeys(sources, np.zeros((n, 8, 8), np.uint8))
        np.savez(layout.raw("mine") / f"{split}.npz", **images, labels=np.arange(n) % 2)
    assert verb("prepare", "mine") == 0
    run = "mine/a/vanilla/paper/lr0.01/seed0"
    assert verb("train", run) == 0, capfd.readouterr().err
    scale(f"{MINE.partition('      photo')[0]}{listed}{small.replace('size: 4', 'size: 5')}")
    assert verb("train", run) == 2
    assert "set another training.mine.batch_size" in capfd.readouterr().err


def test_three_modalities_go_from_files_to_table_1(scale, capfd):
    settings = scale(MINE + SMALL)
    generator = np.random.default_rng(0)
    layout.raw("mine").mkdir(parents=True)
    for split, n in (("train", 26), ("test", 8)):  # 21 train: the last batch has one example
        np.savez(
            layout.raw("mine") / f"{split}.npz",
            photo=generator.integers(0, 256, (n, 4, 3, 3), np.uint8),
            sound=generator.normal(size=(n, 2, 5)),
            table=generator.normal(size=(n, 4)),
            labels=np.arange(n) % 2,
        )
    runs = [*expand_runs(settings)]
    of_table1 = expand_runs(settings, "table1").values()
    assert len({kind_of(spec, settings) for spec in of_table1}) == 4  # each alone, and all together
    assert verb("prepare", "mine") == 0
    assert verb("cell", *runs) == 0, capfd.readouterr().err
    assert verb("collect") == 0
    assert verb("table", "table1") == 0
    table = pd.read_csv(layout.table("mine", "table1"))
    assert table["method"].tolist() == ["unimodal", "vanilla", "random", "guided"]
    assert table["mean"].between(0, 100).all()
    text = layout.table("mine", "table1").with_suffix(".md").read_text()
    assert "Data of one's own" in text
    assert (
        "ModelNet40" not in text
    )  # the paper's data sets are not missing where none of them is asked for
    assert verb("claims") == 0
    text = layout.table("mine", "claims").with_suffix(".md").read_text()
    assert "the paper has none on these data" in text
    assert verb("verify") == 0
    np.save(layout.raw("mine") / "new.npy", np.zeros(3))  # is none of its files
    assert verb("verify") == 0
    (layout.raw("mine") / "test.npz").write_bytes(b"another")
    assert verb("verify") == 1
    assert "data/raw/mine/test.npz is another one than it was made of" in capfd.readouterr().out
    shutil.rmtree(layout.prepared("mine", "mine"))  # as where they may not be passed on
    assert verb("verify") == 0
    assert verb("train", runs[0]) == 2
    assert "run `equimodal prepare mine --scale mine`" in capfd.readouterr().err
    shutil.rmtree(layout.run("mine", runs[0]))
    layout.model("mine", runs[0]).unlink()
    assert verb("verify") == 1  # a logit bank of a network that is gone
    assert f"run `equimodal train {runs[0]} --scale mine`" in capfd.readouterr().out
