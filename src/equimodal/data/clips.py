"""What of each stored clip a network sees: which frames, which square, and whether mirrored.

Drawn on the host once an epoch, for all clips of a split, and applied to every modality alike. The
clips themselves may lie in memory, on a device or in a memory-mapped file: only the pixels that are
seen are read, which a gather by index tensors does ten times slower on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, UInt8
from numpy import ndarray
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """For each clip of a split: its first frame, the corner of its square, and whether mirrored.

    A first frame below 0 puts as many black frames before the clip.
    """

    frames: int
    crop: int
    first: Int64[ndarray, " n"]
    top: Int64[ndarray, " n"]
    left: Int64[ndarray, " n"]
    mirrored: Bool[ndarray, " n"]


def draw_views(
    lengths: Int[ndarray, " n"],
    *,
    frames: int,
    size: int,
    crop: int,
    flip: float,
    seed: Sequence[int],
) -> Views:
    """Draw views for training: consecutive frames, one square for all of them, maybe mirrored.

    Each is uniform over its possible values. A clip shorter than `frames` has black frames on both
    sides, in equal number or one more after it (paper, App. A). The same seed draws the same.

    Args:
        lengths: Frames of each clip.
        frames: Frames that are seen.
        size: Height and width of stored frames.
        crop: Height and width of what is seen of them.
        flip: Chance that a clip is mirrored left to right.
        seed: Of the draw.
    """
    generator = np.random.default_rng(seed)
    spare = lengths.astype(np.int64) - frames
    first = generator.integers(0, np.maximum(spare, 0) + 1)
    top, left = generator.integers(0, size - crop + 1, (2, len(lengths)))
    mirrored = generator.random(len(lengths)) < flip
    return Views(frames, crop, np.where(spare < 0, _half(spare), first), top, left, mirrored)


def center_views(lengths: Int[ndarray, " n"], *, frames: int, size: int, crop: int) -> Views:
    """Return the views for evaluation: the middle frames and the middle square of each clip.

    With `frames` as many as are stored that is all frames.
    """
    spare = lengths.astype(np.int64) - frames
    corner = np.full(len(lengths), (size - crop) // 2)
    return Views(frames, crop, _half(spare), corner, corner, np.zeros(len(lengths), bool))


def _half(frames: Int64[ndarray, " n"]) -> Int64[ndarray, " n"]:
    """Half of them, rounded towards 0."""
    return np.trunc(frames / 2).astype(np.int64)


def take(
    stored: UInt8[Tensor, "n time size size channels"],
    views: Views,
    index: Int64[Tensor, " batch"],
) -> UInt8[Tensor, "batch frames crop crop channels"]:
    """Gather what is seen of some clips of a split, on the device where they are stored."""
    time, channels = stored.shape[1], stored.shape[-1]
    seen = torch.zeros(
        (len(index), views.frames, views.crop, views.crop, channels),
        dtype=stored.dtype,
        device=stored.device,
    )
    for place, clip in zip(seen, index.tolist(), strict=True):
        first, top, left = int(views.first[clip]), int(views.top[clip]), int(views.left[clip])
        begin, end = max(first, 0), min(first + views.frames, time)
        square = stored[clip, begin:end, top : top + views.crop, left : left + views.crop]
        place[begin - first : end - first] = square.flip(2) if views.mirrored[clip] else square
    return seen
