"""Small runs on random images: real specs of params.yaml, made narrow."""

import numpy as np
import pytest
import torch

from equimodal.study.data.split import Split
from equimodal.study.expansion import expand_runs
from equimodal.study.params import load_params
from tests.conftest import ROOT

VANILLA, GUIDED, RANDOM, RUBI = (
    f"colored_mnist/distinct/{policy}/paper/lr0.01/seed0"
    for policy in ("vanilla", "guided", "random", "rubi")
)
GRAY = "colored_mnist/gray/vanilla/paper/lr0.01/seed0"


def small_spec(name, **changes):
    """A run of the demo scale with a narrow network, batches of 8 and three epochs."""
    spec = expand_runs(load_params(ROOT / "params.yaml", "demo"))[name]
    training = {"batch_size": 8, "max_epochs": 3} | changes.pop("training", {})
    switches = changes.pop("switches", {})
    return spec.model_copy(
        update={
            "network": spec.network.model_copy(update={"widths": (4, 8, 8, 8)}),
            "training": spec.training.model_copy(update=training),
            "switches": spec.switches.model_copy(update=switches),
            "seed": 0,
        }
        | changes
    )


def random_split(spec, examples, seed):
    generator = torch.Generator().manual_seed(seed)
    arrays = {
        x.source: torch.randint(
            256, (examples, 12, 12, x.channels), generator=generator, dtype=torch.uint8
        )
        for x in spec.modalities.values()
    }
    return Split(
        arrays={m: arrays[x.source] for m, x in spec.modalities.items()},
        labels=torch.randint(spec.classes, (examples,), generator=generator),
        ids=torch.arange(examples),
        scale={
            m: (torch.full((x.channels,), 1 / 128), torch.full((x.channels,), -1.0))
            for m, x in spec.modalities.items()
        },
    )


def small_splits(spec):
    """Train and test splits for a spec."""
    return {"train": random_split(spec, 36, seed=1), "test": random_split(spec, 20, seed=2)}


@pytest.fixture
def splits():
    """What makes train and test splits for a spec."""
    return small_splits


def write_prepared(folder, spec):
    """Write the splits of a spec as a prepared folder."""
    for name, split in small_splits(spec).items():
        np.save(folder / f"{name}.labels.npy", split.labels.numpy())
        np.save(folder / f"{name}.ids.npy", split.ids.numpy())
        for m, modality in spec.modalities.items():
            np.save(folder / f"{name}.{modality.source}.npy", split.arrays[m].numpy())
    return folder


@pytest.fixture
def prepared(tmp_path):
    """The splits of a spec as a prepared folder."""
    return lambda spec: write_prepared(tmp_path, spec)


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """A group of one process, in which distributed wrappers work as in any."""
    init = f"file://{tmp_path_factory.mktemp('group')}/group"
    torch.distributed.init_process_group("gloo", init_method=init, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
