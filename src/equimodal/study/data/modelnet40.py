"""ModelNet40: views of 12,311 CAD models in 40 categories (paper, App. A).

Four sources, one prepared form. `new_12x` are the renderings that the paper uses, `v1` the older
ones of a third of the models, `meshes` the meshes themselves, of which we draw the views of `new_12x`,
and `own` the user's own images. Only the classes and views that are asked for are decoded or drawn.
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.data import jobs, prepared
from equimodal.study.data.archive import SUFFIXES, Archive, open_archive, read_archive, read_file
from equimodal.study.data.download import Published, download, link, mirror_folder
from equimodal.study.data.examples import save_examples
from equimodal.study.data.jobs import Job
from equimodal.study.data.status import Origin
from equimodal.study.data.unfinished import UnfinishedArrays, stamp
from equimodal.study.errors import UserError
from equimodal.study.files import write_text

if TYPE_CHECKING:
    from PIL import Image

    from equimodal.study.datasets import ModelNet40

VERSION = 2  # of what stands in the arrays: raise it when the same raw files give other bytes
# Kinds of pixels that Pillow converts to RGB as they look: all of 1 or 8 bits a channel.
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")  # folders of a class
ReleaseName = Literal["new_12x", "v1", "meshes", "own"]


class Release(NamedTuple):
    """Where raw files come from and what they are called."""

    folder: str  # top folder, also within an archive
    file: str  # pattern with groups `name` and, of a rendering, `view`; {views} are the names of those asked for
    get: str
    default: str  # name of the archive as it comes


RELEASES: dict[ReleaseName, Release] = {
    "new_12x": Release(
        "modelnet40_images_new_12x",
        r"(?P<name>.+)\.obj\.shaded_v(?P<view>\d{3})\.png",
        "the paper's renderings: http://supermoe.cs.umass.edu/shape_recog/shaded_images.tar.gz"
        " (1.6 GB; reported dead, a mirror that people name is"
        " https://cloud.tsinghua.edu.cn/f/dd9ef45fb00e427eae23/?dl=1), as shaded_images.tar.gz or"
        " unpacked to modelnet40_images_new_12x/",
        "shaded_images.tar.gz",
    ),
    "v1": Release(
        "modelnet40v1",
        r"(?P<name>.+)_(?P<view>\d{3})\.jpg",
        "older renderings of 3,983 models: http://maxwell.cs.umass.edu/mvcnn-data/modelnet40v1.tar"
        " (204 MB), as modelnet40v1.tar or unpacked to modelnet40v1/",
        "modelnet40v1.tar",
    ),
    "meshes": Release(
        "ModelNet40",
        r"(?P<name>.+)\.off",
        "the meshes, which are rendered here: http://modelnet.cs.princeton.edu/ModelNet40.zip"
        " (2.0 GB), as ModelNet40.zip or unpacked to ModelNet40/",
        "ModelNet40.zip",
    ),
    "own": Release(
        "",
        r"(?P<name>.+?)[_.-](?P<view>{views})\.(png|jpg|jpeg|PNG|JPG|JPEG)",
        "your own images, <class>/<train or test>/<object>_<view>.png or .jpg, with the names of `sources` for"
        " <view>",
        "the folder of your classes, or an archive of it,",
    ),
}

ADDRESS = "http://modelnet.cs.princeton.edu"
SHA256 = {"ModelNet40.zip": "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac"}
SIZES = {"ModelNet40.zip": 2_039_180_837}  # bytes
LICENCE = "for academic research only; meshes and renderings may not be passed on"


class Shape(NamedTuple):
    """One CAD model."""

    name: str
    label: int
    files: dict[str, str]  # view asked for -> its rendering; of a mesh, one file for all views


class Views(NamedTuple):
    """What is read of a raw file."""

    file: str
    views: tuple[str, ...]


class _ColorError(Exception):
    """A rendering that is not gray where all were thought to be."""


# Raw files


def origin(settings: "ModelNet40") -> Origin:
    """Where the objects come from, and what has to be done by hand."""
    name = settings.source
    source, licence = RELEASES[name], "yours" if name == "own" else LICENCE
    if downloads(settings):
        return Origin(source.get, licence)
    others = "".join(f"\n  {other}: {s.get}" for other, s in RELEASES.items())
    by_hand = (
        f"put {_default(settings)} into data/raw/{settings.raw}, unpacked or not, or a link to it; or take another"
        f" source (datasets.modelnet40.source in config/scales/<scale>.yaml, now {name} with"
        f" {settings.class_count} classes); meshes of 40 classes, or of some by name, are downloaded:{others}"
    )
    return Origin(source.get, licence, by_hand)


def downloads(settings: "ModelNet40") -> tuple[str, ...]:
    """Names of the archives that `fetch` downloads."""
    whole = settings.classes == 40 or not isinstance(settings.classes, int)
    return tuple(SHA256) if settings.source == "meshes" and whole else ()


def per_class(settings: "ModelNet40") -> tuple[float, float]:
    """Objects of a class, to train and to test, on average: of other classes than all forty a guess."""
    if settings.source in ("v1", "own"):
        return 80, 20
    train, test, classes = (3_991, 908, 10) if settings.class_count == 10 else (9_843, 2_468, 40)
    return train / classes, test / classes


def place(folder: Path, settings: "ModelNet40", mirror: str | None) -> Path:
    """Folder or archive of the source, as it lies in a folder or `fetch` will bring it there."""
    if found := _candidates(folder, settings):
        return found[0]
    given = _mirrored(mirror, settings)
    return folder / (given[0].name if given else _default(settings))


def fetch(folder: Path, settings: "ModelNet40", *, mirror: str | None) -> None:
    """Make the stand-ins, or bring the source.

    Meshes are downloaded. Renderings have no published checksum, so that they have to be given: in
    `folder`, or in a mirror that is a folder.
    """
    if settings.is_stand_in:
        from equimodal.study.data import modelnet40_standin, standin

        standin.renew(folder, settings, modelnet40_standin.write, settings.stand_in)
    elif found := _candidates(folder, settings):
        open_archive(found[0])
    elif names := downloads(settings):
        files = {name: Published(SHA256[name], SIZES[name]) for name in names}
        download(folder, name=settings.raw, files=files, addresses=[ADDRESS], mirror=mirror)
    elif given := _mirrored(mirror, settings):
        link(folder, given[0])
    else:
        settings.require_raw(folder)


def _is_small(settings: "ModelNet40") -> bool:
    """Whether ModelNet10 has all that is asked for."""
    return settings.source == "meshes" and settings.class_count == 10


def _default(settings: "ModelNet40") -> str:
    """Name of a source's archive as it is published."""
    if _is_small(settings) and settings.classes == 10:  # by number: some by name are of all forty
        return "ModelNet10.zip"
    return RELEASES[settings.source].default


