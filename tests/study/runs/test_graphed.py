"""Steps that are recorded and replayed, here by a stand-in for CUDA graphs that runs on the CPU."""

import numpy as np
import pytest
import torch

from equimodal.study.runs.graphed import WARM_UP, Recorder, recordable
from equimodal.study.runs.loop import Training
from equimodal.study.spec import Augmentation
from equimodal.training.policies import Vanilla
from tests.training.conftest import GRAY, GUIDED, RANDOM, RUBI, VANILLA, small_spec

from .tape import Tape, Unasked
from .test_loop import AT_ONCE, stop_after, with_dropout

FLIPS = {"augmentation": Augmentation(flip=0.5, shared=False)}
CASES = [
    *((name, {}) for name in (VANILLA, GRAY, RANDOM, GUIDED, RUBI)),
    *((name.replace("paper", "official"), {}) for name in (VANILLA, RANDOM, GUIDED)),
    (GUIDED, FLIPS),
    (GUIDED, {"l1": 1e-4}),
    (GUIDED, {"switches": {"arithmetic": "bfloat16", "speed_norm": "after_step"}}),
    (GUIDED, AT_ONCE),
]


def same(a, b):
    """Whether two trainings have the same history, weights and steps, bit by bit."""
    states = [{**t.best_weights, **t.network.state_dict()} for t in (a, b)]
    return (
        a.progress.rows == b.progress.rows
        and all(torch.equal(x, states[1][k]) for k, x in states[0].items())
        and all(np.array_equal(x, b.steps()[k]) for k, x in a.steps().items())
    )


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_replayed_steps_train_the_same_bytes(name, changes, splits, tmp_path):
    """Those of short batches, and after a change of the learning rate, too; and stopped within an epoch."""
    spec = small_spec(name, **changes)
    plain = Training(spec, splits(spec))
    plain.run()
    before = Tape.recorded
    whole, stopped, resumed = (Training(spec, splits(spec), graph=Tape) for _ in range(3))
    whole.run()
    rows = plain.progress.rows
    numbers = {(plain.policy.numbers(row["epoch"]), row["learning_rate"]) for row in rows}
    assert Tape.recorded - before == len(numbers)
    assert same(plain, whole)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(stop_after(9, tmp_path / "checkpoint.pt"))
    resumed.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    resumed.run()
    assert same(plain, resumed)


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_no_step_asks_the_device(name, changes, splits):
    """But for the first, whose gradients may not all be zero."""
    spec = small_spec(name, **changes)
    training = Training(spec, splits(spec))
    first, *others = training._batches_left()
    training._on_device(first)
    training.progress.epoch = 2  # past the warm-up
    with Unasked():
        for index in others:
            training._on_device(index)


def test_what_waits_for_the_device_is_noticed():
    for ask in (float, bool, lambda x: x[x > 0], torch.Tensor.nonzero):
        with Unasked(), pytest.raises(AssertionError, match="waits for the device"):
            ask(torch.ones(1))


def test_dropout_and_data_elsewhere_are_not_recorder(splits):
    spec = small_spec(GUIDED)
    assert Training(spec, splits(spec), graph=Tape)._recorder
    assert not Training(spec, splits(spec))._recorder
    training, train = with_dropout(Training(spec, splits(spec))), splits(spec)["train"]
    assert not recordable(training.network, training.policy, train)
    drawing = Vanilla()
    assert recordable(Training(spec, splits(spec)).network, drawing, train)
    drawing.draws_on_device = True
    assert not recordable(Training(spec, splits(spec)).network, drawing, train)
    fewer = small_spec(GUIDED, training={"batch_size": 37})
    assert not Training(fewer, splits(fewer), graph=Tape)._recorder
    elsewhere = splits(spec)
    elsewhere["train"].arrays["gray"] = torch.empty(36, 12, 12, 1, device="meta")
    assert not Training(spec, elsewhere, graph=Tape)._recorder


def test_what_python_gives_is_recorder_with_the_step():
    """The reason why it is recorded anew when a number changes."""
    total, factor = torch.zeros(()), 1

    def work(index):
        total.add_(index.sum() * factor)

    recorder, index = Recorder(Tape, torch.arange(2)), torch.arange(2)
    for _ in range(WARM_UP + 1):
        recorder.do(work, index, factor)
    assert total == WARM_UP + 1
    factor = 10
    recorder.do(work, index, 1)
    assert total == WARM_UP + 2
    recorder.do(work, index + 1, factor)
    assert total == WARM_UP + 2 + 30
    recorder.do(work, torch.arange(4), factor)  # of another length
    assert total == WARM_UP + 2 + 30 + 60
