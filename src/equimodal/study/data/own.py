"""Data of one's own, in one plain layout: arrays, or folders of images, a modality each.

Below a folder of data/raw, for each split:

    <split>.npz                          arrays named as the modalities, and `labels`
    <split>/<modality>.npy               the same in files of their own, and <split>/labels.npy
    <split>/<modality>/<class>/<file>    images, the same files in each modality that has images

Whatever is wrong with them is told at once, by `prepare` as by `fetch`.
"""

import hashlib
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray

from equimodal.study import receipts
from equimodal.study.data import jobs, prepared
from equimodal.study.data.archive import read_file
from equimodal.study.data.images import decode, resized
from equimodal.study.data.status import Origin
from equimodal.study.data.unfinished import UnfinishedArrays, stamp
from equimodal.study.errors import UserError, few
from equimodal.study.files import reading, state

if TYPE_CHECKING:
    from equimodal.study.datasets import Own, OwnSource

VERSION = 1  # of what stands in the arrays: raise it when the same raw files give other bytes
LABELS = "labels"
LARGEST = float(np.finfo(np.float32).max)
ROWS = 256  # examples that are looked at together, which bounds the memory
SAVE = "save it with numpy"
OF_NAMES = "np.searchsorted(names, labels) of the sorted names of all classes"

Name = tuple[str, str]  # of an image: its class and its file without suffix
Moments = Float64[ndarray, "2 channels"]  # mean and deviation


@dataclass
class Part:
    """What was found of a split."""

    arrays: dict[str, ndarray] = field(default_factory=dict)  # modality -> its n examples
    images: dict[str, dict[Name, Path]] = field(default_factory=dict)  # modality -> its files
    names: list[Name] = field(default_factory=list)  # of images, in the order of their rows
    labels: Int64[ndarray, " n"] | None = None
    largest: dict[str, Float64[ndarray, " channels"]] = field(
        default_factory=dict
    )  # of floats, without sign

    def counts(self) -> dict[str, int]:
        """How many examples each modality and the labels have."""
        counts = {m: len(array) for m, array in self.arrays.items()}
        counts |= dict.fromkeys(self.images, len(self.names))
        return counts if self.labels is None else counts | {LABELS: len(self.labels)}


class Faults(list[str]):
    """All that is wrong, a sentence each."""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is raised inside, and go on."""
        try:
            yield
        except UserError as error:
            self.append(str(error))

    def end(self, folder: Path) -> None:
        """Raise UserError that says all of it, if there is anything."""
        if self:
            lines = "".join(f"\n  {line}" for line in dict.fromkeys(self))
            raise UserError(f"{folder} can not be used as it is:{lines}")


# Raw files


def origin(settings: "Own") -> Origin:
    """That the user has to give them."""
    files = " and ".join(f"{split}.npz" for split in settings.given)
    return Origin(
        f"your own files in data/raw/{settings.folder}",
        "yours",
        f"put {files} into data/raw/{settings.folder}, with the arrays {', '.join(settings.sources)} and labels;"
        " docs/own-data.md says what else they may be",
    )


def downloads(settings: "Own") -> list[str]:
    """Nothing comes by itself."""
    return []


def fetch(folder: Path, settings: "Own", mirror: str | None) -> None:
    """Say all that is wrong with the files."""
    look(folder, settings)[1].end(folder)


def places(folder: Path, settings: "Own", mirror: str | None = None) -> list[Path]:
    """Files and folders of all splits, where they lie; what is in none, where it would lie as an array."""
    folder, found = _root(folder), dict[Path, None]()
    for split in settings.given:
        for name in _wanted(folder, split, settings):
            where = _candidates(folder, split, name)
            found |= dict.fromkeys([place for place in where if place.exists()] or [where[1]])
    return list(found)


def hashes(folder: Path, settings: "Own") -> dict[str, str]:
    """Place -> SHA-256, of a folder that of its files' hashes and names; nothing of data that are not here."""
    return {
        place.as_posix(): _sha256(place, *state(place))
        if place.is_file()
        else _hash_of(f"{_sha256(f, *state(f))} {f.relative_to(place)}" for f in _images(place))
        for place in (places(folder, settings) if folder.exists() else ())
    }


def state_of(folder: Path, settings: "Own") -> str:
    """Another text once a file has changed, by names, sizes and times."""
    files = (f for p in places(folder, settings) for f in ([p] if p.is_file() else _images(p)))
    return _hash_of(f"{file} {state(file)}" for file in files)[:16]


