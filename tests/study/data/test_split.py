import re
from pathlib import Path

import numpy as np
import pytest
import torch

from equimodal.study.data.split import load_split
from equimodal.study.errors import UserError
from equimodal.study.spec import Modality, Normalization

MODALITIES = {
    "color": Modality(
        source="color",
        channels=3,
        normalization=Normalization(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25)),
    ),
    "gray": Modality(
        source="gray", channels=1, normalization=Normalization(mean=(0.5,), std=(0.5,))
    ),
}
ARRAYS = {
    "color": np.arange(3 * 2 * 4 * 3, dtype=np.uint8).reshape(3, 2, 4, 3),
    "gray": np.array([0, 255, 51], np.uint8).repeat(8).reshape(3, 2, 4, 1),
    "labels": np.array([1, 0, 2], np.uint8),
    "ids": np.array([10, 20, 30], np.int32),
}


def load(folder, **changes):
    """Store the arrays, some of them changed or (None) left out, and load them."""
    for name, array in (ARRAYS | changes).items():
        if array is not None:
            np.save(folder / f"train.{name}.npy", array)
    return load_split(folder, "train", modalities=MODALITIES, classes=3)


def test_a_batch_is_the_examples_asked_for_in_their_order(tmp_path):
    split = load(tmp_path)
    batch = split.batch(torch.tensor([2, 0]))
    assert (len(split), len(batch)) == (3, 2)
    assert batch.labels.tolist() == [2, 1]
    assert split.ids.tolist() == [10, 20, 30]
    assert batch.inputs["gray"][:, 0, 0, 0].tolist() == pytest.approx([-0.6, -1.0])


def test_values_are_normalized_channel_by_channel(tmp_path):
    x = load(tmp_path).batch(torch.tensor([1])).inputs["color"][0]
    values = ARRAYS["color"][1] / 255
    for channel, (mean, std) in enumerate([(0.0, 1.0), (0.5, 0.5), (1.0, 0.25)]):
        np.testing.assert_allclose(x[channel], (values[..., channel] - mean) / std, atol=1e-5)


def test_black_and_white_of_a_centered_modality_are_minus_and_plus_one(tmp_path):
    gray = load(tmp_path).batch(torch.tensor([0, 1])).inputs["gray"]
    assert gray[0].unique().tolist() == pytest.approx([-1.0])
    assert gray[1].unique().tolist() == pytest.approx([1.0])


def test_channels_come_first_in_shape_and_last_in_memory(tmp_path):
    x = load(tmp_path).batch(torch.tensor([0, 2])).inputs["color"]
    assert x.shape == (2, 3, 2, 4)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_modalities_of_one_source_share_its_memory(tmp_path):
    load(tmp_path)
    pair = dict.fromkeys(("gray", "gray_copy"), MODALITIES["gray"])
    split = load_split(tmp_path, "train", modalities=pair, classes=3)
    assert split.arrays["gray"].data_ptr() == split.arrays["gray_copy"].data_ptr()


def npy(shape, described="|u1"):
    """A file whose header promises what does not follow."""
    header = f"{{'descr': '{described}', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)


def holding(content):
    return lambda path: path.write_bytes(content)


def cut(kept):
    return lambda path: path.write_bytes(path.read_bytes()[:kept])


def put_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGED = "is damaged .*prepare the data set"
DAMAGES = {
    "missing": (Path.unlink, "is missing; run `equimodal prepare`"),
    "a folder": (put_a_folder, "can not be read: Is a directory"),
    "empty": (cut(0), DAMAGED),
    "cut to its magic": (cut(7), DAMAGED),
    "cut to its header": (cut(100), DAMAGED),
    "without its last byte": (cut(-1), DAMAGED),
    "10^12 values": (holding(npy("(1000000000000,)")), DAMAGED),
    "10^30 values": (holding(npy(f"({10**30},)")), DAMAGED),
    "a negative number": (holding(npy("(-1,)")), DAMAGED),
    "no number": (holding(npy("(True,)")), DAMAGED),
    "no end": (holding(npy("(3,")), DAMAGED),
    "objects": (holding(npy("(3,)", "|O")), DAMAGED),
}


@pytest.mark.parametrize(("spoil", "said"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["color", "gray", "labels", "ids"])
def test_an_array_that_is_not_whole_is_named(tmp_path, name, spoil, said):
    load(tmp_path)
    spoil(tmp_path / f"train.{name}.npy")
    with pytest.raises(UserError, match=rf"train\.{name}\.npy {said}"):
        load_split(tmp_path, "train", modalities=MODALITIES, classes=3)


RANGE = ": expected labels 0 to 2"
SHAPE = r" has shape {}, expected 3"
OTHERS = {  # what is stored instead -> what is said of it
    "half labels": ("labels", np.array([0.5, 1, 0]), " holds .*, expected"),
    "labels in columns": ("labels", np.zeros((3, 1), np.uint8), " holds .*, expected"),
    "one label": ("labels", np.uint8(1), " holds .*, expected"),
    "ids that are no numbers": ("ids", np.array(["a", "b", "c"]), " holds .*, expected"),
    "floats from 0 to 1": ("gray", np.zeros((3, 2, 4, 1), np.float32), " holds .*, expected"),
    "16 bits": ("color", np.zeros((3, 2, 4, 3), np.uint16), " holds .*, expected"),
    "too high labels": ("labels", np.array([0, 1, 3], np.uint8), RANGE),
    "negative labels": ("labels", np.array([0, -1, 2], np.int8), RANGE),
    "no labels": ("labels", np.zeros(0, np.uint8), RANGE),
    "too few": ("color", ARRAYS["color"][:2], SHAPE),
    "too few channels": ("color", ARRAYS["color"][..., :2], SHAPE),
    "no channels": ("gray", ARRAYS["gray"][..., 0], SHAPE),
    "one value": ("gray", np.uint8(1), SHAPE),
    "too few ids": ("ids", ARRAYS["ids"][:2], SHAPE),
}


@pytest.mark.parametrize(("name", "array", "said"), OTHERS.values(), ids=OTHERS)
def test_an_array_of_other_values_is_named(tmp_path, name, array, said):
    with pytest.raises(UserError) as raised:
        load(tmp_path, **{name: array})
    assert re.search(
        rf"train\.{name}\.npy{said.format(re.escape(str(array.shape)))}", str(raised.value)
    )
