"""What only a GPU can show: nothing in a step waits for it, graphs do what steps do, a training resumes on it."""

from dataclasses import replace

import pytest
import torch

from equimodal.study.runs.graphed import CudaGraph
from equimodal.study.runs.loop import Training
from tests.study.runs.test_loop import stop_after

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


def steps_without_waiting(training, batches):
    """Take steps in which waiting for the GPU is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        for index in batches:
            training._step(index)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("policy", POLICIES)
def test_no_step_waits_for_the_gpu(policy, splits):
    spec = small_spec(RUN.format(policy))
    training = Training(spec, on_gpu(spec, splits), "cuda")
    batches = list(training._batches_left())
    training._step(batches[0])  # lazy initialization over
    training.progress.epoch = 2  # past the warm-up
    steps_without_waiting(training, batches[1:])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_training_resumes_on_the_gpu(policy, splits, tmp_path):
    spec = small_spec(RUN.format(policy))
    first = Training(spec, on_gpu(spec, splits), "cuda")
    with pytest.raises(KeyboardInterrupt):
        first.run(stop_after(7, tmp_path / "c.pt"))
    second = Training(spec, on_gpu(spec, splits), "cuda")
    second.restore(torch.load(tmp_path / "c.pt", weights_only=True, map_location="cuda"))
    second.run()
    assert len(second.progress.rows) == spec.training.max_epochs


@pytest.fixture
def deterministic(monkeypatch):
    """Has convolutions sum in one order; float32 in full."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def close(a, b):
    weights = a.network.state_dict(), b.network.state_dict()
    for x, y in zip(*(w.values() for w in weights), strict=True):
        torch.testing.assert_close(x, y)
    assert (a.steps()["modes"] == b.steps()["modes"]).all()
    rows = zip(a.progress.rows, b.progress.rows, strict=True)
    assert all(x == pytest.approx(y, rel=1e-4) for x, y in rows)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.usefixtures("deterministic")
def test_replayed_graphs_train_what_plain_steps_train(policy, splits):
    spec = small_spec(RUN.format(policy))
    plain, graphed = (
        Training(spec, on_gpu(spec, splits), "cuda", graph=graph) for graph in (None, CudaGraph)
    )
    plain.run()
    graphed.run()
    assert graphed._recorder._graph is not None
    close(plain, graphed)


@pytest.mark.usefixtures("deterministic")
def test_trainings_in_turn_train_what_each_trains_alone(splits):
    specs = [small_spec(RUN.format(policy)) for policy in POLICIES]

    def trainings():
        return [Training(s, on_gpu(s, splits), "cuda", graph=CudaGraph) for s in specs]

    alone, in_turn = trainings(), trainings()
    for training in alone:
        training.run()
    for _ in zip(*(training.walk() for training in in_turn), strict=True):
        pass
    for a, b in zip(alone, in_turn, strict=True):
        close(a, b)


def test_no_replay_waits_for_the_gpu(splits):
    spec = small_spec(RUN.format("guided"), training={"batch_size": 4})
    training = Training(spec, on_gpu(spec, splits), "cuda", graph=CudaGraph)
    with training.at_work():
        batches = list(training._batches_left())
        for index in batches[:4]:
            training._step(index)
        steps_without_waiting(training, batches[4:])
