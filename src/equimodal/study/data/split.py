"""A split held in memory: batches are index slices of a few tensors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from equimodal.study.errors import UserError
from equimodal.study.files import reading
from equimodal.study.spec import Augmentation, ClipViews, Modality
from equimodal.training.batch import Batch

LENGTHS = "lengths"  # array of the frames of each clip
SCALE = "scale"  # array of the mean and the deviation of each channel of a source: `train.<source>.scale.npy`


@dataclass(frozen=True)
class Part:
    """What is seen of each clip of a split: consecutive frames, and one square of all of them."""

    frames: int
    crop: int
    begin: Int64[Tensor, "n 3"]  # first frame, top, left

    def of(
        self, stored: UInt8[Tensor, "n time size size channels"], index: Int64[Tensor, " batch"]
    ) -> UInt8[Tensor, "batch frames crop crop channels"]:
        """Gather the parts of some clips. Only the pixels that are seen are read."""
        every_part = stored.unfold(1, self.frames, 1)
        every_part = every_part.unfold(2, self.crop, 1).unfold(3, self.crop, 1)  # no copy is made
        first, top, left = self.begin[index].T
        return every_part[index, first, top, left].movedim(1, -1)


@dataclass(frozen=True)
class Views:
    """What is seen of each example of a split."""

    mirrored: dict[str, Bool[Tensor, " n"]] | None = None  # of each modality, left to right
    part: Part | None = None  # of clips, the same in all modalities
    labels: Int64[Tensor, " n"] | None = None  # where the mirror changes them

    def take(self, others: "Views") -> None:
        """Take the values of others of the same kind, in place: a CUDA graph reads them where they lie."""
        for old, new in zip(self._tensors(), others._tensors(), strict=True):
            old.copy_(new)

    def _tensors(self) -> list[Tensor]:
        begin = None if self.part is None else self.part.begin
        tensors = [*(self.mirrored or {}).values(), begin, self.labels]
        return [x for x in tensors if x is not None]


@dataclass(frozen=True)
class Split:
    """All examples of a split, as bytes or floats, on the device where they are used.

    Arrays that are too large for the device stay on the host; their batches are moved.
    """

    arrays: dict[str, UInt8[Tensor, "n *_space _channels"]]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]
    scale: dict[str, tuple[Tensor, Tensor]]  # per modality: factor and offset of each channel
    centered: Views = Views()  # what is seen where nothing is drawn
    lengths: Int64[np.ndarray, " n"] | None = None  # frames of each clip, around the middle

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Int64[Tensor, " batch"], views: Views | None = None) -> Batch:
        """Gather examples and normalize them: `(x / 255 - mean) / std` in each channel, or as `prepare` found it.

        What is stored with one channel is given to each channel of its modality. The channels lie
        last in memory and come first in the shape: torch's channels-last format.

        Without `views`, of all examples of the split, is seen what evaluation sees.
        """
        views = views or self.centered
        inputs = {}
        for m, x in self.arrays.items():
            here = index.to(x.device)
            seen = x[here] if views.part is None else views.part.of(x, here)
            inputs[m] = self._normalized(m, seen.to(self.labels.device))
            if views.mirrored is not None:
                inputs[m] = _mirrored(inputs[m], views.mirrored[m][index])
        labels = self.labels if views.labels is None else views.labels
        return Batch(inputs, labels[index])

    def _normalized(self, modality: str, x: Tensor) -> Tensor:
        factor, offset = self.scale[modality]
        return torch.addcmul(offset, x.to(factor.dtype), factor).movedim(-1, 1)


def _mirrored(x: Tensor, mirrored: Bool[Tensor, " batch"]) -> Tensor:
    return torch.where(mirrored.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def draw_views(split: Split, augmentation: Augmentation, seed: Sequence[int]) -> Views | None:
    """Draw what is seen of each example in training; None if nothing is random.

    Which are mirrored: one decision an example, or one for each modality too. Of clips: consecutive
    frames of those that they have, and a square, each uniform over its possible places. A clip with
    too few frames is seen whole, with black frames on both sides. The same seed draws the same.
    """
    generator = np.random.default_rng(seed)
    mirrored: dict[str, Tensor] = {}
    for m in split.arrays if augmentation.flip else ():
        if not mirrored or not augmentation.shared:
            drawn = torch.from_numpy(generator.random(len(split)) < augmentation.flip)
        mirrored[m] = drawn.to(split.labels.device)
    clip = augmentation.clip
    if not mirrored and clip is None:
        return None
    return Views(
        mirrored=mirrored or None,
        part=None if clip is None else _draw_part(split, clip, generator),
        labels=_relabeled(split, augmentation, mirrored),
    )


def _relabeled(
    split: Split, augmentation: Augmentation, mirrored: dict[str, Tensor]
) -> Int64[Tensor, " n"] | None:
    if not (augmentation.flip_swaps and mirrored):
        return None
    labels = split.labels
    of_mirror = labels.clone()
    for a, b in augmentation.flip_swaps:
        of_mirror[labels == a], of_mirror[labels == b] = b, a
    return torch.where(next(iter(mirrored.values())), of_mirror, labels)


def _draw_part(split: Split, clip: ClipViews, generator: np.random.Generator) -> Part:
    stored = next(iter(split.arrays.values()))
    frames, size = stored.shape[1:3]
    lengths = split.lengths
    assert lengths is not None, "clips come with their lengths"
    earliest = (frames - np.maximum(lengths, clip.frames)) // 2
    first = earliest + generator.integers(0, np.maximum(lengths - clip.frames, 0) + 1)
    corner = generator.integers(0, size - clip.crop + 1, (2, len(split)))
    begin = torch.from_numpy(np.stack([first, *corner], axis=1))
    return Part(clip.frames, clip.crop, begin.to(stored.device))


def load_split(
    folder: Path,
    name: str,
    *,
    modalities: dict[str, Modality],
    classes: int,
    clip: ClipViews | None = None,
    device: torch.device | str = "cpu",
) -> Split:
    """Open the arrays of a prepared split that a network's modalities ask for.

    Modalities that read the same source share one tensor. On the CPU the arrays are memory-mapped: runs side by side
    share them. Their receipt was asked before, so that they are of the settings and have the shapes of these.

    UserError if an array is missing or damaged, or a label is out of range.
    """
    sources = {m.source for m in modalities.values()}
    arrays = {s: _load(folder / f"{name}.{s}.npy") for s in sources}
    labels, ids = (_load(folder / f"{name}.{n}.npy").astype(np.int64) for n in ("labels", "ids"))
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"{folder}/{name}.labels.npy: expected labels 0 to {classes - 1}")
    tensors = {s: torch.from_numpy(a) for s, a in arrays.items()}
    if torch.device(device).type == "cuda" and _fits(tensors.values(), device):
        tensors = {s: x.to(device) for s, x in tensors.items()}
    return Split(
        arrays={m: tensors[x.source] for m, x in modalities.items()},
        labels=torch.from_numpy(labels).to(device),
        ids=torch.from_numpy(ids).to(device),
        scale={m: _scale(x, folder, device) for m, x in modalities.items()},
        centered=Views()
        if clip is None
        else Views(part=_center(next(iter(tensors.values())), clip)),
        lengths=None if clip is None else _load(folder / f"{name}.{LENGTHS}.npy").astype(np.int64),
    )


def _center(stored: UInt8[Tensor, "n time size size channels"], clip: ClipViews) -> Part:
    """Return the middle frames, or all, and the middle square of each clip."""
    frames = clip.frames if clip.evaluated == "center" else stored.shape[1]
    corner = (stored.shape[2] - clip.crop) // 2
    begin = torch.tensor([(stored.shape[1] - frames) // 2, corner, corner], device=stored.device)
    return Part(frames, clip.crop, begin.expand(len(stored), 3))


def _scale(modality: Modality, folder: Path, device: torch.device | str) -> tuple[Tensor, Tensor]:
    known, white = modality.normalization, 255
    if known is None:
        found, white = _load(folder / f"train.{modality.source}.{SCALE}.npy"), 1
        pair = found.tolist()
    else:
        pair = [known.mean, known.std]
    mean, std = torch.tensor(pair, dtype=torch.float64)
    return (1 / (white * std)).float().to(device), (-mean / std).float().to(device)


def _fits(arrays: Iterable[Tensor], device: torch.device | str) -> bool:
    """Whether the arrays leave half of what is free on the device to the network."""
    free, _ = torch.cuda.mem_get_info(device)
    return sum(x.nbytes for x in arrays) <= free / 2


def _load(path: Path) -> np.ndarray:
    """Map an array into memory, copied where it is written to, which it is not: torch takes none that is read-only."""
    with reading(path, "an array", "run `equimodal prepare` with its data set and scale"):
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
