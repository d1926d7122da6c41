"""Data of one's own, in one plain layout: arrays, or folders of images, a modality each.

Below a folder of data/raw, for each split:

    <split>.npz                          arrays named as the modalities, and `labels`
    <split>/<modality>.npy               the same in files of their own, and <split>/labels.npy
    <split>/<modality>/<class>/<file>    images, the same files in each modality that has images

Whatever is wrong with them is told at once, by `prepare` as by `fetch`.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray

from equimodal.study import receipts
from equimodal.study.data import jobs, prepared
from equimodal.study.data.unfinished import UnfinishedArrays, stamp
from equimodal.study.errors import UserError, in_words

if TYPE_CHECKING:
    from equimodal.study.datasets import Own, OwnSource

VERSION = 1  # of what stands in the arrays: raise it when the same raw files give other bytes
LABELS = "labels"
LARGEST = float(np.finfo(np.float32).max)
ROWS = 256  # examples that are looked at together, which bounds the memory
CHUNK = 32  # images that a process is given at once
NAMED = 3  # of what one sentence is about


@dataclass
class Part:
    """What was found of a split."""

    arrays: dict[str, ndarray] = field(
        default_factory=dict
    )  # modality -> n examples, channels last
    images: dict[str, dict[str, Path]] = field(default_factory=dict)  # -> <class>/<name> -> file
    labels: Int64[ndarray, " n"] | None = None
    names: list[str] = field(default_factory=list)  # of images, in the order of their rows

    def counts(self) -> dict[str, int]:
        """How many examples each modality and the labels have."""
        given = {m: len(array) for m, array in self.arrays.items()} | dict.fromkeys(
            self.images, len(self.names)
        )
        return given if self.labels is None else given | {LABELS: len(self.labels)}


# Raw files


def _root(folder: Path) -> Path:
    """The folder that holds the splits: the given one, or the only one in it that has any."""
    within = [p for p in sorted(folder.glob("[!.]*/")) if any(p.glob("train*"))]
    return within[0] if len(within) == 1 and not any(folder.glob("train*")) else folder


def places(folder: Path, settings: "Own") -> list[Path]:
    """Files and folders of all splits, where they lie; what is in none, where it would lie as an array."""
    folder = _root(folder)
    found: list[Path] = []
    for split in settings.given:
        packed = [folder / f"{split}.npz"]
        for name in (*settings.sources, *_labels_wanted(folder, split, settings)):
            alone = [folder / split / name, folder / split / f"{name}.npy"]
            there = [place for place in alone + packed if place.exists()]
            found += there or alone[1:]
    return list(dict.fromkeys(found))


def _files(place: Path) -> list[Path]:
    return sorted(_images(place)) if place.is_dir() else [place] * place.exists()


def hashes(folder: Path, settings: "Own") -> dict[str, str]:
    """Place -> SHA-256, of a folder that of its files' hashes and names; nothing of data that are not here."""
    found = places(folder, settings) if folder.exists() else []
    return {
        place.as_posix(): _sha256(place, _state(place))
        if place.is_file()
        else _hash_of(f"{_sha256(f, _state(f))} {f.relative_to(place)}" for f in _files(place))
        for place in found
    }


def _hash_of(lines: Iterable[str]) -> str:
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def state(folder: Path, settings: "Own") -> str:
    """Another text once a file has changed, by names, sizes and times."""
    every = (file for place in places(folder, settings) for file in _files(place))
    return _hash_of(f"{file} {_state(file)}" for file in every)[:16]


@cache
def _sha256(file: Path, state: tuple[int, int]) -> str:
    return receipts.sha256(file)


