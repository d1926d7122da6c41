"""Prepared arrays: how they are written, and when they are whole, which is while their receipt is there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from equimodal.study import receipts
from equimodal.study.code import code_hash
from equimodal.study.files import write_aside

EXAMPLES = "examples.npz"  # the first of each class, for a figure; of data that may be shown around


def begin(folder: Path, settings: dict[str, Any]) -> None:
    """Take the receipt away, as the arrays of a folder are being replaced by those of other settings.

    To be called before the first one is, and no earlier: until then those that are there stay good. Those
    that were made with these settings stay good should it break off: their hashes tell.
    """
    path = folder / receipts.NAME
    if any(o.what in ("settings", "receipt") for o in receipts.objections(path, settings=settings)):
        path.unlink(missing_ok=True)


def save(folder: Path, arrays: Mapping[str, ndarray]) -> None:
    """Write small arrays, each whole or not at all; raises as `write_aside`."""
    for name, array in arrays.items():
        with write_aside(folder / f"{name}.npy") as aside, aside.open("wb") as file:
            np.save(file, array)


def save_labels(
    folder: Path, split: str, labels: Sequence[int] | ndarray, **others: Sequence[int]
) -> None:
    """Write the labels of a split as bytes, and other whole numbers, such as `ids`, as int32."""
    save(folder, {f"{split}.labels": np.array(labels, np.uint8)})
    save(folder, {f"{split}.{name}": np.array(x, np.int32) for name, x in others.items()})


def end(folder: Path, settings: dict[str, Any], kind: str, inputs: Mapping[str, str]) -> None:
    """Write the receipt of all files of a folder, made with these settings and of these files by the module of a kind."""
    ours = (receipts.NAME, f"{receipts.NAME}{receipts.SEEN}")
    receipts.write(
        folder / receipts.NAME,
        step=f"prepare {kind}",
        settings=settings,
        code=code_hash(f"equimodal.study.data.{kind}"),
        inputs=inputs,
        files=[p for p in folder.glob("[!.]*") if p.is_file() and p.name not in ours],
    )
