"""ModelNet40: views of 12,311 CAD models in 40 categories (paper, App. A).

Three sources, one prepared form. `new_12x` are the renderings that the paper uses, `v1` the older
ones of a third of the models, `meshes` the meshes themselves, of which we draw the views of `new_12x`.
Only the views that are asked for are decoded or drawn.
"""

import hashlib
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from equimodal.data import modelnet40_standin as standin
from equimodal.data import prepared
from equimodal.data.archive import SUFFIXES, Archive, open_archive, stream
from equimodal.data.download import download, link, mirror_folder
from equimodal.data.off import parse_off
from equimodal.data.status import Origin
from equimodal.data.unfinished import UnfinishedArrays, stamp
from equimodal.data.workers import share_out
from equimodal.errors import UserError
from equimodal.files import require_writable, save_arrays, write_aside
from equimodal.progress import show_progress

if TYPE_CHECKING:
    from equimodal.data.render import Renderer

EXAMPLES = "examples.npz"
VERSION = 2  # of what stands in the arrays: raise it when the same raw files give other bytes
CHUNK = 32  # jobs that a process is given at once
SHOWN = 10  # bad files that a message names

SplitName = Literal["train", "test"]
SourceName = Literal["new_12x", "v1", "meshes"]


@dataclass(frozen=True)
class Source:
    """Where raw files come from and what they are called."""

    folder: str  # top folder, also within an archive
    archives: tuple[str, ...]  # names of archives, as patterns without suffix
    file: re.Pattern[str]  # groups `name` and, of a rendering, `view`
    get: str
    default: str  # name of the archive as it comes


SOURCES: dict[SourceName, Source] = {
    "new_12x": Source(
        "modelnet40_images_new_12x",
        ("modelnet40_images_new_12x*", "shaded_images*"),
        re.compile(r"(?P<name>.+)\.obj\.shaded_v(?P<view>\d{3})\.png"),
        "the paper's renderings: http://supermoe.cs.umass.edu/shape_recog/shaded_images.tar.gz"
        " (1.6 GB; reported dead, a mirror that people name is"
        " https://cloud.tsinghua.edu.cn/f/dd9ef45fb00e427eae23/?dl=1), as shaded_images.tar.gz or"
        " unpacked to modelnet40_images_new_12x/",
        "shaded_images.tar.gz",
    ),
    "v1": Source(
        "modelnet40v1",
        ("modelnet40v1*",),
        re.compile(r"(?P<name>.+)_(?P<view>\d{3})\.jpg"),
        "older renderings of 3,983 models: http://maxwell.cs.umass.edu/mvcnn-data/modelnet40v1.tar"
        " (204 MB), as modelnet40v1.tar or unpacked to modelnet40v1/",
        "modelnet40v1.tar",
    ),
    "meshes": Source(
        "ModelNet40",
        ("ModelNet40*",),
        re.compile(r"(?P<name>.+)\.off"),
        "the meshes, which are rendered here: http://modelnet.cs.princeton.edu/ModelNet40.zip"
        " (2.0 GB), as ModelNet40.zip or unpacked to ModelNet40/",
        "ModelNet40.zip",
    ),
}

ADDRESS = "http://modelnet.cs.princeton.edu"
SHA256 = {"ModelNet40.zip": "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac"}
LICENCE = "for academic research only; meshes and renderings may not be passed on"


@dataclass(frozen=True)
class Shape:
    """One CAD model."""

    name: str
    label: int
    files: dict[int, str]  # view asked for -> its rendering; of a mesh, one file for all views


@dataclass(frozen=True)
class Job:
    """One raw file and the rows that it fills."""

    file: str
    views: tuple[int, ...]
    split: str
    row: int


Chunk = list[tuple[int, Job, bytes | None]]  # content only where a process can not read it itself
Done = tuple[int, list[str]]  # how many jobs, and what is wrong with those that failed


class _ColorError(Exception):
    """A rendering that is not gray where all were thought to be."""


