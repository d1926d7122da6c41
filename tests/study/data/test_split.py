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


@pytest.mark.parametrize("name", ["color", "gray", "labels", "ids"])
def test_a_missing_array_is_named(tmp_path, name):
    with pytest.raises(UserError, match=rf"train\.{name}\.npy is missing; run `equimodal prepare`"):
        load(tmp_path, **{name: None})


@pytest.mark.parametrize("name", ["color", "gray", "labels", "ids"])
@pytest.mark.parametrize("kept", [0, 7, 100, -1], ids=["none", "magic", "header", "almost all"])
def test_a_truncated_array_is_named(tmp_path, name, kept):
    load(tmp_path)
    path = tmp_path / f"train.{name}.npy"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"train\.{name}\.npy is damaged .*prepare the data set"):
        load_split(tmp_path, "train", modalities=MODALITIES, classes=3)


def npy(shape, described="|u1"):
    """A file whose header promises what does not follow."""
    header = f"{{'descr': '{described}', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)


HEADERS = {
    "10^12 values": npy("(1000000000000,)"),
    "10^30 values": npy(f"({10**30},)"),
    "a negative number": npy("(-1,)"),
    "no number": npy("(True,)"),
    "no end": npy("(3,"),
    "objects": npy("(3,)", "|O"),
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", ["gray", "labels"])
def test_an_array_that_promises_what_is_not_there_is_named(tmp_path, name, content):
    load(tmp_path)
    (tmp_path / f"train.{name}.npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"train\.{name}\.npy is damaged .*prepare the data set"):
        load_split(tmp_path, "train", modalities=MODALITIES, classes=3)


OTHERS = {
    "half labels": {"labels": np.array([0.5, 1, 0])},
    "labels in columns": {"labels": np.zeros((3, 1), np.uint8)},
    "one label": {"labels": np.uint8(1)},
    "ids that are no numbers": {"ids": np.array(["a", "b", "c"])},
    "floats from 0 to 1": {"gray": np.zeros((3, 2, 4, 1), np.float32)},
    "16 bits": {"color": np.zeros((3, 2, 4, 3), np.uint16)},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_an_array_of_other_values_is_named(tmp_path, changes):
    (name,) = changes
    with pytest.raises(UserError, match=rf"train\.{name}\.npy holds .*, expected"):
        load(tmp_path, **changes)


@pytest.mark.parametrize("name", ["color", "labels"])
def test_a_folder_in_the_place_of_an_array_is_named(tmp_path, name):
    (tmp_path / f"train.{name}.npy").mkdir()
    with pytest.raises(UserError, match=rf"train\.{name}\.npy can not be read: Is a directory"):
        load(tmp_path, **{name: None})


@pytest.mark.parametrize(
    "labels",
    [np.array([0, 1, 3], np.uint8), np.array([0, -1, 2], np.int8), np.zeros(0, np.uint8)],
    ids=["too high", "negative", "none"],
)
def test_labels_out_of_range_are_refused(tmp_path, labels):
    with pytest.raises(UserError, match=r"train\.labels\.npy: expected labels 0 to 2"):
        load(tmp_path, labels=labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"color": ARRAYS["color"][:2]},
        {"color": ARRAYS["color"][..., :2]},
        {"gray": ARRAYS["gray"][..., 0]},
        {"gray": np.uint8(1)},
        {"ids": ARRAYS["ids"][:2]},
    ],
    ids=["too few", "too few channels", "no channels", "one value", "too few ids"],
)
def test_an_array_of_the_wrong_shape_is_named_with_the_right_one(tmp_path, changes):
    (name,) = changes
    shape = str(changes[name].shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(UserError, match=rf"train\.{name}\.npy has shape {shape}, expected 3"):
        load(tmp_path, **changes)
