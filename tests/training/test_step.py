import copy
import math
import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from equimodal.fusion.base import fusion_parameters
from equimodal.fusion.mmtm import MMTM
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.models.network import Network
from equimodal.study.runs.loop import Training
from equimodal.training.evaluate import conditional_utilization
from equimodal.training.policies import Policy, Random, RUBi, Vanilla
from equimodal.training.step import StepRules, step_without_held, train_step

from .conftest import GUIDED, VANILLA, small_spec

OF_RUBI = RUBi("color", features=8, classes=10, hidden_layers=1, weight=1.0, seed=0)


@pytest.fixture
def training(splits):
    spec = small_spec(GUIDED)
    return Training(spec, splits(spec))


def first(training):
    """The first eight examples."""
    return training.splits["train"].batch(torch.arange(8))


def take_step(training, epoch=1, **how):
    """One step on the first examples."""
    network, optimizer = training.network.train(), training.optimizer
    how = {"rules": training.rules, "epoch": epoch} | how
    return train_step(network, first(training), optimizer, training.policy, training.speeds, **how)


def moved(before, after):
    return {
        name
        for name, p in after.network.named_parameters()
        if not torch.equal(p, dict(before.network.named_parameters())[name])
    }


def fused_with_momentum():
    """A fusion module whose gradients are ones, and its optimizer."""
    fusion = MMTM({"a": 2, "b": 2})
    for p in fusion.parameters():
        p.grad = torch.ones_like(p)
    return fusion, torch.optim.SGD(fusion.parameters(), lr=0.25, momentum=0.9)


def test_without_a_mode_nothing_is_held():
    """As `Vanilla` has none; the loop of docs/own-network.md takes it like any other policy."""
    fusion, optimizer = fused_with_momentum()
    before = copy.deepcopy(fusion)
    step_without_held(optimizer, fusion, Vanilla().mode)
    pairs = zip(before.parameters(), fusion.parameters(), strict=True)
    assert all(torch.equal(p - 0.25, q) for p, q in pairs)
    with pytest.raises(TypeError, match="the policy's tensor, given -1"):
        step_without_held(optimizer, fusion, -1)


def test_usually_the_rules_of_a_step_are_the_paper_s():
    assert StepRules() == StepRules(0.0, True, "regular_steps", "skip", "of_weights")


def test_a_step_of_16_bits_is_near_that_of_32_and_weights_keep_theirs(splits):
    """Three digits of the loss, and the direction of the step; gradients and speeds have all theirs."""
    losses, steps = [], []
    for arithmetic in ("float32", "bfloat16"):
        spec = small_spec(GUIDED, switches={"arithmetic": arithmetic})
        training = Training(spec, splits(spec))
        before = [p.detach().clone() for p in training.network.parameters()]
        record = take_step(training)
        after = list(training.network.parameters())
        assert {x.dtype for x in (*after, record.loss, *record.logits.values())} == {torch.float32}
        losses.append(float(record.loss))
        steps.append(torch.cat([(q - p).flatten() for p, q in zip(before, after, strict=True)]))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    assert float(torch.cosine_similarity(*steps, dim=0).detach()) > 0.99


@pytest.mark.parametrize("run", [VANILLA, GUIDED])
def test_two_branches_exchanged_have_exchanged_speeds_and_modes(splits, run):
    """Nothing but their weights tells two branches apart that see the same image."""
    spec = small_spec(run)
    gray = spec.modalities["gray"]
    spec = spec.model_copy(update={"modalities": {"a": gray, "b": gray}})
    data = splits(spec)
    one, other = Training(spec, data), Training(spec, data)
    state = {re.sub(r"\b[ab]\b|(?<=_)[ab]$", lambda m: "ba"["ab".index(m[0])], name): value
             for name, value in one.network.state_dict().items()}  # fmt: skip
    halves = {
        n: torch.cat(w.chunk(2, 1)[::-1], 1) for n, w in state.items() if "squeeze.weight" in n
    }
    other.network.load_state_dict(state | halves)
    assert len(halves) == 3
    modes = []
    for epoch in (1, 2):
        for _ in range(8):
            mine, exchanged = take_step(one, epoch=epoch), take_step(other, epoch=epoch)
            torch.testing.assert_close(mine.speeds.flip(0), exchanged.speeds, rtol=0, atol=1e-4)
            modes += [int(mine.mode), int(exchanged.mode)] if mine.mode is not None else []
    assert modes[1::2] == [{-1: -1, 0: 1, 1: 0}[mode] for mode in modes[::2]]
    assert abs(mine.speeds[0] - mine.speeds[1]) > 1e-3


