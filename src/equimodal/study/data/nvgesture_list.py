"""The lists of NVGesture: which frames of which videos show which gesture.

A list has one clip a line, `path:./Video_data/class_01/subject3_r0 depth:sk_depth:146:226
color:sk_color:146:226 duo_left:duo_left:170:263 label:1 `: for each sensor a file and the frames
[start, end) of the gesture. The label field counts, never the folder's name.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from equimodal.study.data.jobs import some
from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading

CLASSES = 25
SENSORS = ("color", "depth")  # that every line has to name

_FORM = "`path:./Video_data/class_XX/subjectY_rZ color:FILE:START:END depth:FILE:START:END label:1`"
_FIELDS = {  # what a field is like; that of any sensor is a window
    "path": re.compile(r"[A-Za-z0-9_.-][A-Za-z0-9_./-]{0,200}/subject([0-9]{1,9})_r[0-9]+"),
    "label": re.compile(r"([0-9]{1,9})"),
    "sensor": re.compile(r"([A-Za-z0-9_-]{1,50}):([0-9]{1,9}):([0-9]{1,9})"),
}


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


def list_names(version: str) -> dict[str, str]:
    """Return the names of the lists of a version, `v1` or `v2`: part -> file."""
    end = "" if version == "v1" else f"_{version}"
    return {part: f"nvgesture_{part}_correct_cvpr2016{end}.lst" for part in ("train", "test")}


def read_list(path: Path) -> list[Clip]:
    """Read a list, of either version.

    Raises:
        UserError: If the list is missing, empty or not text, or a line is not as it should be: names file and line.
    """
    with reading(
        path, "a list of clips", f"put the lists and Video_data of NVGesture into {path.parent}"
    ):
        text = read_text(path)
    clips, wrong = [], []
    for number, line in enumerate(text.rstrip().split("\n"), 1):
        try:
            clips.append(_parse(line.strip(" \t\r"), number))
        except ValueError as error:
            wrong.append(f"{path}, line {number}: {error}, expected {_FORM}")
    if wrong:
        raise UserError(f"{len(wrong)} lines are not as they should be:\n{some(wrong)}")
    return clips


def _parse(line: str, number: int) -> Clip:
    fields: dict[str, re.Match[str]] = {}
    for name, _, value in (field.partition(":") for field in line.split()):
        match = _FIELDS.get(name, _FIELDS["sensor"]).fullmatch(value)
        if not match or name in fields:
            raise ValueError(
                f"{name[:50]} is {value[:100]!r}" if not match else f"{name} stands twice"
            )
        fields[name] = match
    if missing := [key for key in ("path", *SENSORS, "label") if key not in fields]:
        raise ValueError(f"{missing} missing in {line[:200]!r}")
    folder, label = fields.pop("path"), int(fields.pop("label")[1])
    if ".." in folder[0].split("/"):
        raise ValueError(f"path is {folder[0]!r}, which leaves the folder of the list")
    if not 1 <= label <= CLASSES:
        raise ValueError(f"label is {label}, and there are {CLASSES} classes")
    windows = {name: Window(m[1], int(m[2]), int(m[3])) for name, m in fields.items()}
    if empty := [name for name, window in windows.items() if window.end <= window.start]:
        raise ValueError(f"{empty[0]} has a window whose END is not after its START")
    return Clip(number, str(PurePosixPath(folder[0])), windows, label - 1, int(folder[1]))


def mismatched(clips: Iterable[Clip]) -> list[Clip]:
    """The clips whose color and depth windows differ; the color window is used for both."""
    return [c for c in clips if c.span("color") != c.span("depth")]