def origin(settings: dict[str, Any]) -> Origin:
    """Where the objects come from."""
    if settings["stand_in"]:
        return Origin(
            "made by this program: stand-ins, none of ModelNet40's models",
            "that of equimodal; nobody else has a right in them",
        )
    source = SOURCES[settings["source"]]
    if source.default in SHA256:
        return Origin(source.get, LICENCE)
    by_hand = (
        f"put {source.default} into data/raw/modelnet40, or a link to it; or take source: meshes,"
        " which are downloaded and rendered here"
    )
    return Origin(source.get, LICENCE, by_hand)


def fetched(settings: dict[str, Any]) -> tuple[str, ...]:
    """Names of the raw files that `fetch` makes or downloads."""
    if settings["stand_in"]:
        return (standin.MARKER,)
    return tuple({SOURCES[settings["source"]].default} & SHA256.keys())


def raw_files(folder: Path, settings: dict[str, Any], *, mirror: str | None) -> list[Path]:
    """What `prepare` reads: the source's folder or archive, as it lies there or `fetch` brings it."""
    if settings["stand_in"]:
        return [folder / standin.MARKER]
    source = SOURCES[settings["source"]]
    given = _candidates(folder, source) or _mirrored(mirror, source)
    return [folder / (given[0].name if given else source.default)]


def fetch(folder: Path, settings: dict[str, Any], *, mirror: str | None) -> None:
    """Make the stand-ins, or bring the source.

    Meshes are downloaded. Renderings have no published checksum, so that they have to be given: in
    `folder`, or in a mirror that is a folder.

    Raises:
        UserError: If the source can not be had; says where to get it.
    """
    if settings["stand_in"]:
        standin.write(folder, **_made_with(settings))
        return
    source = SOURCES[settings["source"]]
    if _candidates(folder, source):
        find_raw(folder, settings["source"])
    elif source.default in SHA256:
        wanted = {source.default: SHA256[source.default]}
        download(folder, name="modelnet40", files=wanted, addresses=[ADDRESS], mirror=mirror)
    elif given := _mirrored(mirror, source):
        link(folder, given[0])
    else:
        find_raw(folder, settings["source"])


def prepare(raw: Path, out: Path, settings: dict[str, Any], *, processes: int = 1) -> None:
    """Write the views of each split into `out`; a run that was ended early is taken up again.

    Files, n examples each: `<split>.view<v>.npy` uint8 (n, size, size, 1), or 3 channels if a
    rendering is not gray; `<split>.labels.npy` uint8 (n), the place in `classes.txt`;
    `<split>.ids.npy` int32 (n), the place in the list of training or test objects;
    `<split>.names.txt`; and `examples.npz` for a figure if the objects are stand-ins, which may be
    shown around.

    Args:
        raw: Folder with the raw files, as a folder or as an archive that is not unpacked.
        out: Made if missing.
        settings: `source`, a key of SOURCES; `views`, from 0 to 11; `size` in pixels;
            `validation_share` of the training objects and `validation_seed`; `classes`, how many
            there must be, or None; `stand_in`.
        processes: How many share the work.

    Raises:
        UserError: If raw files are missing or bad, or the disk is full. Bad objects do not keep the
            others from being prepared.
    """
    require_writable(out)
    if settings["stand_in"] and not standin.is_there(raw, **_made_with(settings)):
        raise UserError(
            f"{raw} has no stand-ins, or others than the settings ask for; run `equimodal fetch"
            " modelnet40` with the scale first"
        )
    source: SourceName = settings["source"]
    archive = find_raw(raw, source)
    classes, objects = _list_objects(archive, source, settings["views"])
    if settings["classes"] not in (None, len(classes)):
        raise UserError(
            f"{archive.path} holds {len(classes)} classes, expected {settings['classes']};"
            " it is incomplete, or classes in params.yaml is wrong"
        )
    splits = _split(objects, settings)
    if source == "meshes":
        from equimodal.data.render import say_if_slow

        say_if_slow()
    jobs = _jobs(splits)
    arrays = _fill(archive, out, settings, jobs, processes)
    prepared.begin(out, settings)
    _write_lists(out, classes, splits)
    arrays.finish()
    if settings["stand_in"]:
        _write_examples(out, splits, settings["views"])
    prepared.end(out, settings, by=__name__)