def _file(settings: "ModelNet40") -> re.Pattern[str]:
    """What a file of the source is called."""
    return re.compile(RELEASES[settings.source].file.replace("{views}", "|".join(_views(settings))))


def _views(settings: "ModelNet40") -> dict[str, str]:
    """What a view is called in the names of files -> the source that it is stored as."""
    if settings.source == "own":
        return {source: source for source in settings.sources}
    return {f"{_number(source) + 1:03d}": source for source in settings.sources}


def _number(source: str) -> int:
    return int(source.removeprefix("view"))


def _candidates(folder: Path, settings: "ModelNet40") -> list[Path]:
    """Folders and archives of the source in a folder, or one deeper, best first."""
    if not folder.is_dir():
        return []
    release = RELEASES[settings.source]
    small = ["ModelNet10"] * _is_small(settings)
    packed = [*small, release.folder, release.default.partition(".")[0]]
    patterns = [*small, *filter(None, [release.folder])]
    patterns += [f"{name}*{suffix}" for name in packed for suffix in SUFFIXES]
    for depth in ("", "[!.]*/"):
        found = [p for pattern in patterns for p in sorted(folder.glob(depth + pattern))]
        if found := [p for p in found if p.suffix or p.is_dir()]:
            return found
    file = _file(settings)
    return [
        place
        for place in (folder, *sorted(folder.glob("[!.]*")))  # by another name
        if any(file.fullmatch(path.name) for path in place.glob("[!.]*/train/*"))
    ]


