"""A split held in memory: batches are index slices of a few tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from equimodal.errors import UserError
from equimodal.spec import Augmentation, Modality


@dataclass(frozen=True)
class Batch:
    """What one step or one evaluation sees."""

    inputs: dict[str, Float[Tensor, "batch _channels *_space"]]
    labels: Int64[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Split:
    """All examples of a split, as bytes, on the device where they are used."""

    arrays: dict[str, UInt8[Tensor, "n *_space _channels"]]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]
    scale: dict[str, tuple[Tensor, Tensor]]  # per modality: factor and offset of each channel

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Split":
        """Return the split on another device; modalities that share a tensor go on sharing it."""
        moved = {id(x): x.to(device) for x in self.arrays.values()}
        return Split(
            arrays={m: moved[id(x)] for m, x in self.arrays.items()},
            labels=self.labels.to(device),
            ids=self.ids.to(device),
            scale={m: (f.to(device), o.to(device)) for m, (f, o) in self.scale.items()},
        )

    def batch(
        self,
        index: Int64[Tensor, " batch"],
        flips: dict[str, Bool[Tensor, " n"]] | None = None,
    ) -> Batch:
        """Gather examples and normalize them: `(x / 255 - mean) / std` in each channel.

        The channels lie last in memory and come first in the shape: torch's channels-last format.

        Args:
            index: Which examples.
            flips: For each modality, which examples of the split are mirrored left to right.
        """
        inputs = {m: self._normalized(m, x[index]) for m, x in self.arrays.items()}
        if flips is not None:
            inputs = {m: _flipped(x, flips[m][index]) for m, x in inputs.items()}
        return Batch(inputs, self.labels[index])

    def _normalized(self, modality: str, x: Tensor) -> Tensor:
        factor, offset = self.scale[modality]
        return torch.addcmul(offset, x.to(factor.dtype), factor).movedim(-1, 1)


def draw_flips(
    split: Split, augmentation: Augmentation, seed: Sequence[int]
) -> dict[str, Bool[Tensor, " n"]] | None:
    """Draw which examples are mirrored: one decision an example, or one for each modality too.

    None where the augmentation flips nothing. The same seed draws the same.
    """
    if augmentation.flip == 0:
        return None
    generator = np.random.default_rng(seed)
    drawn: dict[str, Tensor] = {}
    for m in split.arrays:
        if not drawn or not augmentation.shared:
            flip = torch.from_numpy(generator.random(len(split)) < augmentation.flip)
        drawn[m] = flip.to(split.labels.device)
    return drawn


def _flipped(x: Tensor, flip: Bool[Tensor, " batch"]) -> Tensor:
    return torch.where(flip.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def load_split(
    folder: Path,
    name: str,
    *,
    modalities: dict[str, Modality],
    classes: int,
    device: torch.device | str = "cpu",
) -> Split:
    """Read the arrays of a prepared split that a network's modalities ask for.

    Modalities that read the same source share one tensor.

    Raises:
        UserError: If an array is missing, of another length or shape, or a label is out of range.
    """
    labels = _load(folder / f"{name}.labels.npy").astype(np.int64)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"{folder}/{name}.labels.npy: expected labels 0 to {classes - 1}")
    sources = {m.source: m for m in modalities.values()}
    arrays = {s: _load(folder / f"{name}.{s}.npy") for s in sources}
    for source, array in arrays.items():
        if len(array) != len(labels) or array.shape[-1] != sources[source].channels:
            raise UserError(
                f"{folder}/{name}.{source}.npy has shape {array.shape}, expected {len(labels)}"
                f" examples of {sources[source].channels} channels; prepare the data set again"
            )
    ids = _load(folder / f"{name}.ids.npy").astype(np.int64)
    if ids.shape != labels.shape:
        raise UserError(
            f"{folder}/{name}.ids.npy has shape {ids.shape}, expected {len(labels)} ids; prepare the"
            " data set again"
        )
    tensors = {s: torch.from_numpy(a).to(device) for s, a in arrays.items()}
    return Split(
        arrays={m: tensors[x.source] for m, x in modalities.items()},
        labels=torch.from_numpy(labels).to(device),
        ids=torch.from_numpy(ids).to(device),
        scale={m: _scale(x, device) for m, x in modalities.items()},
    )


def _scale(modality: Modality, device: torch.device | str) -> tuple[Tensor, Tensor]:
    mean, std = (
        torch.tensor(v, dtype=torch.float64)
        for v in (modality.normalization.mean, modality.normalization.std)
    )
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def _load(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; run `equimodal prepare` with its data set and scale first"
        ) from None
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); prepare the data set again") from None
