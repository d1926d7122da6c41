"""Synthetic RGB-D hand gestures in the files and folders of NVGesture: a stand-in, without hands.

A disc, the hand, moves for the length of a window. Every gesture has an opposite that shows the
same frames in reverse order, so a single frame tells the pair and never the class. Depth is easy:
the hand alone on 0, closer is brighter. Color is hard: clutter of the hand's tints, and noise.
"""

from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8
from numpy import ndarray

from equimodal.study.data.nvgesture_list import Clip, Window, list_names
from equimodal.study.data.video import SCALING
from equimodal.study.errors import UserError
from equimodal.study.files import write_aside, write_text

if TYPE_CHECKING:
    from equimodal.study.datasets import StandInClips

GESTURES = ("left", "right", "up", "down", "clockwise", "counterclockwise", "push", "pull")

SUBJECTS = {"train": (1, 2, 3), "test": (5, 8)}  # who records them in turn; nobody in both

README = """\
STAND-IN: synthetic gestures, not the NVGesture data set.

The clips and lists in this folder were drawn by equimodal (seed {seed}) in the layout of NVGesture,
so that a demo and tests run through the code that reads the real data. No number made from them
says anything about NVGesture. The labels mean:

{gestures}

Odd on purpose, as in the real lists or worse:

  {mismatched}: its depth window starts one frame late
  {short}: a window of {frames} frames
  {misfiled}: in the folder of another class, with that
    class's label in the first version of the lists and the right one in _v2

All lines end in a blank, and the training lists end without a newline.
"""

# At a fixed quality and by the code for all processors: x264's faster code sometimes looks at memory
# that nobody wrote, and then the bytes differ from one time to the next.
X264 = {"qp": "24", "preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"}
CODECS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", X264),
    ("mjpeg", {"qmin": "3", "qmax": "6"}),
)
RATE = 30  # frames a second
BARE = {"fflags": "+bitexact"}  # no date or version in the file


class Hand(NamedTuple):
    """Where the hand is in each frame, in shares of the frame's height from its center."""

    x: Float[ndarray, " frames"]
    y: Float[ndarray, " frames"]
    near: Float[ndarray, " frames"]  # 0 far, 1 near: how large and how bright in depth