def _mirrored(mirror: str | None, settings: "ModelNet40") -> list[Path]:
    """The same in a mirror that is a folder, if `fetch` takes it as it is."""
    given = mirror_folder(mirror)
    if given is None or downloads(settings):
        return []
    return _candidates(given / settings.raw, settings)


# Preparation


def prepare(raw: Path, out: Path, settings: "ModelNet40", *, processes: int = 1) -> None:
    """Write each view as uint8 (n, size, size, 1) of each split, or 3 channels if a rendering is not gray.

    And `<split>.names.txt`, and `classes.txt`, whose lines the labels count. The rest is as
    `Dataset.prepare` says.
    """
    archive = open_archive(place(raw, settings, None))
    classes, objects = _list_objects(archive, settings)
    splits = _split(objects, settings)
    if settings.source == "meshes":
        from equimodal.study.data.render import say_if_slow

        say_if_slow()
    arrays = _fill(archive, out, settings, _jobs(splits), processes)
    prepared.begin(out, settings.preparation)
    for split, shapes in splits.items():
        labels = np.array([s.label for s in shapes.values()], np.uint8)
        ids = np.array(list(shapes), np.int32)
        prepared.save(out, {f"{split}.labels": labels, f"{split}.ids": ids})
        _write_lines(out / f"{split}.names.txt", [s.name for s in shapes.values()])
    _write_lines(out / "classes.txt", classes)
    arrays.finish()
    if settings.is_stand_in:
        save_examples(out, splits, (*settings.sources, "labels", "ids"))
    prepared.end(out, settings.preparation, by=__name__)


Objects = dict[SplitName, list[Shape]]


def _list_objects(archive: Archive, settings: "ModelNet40") -> tuple[list[str], Objects]:
    """Classes in the order of their names, and objects in the order of class and name.

    They lie in <class>/<train or test>, below whatever folders.

    ASSUME: the validation objects are drawn from this order; the official code lists a folder for
    each class, too, but leaves the order within it to the file system.

    Raises:
        UserError: Names all that is missing.
    """
    views, file, of_mesh = _views(settings), _file(settings), settings.source == "meshes"
    kind = "meshes" if of_mesh else "images"
    listed = [parts for path in archive.files if (parts := _visible(path))]
    found: dict[tuple[str, str, str], dict[str, str]] = {}  # class, split, name -> view -> file
    tops: set[tuple[str, ...]] = set()
    wrong: list[str] = []
    for parts in listed:
        match = file.fullmatch(parts[-1])
        if match and len(parts) > 2 and parts[-2] in SPLITS:
            *top, name, split, _ = parts
            tops.add(tuple(top))
            path, of_object = "/".join(parts), found.setdefault((name, split, match["name"]), {})
            for view in views.values() if of_mesh else filter(None, [views.get(match["view"])]):
                if view in of_object:
                    wrong.append(f"both {of_object[view]} and {path}")
                of_object[view] = path
    if not tops:
        raise UserError(
            f"{archive.path} has no {kind} in folders <class>/train and <class>/test; the source"
            f" {settings.source} is {RELEASES[settings.source].get}"
        )
    if len(tops) > 1:
        places = " and ".join(sorted("/".join(top) or "its top" for top in tops))
        raise UserError(f"{archive.path} has {kind} in {places}; leave those of one data set there")
    (above,) = tops
    depth = len(above)
    folders = [parts for path in archive.folders if (parts := _visible(path))]
    folders += [p[:-2] for p in listed if len(p) == depth + 3 and p[-2] in SPLITS]
    names = sorted({p[depth] for p in folders if len(p) > depth and tuple(p[:depth]) == above})
    if not isinstance(settings.classes, int):
        if lacking := sorted({*settings.classes} - {*names}):
            there = jobs.some(names)
            raise UserError(f"{archive.path} has no class {lacking}; its classes are\n{there}")
        names = sorted(settings.classes)
        found = {key: files for key, files in found.items() if key[0] in names}
    filled = {key[:2] for key in found}
    wrong += [f"no {kind} in {n}/{s}" for s in SPLITS for n in names if (n, s) not in filled]
    wrong += [
        f"{'/'.join(key)} lacks view {in_file}"
        for key, files in sorted(found.items())
        for in_file, view in views.items()
        if view not in files
    ]
    texts = {*names, *(name for *_, name in found)}
    wrong += [f"{text!a}, which is no name" for text in sorted(texts) if not text.isprintable()]
    if len(names) != settings.class_count:
        wrong.append(
            f"{len(names)} classes, expected {settings.class_count} (classes of the settings, which may be a list of"
            " names, too)"
        )
    if wrong:
        raise UserError(
            f"{archive.path} has\n{jobs.some(wrong)}\nIt is incomplete, or another data set."
        )
    objects: Objects = {split: [] for split in SPLITS}
    for (name, split, of_shape), files in sorted(found.items()):
        objects[cast(SplitName, split)].append(Shape(of_shape, names.index(name), files))
    return names, objects


