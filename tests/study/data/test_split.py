from pathlib import Path

import numpy as np
import pytest
import torch

from equimodal.study.data.split import load_split
from equimodal.study.errors import UserError
from equimodal.study.spec import Modality, Normalization

MODALITIES = {
    "color": Modality(source="color", channels=3, normalization=Normalization(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))),
    "gray": Modality(source="gray", channels=1, normalization=Normalization(mean=(0.5,), std=(0.5,))),
}  # fmt: skip
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


def test_channels_come_first_in_shape_and_last_in_memory(tmp_path):
    x = load(tmp_path).batch(torch.tensor([0, 2])).inputs["color"]
    assert x.shape == (2, 3, 2, 4)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_modalities_of_one_source_share_its_memory(tmp_path):
    load(tmp_path)
    pair = dict.fromkeys(("gray", "gray_copy"), MODALITIES["gray"])
    split = load_split(tmp_path, "train", modalities=pair, classes=3)
    assert split.arrays["gray"].data_ptr() == split.arrays["gray_copy"].data_ptr()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def label_3(path):
    np.save(path, np.array([0, 1, 3], np.uint8))


DAMAGES = {  # the receipt tells of all else before
    "missing": ("ids", Path.unlink, "ids.npy is missing; run `equimodal prepare`"),
    "cut": ("color", cut, "color.npy is damaged .*run `equimodal prepare`"),
    "a label without a class": ("labels", label_3, "labels.npy: expected labels 0 to 2"),
}


@pytest.mark.parametrize(("name", "spoil", "said"), DAMAGES.values(), ids=DAMAGES)
def test_an_array_that_can_not_be_used_is_named(tmp_path, name, spoil, said):
    load(tmp_path)
    spoil(tmp_path / f"train.{name}.npy")
    with pytest.raises(UserError, match=said):
        load_split(tmp_path, "train", modalities=MODALITIES, classes=3)
