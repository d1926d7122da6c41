"""What only a GPU can show: nothing in a step waits for it, and a training resumes on it."""

from dataclasses import replace

import pytest
import torch

from equimodal.study.runs.loop import Training

from .conftest import small_spec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

RUN = "colored_mnist/distinct/{}/paper/lr0.01/seed0"
POLICIES = ("vanilla", "rubi", "random", "guided")


def on_gpu(spec, splits):
    return {
        name: replace(
            split,
            arrays={m: x.cuda() for m, x in split.arrays.items()},
            labels=split.labels.cuda(),
            ids=split.ids.cuda(),
            scale={m: (f.cuda(), o.cuda()) for m, (f, o) in split.scale.items()},
        )
        for name, split in splits(spec).items()
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_no_step_waits_for_the_gpu(policy, splits):
    spec = small_spec(RUN.format(policy))
    training = Training(spec, on_gpu(spec, splits), "cuda")
    batches = list(training._batches_left())
    training._step(batches[0])  # lazy initialization over
    training.progress.epoch = 2  # past the warm-up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for index in batches[1:]:
            training._step(index)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_training_resumes_on_the_gpu(policy, splits, tmp_path):
    spec = small_spec(RUN.format(policy))
    first = Training(spec, on_gpu(spec, splits), "cuda")

    def stop(training):
        if training.progress.steps == 7:
            torch.save(training.state(), tmp_path / "c.pt")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    second = Training(spec, on_gpu(spec, splits), "cuda")
    second.restore(torch.load(tmp_path / "c.pt", weights_only=True, map_location="cuda"))
    second.run()
    assert len(second.progress.rows) == spec.training.max_epochs
