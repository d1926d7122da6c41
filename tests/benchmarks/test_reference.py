"""The reference of the benchmarks trains the same networks as ours: only then is a ratio of times one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.reference import color_digits, evaluate
from benchmarks.training import case_of, our_step, reference_step, spec_of
from equimodal.study.runs.score import score

SPACES = {"colored_mnist": (12, 12), "modelnet40": (32, 32), "nvgesture": (9, 24, 24)}


def case(folder, dataset, policy, *, batch_size, steps, **network):
    spec = spec_of(dataset, policy)
    training = spec.training.model_copy(update={"batch_size": batch_size})
    network = spec.network.model_copy(update=network)
    spec = spec.model_copy(update={"training": training, "network": network})
    return case_of(folder, spec, SPACES[dataset], train=batch_size * steps, test=7)


def losses(case, steps):
    """Losses of ours and of the reference, and both networks."""
    ours, order = case.ours(), range(len(case.splits["train"]))
    plain = case.reference(case.spec.policy, order)
    pair = our_step(ours), reference_step(plain)
    found = [[step() for _ in range(steps)] for step in pair]
    return *found, ours, plain


@pytest.mark.parametrize("policy", ["vanilla", "guided"])
def test_twenty_steps_have_the_losses_of_the_reference(tmp_path, policy):
    small = case(tmp_path, "colored_mnist", policy, batch_size=10, steps=4, widths=(4, 4, 6, 8))
    mine, theirs, ours, plain = losses(small, 20)
    np.testing.assert_allclose(mine, theirs, atol=1e-4)
    assert max(mine) - min(mine) > 0.1
    found = score(ours.network, small.splits["test"]).accuracy["fused"]
    assert found == pytest.approx(evaluate(plain.network, small.loader("test")))


def test_guided_training_re_balances_and_the_reference_alike(tmp_path):
    small = case(tmp_path, "colored_mnist", "guided", batch_size=10, steps=4, widths=(4, 4, 6, 8))
    ours, plain = small.ours(), small.reference("guided", range(40))
    mine, theirs = our_step(ours), reference_step(plain)
    modes = []
    for _ in range(20):
        mode, names = int(ours.policy.mode), list(small.spec.modalities)
        modes.append(mode)
        assert plain.guide.rebalance == (None if mode < 0 else names[mode])
        mine(), theirs()
    assert {-1} < set(modes)


def descend(network, inputs, labels):
    """Losses of three plain steps."""
    optimizer, found = torch.optim.SGD(network.parameters(), lr=0.01), []
    for _ in range(3):
        loss = sum(F.cross_entropy(z, labels) for z in network(inputs).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize(
    ("dataset", "network"), [("modelnet40", {}), ("nvgesture", {"dropout": 0.0})]
)
def test_the_larger_networks_are_the_reference_s(tmp_path, dataset, network):
    """In double precision: batches are so small that rounding would soon grow to a difference."""
    small = case(tmp_path, dataset, "vanilla", batch_size=4, steps=1, **network)
    ours, plain = small.ours().network, small.reference("vanilla", range(4)).network
    assert set(dict(ours.named_parameters())) == set(dict(plain.named_parameters()))
    inputs, labels = next(iter(small.loader("train", range(4))))
    for m, x in small.splits["train"].batch(torch.arange(4)).inputs.items():
        torch.testing.assert_close(inputs[m], x)
    inputs = {m: x.double() for m, x in inputs.items()}
    mine, theirs = (descend(n.double().train(), inputs, labels) for n in (ours, plain))
    np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_digits_are_colored_by_their_labels():
    images, palette = np.full((2, 3, 3), 200, np.uint8), np.array([[255, 0, 0], [0, 51, 255]])
    made = color_digits(images, np.array([0, 1]), palette, 0.0, 1.0, np.random.default_rng(0))
    assert made[:, 0, 0].tolist() == [[200, 0, 0], [0, 40, 200]]
