"""NVGesture: lists and videos as they come, turned into arrays of frames (Molchanov et al., 2016).

A list has one clip a line, `path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226
color:sk_color:146:226 duo_left:duo_left:170:263 label:1 `: for each sensor a file and the frames
[start, end) of the gesture. The label field counts, never the folder's name.
"""

import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy import ndarray

from equimodal.data.video import read_frames
from equimodal.errors import UserError
from equimodal.files import save_arrays, write_aside
from equimodal.progress import show_progress

CLASSES = 25
SENSORS = {"color": 3, "depth": 1}  # channels stored of each
EXAMPLES = "examples.npz"
LISTS = {
    "v1": "nvgesture_{part}_correct_cvpr2016.lst",
    "v2": "nvgesture_{part}_correct_cvpr2016_v2.lst",
}

_FORM = "`path:FOLDER color:FILE:START:END depth:FILE:START:END label:1`"
_FOLDER = re.compile(r"[A-Za-z0-9_./-]{1,200}")
_WINDOW = re.compile(r"([A-Za-z0-9_-]{1,50}):([0-9]{1,9}):([0-9]{1,9})")
_SUBJECT = re.compile(r"subject([0-9]{1,9})_r[0-9]+")


@dataclass(frozen=True)
class Window:
    """The frames [start, end) of a video file, counted from 0."""

    stem: str
    start: int
    end: int


@dataclass(frozen=True)
class Clip:
    """One line of a list."""

    line: int  # from 1
    folder: str  # relative to the folder of the lists
    windows: dict[str, Window]  # of each sensor
    label: int  # from 0
    subject: int


