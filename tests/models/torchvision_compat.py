"""Lets torchvision be imported beside a torch that its compiled operators were not built for.

Package indexes carry torchvision for CUDA only, whose operators a CPU torch can not load, and its
import then fails on the missing schemas of `nms` and `qnms`. The test that compares our ResNet-18
with torchvision's uses none of them. Where the operators load, nothing is changed.
"""

import importlib.util
from pathlib import Path

import torch

_library: torch.library.Library | None = None  # has to outlive the import


def install() -> None:
    """Declare the operators that torchvision looks for, unless it brings its own."""
    global _library
    spec = importlib.util.find_spec("torchvision")
    if _library is not None or spec is None or not spec.submodule_search_locations:
        return
    for compiled in Path(spec.submodule_search_locations[0]).glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