def _made_with(settings: dict[str, Any]) -> dict[str, int]:
    return {"classes": settings["classes"], **settings["stand_in"]}


def find_raw(raw: Path, source: SourceName) -> Archive:
    """Find the folder or the archive of a source.

    Raises:
        UserError: If there is none; says where to get each source. Also as `open_archive`.
    """
    wanted = SOURCES[source]
    candidates = _candidates(raw, wanted)
    if not candidates:
        others = "".join(f"\n  {name}: {s.get}" for name, s in SOURCES.items())
        raise UserError(
            f"{raw} has no {wanted.folder}. Put one of these there, and name it as"
            f" datasets.modelnet40.source in config/scales/<scale>.yaml (now {source}):{others}"
        )
    return open_archive(candidates[0])


def _candidates(raw: Path, source: Source) -> list[Path]:
    """The folder of a source, if it is there, and its archives."""
    folder = raw / source.folder
    archives = [p for a in source.archives for s in SUFFIXES for p in sorted(raw.glob(a + s))]
    return ([folder] if folder.is_dir() else []) + archives


def _mirrored(mirror: str | None, source: Source) -> list[Path]:
    """The same in a mirror that is a folder, if `fetch` takes it as it is."""
    given = mirror_folder(mirror)
    if given is None or source.default in SHA256:
        return []
    return _candidates(given / "modelnet40", source)


def _list_objects(
    archive: Archive, source: SourceName, views: Sequence[int]
) -> tuple[list[str], dict[SplitName, list[Shape]]]:
    """Classes in the order of their names, and objects in the order of class and name.

    ASSUME: the validation objects are drawn from this order; the official code lists a folder for
    each class, too, but leaves the order within it to the file system.
    """
    wanted = SOURCES[source]
    found: dict[tuple[str, str], dict[str, dict[int, str]]] = {}
    classes = {below[0] for f in archive.folders if (below := _below(f, wanted.folder))}
    for path in archive.files:
        below = _below(path, wanted.folder)
        if len(below) != 3 or below[1] not in ("train", "test"):
            continue
        classes.add(below[0])
        if match := wanted.file.fullmatch(below[2]):
            of = views if source == "meshes" else [v for v in views if v + 1 == int(match["view"])]
            of_class = found.setdefault((below[0], below[1]), {})
            of_class.setdefault(match["name"], {}).update(dict.fromkeys(of, path))
    if not classes:
        raise UserError(f"{archive.path} has no folders <class>/train and <class>/test")
    names = sorted(classes)
    objects: dict[SplitName, list[Shape]] = {"train": [], "test": []}
    for split, shapes in objects.items():
        for label, name in enumerate(names):
            if (name, split) not in found:
                kind = "meshes" if source == "meshes" else "images"
                raise UserError(f"{archive.path} has no {kind} in {name}/{split}")
            shapes += [Shape(n, label, files) for n, files in sorted(found[name, split].items())]
    lacking = [
        f"{names[s.label]}/{split}/{s.name} lacks view {v + 1:03d}"
        for split, shapes in objects.items()
        for s in shapes
        for v in views
        if v not in s.files
    ]
    if lacking:
        raise UserError(f"{archive.path}: {_shortened(lacking)}")
    if len(names) > 256:
        raise UserError(f"{archive.path} holds {len(names)} classes, expected at most 256")
    return names, objects


def _below(path: str, folder: str) -> list[str]:
    """Parts of a path below the top folder; none for what systems leave behind, such as ._x."""
    parts = path.split("/")
    if any(part.startswith((".", "__MACOSX")) for part in parts):
        return []
    return parts[parts.index(folder) + 1 :] if folder in parts else parts