def read_list(path: Path) -> list[Clip]:
    """Read a list, of either version.

    Raises:
        UserError: If the list is missing, empty or not text, or a line is not as it should be; the
            message names file and line.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; put the lists and Video_data of NVGesture into {path.parent}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can not be read as a list of clips: {error}") from None
    clips = []
    for number, line in enumerate(text.rstrip().split("\n"), 1):
        try:
            clips.append(_parse(line.strip(" \t\r"), number))
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
    return clips


def _parse(line: str, number: int) -> Clip:
    pairs = [field.partition(":")[::2] for field in line.split()]
    fields = dict(pairs)
    if twice := sorted(key for key, count in Counter(key for key, _ in pairs).items() if count > 1):
        raise ValueError(f"{twice} given more than once, expected {_FORM}")
    if missing := [key for key in ("path", *SENSORS, "label") if key not in fields]:
        raise ValueError(f"{missing} missing in {line[:200]!r}, expected {_FORM}")
    folder, subject = _folder(fields.pop("path"))
    label = fields.pop("label")
    if not re.fullmatch("[0-9]{1,9}", label) or not 1 <= int(label) <= CLASSES:
        raise ValueError(f"label is {label[:50]!r}, expected a number from 1 to {CLASSES}")
    windows = {sensor: _window(sensor, field) for sensor, field in fields.items()}
    return Clip(number, folder, windows, int(label) - 1, subject)


def _folder(given: str) -> tuple[str, int]:
    """Return the folder of a clip and the number of its subject."""
    path = PurePosixPath(given)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"path {given[:200]!r} leaves the folder of the list")
    subject = _SUBJECT.fullmatch(path.name)
    if not (subject and _FOLDER.fullmatch(given)):
        raise ValueError(
            f"path is {given[:200]!r}, expected ./Video_data/class_XX/subjectY_rZ with numbers"
        )
    return str(path), int(subject[1])


def _window(sensor: str, given: str) -> Window:
    if not (match := _WINDOW.fullmatch(given)):
        raise ValueError(
            f"{sensor} is {given[:100]!r}, expected FILE:START:END with START and END whole numbers"
            " that are not negative"
        )
    window = Window(match[1], int(match[2]), int(match[3]))
    if window.end <= window.start:
        raise ValueError(
            f"{sensor} has the window {window.start}:{window.end}, expected an END after the START"
        )
    return window


def mismatched(clips: Iterable[Clip]) -> list[Clip]:
    """The clips whose color and depth windows differ; the color window is used for both."""
    return [c for c in clips if _span(c, "color") != _span(c, "depth")]


def _span(clip: Clip, sensor: str) -> tuple[int, int]:
    return clip.windows[sensor].start, clip.windows[sensor].end


@dataclass(frozen=True)
class Store:
    """A split that is being written: hidden files beside their final places, one row a clip."""

    out: Path
    split: str
    key: str  # of the settings and lists: work of others is not gone on with
    clips: int
    frames: int
    size: int

    def part(self, name: str) -> Path:
        """Where an array, or `done` with a byte a clip, lies until all clips are in."""
        return self.out / f".{self.split}.{name}.{self.key}.part"

    def final(self, name: str) -> Path:
        """Where an array lies in the end."""
        return self.out / f"{self.split}.{name}.npy"

    def shape(self, sensor: str) -> tuple[int, ...]:
        """The shape of the array of a sensor."""
        return (self.clips, self.frames, self.size, self.size, SENSORS[sensor])

    def bytes(self) -> int:
        """What the arrays of all sensors take."""
        return sum(int(np.prod(self.shape(sensor))) for sensor in SENSORS)


@dataclass(frozen=True)
class Task:
    """One clip to decode."""

    raw: Path
    source: Path  # the list that names the clip
    clip: Clip
    store: Store
    row: int


def prepare(raw: Path, out: Path, settings: dict[str, Any], *, processes: int = 1) -> None:
    """Write each split as `<split>.<array>.npy` into `out`.

    Arrays, n clips each: `color` uint8 (n, frames, size, size, 3), `depth` uint8 (n, frames, size,
    size, 1), `labels` uint8 (n) from 0, `ids` int32 (n), the line of the list from 0, `lengths`
    int32 (n), the frames of the clip: what is stored after them is 0. Of a window longer than
    `frames` the first ones are stored.

    A clip that can not be decoded is named in the end, after all others are in. A run that was
    ended goes on where it was, unless the settings or the lists changed.

    Args:
        raw: Folder with Video_data and the lists.
        out: Made if missing.
        settings: `list_version` (`v1` or `v2`: which lists), `frames`, `size`,
            `validation_examples` (training clips drawn for validation, with `validation_seed`),
            `validation_subjects` (null, or who is held out instead of the drawn clips), `stand_in`
            (true writes `examples.npz` for a figure; frames of the real data are never shown).
        processes: How many clips are decoded at a time.

    Raises:
        UserError: If a list or a video is missing, damaged or wrong, or the disk is full.
    """
    lists = _lists(raw, settings["list_version"])
    clips = {part: read_list(path) for part, path in lists.items()}
    _report_mismatched(clips)
    splits = _split(clips["train"], settings, lists["train"]) | {"test": clips["test"]}
    source = {split: lists["test" if split == "test" else "train"] for split in splits}
    key = _key(settings, lists.values())
    stores = {
        split: Store(out, split, key, len(chosen), settings["frames"], settings["size"])
        for split, chosen in splits.items()
    }
    tasks = [
        Task(raw, source[split], clip, stores[split], row)
        for split, chosen in splits.items()
        for row, clip in enumerate(chosen)
    ]
    _require_videos(tasks)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _remove_others(out, key)
        _require_space(out, stores.values())
        done = {split: _begin(store) for split, store in stores.items()}
        _decode_all([t for t in tasks if not done[t.store.split][t.row]], len(tasks), processes)
        for split, chosen in splits.items():
            _finish(stores[split], chosen)
        for store in stores.values():
            store.part("done").unlink()
    except OSError as error:
        raise UserError(
            f"{out} can not be written: {error.strerror or error}; check the folder's permissions"
            " and the space on its disk, then run again to go on"
        ) from error
    if settings["stand_in"]:
        save_arrays(out / EXAMPLES, _examples(stores.values()))


def _lists(raw: Path, version: str) -> dict[str, Path]:
    lists = {part: raw / LISTS[version].format(part=part) for part in ("train", "test")}
    if missing := [path.name for path in lists.values() if not path.is_file()]:
        raise UserError(
            f"{raw} lacks {' and '.join(missing)}, the lists of version {version}; put them there,"
            f" beside Video_data, or set list_version to the version that you have: the versions"
            " differ in a few labels"
        )
    return lists


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


def _key(settings: dict[str, Any], lists: Iterable[Path]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in lists:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _videos(task: Task) -> dict[str, Path]:
    folder = task.raw / task.clip.folder
    return {sensor: folder / f"{task.clip.windows[sensor].stem}.avi" for sensor in SENSORS}


def _require_videos(tasks: Sequence[Task]) -> None:
    """Check that all videos are there before hours of work begin."""
    missing = [
        f"{task.source}, line {task.clip.line}: {path}"
        for task in tasks
        for path in _videos(task).values()
        if not path.is_file()
    ]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(SENSORS) * len(tasks)} videos that the lists name are missing:"
            f"\n{_some(missing)}\nUnpack the archive so that they lie there."
        )


def _some(lines: Sequence[str], most: int = 10) -> str:
    rest = [f"  ... and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join([*(f"  {line}" for line in lines[:most]), *rest])


def _remove_others(out: Path, key: str) -> None:
    """Remove what runs with other settings left unfinished."""
    for path in out.glob(".*.part"):
        if not path.name.endswith(f".{key}.part"):
            path.unlink()


def _require_space(out: Path, stores: Iterable[Store]) -> None:
    wanted = 0
    for store in stores:
        parts = [store.part(sensor) for sensor in SENSORS]
        wanted += store.bytes() - sum(p.stat().st_blocks * 512 for p in parts if p.exists())
    if wanted > (free := shutil.disk_usage(out).free):
        raise UserError(
            f"{out} needs {wanted / 1e9:.1f} GB more for the frames, {free / 1e9:.1f} GB are free"
        )


def _begin(store: Store) -> bytes:
    """Make the files of a split, or find those of a run that was ended; a byte a clip, 1 if in."""
    flags = store.part("done")
    if flags.is_file() and len(done := flags.read_bytes()) == store.clips:
        # A run that was ended while it finished has renamed some of the arrays already.
        renamed = all(done)
        if all(store.part(s).is_file() or (renamed and store.final(s).is_file()) for s in SENSORS):
            return done
    for sensor in SENSORS:
        np.lib.format.open_memmap(store.part(sensor), "w+", np.uint8, store.shape(sensor))
    flags.write_bytes(bytes(store.clips))
    return bytes(store.clips)


def _decode_all(tasks: Sequence[Task], total: int, processes: int) -> None:
    earlier = total - len(tasks)
    damaged = []
    with show_progress("nvgesture: decode clips", total) as advance:
        advance(earlier)
        with closing(_outcomes(tasks, processes)) as outcomes:
            for number, problem in enumerate(outcomes, 1):
                damaged += [problem] if problem else []
                advance(earlier + number, f"{len(damaged)} can not be decoded" if damaged else "")
    if damaged:
        raise UserError(
            f"{len(damaged)} of {total} clips can not be decoded; the others are kept, and a second"
            f" run goes on from there:\n{_some(sorted(damaged))}"
        )


def _outcomes(tasks: Sequence[Task], processes: int) -> Generator[str | None]:
    """Decode clips, in any order; yield for each what is wrong with it, or None."""
    if processes == 1:
        yield from map(_store, tasks)
        return
    # Not forked: a process that has loaded torch has threads.
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(processes, mp_context=context)
        stack.callback(pool.shutdown, cancel_futures=True)
        try:
            for future in as_completed([pool.submit(_store, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                "a process that decodes clips was killed, perhaps for want of memory; run again to"
                " go on, with fewer processes"
            ) from None


def _store(task: Task) -> str | None:
    """Decode a clip and write it to its row; return what is wrong with it, or None."""
    color, depth = task.clip.windows["color"], task.clip.windows["depth"]
    length = _length(task.clip, task.store.frames)
    for sensor, path in _videos(task).items():
        # Where the windows differ, the color window may end a frame after the depth video.
        # ASSUME: its last frame then counts twice. The paper says no more than whose window counts.
        lacking = int(sensor == "depth" and depth.end < color.end)
        frames = np.zeros(task.store.shape(sensor)[1:], np.uint8)
        try:
            frames[:length] = read_frames(
                path,
                color.start,
                color.start + length,
                size=task.store.size,
                gray=SENSORS[sensor] == 1,
                lacking=lacking,
            )
        except UserError as error:
            return f"{task.source}, line {task.clip.line}: {error}"
        _write_row(task.store.part(sensor), frames, task.row)
    with task.store.part("done").open("r+b") as file:
        file.seek(task.row)
        file.write(b"\1")
    return None


def _length(clip: Clip, frames: int) -> int:
    start, end = _span(clip, "color")
    return min(end - start, frames)


def _write_row(path: Path, frames: ndarray, row: int) -> None:
    """Write a row of an array file: not through a memory map, which dies when the disk is full."""
    header = np.load(path, mmap_mode="r").offset
    with path.open("r+b") as file:
        file.seek(header + row * frames.nbytes)
        file.write(frames.data)


def _finish(store: Store, clips: Sequence[Clip]) -> None:
    """Put the arrays of a split in their final places."""
    small: dict[str, ndarray] = {
        "labels": np.array([clip.label for clip in clips], np.uint8),
        "ids": np.array([clip.line - 1 for clip in clips], np.int32),
        "lengths": np.array([_length(clip, store.frames) for clip in clips], np.int32),
    }
    for name, array in small.items():
        with write_aside(store.final(name)) as aside, aside.open("wb") as file:
            np.save(file, array)
    for sensor in SENSORS:
        if store.part(sensor).exists():
            os.replace(store.part(sensor), store.final(sensor))


def _examples(stores: Iterable[Store]) -> dict[str, ndarray]:
    """Three frames of the first clip of each class, early, middle and late, for each split."""
    examples = {}
    for store in stores:
        labels, ids, lengths = (np.load(store.final(n)) for n in ("labels", "ids", "lengths"))
        first = np.unique(labels, return_index=True)[1]
        shown = lengths[first, None] * np.array([1, 2, 3]) // 4
        for sensor in SENSORS:
            frames = np.load(store.final(sensor), mmap_mode="r")
            examples[f"{store.split}.{sensor}"] = frames[first[:, None], shown]
        examples |= {f"{store.split}.labels": labels[first], f"{store.split}.ids": ids[first]}
    return examples