def _state(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def count(folder: Path, split: str, settings: "Own") -> int:
    """How many examples are given for a split, by its labels or images; a guess where these can not be read."""
    folder = _root(folder)
    try:
        for place in _found(folder, split, LABELS):
            return len(_load(place, LABELS))
        folders = [folder / split / m for m in settings.sources if (folder / split / m).is_dir()]
        return len([*_images(folders[0])])
    except Exception:  # noqa: BLE001  whatever is wrong: `prepare` says so
        return 100 * settings.class_count


def _load(place: Path, name: str) -> ndarray:
    """Open an array; raises nearly anything, as numpy does on damaged bytes."""
    array: ndarray
    if place.suffix == ".npz":
        with place.open("rb") as file, np.load(file, allow_pickle=False) as packed:
            array = np.asarray(packed[name])
    else:
        array = np.lib.format.open_memmap(place, mode="r")
    return array


def _found(folder: Path, split: str, name: str) -> list[Path]:
    """Where an array or the images of a split lie; more than one place is a fault."""
    within, file, packed = (
        folder / split / name,
        folder / split / f"{name}.npy",
        folder / f"{split}.npz",
    )
    there = [place for place in (within, file) if place.exists()]
    return there + [packed] * (name in _members(packed))


def _members(packed: Path) -> list[str]:
    try:
        with packed.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return list(arrays.files)
    except Exception:  # noqa: BLE001  as above; what is not found is said to be missing
        return []


def _labels_wanted(folder: Path, split: str, settings: "Own") -> list[str]:
    """Labels are arrays too, unless folders of images tell them."""
    told = any((folder / split / m).is_dir() for m in settings.sources)
    return [] if told and not _found(folder, split, LABELS) else [LABELS]


def _images(place: Path) -> Iterator[Path]:
    return (p for p in place.glob("[!.]*/[!.]*") if p.is_file())


# What is wrong


def look(folder: Path, settings: "Own") -> tuple[dict[str, Part], list[str]]:
    """Find all that is given, and say all that is wrong with it, but for what images hold."""
    folder = _root(folder)
    parts: dict[str, Part] = {}
    wrong: list[str] = []
    for split in settings.given:
        parts[split], of_split = _look(folder, split, settings)
        wrong += of_split
    classes = _class_names(folder, parts, settings, wrong)
    for split, part in parts.items():
        wrong += _number(folder / split, part, classes, settings)
    return parts, wrong


def require(wrong: Iterable[str], folder: Path) -> None:
    """Raise UserError that names all that is wrong, if anything is."""
    if lines := "".join(f"\n  {line}" for line in dict.fromkeys(wrong)):
        raise UserError(f"{folder} can not be used as it is:{lines}")


def _look(folder: Path, split: str, settings: "Own") -> tuple[Part, list[str]]:
    """Open the arrays of a split and list its images, each by itself."""
    part, wrong = Part(), []
    for name in (*settings.sources, *_labels_wanted(folder, split, settings)):
        there = _found(folder, split, name)
        if len(there) > 1:
            wrong.append(f"{' and '.join(map(str, there))} both give {name}; keep one of them")
        if not there:
            wrong.append(_missing(folder, split, name))
            continue
        place = there[0]
        if place.is_dir() and name != LABELS:
            source = settings.sources[name]
            if source.axes != 2 or source.channels not in (1, 3):
                wrong.append(
                    f"{place} is a folder, as of images with height, width and 1 or 3 channels, but by the settings"
                    f" {name} is {source.layouts}"
                )
                continue
            part.images[name] = _listed(place, wrong)
            continue
        where = f"{place}: {name}" if place.suffix == ".npz" else str(place)
        try:
            array = _load(place, name)
        except Exception as error:  # noqa: BLE001  as above
            wrong.append(f"{where} {_why_unreadable(error)}")
            continue
        if name == LABELS:
            part.labels = _labels(array, where, settings, wrong)
        else:
            source = settings.sources[name]
            if (fitting := _channels_last(array, source, where, wrong)) is not None:
                part.arrays[name] = fitting
    return part, wrong


def _missing(folder: Path, split: str, name: str) -> str:
    packed = folder / f"{split}.npz"
    expected = f"{folder / split / name}.npy" + (
        ""
        if name == LABELS
        else f", or a folder {folder / split / name} with images in folders of classes"
    )
    if packed.exists() and not _members(packed):
        return f"{packed} can not be read as an .npz file; write it anew with np.savez({packed.name!r}, ...)"
    has = f" (it has {_members(packed)})" if packed.exists() else ""
    return f"{split} has no {name}: put it into {packed}{has}, or give {expected}"


def _why_unreadable(error: Exception) -> str:
    if "pickle" in str(error) or "objects" in str(error):
        return (
            "holds Python objects, which are never read, as they may run code; save numbers, all examples of one"
            " shape: np.asarray(x, dtype=np.float32)"
        )
    return f"can not be read ({in_words(error)}); write it anew with np.save or np.savez"


def _channels_last(
    array: ndarray, source: "OwnSource", where: str, wrong: list[str]
) -> ndarray | None:
    """The array with its channels last, or None if it has another shape or holds no numbers."""
    if array.dtype.kind not in "biuf":
        wrong.append(f"{where} holds {array.dtype}, expected numbers: bytes or floats")
        return None
    *space, channels = source.shape
    good = np.ones(len(array) if array.ndim else 0, bool)
    if not array.ndim:
        fitting = None
    elif source.axes != 1 and list(array.shape[1:]) == [*space, channels]:
        fitting = array
    elif list(array.shape[1:]) == [channels, *space]:
        fitting = np.moveaxis(array, 1, -1)
    elif channels == 1 and list(array.shape[1:]) == space:
        fitting = array[..., None]
    else:
        fitting = None
    if fitting is None:
        wrong.append(
            f"{where} has shape {' x '.join(map(str, array.shape)) or 'of one number'}, expected {source.layouts}, as"
            " the settings say"
        )
        return None
    for rows in _chunks(len(array)) if array.dtype.kind == "f" else ():
        good[rows] = (abs(_numbers(array[rows])) <= LARGEST).reshape(len(rows), -1).all(1)
    if len(faulty := np.flatnonzero(~good)):
        wrong.append(
            f"{where} has NaN, infinite or absurdly large values in {len(faulty)} of {len(array)} examples"
            f" ({_some(faulty)}, from 0); leave these out, or fill them in"
        )
    return fitting


def _labels(
    array: ndarray, where: str, settings: "Own", wrong: list[str]
) -> Int64[ndarray, " n"] | None:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        shape = " x ".join(map(str, array.shape)) or "one number"
        wrong.append(
            f"{where} holds {array.dtype} of shape {shape}, expected whole numbers in a row: labels.astype(int)"
        )
        return None
    last = settings.class_count - 1
    outside = np.flatnonzero((array < 0) | (array > last))
    if len(outside):
        wrong.append(
            f"{where} has labels from {array.min()} to {array.max()}, expected 0 to {last}, as `classes` of the settings"
            f" says; {len(outside)} of {len(array)} are outside ({_some(outside)}, from 0)"
        )
        return None
    return array.astype(np.int64)


def _listed(place: Path, wrong: list[str]) -> dict[str, Path]:
    """Images of a folder, `<class>/<name without suffix>` -> file."""
    listed: dict[str, Path] = {}
    for file in sorted(_images(place)):
        name = f"{file.parent.name}/{file.stem}"
        if name in listed:
            wrong.append(f"{listed[name]} and {file} have one name; keep one of them")
        listed[name] = file
    if loose := sorted(p.name for p in place.glob("[!.]*") if not p.is_dir()):
        wrong.append(
            f"{place} has {_some(loose)} outside the folders of classes; move them into one"
        )
    return listed


def _class_names(
    folder: Path, parts: dict[str, Part], settings: "Own", wrong: list[str]
) -> list[str]:
    """Names of the folders of classes in the order of their labels: as the settings list them, or by name."""
    if not isinstance(settings.classes, int):
        return list(settings.classes)
    listed = (name for m in parts["train"].images.values() for name in m)
    names = sorted({name.partition("/")[0] for name in listed})
    if parts["train"].images and len(names) != settings.classes:
        wrong.append(
            f"{folder / 'train'} has images in {len(names)} folders of classes ({_some(names)}), expected"
            f" {settings.classes}, as `classes` of the settings says"
        )
    return names


def _number(folder: Path, part: Part, classes: list[str], settings: "Own") -> Iterator[str]:
    """Give the images of a split their rows and labels; say what does not fit together."""
    every = sorted({name for listed in part.images.values() for name in listed})
    for m, listed in part.images.items():
        groups = {name.partition("/")[0] for name in listed}
        lacking = sorted({name.partition("/")[0] for name in every} - groups)
        if lacking:
            yield f"{folder / m} has no images of the classes {_some(lacking)}, which other modalities have"
        files = [n for n in every if n not in listed and n.partition("/")[0] in groups]
        if files:
            yield f"{folder / m} lacks {len(files)} images that other modalities have: {_some(files)}"
    unknown = sorted({name.partition("/")[0] for name in every} - {*classes})
    if unknown:
        yield (
            f"{folder} has the classes {_some(unknown)}, which train or `classes` of the settings does not have"
        )
    known = [name for name in every if name.partition("/")[0] in classes]
    part.names = sorted(known, key=lambda n: (classes.index(n.partition("/")[0]), n))
    if part.images:
        of_folders = np.array([classes.index(n.partition("/")[0]) for n in part.names], np.int64)
        if part.labels is not None and not np.array_equal(part.labels, of_folders):
            yield f"{folder}: labels are not those of the folders of its images, in the order of class and name"
        part.labels = of_folders
    counts = part.counts()
    if len({*counts.values()}) > 1:
        each = ", ".join(f"{count} of {name}" for name, count in counts.items())
        yield f"{folder} has other numbers of examples for one modality than for another: {each}"
    if 0 in counts.values():
        yield f"{folder} has no examples in {_some([n for n, c in counts.items() if not c])}"


def _untaught(parts: dict[str, Part], kept: list[int], classes: int, folder: Path) -> Iterator[str]:
    """Say which classes have no example to train on."""
    labels = parts["train"].labels
    if labels is None or not len(labels):
        return
    seen = {int(labels[row]) for row in kept if row < len(labels)}
    if lacking := [label for label in range(classes) if label not in seen]:
        yield (
            f"{folder / 'train'} has no example to train on of the classes {_some(lacking)} (labels, from 0), once those"
            " for validation are held out; give some, or leave the class out everywhere"
        )


def _some(items: Iterable[object]) -> str:
    listed = [str(item) for item in items]
    return ", ".join(listed[:NAMED]) + (
        f" and {len(listed) - NAMED} more" if listed[NAMED:] else ""
    )


# Preparation


def prepare(raw: Path, out: Path, settings: "Own", *, processes: int = 1) -> None:
    """Write the arrays of each modality and, as `train.<modality>.scale.npy`, mean and deviation of each channel.

    Bytes stay bytes (uint8); all other numbers are stored as float32, less the mean of the training examples and
    divided by their deviation. The rest is as `Dataset.prepare` says.

    Raises:
        UserError: If files are missing or bad, or do not fit one another; names all. Or the disk is full.
    """
    raw = _root(raw)
    parts, wrong = look(raw, settings)
    splits = _split(parts, settings)
    wrong += _untaught(parts, splits["train"][1], settings.class_count, raw)
    images = _fill(out, parts, splits, settings, processes, wrong)
    require(wrong, raw)
    inputs = hashes(raw, settings)
    prepared.begin(out, settings.preparation)
    for split, (part, rows) in splits.items():
        assert part.labels is not None, "otherwise something is wrong"
        labels, ids = part.labels[rows].astype(np.uint8), np.array(rows, np.int32)
        prepared.save(out, {f"{split}.labels": labels, f"{split}.ids": ids})
    if images is not None:
        images.finish()
    for source in settings.sources:
        prepared.save(out, _scaled(source, out, splits))
    prepared.end(out, settings.preparation, by=__name__, inputs=inputs)


Splits = dict[str, tuple[Part, list[int]]]  # name -> from which part, and which rows of it


def _split(parts: dict[str, Part], settings: "Own") -> Splits:
    splits = {
        split: (part, list(range(max(part.counts().values(), default=0))))
        for split, part in parts.items()
    }
    if share := settings.validation_share:
        train, rows = splits["train"]
        held_out = int(share * len(rows))
        of_train = jobs.hold_out(len(rows), held_out, settings.validation_seed)
        splits["train"], splits["validation"] = ((train, of) for of in of_train)
    return splits


@dataclass(frozen=True)
class _Job:
    """An image, and the row that it fills."""

    file: Path
    array: str
    row: int


@dataclass(frozen=True)
class _Reader:
    """Decodes images."""

    shapes: dict[str, tuple[int, int, int]]  # height, width and channels that an array stores

    def rows(self, job: _Job, content: bytes | None, /) -> dict[str, UInt8[ndarray, "..."]]:
        """Return an image as it is stored."""
        return {job.array: decode(job.file, *self.shapes[job.array])}


def _fill(
    out: Path,
    parts: dict[str, Part],
    splits: Splits,
    settings: "Own",
    processes: int,
    wrong: list[str],
) -> UnfinishedArrays | None:
    """Decode all images that an earlier run left; add what is wrong with them. None if there are none."""
    todo, shapes = [], {}
    for split, (part, rows) in splits.items():
        for m, listed in part.images.items():
            shapes[f"{split}.{m}"] = (len(rows), *settings.sources[m].shape)
            named = dict(enumerate(part.names))
            of_rows = ((place, listed.get(named.get(row, ""))) for place, row in enumerate(rows))
            todo += [_Job(file, f"{split}.{m}", place) for place, file in of_rows if file]
    if not todo:
        return None
    arrays = UnfinishedArrays(out, shapes, [stamp(job.file) for job in todo])
    key = {
        "version": VERSION,
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "jobs": _hash_of(map(repr, todo)),
    }
    reader = _Reader({name: (h, w, c) for name, (_, h, w, c) in shapes.items()})
    how: dict[str, Any] = {"label": settings.folder, "processes": processes, "at_once": CHUNK}
    try:
        jobs.fill(arrays, key, todo, reader, **how)
    except UserError as error:
        wrong.append(str(error))
    return arrays


def decode(
    file: Path, height: int, width: int, channels: int
) -> UInt8[ndarray, "height width channels"]:
    """Decode an image and, if it has another size, average it over the pixels asked for, whatever its proportions.

    Raises:
        UserError: If it is damaged, of absurd size, transparent, in color where one channel is asked for, or has
            more than 8 bits a channel, whose white nobody knows.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image: Any = Image.open(BytesIO(file.read_bytes()))
            deep = ";16" in str(image.tile)
            image = ImageOps.exif_transpose(image)
    except Exception as error:  # noqa: BLE001  Pillow raises nearly anything on damaged bytes
        raise UserError(
            f"{file} is not an image or damaged ({in_words(error)}); replace it"
        ) from None
    if deep or image.mode.startswith(("I", "F")):
        raise UserError(
            f"{file} has more than 8 bits a channel, and nothing says which value is white; save it with 8 bits, or all"
            " images of the modality as one array, which keeps their values"
        )
    if image.has_transparency_data and (np.asarray(image.convert("RGBA"))[..., 3] < 255).any():
        raise UserError(
            f"{file} is transparent in places, and nothing says what is behind it; put it onto a background,"
            " such as by `magick mogrify -background white -alpha remove`"
        )
    image = image.convert("RGB")
    pixels = np.asarray(image)
    if channels == 1 and (pixels != pixels[..., :1]).any():
        raise UserError(
            f"{file} is in color, but its modality has channels: 1; say 3, or make it gray"
        )
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image)[..., :channels]


def _scaled(source: str, out: Path, splits: Splits) -> dict[str, ndarray]:
    """The arrays of a modality that are not images in files, and its scale."""
    scale = f"train.{source}.scale"
    train, rows = splits["train"]
    if source not in train.arrays:
        stored = np.load(out / f"train.{source}.npy", mmap_mode="r")
        return {scale: _moments(stored, list(range(len(stored))))}
    mean, deviation = found = _moments(train.arrays[source], rows)
    arrays = {split: (part.arrays[source], of) for split, (part, of) in splits.items()}
    if all(array.dtype == np.uint8 for array, _ in arrays.values()):
        kept = {
            f"{split}.{source}": np.ascontiguousarray(a[of]) for split, (a, of) in arrays.items()
        }
        return kept | {scale: found}
    return {
        **{
            f"{split}.{source}": np.ascontiguousarray(
                (_numbers(a[of]) - mean) / deviation, np.float32
            )
            for split, (a, of) in arrays.items()
        },
        scale: np.array([np.zeros_like(mean), np.ones_like(mean)]),
    }


def _moments(array: ndarray, rows: list[int]) -> Float64[ndarray, "2 channels"]:
    """Mean and deviation of each channel over examples, space and time; 1 for the deviation of what is constant."""
    count, total, squares = 0, 0.0, 0.0
    first = (
        _numbers(array[rows[:1]]).reshape(-1, array.shape[-1]).mean(0)
    )  # near the mean: no digits are lost
    for chunk in _chunks(len(rows)):
        values = _numbers(array[[rows[i] for i in chunk]]).reshape(-1, array.shape[-1]) - first
        count, total, squares = (
            count + len(values),
            total + values.sum(0),
            squares + (values**2).sum(0),
        )
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return np.array([first + mean, np.where(deviation > 0, deviation, 1)])


def _numbers(array: ndarray) -> Float64[ndarray, "..."]:
    return array.astype(np.float64)


def _chunks(count: int) -> Iterator[range]:
    return (range(first, min(first + ROWS, count)) for first in range(0, count, ROWS))
