"""NVGesture: clips of 25 hand gestures in color and depth (Molchanov et al., 2016; paper, App. A).

Access to the data set has to be asked for: `fetch` unpacks and checks what was put into its folder.
The stand-in, which has its files and folders, is drawn by code.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from equimodal.study.data import jobs, prepared
from equimodal.study.data.download import link, mirror_folder
from equimodal.study.data.examples import save_examples
from equimodal.study.data.jobs import Job
from equimodal.study.data.nvgesture_list import SENSORS, Clip, list_names, mismatched, read_list
from equimodal.study.data.status import Origin
from equimodal.study.data.unfinished import UnfinishedArrays, stamp
from equimodal.study.errors import UserError
from equimodal.study.files import writing

if TYPE_CHECKING:
    from equimodal.study.datasets import NVGesture

VERSION = 2  # of what stands in the arrays: raise it when the same raw files give other bytes
VIDEOS = "Video_data"
UNPACKING = ".unpacking"
PACKED = ("sk_color.avi", "sk_depth.avi", "*.lst")  # what is unpacked of the archive

PAGE = (
    "https://research.nvidia.com/publication/"
    "2016-06_online-detection-and-classification-dynamic-hand-gestures-recurrent-3d"
)
BY_HAND = """\
ask for access at
    {page}
  and put into data/raw/nvgesture either its archive,
    nvGesture_v1.7z.001, .002 and on (about 30 GB), or nvGesture_v1.1.7z (41 GB)
  or what was unpacked from it,
    {videos}/
    {train}
    {test}
  `equimodal fetch` unpacks it if need be, and checks that every video is there.
  The two versions of the lists (list_version) differ in a few labels"""


# Raw files


def origin(settings: "NVGesture") -> Origin:
    """Where the clips come from, and what has to be done by hand."""
    return Origin(
        PAGE,
        "research use, to be asked for; it shows faces: do not pass it on or show frames of it",
        BY_HAND.format(page=PAGE, videos=VIDEOS, **list_names(settings.list_version)),
    )


def downloads(settings: "NVGesture") -> list[str]:
    """Nothing comes by itself."""
    return []


def places(folder: Path, settings: "NVGesture", mirror: str | None) -> list[Path]:
    """The lists of a version and the folder of videos, as they lie in a folder, or one deeper."""
    return [*_lists(folder, settings.list_version).values(), _root(folder) / VIDEOS]


def _root(folder: Path) -> Path:
    """The folder that holds the videos: a folder itself, or one in it."""
    below = sorted(folder.glob(f"[!.]*/{VIDEOS}"))
    whole = [p.parent for p in (folder / VIDEOS, *below) if next(p.glob("class_*"), None)]
    return whole[0] if whole else folder


def _lists(folder: Path, version: str) -> dict[str, Path]:
    """Part -> its list, beside the videos or above them."""
    root = _root(folder)
    return {
        part: folder / name if (folder / name).is_file() else root / name
        for part, name in list_names(version).items()
    }


def fetch(folder: Path, settings: "NVGesture", mirror: str | None) -> None:
    """Unpack the data set, if need be, and check that it is whole.

    What is missing is looked for below `nvgesture` in a mirror that is a folder.
    """
    from equimodal.study.data.seven_zip import find_parts

    version, of_mirror = settings.list_version, mirror_folder(mirror)
    given = of_mirror / "nvgesture" if of_mirror else folder
    if not (_root(folder) / VIDEOS).is_dir():
        videos = _root(given) / VIDEOS
        if parts := find_parts(folder) or ([] if videos.is_dir() else find_parts(given)):
            _unpack(parts, folder)
        elif videos.is_dir():
            link(folder, videos)
    for part, path in _lists(folder, version).items():
        if not path.exists() and (there := _lists(given, version)[part]).is_file():
            link(path.parent, there)
    settings.require_raw(folder)
    clips, size = _read_lists(folder, settings)
    both = [clip for chosen in clips.values() for clip in chosen]
    print(
        f"nvgesture: {len(both)} clips, {len(mismatched(both))} of them with other windows in"
        f" depth than in color; {size:,} bytes of videos"
    )


def _unpack(parts: Sequence[Path], folder: Path) -> None:
    """Unpack color, depth and lists beside their places; Video_data comes last, and whole."""
    from equimodal.study.data import seven_zip

    aside = folder / UNPACKING
    try:
        with writing(folder, "check its permissions and run again"):
            if aside.exists():
                shutil.rmtree(aside)
            seven_zip.unpack(parts, aside, PACKED)
            if not (found := [path for path in aside.rglob(VIDEOS) if path.is_dir()]):
                raise UserError(f"{parts[0]} holds no {VIDEOS}: it is not the archive of NVGesture")
            for path in aside.rglob("*.lst"):
                if not (folder / path.name).exists():
                    os.replace(path, folder / path.name)
            os.replace(found[0], folder / VIDEOS)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _read_lists(folder: Path, settings: "NVGesture") -> tuple[dict[str, list[Clip]], int]:
    """Read the lists and check that all videos are there, before hours of work begin.

    Returned are the clips of each part, and the bytes of the videos.

    Raises:
        UserError: Names all that is wrong or missing.
    """
    root, sizes = _root(folder), dict[str, int]()
    clips: dict[str, list[Clip]] = {}
    wrong: list[str] = []
    for part, source in _lists(folder, settings.list_version).items():
        try:
            clips[part] = read_list(source)
        except UserError as error:
            wrong.append(str(error))
            continue
        if (last := max(clip.label for clip in clips[part]) + 1) > settings.classes:
            wrong.append(f"{source} has labels up to {last}, but classes is {settings.classes}")
        for clip in clips[part]:
            for path in _videos(root, clip).values():
                size = path.stat().st_size if path.is_file() else 0
                sizes[f"{source}, line {clip.line}: {path}"] = size
    if bad := [video for video, size in sizes.items() if not size]:
        wrong.append(
            f"{len(bad)} of {len(sizes)} videos that the lists name are missing or empty:\n"
            f"{jobs.some(bad)}\nUnpack the archive again so that they lie there."
        )
    if wrong:
        raise UserError("\n".join(wrong))
    return clips, sum(sizes.values())


def _videos(root: Path, clip: Clip) -> dict[str, Path]:
    return {sensor: root / clip.folder / f"{clip.windows[sensor].stem}.avi" for sensor in SENSORS}


# Preparation


def prepare(raw: Path, out: Path, settings: "NVGesture", processes: int = 1) -> None:
    """Write `color` uint8 (n, frames, size, size, 3) and `depth`, of one channel, of each split.

    And `lengths` int32 (n), the frames of each clip. A clip shorter than `frames` has black frames on
    both sides, in equal number or one more after it (paper, App. A): it begins at
    (frames - length) // 2. Of a longer one the first frames are stored. Of what is seen of a window,
    one frame of `every` is stored, and all these numbers are of such frames. `ids` are lines of the list
    from 0. The rest is as `Dataset.prepare` says.
    """
    lists = _lists(raw, settings.list_version)
    clips, _ = _read_lists(raw, settings)
    for part, listed in clips.items():
        if odd := mismatched(listed):
            print(
                f"nvgesture: color and depth windows differ in {len(odd)} of {len(listed)} {part}"
                " clips; the color window is used for both",
                file=sys.stderr,
            )
    splits = _split(clips["train"], settings, lists["train"]) | {"test": clips["test"]}
    root = _root(raw)
    shapes = {
        f"{split}.{sensor}": (len(chosen), *settings.shape(sensor))
        for split, chosen in splits.items()
        for sensor in SENSORS
    }
    todo = [Job(split, row, c) for split, chosen in splits.items() for row, c in enumerate(chosen)]
    about = f"{VERSION} {settings.preparation}"
    stamps = [stamp(f"{about} {job}", *_videos(root, job.reads).values()) for job in todo]
    arrays = UnfinishedArrays(out, shapes, stamps)
    read = partial(_clip_of, root, settings, lists)
    jobs.fill(arrays, todo, read, label="nvgesture", processes=processes)
    prepared.begin(out, settings.preparation)
    for split, chosen in splits.items():
        lengths = [len(_seen(clip, settings)) for clip in chosen]
        ids, labels = [clip.line - 1 for clip in chosen], [clip.label for clip in chosen]
        prepared.save_labels(out, split, labels, ids=ids, lengths=lengths)
    arrays.finish()
    if settings.is_stand_in:
        names = (*SENSORS, "labels", "ids")
        save_examples(out, splits, names, partial(_shown, out, settings.stored_frames))


def _split(clips: list[Clip], settings: "NVGesture", source: Path) -> dict[str, list[Clip]]:
    """Part the training clips in `train` and `validation`; all train if none are held out."""
    subjects, count = settings.validation_subjects, settings.validation_examples
    if subjects is not None:
        known = sorted({clip.subject for clip in clips})
        if unknown := sorted(set(subjects) - set(known)):
            raise UserError(f"validation_subjects has {unknown}; {source} has {known}")
        held_out = [clip for clip in clips if clip.subject in subjects]
    else:
        # ASSUME: how the paper drew its 20 % is not known. This is how its ModelNet40 code does.
        _, rows = jobs.hold_out(len(clips), count, settings.validation_seed)
        held_out = [clips[row] for row in rows]
    lines = {clip.line for clip in held_out}
    if not (kept := [clip for clip in clips if clip.line not in lines]):
        raise UserError(f"all {len(clips)} clips of {source} are held out for validation")
    return {"train": kept} | ({"validation": held_out} if held_out else {})


def _seen(clip: Clip, settings: "NVGesture") -> range:
    """The frames of a clip that are stored."""
    start, end = clip.span("color")
    return range(start, min(end, start + settings.frames), settings.every)


def _clip_of(
    root: Path, settings: "NVGesture", lists: dict[str, Path], job: Job, _: bytes | None
) -> dict[str, UInt8[ndarray, "..."]]:
    """A clip in color and in depth."""
    try:
        return {sensor: _decoded(root, settings, job.reads, sensor) for sensor in SENSORS}
    except UserError as error:
        source = lists["test" if job.split == "test" else "train"]
        raise UserError(f"{source}, line {job.reads.line}: {error}") from None


def _decoded(
    root: Path, settings: "NVGesture", clip: Clip, sensor: str
) -> UInt8[ndarray, "frames size size channels"]:
    from equimodal.study.data.video import read_frames

    stored = np.zeros(settings.shape(sensor), np.uint8)
    seen = _seen(clip, settings)
    begin = (len(stored) - len(seen)) // 2
    frames = read_frames(
        _videos(root, clip)[sensor],
        seen.start,
        seen.stop,
        size=settings.size,
        gray=stored.shape[-1] == 1,
        # Where the windows differ, the color window may end a frame after the depth video.
        # ASSUME: its last frame then counts twice. The paper says whose window counts, no more.
        lacking=int(sensor == "depth" and clip.span("depth")[1] < clip.span("color")[1]),
    )
    stored[begin : begin + len(seen)] = frames[:: seen.step]
    return stored


def _shown(
    out: Path, frames: int, split: str, name: str, rows: Int64[ndarray, " n"]
) -> tuple[Int64[ndarray, "..."], ...]:
    """Where three frames of some clips stand: early, middle and late."""
    if name not in SENSORS:
        return (rows,)
    length = np.load(out / f"{split}.lengths.npy")[rows, None].astype(int)
    return rows[:, None], (frames - length) // 2 + length * np.array([1, 2, 3]) // 4
