"""NVGesture: clips of 25 hand gestures in color and depth (Molchanov et al., 2016; paper, App. A).

Access to the data set has to be asked for: `fetch` unpacks and checks what was put into its folder.
The stand-in, which has its files and folders, is drawn by code.
"""

import hashlib
import os
import random
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from equimodal.data import nvgesture_standin, prepared, seven_zip
from equimodal.data.download import TIMEOUT, link, mirror_address, mirror_folder
from equimodal.data.nvgesture_list import SENSORS, Clip, mismatched, parse_list, read_list
from equimodal.data.status import Origin
from equimodal.data.unfinished import PART, UnfinishedArrays, stamp
from equimodal.data.video import read_frames
from equimodal.data.workers import share_out
from equimodal.errors import UserError
from equimodal.files import make_folder, save_arrays, write_aside
from equimodal.progress import show_progress

VERSION = 2  # of what stands in the arrays: raise it when the same raw files give other bytes
CHANNELS = {"color": 3, "depth": 1}  # that are stored
EXAMPLES = "examples.npz"
VIDEOS = "Video_data"
LISTS = {
    "v1": "nvgesture_{part}_correct_cvpr2016.lst",
    "v2": "nvgesture_{part}_correct_cvpr2016_v2.lst",
}
UNPACKING = ".unpacking"
PACKED = ("sk_color.avi", "sk_depth.avi", "*.lst")  # what is unpacked of the archive
SHOWN = 10  # bad videos or clips that a message names

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
  `equimodal fetch` unpacks it if need be, and checks that every video is there"""
STAND_IN = Origin(
    "drawn by equimodal.data.nvgesture_standin: synthetic gestures, not NVGesture",
    "that of equimodal; nobody else has a right in them",
)


def origin(settings: dict[str, Any]) -> Origin:
    """Where the clips come from."""
    if settings["stand_in"]:
        return STAND_IN
    names = _names(settings["list_version"])
    return Origin(
        PAGE,
        "research use, to be asked for; it shows faces: do not pass it on or show frames of it",
        BY_HAND.format(page=PAGE, videos=VIDEOS, **names),
    )


def fetched(settings: dict[str, Any]) -> tuple[str, ...]:
    """Names of the raw files that `fetch` brings by itself."""
    return (nvgesture_standin.MARKER,) if settings["stand_in"] else ()


def raw_files(folder: Path, settings: dict[str, Any], *, mirror: str | None) -> list[Path]:
    """Raw files and folders that `prepare` needs."""
    if settings["stand_in"]:
        return [folder / nvgesture_standin.MARKER]
    return [*_places(folder, settings["list_version"]).values(), folder / VIDEOS]


# Fetching


def fetch(folder: Path, settings: dict[str, Any], *, mirror: str | None) -> None:
    """Draw the stand-in; or unpack the data set, if need be, and check that it is whole.

    Args:
        folder: Where the raw files lie, or the archive.
        settings: As `prepare` takes them.
        mirror: Folder or URL where what is missing is looked for, below `nvgesture`; only lists may
            come from a URL.

    Raises:
        UserError: If the data set, a part of its archive or a video is missing or damaged; says
            what to do.
    """
    if settings["stand_in"]:
        _draw(folder, settings)
        return
    if not (folder / VIDEOS).is_dir():
        _bring_videos(folder, mirror_folder(mirror))
    if not (folder / VIDEOS).is_dir():
        raise UserError(
            f"{folder} holds neither {VIDEOS} of NVGesture nor its archive:"
            f" {origin(settings).by_hand}"
        )
    _bring_lists(folder, settings["list_version"], mirror)
    listed = {path: read_list(path) for path in _lists(folder, settings["list_version"]).values()}
    size = _require_videos(folder, listed)
    clips = [clip for chosen in listed.values() for clip in chosen]
    print(
        f"nvgesture: {len(clips)} clips, {len(mismatched(clips))} of them with other windows in"
        f" depth than in color; {size:,} bytes of videos"
    )


def _draw(folder: Path, settings: dict[str, Any]) -> None:
    try:
        nvgesture_standin.renew(folder, **_drawn_with(settings))
    except ValueError as error:
        raise UserError(f"stand_in of NVGesture can not be drawn: {error}") from None


def _drawn_with(settings: dict[str, Any]) -> dict[str, Any]:
    wanted = settings["stand_in"]
    return {
        "seed": wanted["seed"],
        "gestures": settings["classes"],
        "clips_per_class": {"train": wanted["train_per_class"], "test": wanted["test_per_class"]},
        "subjects": {"train": (1, 2, 3), "test": (5, 8)},
        "size": (wanted["width"], wanted["height"]),
        "recorded": wanted["recorded"],
        "window": wanted["window"],
        "short": wanted["short"],
    }


def _bring_videos(folder: Path, mirror: Path | None) -> None:
    """Unpack the archive in the folder, or link or unpack what a mirror holds, if there is any."""
    given = mirror and mirror / "nvgesture"
    if parts := seven_zip.find_parts(folder):
        _unpack(parts, folder)
    elif given and (given / VIDEOS).is_dir():
        link(folder, given / VIDEOS)
    elif given and (parts := seven_zip.find_parts(given)):
        _unpack(parts, folder)


def _unpack(parts: Sequence[Path], folder: Path) -> None:
    """Unpack color, depth and lists beside their places; Video_data comes last, and whole."""
    aside = folder / UNPACKING
    try:
        if aside.exists():
            shutil.rmtree(aside)
        seven_zip.unpack(parts, aside, PACKED)
        if not (found := [path for path in aside.rglob(VIDEOS) if path.is_dir()]):
            raise UserError(f"{parts[0]} holds no {VIDEOS}: it is not the archive of NVGesture")
        for path in aside.rglob("*.lst"):
            if not (folder / path.name).exists():
                os.replace(path, folder / path.name)
        os.replace(found[0], folder / VIDEOS)
    except OSError as error:
        raise UserError(
            f"{folder} can not be written: {error.strerror or error}; check its permissions and run"
            " again"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _bring_lists(folder: Path, version: str, mirror: str | None) -> None:
    """Copy lists that are missing from the mirror, if it has them."""
    for path in _places(folder, version).values():
        if mirror and not path.exists():
            address = f"{mirror_address(mirror, 'nvgesture')}/{path.name}"
            if (content := _download(address)) is not None:
                parse_list(content, address)
                with write_aside(path) as aside:
                    aside.write_bytes(content)


def _download(address: str) -> bytes | None:
    """Content of a small file; None if there is no such file."""
    try:
        with urlopen(address, timeout=TIMEOUT) as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        missing = isinstance(error, HTTPError) and error.code == 404
        if missing or isinstance(reason, FileNotFoundError):
            return None
        raise UserError(
            f"{address} can not be read ({reason}); check the connection, or mirror in params.yaml"
        ) from None


def _names(version: str) -> dict[str, str]:
    """Names of the lists, by the part that they list."""
    return {part: LISTS[version].format(part=part) for part in ("train", "test")}


def _places(folder: Path, version: str) -> dict[str, Path]:
    return {part: folder / name for part, name in _names(version).items()}


def _lists(folder: Path, version: str) -> dict[str, Path]:
    lists = _places(folder, version)
    if missing := [path.name for path in lists.values() if not path.is_file()]:
        raise UserError(
            f"{folder} lacks {' and '.join(missing)}, the lists of version {version}; put them"
            f" there, beside {VIDEOS}, or set list_version to the version that you have: the"
            " versions differ in a few labels"
        )
    return lists


def _require_videos(folder: Path, listed: Mapping[Path, Sequence[Clip]]) -> int:
    """Check that all videos are there, before hours of work begin; return their bytes."""
    size, bad = 0, []
    for source, clips in listed.items():
        for clip in clips:
            for path in _videos(folder, clip).values():
                there = path.stat().st_size if path.is_file() else None
                size += there or 0
                if not there:
                    what = "missing" if there is None else "empty"
                    bad.append(f"{source}, line {clip.line}: {path} is {what}")
    if bad:
        wanted = len(SENSORS) * sum(len(clips) for clips in listed.values())
        raise UserError(
            f"{len(bad)} of {wanted} videos that the lists name are missing or empty:\n{_some(bad)}\n"
            "Unpack the archive again so that they lie there."
        )
    return size


def _videos(folder: Path, clip: Clip) -> dict[str, Path]:
    return {sensor: folder / clip.folder / f"{clip.windows[sensor].stem}.avi" for sensor in SENSORS}


def _some(lines: Sequence[str]) -> str:
    rest = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([*(f"  {line}" for line in lines[:SHOWN]), *rest])


# Preparation


@dataclass(frozen=True)
class Job:
    """One clip to decode, and where it goes."""

    number: int
    source: Path  # the list that names the clip
    clip: Clip
    split: str
    row: int


def prepare(raw: Path, out: Path, settings: dict[str, Any], *, processes: int = 1) -> None:
    """Write each split as `<split>.<array>.npy` into `out`.

    Arrays, n clips each: `color` uint8 (n, frames, size, size, 3), `depth` uint8 (n, frames, size,
    size, 1), `labels` uint8 (n) from 0, `ids` int32 (n), the line of the list from 0, `lengths`
    int32 (n), the frames of the clip. A clip shorter than `frames` has black frames on both sides,
    in equal number or one more after it (paper, App. A): it begins at (frames - length) // 2. Of a
    longer one the first frames are stored.

    A clip that can not be decoded is named in the end, after all others are in. A run that was
    ended goes on where it was, unless the settings or the lists changed.

    Args:
        raw: Folder with Video_data and the lists.
        out: Made if missing.
        settings: `list_version` (`v1` or `v2`: which lists), `frames`, `size`,
            `validation_examples` (training clips drawn for validation, with `validation_seed`),
            `validation_subjects` (null, or who is held out instead of the drawn clips), `stand_in`
            (null, or how it is drawn; then `examples.npz` is written for a figure: frames of the
            real data are never shown).
        processes: How many clips are decoded at a time.

    Raises:
        UserError: If a list or a video is missing, damaged or wrong, or the disk is full.
    """
    if settings["stand_in"] and not nvgesture_standin.is_there(raw, **_drawn_with(settings)):
        raise UserError(
            f"{raw} has no stand-in, or another than the settings ask for; run `equimodal fetch"
            " nvgesture` with the scale first"
        )
    lists = _lists(raw, settings["list_version"])
    clips = {part: read_list(path) for part, path in lists.items()}
    _report_mismatched(clips)
    _require_videos(raw, {path: clips[part] for part, path in lists.items()})
    splits = _split(clips["train"], settings, lists["train"]) | {"test": clips["test"]}
    frames, size = settings["frames"], settings["size"]
    shapes = {
        f"{split}.{sensor}": (len(chosen), frames, size, size, CHANNELS[sensor])
        for split, chosen in splits.items()
        for sensor in SENSORS
    }
    jobs = _jobs(splits, lists)
    stamps = [stamp(*_videos(raw, job.clip).values()) for job in jobs]
    arrays = UnfinishedArrays(out, shapes, stamps)
    make_folder(out)
    _require_space(out, shapes.values())
    done = arrays.begin(_key(settings, lists.values()))
    left = [job for job in jobs if not done[job.number]]
    _decode_all(_Worker(raw, arrays), left, len(jobs), processes)
    prepared.begin(out, settings)
    for split, chosen in splits.items():
        _save_small(out, split, chosen, frames)
    arrays.finish()
    if settings["stand_in"]:
        save_arrays(out / EXAMPLES, _examples(out, splits))
    prepared.end(out, settings, by=__name__)


def _report_mismatched(clips: dict[str, list[Clip]]) -> None:
    for part, listed in clips.items():
        if odd := mismatched(listed):
            print(
                f"nvgesture: color and depth windows differ in {len(odd)} of {len(listed)} {part}"
                " clips; the color window is used for both",
                file=sys.stderr,
            )


def _split(clips: list[Clip], settings: dict[str, Any], source: Path) -> dict[str, list[Clip]]:
    """Part the training clips in `train` and `validation`; all train if none are held out."""
    subjects = settings["validation_subjects"]
    if subjects is not None:
        known = sorted({clip.subject for clip in clips})
        if unknown := sorted(set(subjects) - set(known)):
            raise UserError(f"validation_subjects has {unknown}; {source} has {known}")
        held_out = {row for row, clip in enumerate(clips) if clip.subject in subjects}
    else:
        # ASSUME: how the paper drew its 20 % is not known. This is how its ModelNet40 code does.
        order = list(range(len(clips)))
        random.Random(settings["validation_seed"]).shuffle(order)
        held_out = set(order[: settings["validation_examples"]])
    if len(held_out) == len(clips):
        raise UserError(f"all {len(clips)} clips of {source} are held out for validation")
    train = [clip for row, clip in enumerate(clips) if row not in held_out]
    validation = [clip for row, clip in enumerate(clips) if row in held_out]
    return {"train": train} | ({"validation": validation} if validation else {})


def _jobs(splits: Mapping[str, Sequence[Clip]], lists: Mapping[str, Path]) -> list[Job]:
    rows = [
        (split, row, clip) for split, chosen in splits.items() for row, clip in enumerate(chosen)
    ]
    return [
        Job(number, lists["test" if split == "test" else "train"], clip, split, row)
        for number, (split, row, clip) in enumerate(rows)
    ]


def _key(settings: dict[str, Any], lists: Iterable[Path]) -> dict[str, Any]:
    """All that the arrays depend on, but for the videos, of which `stamp` tells."""
    return {
        "version": VERSION,
        "settings": settings,
        "lists": [hashlib.sha256(path.read_bytes()).hexdigest() for path in lists],
    }


def _require_space(out: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    taken = sum(path.stat().st_blocks * 512 for path in out.glob(f".*{PART}"))
    wanted = sum(prod(shape) for shape in shapes) - taken
    if wanted > (free := shutil.disk_usage(out).free):
        raise UserError(
            f"{out} needs {wanted / 1e9:.1f} GB more for the frames, {free / 1e9:.1f} GB are free"
        )


def _decode_all(worker: "_Worker", jobs: Sequence[Job], total: int, processes: int) -> None:
    """Decode clips, show how it goes on, and raise in the end if some can not be decoded."""
    earlier = total - len(jobs)
    damaged = []
    with show_progress("nvgesture: decode clips", total) as advance:
        advance(earlier)
        with closing(share_out(worker, jobs, processes)) as outcomes:
            for number, problem in enumerate(outcomes, 1):
                damaged += [problem] if problem else []
                advance(earlier + number, f"{len(damaged)} can not be decoded" if damaged else "")
    if damaged:
        raise UserError(
            f"{len(damaged)} of {total} clips can not be decoded; the others are kept, and a second"
            f" run goes on from there:\n{_some(sorted(damaged))}"
        )


@dataclass(frozen=True)
class _Worker:
    """Decodes clips into their rows."""

    raw: Path
    arrays: UnfinishedArrays

    def work(self, job: Job, /) -> str | None:
        """Decode a clip and write it to its rows; return what is wrong with it, or None."""
        try:
            clips = {sensor: self._decode(job, sensor) for sensor in SENSORS}
        except UserError as error:
            return f"{job.source}, line {job.clip.line}: {error}"
        for sensor, clip in clips.items():
            self.arrays.write(f"{job.split}.{sensor}", job.row, clip)
        self.arrays.mark(job.number)
        return None

    def _decode(self, job: Job, sensor: str) -> UInt8[ndarray, "frames size size channels"]:
        _, frames, size, _, channels = self.arrays.shapes[f"{job.split}.{sensor}"]
        start, end = job.clip.span("color")
        length = _length(job.clip, frames)
        begin = (frames - length) // 2
        clip = np.zeros((frames, size, size, channels), np.uint8)
        clip[begin : begin + length] = read_frames(
            _videos(self.raw, job.clip)[sensor],
            start,
            start + length,
            size=size,
            gray=channels == 1,
            # Where the windows differ, the color window may end a frame after the depth video.
            # ASSUME: its last frame then counts twice. The paper says whose window counts, no more.
            lacking=int(sensor == "depth" and job.clip.span("depth")[1] < end),
        )
        return clip


def _length(clip: Clip, frames: int) -> int:
    start, end = clip.span("color")
    return min(end - start, frames)


def _save_small(out: Path, split: str, clips: Sequence[Clip], frames: int) -> None:
    small: dict[str, ndarray] = {
        "labels": np.array([clip.label for clip in clips], np.uint8),
        "ids": np.array([clip.line - 1 for clip in clips], np.int32),
        "lengths": np.array([_length(clip, frames) for clip in clips], np.int32),
    }
    for name, array in small.items():
        with write_aside(out / f"{split}.{name}.npy") as aside, aside.open("wb") as file:
            np.save(file, array)


def _examples(out: Path, splits: Iterable[str]) -> dict[str, ndarray]:
    """Three frames of the first clip of each class, early, middle and late, for each split."""
    examples = {}
    for split in splits:
        labels, ids, lengths = (
            np.load(out / f"{split}.{name}.npy") for name in ("labels", "ids", "lengths")
        )
        first = np.unique(labels, return_index=True)[1]
        length = lengths[first, None].astype(int)
        for sensor in SENSORS:
            stored = np.load(out / f"{split}.{sensor}.npy", mmap_mode="r")
            begin = (stored.shape[1] - length) // 2
            shown = begin + length * np.array([1, 2, 3]) // 4
            examples[f"{split}.{sensor}"] = stored[first[:, None], shown]
        examples |= {f"{split}.labels": labels[first], f"{split}.ids": ids[first]}
    return examples
