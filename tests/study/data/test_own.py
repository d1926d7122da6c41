"""Data of one's own: what is stored of them, what is refused and how, and how they are noticed to have changed."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from equimodal.study import layout, receipts, steps
from equimodal.study.cli import app
from equimodal.study.data import prepared
from equimodal.study.data.dataset import Dataset
from equimodal.study.data.split import load_split
from equimodal.study.datasets import OTHER_NAMES, Own
from equimodal.study.errors import UserError
from equimodal.study.params import load_params

N = {"train": 8, "test": 4}
SOURCES = {
    "photo": {"height": 2, "width": 3, "channels": 3},
    "sound": {"length": 5, "channels": 2},
    "table": {"channels": 4},
}


def settings(sources=SOURCES, **changes):
    own = {"kind": "own", "classes": 2, "sources": sources, "folder": "mine", "table1_rate": 0.1}
    own |= {"inputs": {"distinct": {m: m for m in sources}}, "validation_share": 0.25}
    return Own.model_validate_json(json.dumps(own | {"validation_seed": 1} | changes), strict=True)


def arrays(n, seed=0):
    """Images as bytes, sequences and features as floats, labels in turn."""
    generator = np.random.default_rng(seed)
    return {
        "photo": generator.integers(0, 256, (n, 2, 3, 3), np.uint8),
        "sound": generator.normal(5, 3, (n, 2, 5)),
        "table": generator.normal(1e9, 2, (n, 4)),
        "labels": np.arange(n) % 2,
    }


def save(folder, **changes):
    """Write both splits; a change is `<split>_<name>`: another array, or None for none."""
    folder.mkdir(exist_ok=True)
    for split, n in N.items():
        given = arrays(n, seed=len(split))
        given |= {k.removeprefix(f"{split}_"): x for k, x in changes.items() if k.startswith(split)}
        np.savez(folder / f"{split}.npz", **{k: x for k, x in given.items() if x is not None})


def draw(folder, split, modality, names, *, size=(3, 2), color=(200, 100, 50)):
    """Images `<class>/<name>` of one color, which is another for each."""
    for number, name in enumerate(names):
        file = folder / split / modality / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, tuple(c - number for c in color)).save(file)


NAMES = [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4)]
PICTURES = {m: {"height": 2, "width": 3, "channels": 3} for m in ("front", "side")}


@pytest.fixture
def pictures(tmp_path):
    for split, of in {"train": NAMES, "test": NAMES[1::2]}.items():
        for m in PICTURES:
            draw(tmp_path / "raw", split, m, of, color=(200, 100, 50 if m == "side" else 250))
    return tmp_path / "raw"


def said(raw, of):
    with pytest.raises(UserError) as caught:
        of.prepare(raw, raw.with_name("out"))
    assert not list(raw.with_name("out").glob("*.npy"))
    return str(caught.value)


def test_three_modalities_of_any_shape_reach_a_network_scaled_by_their_training_examples(tmp_path):
    save(tmp_path / "raw")
    of = settings()
    of.prepare(tmp_path / "raw", tmp_path / "out")
    split = {
        s: load_split(
            tmp_path / "out", s, modalities={m: of.modality(m) for m in SOURCES}, classes=2
        )
        for s in of.splits
    }
    assert {s: len(x) for s, x in split.items()} == {"train": 6, "validation": 2, "test": 4}
    kept = split["train"].ids
    seen = split["train"].batch(kept.new_tensor(range(6))).inputs
    given = arrays(8, seed=len("train"))
    given["photo"] = np.moveaxis(given["photo"], -1, 1)
    for m, array in given.items():
        if m != "labels":
            x = array[kept].astype(float)
            axes = (0, *range(2, x.ndim))
            scaled = (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
            np.testing.assert_allclose(seen[m], scaled, atol=1e-4)
    assert split["train"].labels.tolist() == given["labels"][kept].tolist()
    assert (tmp_path / "out/train.photo.npy").stat().st_size < 300  # bytes


def test_images_with_channels_first_and_files_of_their_own_are_stored_alike(tmp_path):
    save(tmp_path / "raw")
    other = tmp_path / "other"
    for split, n in N.items():
        given = arrays(n, seed=len(split))
        given["photo"] = np.moveaxis(given["photo"], -1, 1)
        (other / "deeper" / split).mkdir(parents=True)
        for name, array in given.items():
            np.save(other / "deeper" / split / f"{name}.npy", array)
    for raw in (tmp_path / "raw", other):
        settings().prepare(raw, tmp_path / f"of_{raw.name}")
    for file in (tmp_path / "of_raw").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "of_other" / file.name).read_bytes()


def test_a_constant_feature_is_zero_and_not_nan(tmp_path):
    table = arrays(8)["table"]
    table[:, 1] = 7
    save(tmp_path / "raw", train_table=table)
    settings().prepare(tmp_path / "raw", tmp_path / "out")
    assert (np.load(tmp_path / "out/train.table.npy")[:, 1] == 0).all()


def test_folders_of_images_tell_the_labels_and_the_order(pictures, tmp_path):
    of = settings(PICTURES)
    of.prepare(pictures, tmp_path / "out", processes=1)
    ids = np.load(tmp_path / "out/train.ids.npy")
    labels = np.load(tmp_path / "out/train.labels.npy")
    assert labels.tolist() == [int(i >= 4) for i in ids]
    front = np.load(tmp_path / "out/train.front.npy")
    assert front.shape == (6, 2, 3, 3)
    assert front[:, 0, 0, 0].tolist() == [200 - i for i in ids]


def test_a_larger_image_is_averaged_and_a_gray_one_may_have_one_channel(tmp_path, pictures):
    gray = np.repeat(np.array([[0, 100], [0, 100], [50, 250], [50, 250]], np.uint8), 2, axis=1)
    of = settings({m: {"height": 2, "width": 2, "channels": 1} for m in PICTURES})
    for file in pictures.rglob("*.png"):
        Image.fromarray(gray).save(file)
    of.prepare(pictures, tmp_path / "out")
    assert np.load(tmp_path / "out/test.side.npy")[0, ..., 0].tolist() == [[0, 100], [50, 250]]


def test_colors_that_average_to_gray_are_colors(pictures):
    of = settings({m: {"height": 1, "width": 1, "channels": 1} for m in PICTURES})
    for file in pictures.rglob("*.png"):
        Image.fromarray(np.array([[[255, 0, 0], [0, 255, 255]]], np.uint8)).save(file)
    assert "is in color" in said(pictures, of)


def with_nan(array, row):
    array[row].flat[0] = np.nan
    return array


GIVEN = arrays(8, seed=len("train"))
WRONG = {  # what is wrong with arrays -> the change, and what is said
    "missing": ({"train_sound": None}, "train has no sound: add it to {raw}/train.npz (it has ['photo', "),
    "no labels": ({"test_labels": None}, "test has no labels: add it to {raw}/test.npz"),
    "fewer examples": ({"test_table": arrays(3)["table"]},
        "{raw}/test has other numbers of examples for one modality than for another: 4 of photo, 4 of sound, 3 of table, 4 of labels"),
    "no examples": ({f"test_{m}": x[:0] for m, x in GIVEN.items()}, "{raw}/test has no examples in photo, sound, table"),
    "labels from 1": ({"train_labels": GIVEN["labels"] + 1}, "{raw}/train.npz: labels has labels from 1 to 2, expected 0 to 1"),
    "labels as floats": ({"train_labels": GIVEN["labels"] / 2}, "labels holds float64 of shape 8, expected whole numbers in a row"),
    "labels as names": ({"test_labels": np.array(["cat", "dog"] * 2)}, "labels holds <U3 of shape 4, expected whole numbers in a row: np.searchsorted"),
    "labels in a matrix": ({"test_labels": np.eye(2, dtype=int)[[0, 1, 0, 1]]}, "of shape 4 x 2, expected whole numbers in a row: labels.argmax(1)"),
    "NaN": ({"train_table": with_nan(arrays(8)["table"], 5)},
        "{raw}/train.npz: table has NaN, infinite or absurdly large values in 1 of 8 examples, counted from 0: 5;"),
    "infinite": ({"test_sound": arrays(4)["sound"] * np.inf}, "values in 4 of 4 examples, counted from 0: 0, 1, 2 and 1 more;"),
    "objects": ({"train_sound": np.array([[1], [1, 2]] * 4, dtype=object)}, "{raw}/train.npz: sound holds Python objects"),
    "text": ({"train_table": np.full((8, 4), "1.5")}, "table holds <U3, expected numbers"),
    "another shape": ({"train_photo": arrays(8)["photo"][:, :, :2]},
        "photo has shape 8 x 2 x 2 x 3, expected n x 2 x 3 x 3 or n x 3 x 2 x 3, as the settings say"),
    "bytes in one part": ({"test_photo": arrays(4)["photo"] / 255}, "raw: photo has bytes (uint8) in train and other numbers in test"),
    "one number": ({"test_table": np.array(1.0)}, "table has shape of one number, expected n x 4"),
    "too few to hold some out": ({f"train_{m}": x[:3] for m, x in GIVEN.items()}, "raw: validation_share 0.25 of 3 training examples leaves a part empty"),
    "a class that is not trained": ({"train_labels": GIVEN["labels"] * 0}, "{raw}/train has no example of the classes 1,"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_arrays_that_can_not_be_used_are_refused(tmp_path, what):
    changes, expected = WRONG[what]
    save(tmp_path / "raw", **changes)
    assert expected.format(raw=tmp_path / "raw") in said(tmp_path / "raw", settings())


@pytest.mark.parametrize("split", N)
def test_values_that_scaling_would_make_infinite_are_refused_and_leave_the_data_be(tmp_path, split):
    save(tmp_path / "raw")
    settings().prepare(tmp_path / "raw", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    # Nearly constant where there is training, so that a value of 1 is far away.
    near = np.full((8, 4), 1e-38)
    near[0] = 2e-38
    far = np.where(np.arange(4)[:, None] == 2, 1e3, arrays(4)["table"] * 0)
    save(tmp_path / "raw", train_table=near, test_table=far if split == "test" else near[:4])
    if split == "train":
        settings().prepare(tmp_path / "raw", tmp_path / "out")
        assert np.isfinite(np.load(tmp_path / "out/train.table.npy")).all()
        return
    with pytest.raises(
        UserError, match=r"raw: table of test has values \de\+\d\d deviations of the training"
    ):
        settings().prepare(tmp_path / "raw", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_part_for_validation_is_not_passed_over(tmp_path):
    save(tmp_path / "raw")
    np.savez(tmp_path / "raw/validation.npz", **arrays(4))
    assert (
        "raw/validation.npz would not be used, as validation_share is 0.25: set it to null"
        in said(tmp_path / "raw", settings())
    )


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    raw = tmp_path / "raw"
    together = ("missing", "labels from 1", "NaN", "fewer examples", "infinite")
    changes = [WRONG[what] for what in together]
    save(raw, **{k: x for change, _ in changes for k, x in change.items()})
    message = said(raw, settings())
    for _, expected in changes[:3]:
        assert expected.format(raw=raw) in message
    assert "3 of table" in message
    assert "values in 4 of 4 examples" in message
    with pytest.raises(UserError) as fetched:
        settings().fetch(raw, mirror=None)
    assert message == str(fetched.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x04K\x01.", b"<html>"])
@pytest.mark.parametrize("name", ["train.npz", "train/table.npy"])
def test_a_damaged_file_or_a_pickle_is_refused_in_one_line_and_never_run(tmp_path, name, content):
    raw = tmp_path / "raw"
    save(raw, train_table=None)
    (raw / "train").mkdir()
    (raw / name).write_bytes(content)
    (line,) = said(raw, settings()).splitlines()[1:]
    assert f"{raw / name} is damaged" in line
    assert "save it with numpy again" in line
    assert "allow_pickle" not in line


@pytest.mark.parametrize("name", ["", "train.npz", "train", "train/table.npy"])
def test_a_link_to_nothing_is_named_in_one_line(tmp_path, name):
    raw = tmp_path / "raw"
    save(raw)
    if name in ("", "train.npz"):
        (raw / name).rename(tmp_path / "elsewhere")
    (raw / name).parent.mkdir(exist_ok=True)
    (raw / name).symlink_to("/nowhere/at/all")
    (line,) = said(raw, settings()).splitlines()[1:]
    assert line == f"  {raw / name} is a link to nothing; mend the link, or remove it"


def test_nothing_but_the_folder_is_said_to_lack_all_of_it(tmp_path):
    (tmp_path / "raw").mkdir()
    message = said(tmp_path / "raw", settings())
    assert len(message.splitlines()) == 1 + 2 * 4
    assert f"{tmp_path}/raw/test/sound.npy" in message


def test_two_places_for_one_array_are_refused(tmp_path):
    save(tmp_path / "raw")
    (tmp_path / "raw/test").mkdir()
    np.save(tmp_path / "raw/test/table.npy", arrays(4)["table"])
    assert "both give table; keep one of them" in said(tmp_path / "raw", settings())


def no_file(raw):
    (raw / "train/side/cat/2.png").unlink()


def no_class(raw):
    for file in (raw / "test/side/dog").iterdir():
        file.unlink()


def in_place(change):
    """Replace one image by what `change` makes of it."""

    def edit(raw):
        file = raw / "train/front/dog/1.png"
        with Image.open(file) as image:
            made = change(image)
        made.save(file)

    return edit


def deep(image):
    return Image.fromarray(np.full((2, 3), 40_000, np.uint16))


def moving(raw):
    for m in PICTURES:
        file = raw / f"train/{m}/dog/1.png"
        with Image.open(file) as image:
            image.save(
                file.with_suffix(".gif"),
                save_all=True,
                append_images=[image.point(lambda x: 255 - x)],
            )
        file.unlink()


def in_two_forms(raw):
    shutil.rmtree(raw / "test/side")
    np.save(raw / "test/side.npy", np.zeros((4, 2, 3, 3), np.uint8))


def of_another_class(raw):
    draw(raw, "test", "front", ["owl/1.png"])
    draw(raw, "test", "side", ["owl/1.png"])


WRONG_IMAGES = {
    "a file is missing": (no_file, "{raw}/train/side lacks images that other modalities have: cat/2"),
    "a class is missing": (no_class, "{raw}/test/side has no images of dog"),
    "an untrained class": (of_another_class, "{raw}/test has images of owl, no class of train"),
    "two forms": (in_two_forms, "{raw}: side has images in train and an array in test; give all parts in one form"),
    "16 bits": (in_place(deep), "{raw}/train/front/dog/1.png has more than 8 bits a channel"),
    "transparent": (in_place(lambda i: i.convert("RGBA").point(lambda x: x // 2)), "1.png is transparent in places"),
    "several frames": (moving, "1.gif has several frames or pages"),
    "folders in a class": (lambda raw: draw(raw, "train", "front", ["dog/more/9.png"]), "{raw}/train/front/dog/more: a class has files alone"),
    "no image": (lambda raw: (raw / "train/front/dog/1.png").write_bytes(b"no image"), "1.png is no image, damaged or of absurd size"),
    "one name twice": (lambda raw: draw(raw, "train", "front", ["dog/1.jpg"]), "{raw}/train/front/dog/1.jpg: another file has this name"),
    "no folder of a class": (lambda raw: draw(raw, "train", "front", ["x.png"]), "{raw}/train/front has x.png in no folder of a class"),
    "a link to nothing": (lambda raw: (raw / "train/front/dog/9.png").symlink_to(raw / "none"), "{raw}/train/front/dog/9.png: a link to nothing, or no file"),
    "other labels": (lambda raw: np.save(raw / "test/labels.npy", np.array([0, 1, 0, 1])), "{raw}/test: labels are not those of its folders"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_IMAGES)
def test_folders_that_can_not_be_used_are_refused(pictures, what):
    edit, expected = WRONG_IMAGES[what]
    edit(pictures)
    assert expected.format(raw=pictures) in said(pictures, settings(PICTURES))


def test_a_name_is_one_however_a_system_writes_its_accents(pictures, tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for part in pictures.iterdir():
        (part / "front/cat").rename(part / "front" / composed)
        (part / "side/cat").rename(part / "side" / decomposed)
    settings(PICTURES, classes=["dog", decomposed]).prepare(pictures, tmp_path / "out")
    assert np.load(tmp_path / "out/test.labels.npy").tolist() == [0, 0, 1, 1]


def test_faults_of_images_and_of_folders_are_said_at_once(pictures):
    no_file(pictures)
    in_place(deep)(pictures)
    message = said(pictures, settings(PICTURES))
    assert "lacks images" in message
    assert "more than 8 bits" in message


def test_a_folder_in_place_of_features_is_refused(pictures):
    sources = {"front": PICTURES["front"], "side": {"channels": 4}}
    assert "by the settings side is n x 4" in said(pictures, settings(sources))
    gray = {m: {**of, "channels": 1} for m, of in PICTURES.items()}
    assert "is in color, but its modality has channels: 1" in said(pictures, settings(gray))


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": {"channels": 1}}, "at least 2"),
        ({"a": {"channels": 1, "height": 2}, "b": {"channels": 1}}, "images have height and width"),
        ({"distinct": {"channels": 1}, "b": {"channels": 1}}, "sources has 'distinct'"),
        (
            {"labels": {"channels": 1}, "train": {"channels": 1}},
            r"sources has \['labels', 'train'\]",
        ),
        ({"a": {"length": 3}, "b": {"channels": 1}}, "channels"),
    ],
)
def test_modalities_that_can_not_be_are_refused(sources, expected):
    with pytest.raises(ValueError, match=expected):
        settings(sources)


@pytest.mark.parametrize("classes", [[1, 2], 1, "two", ["cat"], 2.5, True])
def test_classes_are_their_number_or_their_names(classes):
    with pytest.raises(
        ValueError, match="expected their number, from 2 to 256, or a list of as many"
    ):
        settings(classes=classes)


def test_no_modality_of_one_s_own_is_called_as_torch_calls_something():
    assert {n for n in dir(nn.ModuleDict) if not n.startswith("_")} <= {*OTHER_NAMES}


def test_files_that_change_while_they_are_prepared_are_not_vouched_for(tmp_path, monkeypatch):
    save(tmp_path / "raw")
    begin = prepared.begin

    def changed(*arguments, **options):
        save(tmp_path / "raw", train_table=arrays(8, seed=9)["table"])
        return begin(*arguments, **options)

    monkeypatch.setattr(prepared, "begin", changed)
    with pytest.raises(UserError, match="raw has changed while it was prepared"):
        settings().prepare(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out" / receipts.NAME).exists()


@pytest.fixture
def mine(project):
    scale = {"like": "own", "datasets": {"mine": {"kind": "own", "classes": 2, "sources": SOURCES}}}
    (project.folder / "config/scales/mine.yaml").write_text(json.dumps(scale))  # YAML, too
    layout.RAW.mkdir(parents=True)
    save(layout.raw("mine"))
    return load_params(scale="mine")


def test_changed_files_are_noticed(mine):
    of: Dataset = mine.datasets["mine"]
    raw = layout.raw("mine")
    before = of.state_of_raw(raw)
    of.prepare(raw, layout.prepared("mine", "mine"))
    product = steps.preparation("mine", mine)
    assert not list(product.objections())
    save(raw, train_table=arrays(8, seed=9)["table"])
    (objection,) = product.objections()
    assert "data/raw/mine/train.npz is another one than it was made of" in objection.reason
    assert of.state_of_raw(raw) != before
    assert receipts.read(product.receipt).inputs.keys() == {
        f"data/raw/mine/{split}.npz" for split in N
    }


def test_data_status_lists_the_data_of_the_scale(mine):
    status = CliRunner().invoke(app, ["data-status", "--scale", "mine"]).output
    assert re.findall(r"^\w+$", status, re.MULTILINE) == ["mine"]


def test_a_class_that_is_in_no_test_example_is_told(tmp_path, capsys):
    save(tmp_path / "raw")
    settings().prepare(tmp_path / "raw", tmp_path / "out")
    assert "test has" not in capsys.readouterr().err
    save(tmp_path / "raw", test_labels=np.zeros(4, int))
    settings().prepare(tmp_path / "raw", tmp_path / "other")
    assert "test has no example of the classes 1, counted from 0" in capsys.readouterr().err
