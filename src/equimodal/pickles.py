"""Files of pickled arrays, read without the risk that a pickle is.

A pickle can run any code while it is read. Here only the few functions that put numpy arrays
together are let in, by name; all else is refused.
"""

import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Num
from numpy import ndarray

from equimodal.errors import UserError

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


def load_allowed_pickle(source: Path | IO[bytes], *, name: str | None = None) -> Any:
    """Unpickle numbers, strings, dicts, lists, tuples, sets and numpy arrays, from any Python.

    Args:
        source: A path, or a file open at the pickle.
        name: Of an open file, for messages.

    Raises:
        UserError: If the file is missing or damaged, or the pickle holds any other type.
    """
    if isinstance(source, Path):
        with open_binary(source) as file:
            return load_allowed_pickle(file, name=str(source))
    name = name or "the pickle"
    try:
        return _ArraysOnly(source, name).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can fail anywhere, with anything
        raise damaged(name, error) from error


def load_pickled_npy(path: Path) -> dict[str, Num[ndarray, "..."]]:
    """Read a .npy file that holds one pickled dict of arrays.

    Raises:
        UserError: If the file is missing, damaged or of another kind, or holds other types.
    """
    with open_binary(path) as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read_header(file)
        except Exception as error:  # numpy raises nearly anything on a damaged header
            raise damaged(path, error) from error
        if shape != () or not dtype.hasobject:
            raise UserError(
                f"{path} holds an array of shape {shape} and type {dtype}, expected one pickled"
                " dict of arrays; give the file as it was published"
            )
        content = load_allowed_pickle(file, name=str(path))
    arrays = content.item() if isinstance(content, ndarray) and content.shape == () else content
    if not isinstance(arrays, dict):
        raise UserError(
            f"{path} holds a pickled {type(arrays).__name__}, expected a dict of arrays"
        )
    for key, array in arrays.items():
        if not isinstance(array, ndarray) or array.dtype.kind not in "iuf":
            raise UserError(f"{path}: {key!r} is {describe(array)}, expected an array of numbers")
    return arrays


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


def open_binary(path: Path) -> IO[bytes]:
    """Open a file to read; a UserError names it if that fails."""
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path} can not be read: {error.strerror}; check the path") from None


def describe(value: Any) -> str:
    """Say what a value is, for messages."""
    if isinstance(value, ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


def damaged(name: Path | str, why: Exception | str) -> UserError:
    """Return the error for a file that is not whole."""
    return UserError(f"{name} is damaged ({why}); delete it and fetch it again")


def refused(name: Path | str, type_name: str) -> UserError:
    """Return the error for a pickle of foreign types."""
    return UserError(
        f"{name} holds the type {type_name}, expected nothing but arrays; it was not read, for a"
        " pickle of other types can run any code"
    )
