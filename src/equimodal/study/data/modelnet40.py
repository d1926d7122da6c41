"""ModelNet40: views of 12,311 CAD models in 40 categories (paper, App. A).

Three sources, one prepared form. `new_12x` are the renderings that the paper uses, `v1` the older ones of a third
of the models, and `meshes` the meshes themselves, of which we draw the views of `new_12x`. Only the classes and
views that are asked for are decoded or drawn.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.data import jobs, prepared
from equimodal.study.data.archive import SUFFIXES, list_files, read_archive, read_file
from equimodal.study.data.download import Published, download, link, mirror_folder
from equimodal.study.data.examples import save_examples
from equimodal.study.data.images import decode, resized
from equimodal.study.data.jobs import Job
from equimodal.study.data.status import Origin
from equimodal.study.data.unfinished import UnfinishedArrays, stamp
from equimodal.study.errors import UserError
from equimodal.study.files import write_text

if TYPE_CHECKING:
    from equimodal.study.datasets import ModelNet40

VERSION = 2  # of what stands in the arrays: raise it when the same raw files give other bytes

SPLITS = ("train", "test")  # folders of a class


class Release(NamedTuple):
    """Where raw files come from and what they are called."""

    folder: str  # top folder, also within an archive
    file: str  # pattern with groups `name` and, of a rendering, `view`, its number from 001
    get: str
    default: str  # name of the archive as it comes


RELEASES = {
    "new_12x": Release(
        "modelnet40_images_new_12x",
        r"(?P<name>[^/]+)\.obj\.shaded_v(?P<view>\d{3})\.png",
        "the paper's renderings: http://supermoe.cs.umass.edu/shape_recog/shaded_images.tar.gz"
        " (1.6 GB; reported dead, a mirror that people name is"
        " https://cloud.tsinghua.edu.cn/f/dd9ef45fb00e427eae23/?dl=1), as shaded_images.tar.gz or"
        " unpacked to modelnet40_images_new_12x/",
        "shaded_images.tar.gz",
    ),
    "v1": Release(
        "modelnet40v1",
        r"(?P<name>[^/]+)_(?P<view>\d{3})\.jpg",
        "older renderings of 3,983 models: http://maxwell.cs.umass.edu/mvcnn-data/modelnet40v1.tar"
        " (204 MB), as modelnet40v1.tar or unpacked to modelnet40v1/",
        "modelnet40v1.tar",
    ),
    "meshes": Release(
        "ModelNet40",
        r"(?P<name>[^/]+)\.off",
        "the meshes, which are rendered here: http://modelnet.cs.princeton.edu/ModelNet40.zip"
        " (2.0 GB), as ModelNet40.zip or unpacked to ModelNet40/",
        "ModelNet40.zip",
    ),
}

ADDRESS = "http://modelnet.cs.princeton.edu"
SHA256 = {"ModelNet40.zip": "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac"}
SIZES = {"ModelNet40.zip": 2_039_180_837}  # bytes
LICENSE = "for academic research only; meshes and renderings may not be passed on"


class Shape(NamedTuple):
    """One CAD model."""

    name: str
    label: int
    files: dict[str, str]  # view asked for -> its rendering; of a mesh, one file for all views


# Raw files


def origin(settings: "ModelNet40") -> Origin:
    """Where the objects come from, and what has to be done by hand."""
    source = RELEASES[settings.source]
    if downloads(settings):
        return Origin(source.get, LICENSE)
    others = "".join(f"\n  {other}: {s.get}" for other, s in RELEASES.items())
    by_hand = (
        f"put {_default(settings)} into data/raw/{settings.raw}, unpacked or not, or a link to it; or take another"
        f" source (datasets.modelnet40.source in config/scales/<scale>.yaml, now {settings.source} with"
        f" {settings.class_count} classes); meshes of 40 classes, or of some by name, are downloaded:{others}"
    )
    return Origin(source.get, LICENSE, by_hand)


def downloads(settings: "ModelNet40") -> tuple[str, ...]:
    """Names of the archives that `fetch` downloads."""
    whole = settings.classes == 40 or not isinstance(settings.classes, int)
    return tuple(SHA256) if settings.source == "meshes" and whole else ()


def places(folder: Path, settings: "ModelNet40", mirror: str | None) -> list[Path]:
    """Folder or archive of the source, as it lies in a folder or `fetch` will bring it there."""
    if found := _candidates(folder, settings):
        return found[:1]
    given = _mirrored(mirror, settings)
    return [folder / (given[0].name if given else _default(settings))]


def fetch(folder: Path, settings: "ModelNet40", mirror: str | None) -> None:
    """Bring the source.

    Meshes are downloaded. Renderings have no published checksum, so that they have to be given: in
    `folder`, or in a mirror that is a folder.
    """
    if found := _candidates(folder, settings):
        list_files(found[0])
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


def _number(source: str) -> int:
    return int(source.removeprefix("view"))


def _candidates(folder: Path, settings: "ModelNet40") -> list[Path]:
    """Folders and archives of the source in a folder, or one deeper, best first."""
    if not folder.is_dir():
        return []
    release = RELEASES[settings.source]
    small = ["ModelNet10"] * _is_small(settings)
    packed = [*small, release.folder, release.default.partition(".")[0]]
    patterns = [*small, release.folder]
    patterns += [f"{name}*{suffix}" for name in packed for suffix in SUFFIXES]
    for depth in ("", "[!.]*/"):
        found = [p for pattern in patterns for p in sorted(folder.glob(depth + pattern))]
        if found := [p for p in found if p.suffix or p.is_dir()]:
            return found
    return [
        place
        for place in (folder, *sorted(folder.glob("[!.]*")))  # by another name
        if any(re.fullmatch(release.file, path.name) for path in place.glob("[!.]*/train/*"))
    ]


def _mirrored(mirror: str | None, settings: "ModelNet40") -> list[Path]:
    """The same in a mirror that is a folder, if `fetch` takes it as it is."""
    given = mirror_folder(mirror)
    if given is None or downloads(settings):
        return []
    return _candidates(given / settings.raw, settings)


# Preparation


def prepare(raw: Path, out: Path, settings: "ModelNet40", processes: int = 1) -> None:
    """Write each view as uint8 (n, size, size, 1) of each split, in gray.

    And `<split>.names.txt`, and `classes.txt`, whose lines the labels count. The rest is as
    `Dataset.prepare` says.
    """
    (path,) = places(raw, settings, None)
    classes, objects = _list_objects(path, settings)
    splits = _split(objects, settings)
    if settings.source == "meshes":
        from equimodal.study.data.render import say_if_slow

        say_if_slow()
    arrays = _fill(path, out, settings, _jobs(splits), processes)
    prepared.begin(out, settings.preparation)
    for split, shapes in splits.items():
        prepared.save_labels(out, split, [s.label for s in shapes.values()], ids=[*shapes])
        _write_lines(out / f"{split}.names.txt", [s.name for s in shapes.values()])
    _write_lines(out / "classes.txt", classes)
    arrays.finish()
    if settings.is_stand_in:
        save_examples(out, splits, (*settings.sources, "labels", "ids"))


Objects = dict[str, list[Shape]]  # by split


def _list_objects(path: Path, settings: "ModelNet40") -> tuple[list[str], Objects]:
    """Classes in the order of their names, and objects in the order of class and name.

    They lie in <class>/<train or test>, below whatever folders.

    ASSUME: the validation objects are drawn from this order; the official code lists a folder for
    each class, too, but leaves the order within it to the file system.

    Raises:
        UserError: Names all that is missing.
    """
    release = RELEASES[settings.source]
    # What a view is called in the names of files -> the source that it is stored as.
    views = {f"{_number(source) + 1:03d}": source for source in settings.sources}
    kind = "meshes" if settings.source == "meshes" else "images"
    place = re.compile(rf"(?P<top>.*/|)(?P<class>[^/]+)/(?P<split>train|test)/{release.file}")
    found: dict[tuple[str, str, str], dict[str, str]] = {}  # class, split, name -> view -> file
    tops = set()
    for file in list_files(path):
        if match := place.fullmatch(file):
            tops.add(match["top"])
            of_object = found.setdefault((match["class"], match["split"], match["name"]), {})
            view = match.groupdict().get("view")
            of_object |= dict.fromkeys([v for k, v in views.items() if view in (None, k)], file)
    if not tops:
        raise UserError(
            f"{path} has no {kind} in folders <class>/train and <class>/test; the source"
            f" {settings.source} is {release.get}"
        )
    if len(tops) > 1:
        where = " and ".join(sorted(top or "its top" for top in tops))
        raise UserError(f"{path} has {kind} in {where}; leave those of one data set there")
    names = sorted({name for name, *_ in found})
    if not isinstance(settings.classes, int):
        if lacking := sorted({*settings.classes} - {*names}):
            there = jobs.some(names)
            raise UserError(f"{path} has no class {lacking}; its classes are\n{there}")
        names = sorted(settings.classes)
        found = {key: files for key, files in found.items() if key[0] in names}
    filled = {key[:2] for key in found}
    wrong = [f"no {kind} in {n}/{s}" for s in SPLITS for n in names if (n, s) not in filled]
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
        raise UserError(f"{path} has\n{jobs.some(wrong)}\nIt is incomplete, or another data set.")
    objects: Objects = {split: [] for split in SPLITS}
    for (name, split, of_shape), files in sorted(found.items()):
        objects[split].append(Shape(of_shape, names.index(name), files))
    return names, objects


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
            made += [Job(split, row, (f, tuple(views))) for f, views in of_file.items()]
    return made


def _fill(
    path: Path, out: Path, settings: "ModelNet40", todo: Sequence[Job], processes: int
) -> UnfinishedArrays:
    """Do all jobs that an earlier run left."""
    in_folder, size = path.is_dir(), settings.size
    asked = {n: settings.preparation[n] for n in ("source", "views", "size", "stand_in")}
    rows = {job.split: job.row + 1 for job in todo}  # the last row of a split comes last
    shapes = {f"{s}.{v}": (n, size, size, 1) for s, n in rows.items() for v in settings.sources}
    # An archive changes as a whole; of a folder, what is replaced is read again, alone.
    files = [path / job.reads[0] if in_folder else path for job in todo]
    stamps = [stamp(f"{VERSION} {asked} {job}", f) for job, f in zip(todo, files, strict=True)]
    arrays = UnfinishedArrays(out, shapes, stamps)
    read = partial(_views_in, path, settings.source, size)
    contents = None if in_folder else partial(_contents, path)
    jobs.fill(arrays, todo, read, label="modelnet40", processes=processes, contents=contents)
    return arrays


def _contents(path: Path, left: Mapping[int, Job]) -> Iterable[tuple[int, Job, bytes]]:
    of_file = {job.reads[0]: number for number, job in left.items()}
    for file, content in read_archive(path, of_file.keys()) if left else ():
        yield of_file[file], left[of_file[file]], content


def _views_in(
    path: Path, source: str, size: int, job: Job, content: bytes | None
) -> dict[str, UInt8[ndarray, "size size 1"]]:
    """The views of an object that are in a file: a rendering, or a mesh that is drawn."""
    file, views = job.reads
    where = f"{path}: {file}"
    content = read_file(path / file) if content is None else content
    if source != "meshes":
        image = decode(content, where)
        if image.width != image.height:
            raise UserError(f"{where} is {image.width} x {image.height}, expected a square")
        return dict.fromkeys(views, resized(image.convert("L"), size, size))
    from equimodal.study.data.off import parse_off
    from equimodal.study.data.render import draw

    mesh = parse_off(content, where)
    try:
        drawn = draw(mesh, [*map(_number, views)], size=size)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return dict(zip(views, drawn[..., None], strict=True))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text("".join(f"{line}\n" for line in lines), path)