def test_rubi_learns_with_16_bits_too():
    """Its own layers stand outside of what is computed with 16 bits."""
    logits = {m: torch.zeros(2, 10) for m in ("color", "gray")}
    features = {m: torch.rand(2, 8, 3, 3).bfloat16() for m in logits}
    assert OF_RUBI.losses(logits, features, torch.tensor([0, 1])).isfinite().all()


def test_a_record_holds_no_graph(training):
    """A list of records would keep the activations of all steps."""
    record = take_step(training)
    assert not any(x.requires_grad for x in (record.loss, *record.logits.values(), record.speeds))


def test_adam_counts_a_held_step_and_moves_nothing_else_of_what_is_held():
    fusion, _ = fused_with_momentum()
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.25)
    step_without_held(optimizer, fusion, torch.tensor(-1))
    held = fusion.excite["a"].bias
    before = [x.clone() for x in (held, optimizer.state[held]["exp_avg"])]
    moving = fusion.excite["b"].bias.clone()
    step_without_held(optimizer, fusion, torch.tensor(0))
    assert all(map(torch.equal, before, (held, optimizer.state[held]["exp_avg"])))
    assert optimizer.state[held]["step"] == 2
    assert not torch.equal(fusion.excite["b"].bias, moving)


def test_branches_without_fusion_modules_are_trained_in_regular_steps(training):
    """A baseline, without which nobody knows what the fusion is worth."""
    network = Network(dict(training.network.branches.items()), {}).train()
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    record = train_step(network, first(training), optimizer, Vanilla(), None, epoch=1)
    assert record.mode is None
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n, _ in network.named_parameters()}


def test_speeds_of_the_modalities_in_another_order_are_refused(training):
    """The policy's mode 0 would be the slower branch of the meter and another of the network."""
    network = training.network
    training.speeds = LearningSpeed(
        branch={m: network.branch_parameters(m) for m in ("gray", "color")},
        fusion={m: fusion_parameters(network, m) for m in ("gray", "color")},
    )
    with pytest.raises(ValueError, match=r"of \['gray', 'color'\], the network's modalities are"):
        take_step(training)