def count(folder: Path, split: str, settings: "Own") -> int:
    """How many examples are given for a split, by its labels or images; a guess where these can not be read."""
    folder = _root(folder)
    try:
        if LABELS in _wanted(folder, split, settings):
            return len(_load(_place(folder, split, LABELS), LABELS))
        folders = [folder / split / m for m in settings.sources if (folder / split / m).is_dir()]
        return len(_images(folders[0]))
    except (UserError, TypeError):  # `prepare` says so
        return 100 * settings.class_count


def _root(folder: Path) -> Path:
    """The folder that holds the splits: the given one, or the only one in it that has any."""
    within = [p for p in sorted(folder.glob("[!.]*/")) if any(p.glob("train*"))]
    return within[0] if len(within) == 1 and not any(folder.glob("train*")) else folder


def _wanted(folder: Path, split: str, settings: "Own") -> list[str]:
    """Arrays of a split: the modalities, and labels unless folders of images tell them."""
    told = any((folder / split / m).is_dir() for m in settings.sources)
    with suppress(UserError):  # of a file that can not be read, as is said of the modalities
        told = told and not _lying(folder, split, LABELS)
    return [*settings.sources, *([] if told else [LABELS])]


def _candidates(folder: Path, split: str, name: str) -> tuple[Path, Path, Path]:
    """Where an array may lie: as images, in a file of its own, with others."""
    return folder / split / name, folder / split / f"{name}.npy", folder / f"{split}.npz"


def _lying(folder: Path, split: str, name: str) -> list[Path]:
    """Where an array lies; raises UserError if a link leads nowhere, or the file with others can not be read."""
    *alone, packed = _candidates(folder, split, name)
    for place in (folder, folder / split, *alone, packed):
        if place.is_symlink() and not place.exists():
            raise UserError(f"{place} is a link to nothing; mend the link, or remove it")
    return [p for p in alone if p.exists()] + [packed] * (name in _members(packed))


def _members(packed: Path) -> list[str]:
    """Names of the arrays in a file, if it is there."""
    if not packed.exists():
        return []
    with reading(packed, "arrays as np.savez writes them", SAVE), ZipFile(packed) as file:
        return [name.removesuffix(".npy") for name in file.namelist()]


def _images(place: Path) -> list[Path]:
    return sorted(p for p in place.glob("[!.]*/[!.]*") if p.is_file())


@cache
def _sha256(file: Path, size: int, time: int) -> str:
    return receipts.sha256(file)


def _hash_of(lines: Iterable[str]) -> str:
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


# What is wrong


Splits = dict[str, tuple[Part, list[int]]]  # name -> from which part, and which rows of it


def look(folder: Path, settings: "Own") -> tuple[Splits, Faults]:
    """Find all that is given, and all that is wrong with it, but for what image files hold."""
    folder, parts, wrong = _root(folder), dict[str, Part](), Faults()
    for split in settings.given:
        part = parts[split] = Part()
        for name in _wanted(folder, split, settings):
            with wrong.noted():
                _find(name, _place(folder, split, name), part, settings)
    if "validation" not in parts:
        for place in (folder / "validation", folder / "validation.npz"):
            if place.exists():
                wrong.append(
                    f"{place} would not be used, as validation_share is {settings.validation_share}: set it to null"
                    " to choose checkpoints on this part, or move the part away"
                )
    for m in settings.sources:
        drawn = {s for s, p in parts.items() if m in p.images}
        if drawn and (others := sorted(s for s, p in parts.items() if m in p.arrays)):
            wrong.append(
                f"{folder}: {m} has images in {few(sorted(drawn))} and an array in {few(others)}; give all parts in"
                " one form"
            )
        bytes_ = {s: p.arrays[m].dtype == np.uint8 for s, p in parts.items() if m in p.arrays}
        if len({*bytes_.values()}) > 1:
            wrong.append(
                f"{folder}: {m} has bytes (uint8) in {few(s for s in bytes_ if bytes_[s])} and other numbers in"
                f" {few(s for s in bytes_ if not bytes_[s])}; give all parts in one type and unit"
            )
    trained = {c for listed in parts["train"].images.values() for c, _ in listed}
    listed = [] if isinstance(settings.classes, int) else [_composed(c) for c in settings.classes]
    classes = listed or sorted(trained)
    if parts["train"].images and len(classes) != settings.class_count:
        wrong.append(
            f"{folder / 'train'} has images of {len(classes)} classes ({few(classes)}), expected"
            f" {settings.classes}, as `classes` of the settings says"
        )
    for split, part in parts.items():
        wrong += _number(folder / split, part, classes)
    splits = {s: (p, list(range(max(p.counts().values(), default=0)))) for s, p in parts.items()}
    train, rows = splits["train"]
    if share := settings.validation_share:
        held_out = jobs.hold_out(len(rows), int(share * len(rows)), settings.validation_seed)
        splits["train"], splits["validation"] = ((train, of) for of in held_out)
        if rows and not all(held_out):
            wrong.append(
                f"{folder}: validation_share {share} of {len(rows)} training examples leaves a part empty; give more"
                " examples, or set another share"
            )
    labels = [] if train.labels is None else train.labels.tolist()
    kept = {labels[row] for row in splits["train"][1] if row < len(labels)}
    possible = {*range(settings.class_count)}
    if labels and possible >= {*labels} and (lacking := sorted(possible - kept)):
        wrong.append(
            f"{folder / 'train'} has no example of the classes {few(lacking)}, counted from 0, once those for"
            " validation are held out; give some, or leave these classes out of all parts"
        )
    return splits, wrong


