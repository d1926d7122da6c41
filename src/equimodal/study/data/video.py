"""Frames of videos, exactly those that are asked for, resized while they are converted.

Frames are counted from the first, and all before the window are decoded, since later ones may refer to any of them.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.errors import UserError, in_words

# Bilinear, and the same bytes on every processor.
SCALING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
LARGEST = 2**26  # pixels of a frame


def read_frames(
    path: Path, start: int, end: int, *, size: int, gray: bool, lacking: int = 0
) -> UInt8[ndarray, "frames size size channels"]:
    """Decode the frames [start, end) of a video, counted from 0, each resized to a square.

    The aspect ratio is not kept (paper, Sec. 6.1). Gray is luma. Where the file lacks up to `lacking`
    frames at the end of the window, its last frame stands in for them.

    Raises:
        UserError: If the file is missing, empty or damaged, or the window lies past its end.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; restore it from the archive")
    out = np.empty((end - start, size, size, 1 if gray else 3), np.uint8)
    resizer, form = VideoReformatter(), "gray" if gray else "rgb24"
    row, done = size * out.shape[-1], 0
    try:
        with av.open(path) as container:
            for number, frame in enumerate(islice(_decoded(container), end)):
                if number < start:
                    continue
                if frame.is_corrupt:
                    raise ValueError(f"frame {number} is damaged")
                small = resizer.reformat(frame, size, size, form, interpolation=SCALING, threads=1)
                plane = small.planes[0]
                padded = np.frombuffer(memoryview(plane), np.uint8).reshape(size, plane.line_size)
                out[done] = padded[:, :row].reshape(out.shape[1:])
                done += 1
        there = end if done == len(out) else _count(path)
    except Exception as error:  # noqa: BLE001  FFmpeg's errors, and those of damaged sizes
        raise UserError(
            f"{path} can not be decoded ({in_words(error)}); restore it from the archive"
        ) from None
    if done < max(1, len(out) - lacking):
        raise UserError(
            f"{path} ends too early: frames {start} to {end - 1} are wanted, it has {there};"
            " restore it from the archive"
        )
    out[done:] = out[done - 1]
    return out


def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    if not container.streams.video:
        raise ValueError("no video in it")
    stream = container.streams.video[0]
    decoder = stream.codec_context
    if decoder is None:
        raise ValueError("of an unknown encoding")
    if decoder.width * decoder.height > LARGEST:
        raise ValueError(f"frames of {decoder.width} x {decoder.height}, larger than any camera's")
    decoder.thread_type, decoder.thread_count = "NONE", 1
    return container.decode(stream)


def _count(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)