def test_mixed_precision_skips_a_step_and_holds_what_the_mode_holds():
    """As docs/own-network.md has it: unscale, measure, let the scaler take the step."""
    fusion, optimizer = fused_with_momentum()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    moves = []
    for gradient, mode in ((math.inf, -1), (1.0, -1), (1.0, 0)):
        for p in fusion.parameters():
            p.grad = scaler.scale(torch.full_like(p, gradient))
        scaler.unscale_(optimizer)
        before = copy.deepcopy(fusion)
        step_without_held(optimizer, fusion, torch.tensor(mode), lambda: scaler.step(optimizer))
        scaler.update()
        pairs = [(before.excite[m].bias, fusion.excite[m].bias) for m in "ab"]
        moves += [float((old - new).detach().mean()) for old, new in pairs]
    assert moves == pytest.approx([0, 0, 0.25, 0.25, 0, 0.25 * 1.9])


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore")  # torch.compile looks at what it then warns of
@pytest.mark.parametrize(
    "wrap",
    [lambda network: network, DistributedDataParallel, partial(torch.compile, backend="eager")],
    ids=["bare", "distributed", "compiled"],
)
def test_wrappers_and_other_forms_of_a_batch_train_the_same_network(training, wrap):
    whole, batch = copy.deepcopy(training), first(training)
    network, called = wrap(training.network).train(), []
    network.register_forward_pre_hook(lambda *_: called.append(True))
    given = batch.inputs | {"labels": batch.labels.int().numpy()}
    train_step(network, given, training.optimizer, training.policy, training.speeds, epoch=1)
    take_step(whole)
    assert called == [True]  # a wrapper averages gradients where it is called itself
    assert not moved(whole, training)
    # One process of a group measures alone: a distributed wrapper would wait for the others.
    rates = conditional_utilization(network, [batch], [batch])
    assert len(called) == 1 + 3 * (network is training.network)
    bare = conditional_utilization(training.network, [batch], [batch])
    assert rates == pytest.approx(bare, nan_ok=True)


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore")
def test_a_distributed_network_is_trained_whatever_is_around_it(training, monkeypatch):
    wrapped = torch.compile(DistributedDataParallel(training.network), backend="eager").train()
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    parts = first(training), training.optimizer, Vanilla(), training.speeds
    assert train_step(wrapped, *parts, epoch=1).loss.isfinite()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(
    ("of_network", "of_batch", "policy", "said"),
    [
        (lambda n: n, lambda b: b, None, "pass the DistributedDataParallel itself, not its `module`"),
        (DistributedDataParallel, lambda b: b, OF_RUBI, "RUBi has .'parameters'. of its own, which nobody averages"),
        (lambda n: n, lambda b: b, OF_RUBI, r"does not move \['policy.0', 'policy.1', 'policy.2'\] and 3 more: give it"),
        (lambda n: n.eval(), lambda b: b, None, r"call network\.train\(\) before the step"),
        (nn.DataParallel, lambda b: b, None, "wrap the network in DistributedDataParallel"),
        (lambda n: n.branches, lambda b: b, None, "takes an .*Network, given a ModuleDict: for any other"),
        (lambda n: n, lambda b: b.inputs, None, r"a batch is a dict: expected .*`labels` in it"),
    ],
)  # fmt: skip
def test_what_can_not_be_trained_is_refused_in_a_sentence(
    training, monkeypatch, of_network, of_batch, policy, said
):
    given = of_network(training.network.train())
    if said.startswith(("pass the", "RUBi")):  # as one of two
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    batch = of_batch(first(training))
    with pytest.raises((ValueError, TypeError), match=said):
        train_step(given, batch, training.optimizer, policy or Vanilla(), training.speeds, epoch=1)


def test_a_record_keeps_the_mode_of_its_step_and_the_next_is_chosen_only_where_it_may_be(training):
    kinds = []
    for may in (True, False):
        training.policy = Random(("color", "gray"), warmup_epochs=1, seed=0)
        records = [take_step(training, epoch=2, advance=may) for _ in range(6)]
        kinds.append({int(record.mode) for record in records})
    assert kinds == [{-1, 0, 1}, {-1}]


def test_a_policy_makes_the_gradient_the_speeds_see_it_and_then_it_is_modulated(splits):
    """Halved by `backward`, which the speeds see; doubled by `modulate`, so that the step is a usual one."""

    class Halved(Policy):
        def backward(self, terms, network):
            (terms.sum() / 2).backward()

        def modulate(self, network, logits, labels):
            assert not any(z.requires_grad for z in logits.values())
            for p in network.parameters():
                p.grad.mul_(2)

    spec, taken = small_spec(VANILLA, switches={"l1_in_speed": False}), []
    for policy in (Vanilla(), Halved()):
        training = Training(spec, splits(spec))
        training.policy = policy
        loss = take_step(training).loss
        taken.append((loss, training.speeds.sums, [*training.network.parameters()]))
    (loss, sums, weights), (of_halved, halved, same) = taken
    assert torch.equal(loss, of_halved)
    torch.testing.assert_close(halved * 4, sums)
    assert all(torch.equal(p, q) for p, q in zip(weights, same, strict=True))


def test_a_policy_looks_back_on_each_epoch_but_the_last_and_never_sees_the_test_set(splits):
    seen = []

    class Curious(Policy):
        def end_epoch(self, network, splits):
            seen.append({name: sum(map(len, batches)) for name, batches in splits.items()})

    spec = small_spec(VANILLA, validation="validation")
    parts = splits(spec)
    training = Training(spec, parts | {"validation": parts["test"]})
    training.policy = Curious()
    training.run()
    assert seen == [{"train": 36, "validation": 20}] * 2