def _say_what_is_not_tested(raw: Path, splits: Splits, settings: "Own") -> None:
    for split, (part, rows) in splits.items():
        assert part.labels is not None, "otherwise something is wrong"
        if lacking := sorted({*range(settings.class_count)} - {*part.labels[rows].tolist()}):
            print(
                f"{raw}: {split} has no example of the classes {few(lacking)}, counted from 0; its accuracies are of"
                " the other classes",
                file=sys.stderr,
            )


def _place(folder: Path, split: str, name: str) -> Path:
    there = _lying(folder, split, name)
    if len(there) == 1:
        return there[0]
    if there:
        raise UserError(f"{' and '.join(map(str, there))} both give {name}; keep one of them")
    within, alone, packed = _candidates(folder, split, name)
    has = f" (it has {members})" if (members := _members(packed)) else ""
    images = "" if name == LABELS else f", or images to {within}/<class>"
    raise UserError(f"{split} has no {name}: add it to {packed}{has}, or save {alone}{images}")


def _find(name: str, place: Path, part: Part, settings: "Own") -> None:
    """Open an array, or list images, and put them into the part; then say what is wrong with them."""
    where = f"{place}: {name}" if place.suffix == ".npz" else str(place)
    if name == LABELS:
        labels = _load(place, name)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            advice = OF_NAMES if labels.dtype.kind in "SU" else "labels.astype(int)"
            if labels.ndim != 1:
                advice = "labels.argmax(1) if they are one-hot, or labels.ravel()"
            raise UserError(
                f"{where} holds {labels.dtype} of shape {_times(labels.shape)}, expected whole numbers in a row:"
                f" {advice}"
            )
        part.labels, last = labels.astype(np.int64), settings.class_count - 1
        if outside := np.flatnonzero((labels < 0) | (labels > last)).tolist():
            raise UserError(
                f"{where} has labels from {labels.min()} to {labels.max()}, expected 0 to {last}, as `classes` of the"
                f" settings says; {len(outside)} of {len(labels)} are outside, counted from 0: {few(outside)}"
            )
        return
    source = settings.sources[name]
    if place.is_dir():
        if source.axes != 2 or source.channels not in (1, 3):
            raise UserError(
                f"{where} is a folder, as of images with height, width and 1 or 3 channels, but by the settings {name}"
                f" is {source.layouts}"
            )
        files = _images(place)
        part.images[name] = {
            (_composed(file.parent.name), _composed(file.stem)): file for file in files
        }
        if twice := [file for file in files if file not in part.images[name].values()]:
            raise UserError(f"{few(twice)}: another file has this name; keep one of them")
        if deeper := sorted(p for p in place.glob("[!.]*/[!.]*") if p.is_dir()):
            raise UserError(f"{few(deeper)}: a class has files alone; move its images up")
        if odd := sorted(p for p in place.glob("[!.]*/[!.]*") if not p.is_file()):
            raise UserError(f"{few(odd)}: a link to nothing, or no file; mend or remove it")
        if loose := sorted(p.name for p in place.glob("[!.]*") if not p.is_dir()):
            raise UserError(f"{where} has {few(loose)} in no folder of a class; move them")
        return
    part.arrays[name] = array = _channels_last(_load(place, name), source, where)
    good = np.ones(len(array), bool)
    largest = part.largest[name] = np.zeros(array.shape[-1])
    for rows in _chunks(len(array)) if array.dtype.kind == "f" else ():
        sizes = abs(array[rows].astype(float))
        good[rows] = (sizes <= LARGEST).reshape(len(rows), -1).all(1)
        np.maximum(largest, sizes.reshape(-1, len(largest)).max(0), out=largest)
    if faulty := np.flatnonzero(~good).tolist():
        raise UserError(
            f"{where} has NaN, infinite or absurdly large values in {len(faulty)} of {len(array)} examples,"
            f" counted from 0: {few(faulty)}; leave these out, or fill them in"
        )


