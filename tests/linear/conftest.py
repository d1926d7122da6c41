import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equimodal.linear.descent import descend
from equimodal.linear.experiment import all_tables
from equimodal.linear.moments import toy_moments
from equimodal.linear.networks import Architecture, start
from equimodal.linear.times import learning_times
from equimodal.study.params import MIRROR_VARIABLE
from tests.conftest import make_project

REFERENCE = Path(os.environ.get(MIRROR_VARIABLE, "/nonexistent")) / "linear"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f"{MIRROR_VARIABLE} names no folder that holds linear/"
)
RHO = np.linspace(-0.9, 0.9, 9)


def reference(name):
    return pd.read_csv(REFERENCE / f"{name}.csv")


def aligned(architecture, moments, scale):
    """The balanced rank-one start that theory assumes: layers of norm u_0, sqrt(2) u_0 after the fusion."""
    inputs = moments.a.shape[1]
    layers = [np.zeros((len(moments), *shape)) for shape in architecture.shapes(inputs)]
    for layer in layers:
        layer[:, :, 0, 0] = 1 if layer.shape[1] == 2 else 2**0.5
    signals = np.stack([moments.y_a, moments.y_b], axis=1)
    layers[0][:, :, 0] = signals / np.linalg.norm(signals, axis=2, keepdims=True)
    return [np.reshape(scale, (-1, 1, 1, 1)) * layer for layer in layers]


def train(moments, architecture, init="iid", scale=1e-9, *, seed=0, **how):
    """Train from a start, like the authors if no more is said: table of times, and trajectory."""
    if init == "aligned":
        layers = aligned(architecture, moments, scale)
    else:
        layers = start(architecture, moments, init, scale, seed)
    usual = {"step_size": 0.04, "tolerance": 1e-4}
    trajectory = descend(architecture, moments, layers, **usual | how)
    return learning_times(trajectory, moments), trajectory


def grid(ratios):
    """The grid of rho and ratio of the authors' sweep, as moments and two columns."""
    rho, ratio = (x.ravel() for x in np.meshgrid(RHO, ratios))
    return toy_moments(rho, ratio), rho, ratio


LATE = Architecture(depth=2, fusion=2, width=100)
EARLY = Architecture(depth=2, fusion=1, width=100)


@pytest.fixture(scope="package")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linear")
    return make_project(folder).load_linear()


@pytest.fixture(scope="package")
def tables(settings):
    return dict(all_tables(settings)) | {"linear_mnist": made_up_courses(settings.noisy_mnist)}


def made_up_courses(settings):
    """The table `linear_mnist` by hand: B alone is worse the deeper the fusion."""
    points = [(f, e) for f in range(1, settings.depth + 1) for e in range(settings.epochs + 1)]
    table = pd.DataFrame(points, columns=["L_f", "epoch"])
    share = table["epoch"] / (settings.epochs + 1)
    measured = {"loss": 2 - share, "accuracy": share, "accuracy_a": share}
    table = table.assign(**measured, accuracy_b=share / table["L_f"])
    return table.assign(examples=200, width=settings.width)