def _split(
    objects: dict[SplitName, list[Shape]], settings: dict[str, Any]
) -> dict[str, dict[int, Shape]]:
    """Name of the split -> its objects by their place in the list of training or test objects.

    Validation is the first floor(share * n) of the shuffled training objects, not stratified, as in
    the official code; within a split, objects stand in the order of their list.
    """
    train = objects["train"]
    order = list(range(len(train)))
    Random(settings["validation_seed"]).shuffle(order)
    held_out = int(settings["validation_share"] * len(train))
    splits = {
        "train": {i: train[i] for i in sorted(order[held_out:])},
        "validation": {i: train[i] for i in sorted(order[:held_out])},
        "test": dict(enumerate(objects["test"])),
    }
    if settings["validation_share"] == 0:
        del splits["validation"]
    if empty := [name for name, shapes in splits.items() if not shapes]:
        raise UserError(
            f"validation_share {settings['validation_share']} of {len(train)} training objects leaves"
            f" {empty} empty"
        )
    return splits


def _jobs(splits: dict[str, dict[int, Shape]]) -> list[Job]:
    jobs = []
    for split, shapes in splits.items():
        for row, shape in enumerate(shapes.values()):
            of_file: dict[str, list[int]] = {}
            for view, file in shape.files.items():
                of_file.setdefault(file, []).append(view)
            jobs += [Job(file, tuple(views), split, row) for file, views in of_file.items()]
    return jobs


def _fill(
    archive: Archive, out: Path, settings: dict[str, Any], jobs: list[Job], processes: int
) -> UnfinishedArrays:
    """Do all jobs that an earlier run left, in gray if all renderings are."""
    key, stamps = _key(archive, settings, jobs), _stamps(archive, jobs)
    in_color = UnfinishedArrays.earlier_key(out) == {**key, "channels": 3}
    rows = {job.split: job.row + 1 for job in jobs}  # the last row of a split comes last

    def fill(channels: int) -> UnfinishedArrays:
        size = settings["size"]
        shapes = {
            _array(split, view): (n, size, size, channels)
            for split, n in rows.items()
            for view in settings["views"]
        }
        arrays = UnfinishedArrays(out, shapes, stamps)
        done = arrays.begin({**key, "channels": channels})
        left = {i: job for i, job in enumerate(jobs) if not done[i]}
        worker = _Worker(archive, arrays, settings["source"], size)
        _report(share_out(worker, _chunks(archive, left), processes), left, jobs)
        return arrays

    try:
        return fill(channels=3 if in_color else 1)
    except _ColorError:
        return fill(channels=3)


def _report(work: Iterable[Done], left: dict[int, Job], jobs: list[Job]) -> None:
    """Show how the work goes on, and raise once it is over if files were bad."""
    bad: list[str] = []
    finished = len(jobs) - len(left)
    with show_progress("modelnet40", len(jobs)) as advance:
        for count, failures in work:
            finished += count
            bad += failures
            advance(finished, f"{len(bad)} bad" if bad else "")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(jobs)} files are bad: {_shortened(sorted(bad))}\nReplace them and"
            " run again: the others are kept."
        )


def _array(split: str, view: int) -> str:
    return f"{split}.view{view}"


def _key(archive: Archive, settings: dict[str, Any], jobs: list[Job]) -> dict[str, Any]:
    """All that the arrays depend on, but for the channels and what `_stamps` tells."""
    stat = archive.path.stat()
    return {
        "version": VERSION,
        "settings": {name: settings[name] for name in ("source", "views", "size", "stand_in")},
        "archive": None if archive.path.is_dir() else [stat.st_size, stat.st_mtime_ns],
        "jobs": hashlib.sha256(repr(jobs).encode(errors="surrogateescape")).hexdigest(),
    }


def _stamps(archive: Archive, jobs: list[Job]) -> list[int]:
    """What changes with a file of a folder, so that one that is replaced is read again, alone."""
    if not archive.path.is_dir():
        return [1] * len(jobs)  # an archive changes as a whole, which `_key` tells
    return [stamp(archive.path / job.file) for job in jobs]


# The work, which can be shared between processes


