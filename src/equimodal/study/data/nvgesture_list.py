"""The lists of NVGesture: which frames of which videos show which gesture.

A list has one clip a line, `path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226
color:sk_color:146:226 duo_left:duo_left:170:263 label:1 `: for each sensor a file and the frames
[start, end) of the gesture. The label field counts, never the folder's name.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from equimodal.study.data.jobs import some
from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading

CLASSES = 25
SENSORS = ("color", "depth")  # that every line has to name

_FORM = "`path:FOLDER color:FILE:START:END depth:FILE:START:END label:1`"
_FOLDER = re.compile(r"[A-Za-z0-9_./-]{1,200}")
_WINDOW = re.compile(r"([A-Za-z0-9_-]{1,50}):([0-9]{1,9}):([0-9]{1,9})")
_SUBJECT = re.compile(r"subject([0-9]{1,9})_r[0-9]+")


class Window(NamedTuple):
    """The frames [start, end) of a video file, counted from 0."""

    stem: str
    start: int
    end: int


class Clip(NamedTuple):
    """One line of a list."""

    line: int  # from 1
    folder: str  # relative to the folder of the lists
    windows: dict[str, Window]  # of each sensor
    label: int  # from 0
    subject: int

    def span(self, sensor: str) -> tuple[int, int]:
        """First frame of a sensor's window, and the one after its last."""
        return self.windows[sensor].start, self.windows[sensor].end


def read_list(path: Path, name: str = "") -> list[Clip]:
    """Read a list, of either version.

    Raises:
        UserError: If the list is missing, empty or not text, or a line is not as it should be; the
            message names line and file, or calls the file by another name.
    """
    name = name or str(path)
    remedy = f"put the lists and Video_data of NVGesture into {path.parent}"
    with reading(name, "a list of clips", remedy):
        text = read_text(path)
    clips, wrong = [], []
    for number, line in enumerate(text.rstrip().split("\n"), 1):
        try:
            clips.append(_parse(line.strip(" \t\r"), number))
        except ValueError as error:
            wrong.append(f"{name}, line {number}: {error}")
    if wrong:
        raise UserError(f"{len(wrong)} lines are not as they should be:\n{some(wrong)}")
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
    return [c for c in clips if c.span("color") != c.span("depth")]
