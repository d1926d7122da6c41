"""Examples for a figure: the first of each class, of data that may be shown around."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from equimodal.study.data.prepared import EXAMPLES
from equimodal.study.files import save_arrays


def save_examples(
    folder: Path,
    splits: Iterable[str],
    names: Iterable[str],
    shown: Callable[[str, str, ndarray], Any] = lambda split, name, rows: rows,
) -> None:
    """Keep the first example of each class, of some arrays of each split.

    `shown` returns an index of what is kept of an array, given the rows of these examples.
    """
    kept = {}
    for split in splits:
        first = np.unique(np.load(folder / f"{split}.labels.npy"), return_index=True)[1]
        for name in names:
            stored = np.load(folder / f"{split}.{name}.npy", mmap_mode="r")
            kept[f"{split}.{name}"] = stored[shown(split, name, first)]
    save_arrays(folder / EXAMPLES, kept)
