"""Colored-and-gray-MNIST, made from MNIST digits (Kim et al., 2019; paper, App. A).

A training digit is tinted in the color of its class, a held-out digit in the color of a class drawn
at random: the color predicts the class while training and says nothing after. The gray image is
the plain digit. Kim et al. released a file and not how they made it, so this one is regenerated, with
the mean colors that re-implementations give for theirs. The held-out digits are stored in the colors of
their classes as well, as the bias of training would have them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from equimodal.study.data import mnist, prepared
from equimodal.study.data.examples import save_examples
from equimodal.study.errors import UserError
from equimodal.study.pickles import load_pickled_npy

if TYPE_CHECKING:
    from equimodal.study.datasets import ColoredMnist

ARRAYS = ("color", "gray", "colors", "labels", "ids")
BY_LABEL = "by_label"  # the test digits, each in the color of its own class

Colored = tuple[UInt8[ndarray, "n height width 3"], Float32[ndarray, "n 3"]]  # images, colors
Digits = tuple[UInt8[ndarray, "n height width"], UInt8[ndarray, " n"]]


def prepare(raw: Path, out: Path, settings: "ColoredMnist") -> None:
    """Write `color` uint8 (n, 28, 28, 3), `gray` uint8 (n, 28, 28, 1) and what else is stored of each split.

    Also `colors` float32 (n, 3) in [0, 1], and as `color` one for each of the other colorings, with the
    same draws. Of the test digits also `color_by_label` and its like: the same draws, but for those that
    are redrawn, about the color of the digit's own class. The rest is as `Dataset.prepare` says.
    """
    usual, *others = settings.colorings.values()
    train, test = _digits(raw, settings.test_per_class)
    seed, held_out = settings.coloring.seed, settings.validation_examples
    original = _read_kim(raw / mnist.KIM, train, test, seed) if settings.digits == "kim" else None
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
    prepared.end(out, settings.preparation, by=__name__)


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
    images = mnist.read_idx(raw / f"{part}-images-idx3-ubyte.gz", 3)
    labels = mnist.read_idx(raw / f"{part}-labels-idx1-ubyte.gz", 1)
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