@dataclass
class _Worker:
    """Does jobs: reads a raw file and writes its rows."""

    archive: Archive
    arrays: UnfinishedArrays
    source: SourceName
    size: int

    def work(self, chunk: Chunk, /) -> Done:
        bad = []
        for number, job, content in chunk:
            try:
                content = self.archive.read(job.file) if content is None else content
                images = self._images(content, job)
            except UserError as error:
                bad.append(str(error))
                continue
            for view, image in zip(job.views, images, strict=True):
                self.arrays.write(_array(job.split, view), job.row, image)
            self.arrays.mark(number)
        return len(chunk), bad

    def _images(self, content: bytes, job: Job) -> UInt8[ndarray, "views size size channels"]:
        where = f"{self.archive.path}: {job.file}"
        if self.source == "meshes":
            mesh = parse_off(content, where)
            try:
                return self._renderer.draw(mesh, job.views)[..., None]
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
        image = decode(content, where, self.size)
        shape = next(iter(self.arrays.shapes.values()))[1:]
        if image.shape[-1] > shape[-1]:
            raise _ColorError
        return np.broadcast_to(image, (len(job.views), *shape))

    @cached_property
    def _renderer(self) -> "Renderer":
        from equimodal.data.render import Renderer

        return Renderer("new_12x", self.size)


def decode(content: bytes, where: str, size: int) -> UInt8[ndarray, "size size channels"]:
    """Decode a square image and, if it has another size, average it over the pixels asked for.

    Returns:
        One channel if it is gray (R = G = B everywhere), else three.

    Raises:
        UserError: If it is empty, damaged, not square or of absurd size; says `where` it lies.
    """
    if not content:
        raise UserError(f"{where} is empty")
    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image = Image.open(BytesIO(content)).convert("RGB")
    except Exception as error:  # noqa: BLE001  Pillow raises nearly anything on damaged bytes
        raise UserError(f"{where} is not an image or damaged ({error})") from None
    if image.width != image.height:
        raise UserError(f"{where} is {image.width} x {image.height}, expected a square")
    pixels = np.asarray(image)
    if (pixels == pixels[..., :1]).all():
        image = image.getchannel(0)
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BOX)
    return np.asarray(image).reshape(size, size, -1)


def _chunks(archive: Archive, jobs: dict[int, Job]) -> Iterable[Chunk]:
    if not archive.in_order:
        items: Iterable[tuple[int, Job, bytes | None]] = ((i, j, None) for i, j in jobs.items())
    else:
        of_file = {job.file: i for i, job in jobs.items()}
        read = stream(archive, set(of_file)) if jobs else ()
        items = ((of_file[file], jobs[of_file[file]], content) for file, content in read)
    chunk: Chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


# What is small


def _write_lists(out: Path, classes: list[str], splits: dict[str, dict[int, Shape]]) -> None:
    for split, shapes in splits.items():
        arrays: dict[str, ndarray] = {
            "labels": np.array([s.label for s in shapes.values()], np.uint8),
            "ids": np.array(list(shapes), np.int32),
        }
        for name, array in arrays.items():
            with write_aside(out / f"{split}.{name}.npy") as aside, aside.open("wb") as file:
                np.save(file, array)
        _write_lines(out / f"{split}.names.txt", [s.name for s in shapes.values()])
    _write_lines(out / "classes.txt", classes)


def _write_lines(path: Path, lines: list[str]) -> None:
    with write_aside(path) as aside:
        aside.write_text("".join(f"{line}\n" for line in lines))


def _write_examples(out: Path, splits: dict[str, dict[int, Shape]], views: Sequence[int]) -> None:
    """Write the first object of each class and split."""
    examples: dict[str, ndarray] = {}
    for split in splits:
        labels = np.load(out / f"{split}.labels.npy")
        first = np.unique(labels, return_index=True)[1]
        for array in (*(f"view{v}" for v in views), "labels", "ids"):
            stored = np.load(out / f"{split}.{array}.npy", mmap_mode="r")
            examples[f"{split}.{array}"] = stored[first]
    save_arrays(out / EXAMPLES, examples)


def _shortened(lines: list[str]) -> str:
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "".join(f"\n  {line}" for line in [*lines[:SHOWN], *more])