def _load(place: Path, name: str) -> ndarray:
    with reading(place, "arrays of numbers", SAVE):
        try:
            if place.suffix != ".npz":
                return np.lib.format.open_memmap(place, mode="r")
            with place.open("rb") as file, np.load(file, allow_pickle=False) as packed:
                return np.asarray(packed[name])
        except ValueError as error:
            if "objects" not in str(error) and "pickle" not in str(error):
                raise
            advice = "all examples of one shape: np.asarray(x, dtype=np.float32)"
            raise UserError(
                f"{place}: {name} holds Python objects, which are never read, as they may run code; save numbers,"
                f" {OF_NAMES if name == LABELS else advice}"
            ) from None


def _channels_last(array: ndarray, source: "OwnSource", where: str) -> ndarray:
    if array.dtype.kind not in "biuf":
        raise UserError(f"{where} holds {array.dtype}, expected numbers: bytes or floats")
    *space, channels = source.shape
    shape = list(array.shape[1:]) if array.ndim else None
    if source.axes != 1 and shape == [*space, channels]:
        return array
    if shape == [channels, *space]:
        return np.moveaxis(array, 1, -1)
    if channels == 1 and shape == space:
        return array[..., None]
    raise UserError(
        f"{where} has shape {_times(array.shape)}, expected {source.layouts}, as the settings say"
    )


def _number(folder: Path, part: Part, classes: list[str]) -> Iterator[str]:
    """Give the images of a split their rows and labels; say what does not fit together."""
    every = {name for listed in part.images.values() for name in listed}
    groups = {c for c, _ in every}
    for m, listed in part.images.items():
        there = {c for c, _ in listed}
        if lacking := sorted(groups - there):
            yield f"{folder / m} has no images of {few(lacking)}, a class of other modalities"
        if files := sorted(f"{c}/{name}" for c, name in every - {*listed} if c in there):
            yield f"{folder / m} lacks images that other modalities have: {few(files)}"
    if unknown := sorted(groups - {*classes}):
        yield f"{folder} has images of {few(unknown)}, no class of train and of the settings"
    if part.images:
        rows = sorted((classes.index(c), c, name) for c, name in every if c in classes)
        part.names = [(c, name) for _, c, name in rows]
        told = np.array([label for label, *_ in rows], np.int64)
        if part.labels is not None and not np.array_equal(part.labels, told):
            yield f"{folder}: labels are not those of its folders of images, by class and name"
        part.labels = told
    counts = part.counts()
    if len({*counts.values()}) > 1:
        each = ", ".join(f"{count} of {name}" for name, count in counts.items())
        yield f"{folder} has other numbers of examples for one modality than for another: {each}"
    if 0 in counts.values():
        yield f"{folder} has no examples in {few([n for n, c in counts.items() if not c])}"


def _composed(name: str) -> str:
    """A name as most systems write it: é is one character, where others store two."""
    return unicodedata.normalize("NFC", name)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "of one number"


# Preparation