def _visible(path: str) -> list[str]:
    """Parts of a path; none of what systems leave behind, such as ._x."""
    parts = path.split("/")
    return [] if any(part.startswith((".", "__MACOSX")) for part in parts) else parts


def _split(objects: Objects, settings: "ModelNet40") -> dict[str, dict[int, Shape]]:
    """Name of the split -> its objects by their place in the list of training or test objects.

    Validation is the first floor(share * n) of the shuffled training objects, not stratified, as in
    the official code; within a split, objects stand in the order of their list.
    """
    train, share = objects["train"], settings.validation_share
    kept, held_out = jobs.hold_out(len(train), int(share * len(train)), settings.validation_seed)
    splits = {"train": {i: train[i] for i in kept}}
    if settings.holds_out:
        splits["validation"] = {i: train[i] for i in held_out}
    splits["test"] = dict(enumerate(objects["test"]))
    if empty := [name for name, shapes in splits.items() if not shapes]:
        raise UserError(
            f"validation_share {share} of {len(train)} training objects leaves {empty} empty"
        )
    return splits


def _jobs(splits: dict[str, dict[int, Shape]]) -> list[Job]:
    """One for each file that is read."""
    made = []
    for split, shapes in splits.items():
        for row, shape in enumerate(shapes.values()):
            of_file: dict[str, list[str]] = {}
            for view, file in shape.files.items():
                of_file.setdefault(file, []).append(view)
            made += [Job(split, row, Views(f, tuple(views))) for f, views in of_file.items()]
    return made


def _fill(
    archive: Archive, out: Path, settings: "ModelNet40", todo: Sequence[Job], processes: int
) -> UnfinishedArrays:
    """Do all jobs that an earlier run left, in gray if all renderings are."""
    in_folder, size, stat = archive.path.is_dir(), settings.size, archive.path.stat()
    asked = {n: settings.preparation[n] for n in ("source", "views", "size", "stand_in")}
    # An archive changes as a whole; of a folder, what is replaced is read again, alone.
    state = None if in_folder else (stat.st_size, stat.st_mtime_ns)
    rows = {job.split: job.row + 1 for job in todo}  # the last row of a split comes last

    def arrays(channels: int) -> UnfinishedArrays:
        shapes = {
            f"{split}.{view}": (n, size, size, channels)
            for split, n in rows.items()
            for view in settings.sources
        }
        about = f"{VERSION} {asked} {state} {channels}"
        files = [[archive.path / job.reads.file] if in_folder else [] for job in todo]
        stamps = [stamp(f"{about} {job}", *f) for job, f in zip(todo, files, strict=True)]
        return UnfinishedArrays(out, shapes, stamps)

    def fill(arrays: UnfinishedArrays, channels: int) -> UnfinishedArrays:
        read = _Reader(archive.path, settings.source, size, channels).rows
        contents = None if in_folder else partial(_contents, archive.path)
        label = "modelnet40"
        jobs.fill(arrays, todo, read, label=label, processes=processes, contents=contents)
        return arrays

    in_color = arrays(3)
    if not in_color.done().any():
        with suppress(_ColorError):
            return fill(arrays(1), 1)
    return fill(in_color, 3)