def write(folder: Path, gestures: int, of: "StandInClips") -> None:
    """Write recordings, both versions of the lists, and a README that says what they are.

    The first so many of `GESTURES` are shown, an even number, since they come in pairs. The same settings give
    the same bytes, with the same version of the encoders.
    """
    plans = {part: _plan(part, gestures, of) for part in SUBJECTS}
    for number, clip in enumerate(chain(*plans.values())):
        start, end = clip.span("color")
        color, depth = draw(
            np.random.default_rng([of.seed, 2, number]),
            clip.label,
            size=(of.width, of.height),
            recorded=of.recorded,
            start=start,
            length=end - start,
        )
        place = folder / clip.folder
        _write_avi(place / "sk_color.avi", color, *CODECS[number % 2])
        _write_avi(place / "sk_depth.avi", depth, *CODECS[number // 2 % 2])
    for part, clips in plans.items():
        for version in ("v1", "v2"):
            text = "\n".join(_line(clip, version) for clip in clips)
            name = list_names(version)[part]
            write_text(text + ("" if part == "train" else "\n"), folder / name)
    mismatched, short, misfiled = (clip.folder for clip in plans["train"][:3])
    readme = README.format(
        seed=of.seed,
        gestures="\n".join(f"{i:>3}  {g}" for i, g in enumerate(GESTURES[:gestures], 1)),
        mismatched=mismatched,
        short=short,
        misfiled=misfiled,
        frames=of.short,
    )
    write_text(readme, folder / "README.txt")


def _plan(part: str, gestures: int, of: "StandInClips") -> list[Clip]:
    """List the clips of `train` or `test`; the first three that train are the odd ones."""
    generator = np.random.default_rng([of.seed, list(SUBJECTS).index(part)])
    clips = of.train_per_class if part == "train" else of.test_per_class
    plan: list[Clip] = []
    for gesture, clip in product(range(gestures), range(clips)):
        odd = clip if part == "train" and gesture == 0 else None
        # Room for one frame on either side of the window, for the mismatched start.
        start = int(generator.integers(1, of.recorded - of.window))
        end, late = start + (of.short if odd == 1 else of.window), odd == 0
        windows = {
            "depth": Window("sk_depth", start + late, end + late),
            "color": Window("sk_color", start, end),
            # It has its own clock; the real lists name it, and we do not write its file.
            "duo_left": Window("duo_left", start * 7 // 6, end * 7 // 6 + 1),
        }
        take, who = divmod(clip, len(SUBJECTS[part]))
        subject = SUBJECTS[part][who]
        filed, take = (1, take + clips) if odd == 2 else (gesture, take)
        folder = f"Video_data/class_{filed + 1:02}/subject{subject}_r{take}"
        plan.append(Clip(len(plan) + 1, folder, windows, gesture, subject))
    return plan


def _line(clip: Clip, version: str) -> str:
    """A line of a list, with the blank that the real ones end in; the first version labels by the folder."""
    filed = int(clip.folder.split("/")[1].removeprefix("class_"))
    label = filed if version == "v1" else clip.label + 1
    windows = (f"{name}:{w.stem}:{w.start}:{w.end}" for name, w in clip.windows.items())
    return f"path:./{clip.folder} {' '.join(windows)} label:{label} "


def draw(
    generator: np.random.Generator,
    gesture: int,
    *,
    size: tuple[int, int],
    recorded: int,
    start: int,
    length: int,
) -> tuple[UInt8[ndarray, "recorded height width 3"], UInt8[ndarray, "recorded height width"]]:
    """Draw one recording, color and depth: the gesture in its window, the hand at rest around it."""
    width, height = size
    hand = move(generator, gesture, length)
    when = np.clip(np.arange(recorded) - start, 0, length - 1)
    # Coordinates in shares of the height; the center of the frame is 0.
    rows = (np.arange(height)[:, None] + 0.5) / height - 0.5
    columns = ((np.arange(width) + 0.5) - width / 2) / height
    scene = _clutter(generator, rows, columns)
    tint = _skin(generator)
    shine = generator.uniform(0.8, 1.15)
    color = np.empty((recorded, height, width, 3), np.uint8)
    depth = np.zeros((recorded, height, width), np.uint8)
    for frame, t in enumerate(when):
        near = hand.near[t]
        distance = np.hypot(rows - hand.y[t], columns - hand.x[t])
        is_hand = distance < 0.09 + 0.09 * near
        image = np.where(is_hand[..., None], tint * shine, scene)
        color[frame] = np.clip(image + generator.normal(0, 15, image.shape), 0, 255)
        depth[frame][is_hand] = 110 + 110 * near + generator.normal(0, 4)
    return color, depth


def move(generator: np.random.Generator, gesture: int, length: int) -> Hand:
    """Draw the path of a hand; that of an opposite gesture is the same one backwards.

    `generator` is used alike by all gestures. The time of a movement is drawn too: it rests before
    and after, and is done within `length` frames.
    """
    begin, end = 0.15 * generator.random(), 1 - 0.15 * generator.random()
    reach, bend = generator.uniform(0.2, 0.32), generator.uniform(-0.05, 0.05)
    x, y = generator.uniform(-0.12, 0.12, 2)
    near = generator.uniform(0.2, 0.6)
    backwards = bool(gesture % 2)
    time = np.linspace(0, 1, length) if length > 1 else np.array([0.5])
    time = 1 - time if backwards else time
    along = np.clip((time - begin) / (end - begin), 0, 1)
    arc = bend * np.sin(np.pi * along)
    still = np.zeros(length)
    match GESTURES[gesture // 2 * 2]:
        case "left":
            path = (reach * (1 - 2 * along), arc, still)
        case "up":
            path = (arc, reach * (1 - 2 * along), still)
        case "clockwise":
            turn = 2 * np.pi * (along + generator.random())
            path = (0.7 * reach * np.cos(turn), 0.7 * reach * np.sin(turn), still)
        case _:
            path = (arc, still, 1.25 * reach * (2 * along - 1))
    return Hand(x + path[0], y + path[1], np.clip(near + path[2], 0, 1))


def _skin(generator: np.random.Generator) -> Float[ndarray, " 3"]:
    return np.array([205.0, 160.0, 135.0]) * generator.uniform(0.75, 1.15)


def _clutter(
    generator: np.random.Generator,
    rows: Float[ndarray, "height 1"],
    columns: Float[ndarray, " width"],
) -> Float[ndarray, "height width 3"]:
    """Draw a background that stands still: boxes of any color, and discs that look like the hand."""
    scene = np.broadcast_to(generator.uniform(20, 130, 3), (rows.size, columns.size, 3)).copy()
    for _ in range(8):
        y, x = generator.uniform(-0.6, 0.6), generator.uniform(-0.8, 0.8)
        tall, wide = generator.uniform(0.05, 0.3, 2)
        scene[(abs(rows - y) < tall) & (abs(columns - x) < wide)] = generator.uniform(10, 150, 3)
    for _ in range(2):
        y, x = generator.uniform(-0.45, 0.45), generator.uniform(-0.6, 0.6)
        disc = np.hypot(rows - y, columns - x) < generator.uniform(0.09, 0.18)
        scene[disc] = _skin(generator) * generator.uniform(0.8, 1.15)
    return scene


def _write_avi(
    path: Path, frames: UInt8[ndarray, "..."], codec: str, options: dict[str, str]
) -> None:
    given = "rgb24" if frames.ndim == 4 else "gray"
    stored = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    with write_aside(path) as aside:
        try:
            with av.open(aside, "w", format="avi", container_options=BARE) as container:
                stream = cast(VideoStream, container.add_stream(codec, rate=RATE, options=options))
                stream.height, stream.width = frames.shape[1:3]
                stream.pix_fmt = stored
                for frame in frames:
                    plain = av.VideoFrame.from_ndarray(frame, format=given)
                    # Left to the encoder, the conversion would depend on the processor.
                    converted = plain.reformat(format=stored, interpolation=SCALING, threads=1)
                    container.mux(stream.encode(converted))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            raise UserError(f"{path} can not be encoded: {error}") from None