def prepare(raw: Path, out: Path, settings: "Own", processes: int = 1) -> None:
    """Write the arrays of each modality and, as `train.<modality>.scale.npy`, mean and deviation of each channel.

    Bytes stay bytes (uint8); all other numbers are stored as float32, less the mean of the training examples and
    divided by their deviation. The rest is as `Dataset.prepare` says.

    Raises:
        UserError: If files are missing or bad, or do not fit one another; names all. Or the disk is full.
    """
    splits, wrong = look(raw, settings)
    todo = _jobs(splits)
    shapes = {
        f"{split}.{m}": (len(rows), *settings.sources[m].shape)
        for split, (part, rows) in splits.items()
        for m in part.images
    }
    stamps = [stamp(f"{VERSION} {shapes} {job}", job.reads[1]) for job in todo]
    images, read = UnfinishedArrays(out, shapes, stamps), partial(_image, settings.sources)
    with wrong.noted():
        if todo:
            jobs.fill(images, todo, read, label=settings.folder, processes=processes)
    wrong.end(raw)
    _say_what_is_not_tested(raw, splits, settings)
    train, rows = splits["train"]
    moments = {m: _moments(array, rows) for m, array in train.arrays.items()}
    _require_scalable(raw, splits, moments)
    prepared.begin(out, settings.preparation)
    for split, (part, rows) in splits.items():
        assert part.labels is not None, "otherwise something is wrong"
        prepared.save_labels(out, split, part.labels[rows], ids=rows)
    images.finish()
    for source in settings.sources:
        prepared.save(out, _scaled(source, out, splits, moments.get(source)))


def _jobs(splits: Splits) -> list[jobs.Job]:
    """One for each file of an image, which it reads as one of a modality."""
    return [
        jobs.Job(split, place, (m, listed[name]))
        for split, (part, rows) in splits.items()
        for m, listed in part.images.items()
        for place, name in enumerate(part.names[row] for row in rows if row < len(part.names))
        if name in listed
    ]


def _image(
    sources: Mapping[str, "OwnSource"], job: jobs.Job, _: bytes | None
) -> dict[str, UInt8[ndarray, "height width channels"]]:
    m, file = job.reads
    height, width, channels = sources[m].shape
    image = decode(read_file(file), str(file), opaque=True)
    if channels == 1 and len({channel.tobytes() for channel in image.split()}) > 1:
        raise UserError(
            f"{file} is in color, but its modality has channels: 1; say 3, or make it gray"
        )
    return {m: resized(image, height, width)[..., :channels]}


def _require_scalable(raw: Path, splits: Splits, moments: Mapping[str, Moments]) -> None:
    """Check that what is scaled by the training examples can be stored; UserError names the modality and its part."""
    for m, (mean, deviation) in moments.items():
        for split, (part, _) in splits.items():
            with np.errstate(over="ignore"):
                furthest = ((part.largest[m] + abs(mean)) / deviation).max()
            if furthest > LARGEST:
                raise UserError(
                    f"{raw}: {m} of {split} has values {furthest:.0e} deviations of the training examples away from their"
                    f" mean, expected at most {LARGEST:.0e}; leave these out, or give all parts in one unit"
                )


def _scaled(source: str, out: Path, splits: Splits, moments: Moments | None) -> dict[str, ndarray]:
    """The arrays of a modality that are not files of images, and its scale."""
    scale = f"train.{source}.scale"
    if moments is None:
        stored = np.load(out / f"train.{source}.npy", mmap_mode="r")
        return {scale: _moments(stored, list(range(len(stored))))}
    mean, deviation = moments
    arrays = {f"{split}.{source}": (p.arrays[source], of) for split, (p, of) in splits.items()}
    if all(array.dtype == np.uint8 for array, _ in arrays.values()):
        return {**{n: np.ascontiguousarray(a[of]) for n, (a, of) in arrays.items()}, scale: moments}
    return {
        **{
            name: np.ascontiguousarray((array[of] - mean) / deviation, np.float32)
            for name, (array, of) in arrays.items()
        },
        scale: np.array([np.zeros_like(mean), np.ones_like(mean)]),
    }


def _moments(array: ndarray, rows: list[int]) -> Moments:
    """Mean and deviation of each channel over examples, space and time; 1 for the deviation of what is constant."""

    def values(chunk: list[int]) -> Float64[ndarray, "m channels"]:
        return array[chunk].astype(np.float64).reshape(-1, array.shape[-1])

    first = values(rows[:1]).mean(0)  # near the mean, so that no digits are lost
    count, sums = 0, np.zeros((2, array.shape[-1]))
    for chunk in _chunks(len(rows)):
        x = values([rows[i] for i in chunk]) - first
        count += len(x)
        sums += [x.sum(0), (x**2).sum(0)]
    mean, square = sums / count
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return np.array([first + mean, np.where(deviation > 0, deviation, 1)])


def _chunks(count: int) -> Iterator[range]:
    return (range(first, min(first + ROWS, count)) for first in range(0, count, ROWS))