def _contents(path: Path, left: Mapping[int, Job]) -> Iterable[tuple[int, Job, bytes]]:
    of_file = {job.reads.file: number for number, job in left.items()}
    for file, content in read_archive(path, of_file.keys()) if left else ():
        yield of_file[file], left[of_file[file]], content


@dataclass(frozen=True)
class _Reader:
    """Decodes renderings and draws meshes."""

    path: Path  # of the folder or the archive
    source: ReleaseName
    size: int
    channels: int

    def rows(self, job: Job, content: bytes | None) -> dict[str, UInt8[ndarray, "..."]]:
        """Return the views of an object that are in a file."""
        file, views = job.reads
        content = read_file(self.path / file) if content is None else content
        return dict(zip(views, self._images(content, f"{self.path}: {file}", views), strict=True))

    def _images(
        self, content: bytes, where: str, views: Sequence[str]
    ) -> UInt8[ndarray, "views size size channels"]:
        if self.source == "meshes":
            from equimodal.study.data.off import parse_off
            from equimodal.study.data.render import draw

            mesh, numbers = parse_off(content, where), [*map(_number, views)]
            try:
                return draw(mesh, numbers, size=self.size)[..., None]
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
        image = decode(content, where, self.size, opaque=self.source == "own")
        if image.shape[-1] > self.channels:
            raise _ColorError
        return np.broadcast_to(image, (len(views), self.size, self.size, self.channels))


def decode(
    content: bytes, where: str, size: int, *, opaque: bool = False
) -> UInt8[ndarray, "size size channels"]:
    """Decode a square image and, if it has another size, average it over the pixels asked for.

    It gets one channel if it is gray (R = G = B everywhere), else three. Gray values of 16 bits are scaled to
    8. Transparency does not count, as in the official code, unless the image has to be `opaque`.

    Raises:
        UserError: If it is empty, damaged, not square, of absurd size, of values without a known white,
            or not opaque; says `where` it lies.
    """
    from PIL import Image

    if not content:
        raise UserError(f"{where} is empty")
    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image: Image.Image = Image.open(BytesIO(content))
            image.load()
    except Exception as error:  # noqa: BLE001  Pillow raises nearly anything on damaged bytes
        raise UserError(f"{where} is not an image or damaged ({error})") from None
    if image.width != image.height:
        raise UserError(f"{where} is {image.width} x {image.height}, expected a square")
    if opaque and image.has_transparency_data and not _is_opaque(image):
        raise UserError(
            f"{where} is transparent in places, and nothing says what is behind it; put it onto a background,"
            " such as by `magick mogrify -background white -alpha remove`"
        )
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((values * 255 + 32_767) // 65_535).astype(np.uint8))
    elif image.mode not in MODES:
        raise UserError(
            f"{where} has pixels of the kind {image.mode!r}, whose white is not known; expected 8 or 16"
            " bits a channel"
        )
    image = image.convert("RGB")
    pixels = np.asarray(image)
    if (pixels == pixels[..., :1]).all():
        image = image.getchannel(0)
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BOX)
    return np.asarray(image).reshape(size, size, -1)


def _is_opaque(image: "Image.Image") -> bool:
    if image.mode.startswith("I"):
        return False  # one of its grays is said to be transparent
    return bool(np.all(np.asarray(image.convert("RGBA"))[..., 3] == 255))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text("".join(f"{line}\n" for line in lines), path)
