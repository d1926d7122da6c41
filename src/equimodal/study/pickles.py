"""Files of pickled arrays and tensors, read without the risk that a pickle is.

A pickle can run any code while it is read. Here only the few functions that put numpy arrays
together are let in, by name; all else is refused.
"""

import pickle
import re
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Num
from numpy import ndarray

from equimodal.study.errors import UserError
from equimodal.study.files import reading

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "fetch or make it"
# What a pickle of arrays calls, in numpy 1 and 2. The two functions are private there, but arrays
# tell them to whoever pickles.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **dict.fromkeys(
        [("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")],
        np.empty(0).__reduce__()[0],
    ),
    **dict.fromkeys(
        [("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")],
        np.empty(0).__reduce_ex__(5)[0],
    ),
}


def load_allowed_pickle(file: IO[bytes], name: str) -> Any:
    """Unpickle numbers, strings, dicts, lists, tuples, sets and numpy arrays, from any Python.

    The file is open at the pickle; the name is for messages. UserError if the pickle is damaged or holds any other type.
    """
    with reading(name, "a pickle of arrays", REMEDY):
        return _ArraysOnly(file, name).load()


def load_pickled_npy(path: Path) -> dict[str, Num[ndarray, "..."]]:
    """Read a .npy file that holds one pickled dict of arrays; UserError if it is missing, damaged or anything else."""
    with reading(path, "a pickled dict of arrays", REMEDY), path.open("rb") as file:
        major, minor = np.lib.format.read_magic(file)
        header = getattr(np.lib.format, f"read_array_header_{major}_{minor}")
        shape, _, dtype = header(file)
        if shape != () or not dtype.hasobject:
            raise UserError(
                f"{path} holds an array of shape {shape} and type {dtype}, expected one pickled"
                " dict of arrays; give the file as it was published"
            )
        content = load_allowed_pickle(file, str(path))
    arrays = content.item() if isinstance(content, ndarray) and content.shape == () else content
    if not isinstance(arrays, dict):
        raise UserError(
            f"{path} holds a pickled {type(arrays).__name__}, expected a dict of arrays"
        )
    for key, array in arrays.items():
        if not isinstance(array, ndarray) or array.dtype.kind not in "iuf":
            raise UserError(f"{path}: {key!r} is {describe(array)}, expected an array of numbers")
    return arrays


def load_torch(path: Path, device: str = "cpu") -> Any:
    """Read what torch saved, if it is tensors, plain values, dicts and lists.

    UserError if the file is missing or damaged, which torch itself does not look for, or holds any other type.
    """
    import torch  # seconds to load, and not needed by the data sets

    with reading(path, "what torch saves", REMEDY), path.open("rb") as file:
        if zipfile.is_zipfile(file):  # not that of an early torch
            with zipfile.ZipFile(file) as members:
                if wrong := members.testzip():
                    raise ValueError(f"{wrong} in it is not what was saved")
        file.seek(0)
        try:
            return torch.load(file, map_location=device, weights_only=True)
        except Exception as error:  # torch has no exception of its own for a damaged file
            if found := re.search(r"GLOBAL (\S+)", str(error)):
                raise refused(path, found[1]) from None
            raise ValueError("torch can not read it") from error


def load_weights(path: Path, device: str = "cpu") -> "dict[str, Tensor]":
    """Read a state dict; UserError as `load_torch`, or if it holds anything but named tensors of finite values."""
    from torch import Tensor

    state = load_torch(path, device)
    if not isinstance(state, dict) or not state:
        raise UserError(f"{path} holds {describe(state)}, expected named tensors; give weights")
    for name, x in state.items():
        if not isinstance(x, Tensor):
            raise UserError(f"{path}: {name} is {describe(x)}, expected a tensor; give weights")
        require_finite(path, name, x)
    return state


def require_finite(path: Path, name: str, x: "Tensor") -> None:
    """Check that a tensor of a file has no NaN and no infinity; else UserError."""
    if not x.isfinite().all():
        raise UserError(
            f"{path}: {name} has values that are NaN or infinite, as of a network that has diverged; give"
            " other weights, or make them again"
        )


class _ArraysOnly(pickle.Unpickler):
    """Refuses whatever is not in the allow-list; nothing is imported."""

    def __init__(self, file: IO[bytes], name: str):
        super().__init__(file, encoding="latin1")  # how arrays that Python 2 pickled are read
        self.name = name

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed type or function."""
        if (module, name) not in _ALLOWED:
            raise refused(self.name, f"{module}.{name}")
        return _ALLOWED[module, name]


def describe(value: Any) -> str:
    """Say what a value is, for messages."""
    if isinstance(value, ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


def refused(name: Path | str, type_name: str) -> UserError:
    """Return the error for a pickle of foreign types."""
    return UserError(
        f"{name} holds the type {type_name}, expected nothing but arrays; it was not read, for a"
        " pickle of other types can run any code"
    )
