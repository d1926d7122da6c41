"""A network of one's own in a loop of one's own, with the one object that does the rest."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from equimodal import Balance, Balancer, Guided, LearningSpeed, Random, RUBi, Vanilla

from .own import EPOCHS, Noted, Own, batches, loss_of, sgd


def backward(model, balancer, batch=None):
    inputs, labels = batch or next(iter(batches()))
    loss_of(model(inputs, balancer.flow), labels).backward()


def trained(model, balancer, optimizer, epochs):
    for epoch in epochs:
        for batch in batches():
            optimizer.zero_grad()
            backward(model, balancer, batch)
            balancer.step(optimizer, epoch=epoch)


def test_a_training_that_was_saved_goes_on_as_if_it_had_not_been(tmp_path):
    model, policy = Own("MMTM"), Noted()
    balancer, optimizer = Balancer(model, policy), sgd(model)
    trained(model, balancer, optimizer, range(1, 3))
    parts = {"model": model, "optimizer": optimizer, "balancer": balancer}
    torch.save({k: x.state_dict() for k, x in parts.items()}, tmp_path / "checkpoint.pt")
    trained(model, balancer, optimizer, range(3, 5))

    other = Own("MMTM")
    second = {"model": other, "optimizer": sgd(other), "balancer": Balancer(other, Noted())}
    for k, state in torch.load(tmp_path / "checkpoint.pt", weights_only=True).items():
        second[k].load_state_dict(state)
    trained(other, second["balancer"], second["optimizer"], range(3, 5))
    half = len(policy.seen) // 2
    for (mode, speeds), (again, same) in zip(
        policy.seen[half:], second["balancer"].policy.seen, strict=True
    ):
        assert mode == again
        assert torch.equal(speeds, same)
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_a_state_that_is_refused_changes_nothing():
    model = Own("MMTM")
    balancer, optimizer = Balancer(model, Noted()), sgd(model)
    trained(model, balancer, optimizer, [1])
    before = balancer.speeds.sums.clone()
    other = Balancer(Own("MMTM"), Noted()).state_dict()
    for state, said in (
        (None, "a state None is none of a Balancer"),
        (model.state_dict(), "none of a Balancer"),
        (other | {"modalities": ["b", "a"]}, "name the same in the same order"),
        (other | {"policy": {}}, "not one of this Noted"),
    ):
        with pytest.raises(ValueError, match=said):
            balancer.load_state_dict(state)
    assert torch.equal(balancer.speeds.sums, before)


def test_a_step_under_way_is_given_up_for_a_state():
    model = Own("MMTM")
    balancer, optimizer = Balancer(model, Noted()), sgd(model)
    state = balancer.state_dict()
    backward(model, balancer)
    balancer.before_step(optimizer)
    balancer.load_state_dict(state)
    balancer.after_step(epoch=1)  # of nothing
    assert not balancer.speeds.sums.any()
    backward(model, balancer)
    balancer.step(optimizer, epoch=1)


def test_between_steps_the_flow_of_an_evaluation_is_regular():
    model = Own("MMTM")
    balancer = Balancer(model, Noted())
    balancer.policy.mode.fill_(1)
    assert balancer.flow.rebalance is not None
    model.eval()
    assert balancer.flow.rebalance is None


def test_an_optimizer_with_passes_of_its_own_is_refused():
    model = Own("MMTM")
    with pytest.raises(TypeError, match="LBFGS makes several passes"):
        Balancer(model).step(torch.optim.LBFGS(model.parameters()), epoch=1)


def test_what_there_is_to_log_are_names_and_floats():
    model = Own("FiLM")
    balancer, optimizer = Balancer(model), sgd(model)
    trained(model, balancer, optimizer, [1])
    found = balancer.scalars()
    a, b = balancer.speeds.values.tolist()
    assert found == {"speed/a": a, "speed/b": b, "d_speed": a - b, "mode": -1.0}
    assert {type(x) for x in found.values()} == {float}


def test_a_step_that_the_scaler_skips_moves_nothing():
    model = Own("MMTM")
    balancer, optimizer = Balancer(model, Noted()), sgd(model)
    trained(model, balancer, optimizer, range(1, EPOCHS))
    before = copy.deepcopy(model.state_dict()), balancer.speeds.sums.clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    inputs, labels = next(iter(batches()))
    optimizer.zero_grad()
    loss = loss_of(model(inputs, balancer.flow), labels)
    scaler.scale(loss * torch.inf).backward()
    balancer.step(optimizer, epoch=1, scaler=scaler)
    assert torch.equal(balancer.speeds.sums, before[1])
    for name, p in model.named_parameters():
        assert torch.equal(p, before[0][name]), name


class Table(nn.Module):
    """Sparse gradients of an embedding beside dense ones."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.own = Own("late")
        self.table_a = nn.Embedding(9, 6, sparse=True)

    def forward(self, inputs, flow):
        words = inputs["a"][:, 0, 0].long().abs().clamp(max=8)
        return self.own(inputs | {"a": inputs["a"] + self.table_a(words)[:, None]}, flow)


def test_sparse_gradients_are_clipped_with_the_others():
    found = []
    for sparse in (True, False):
        model = Table()
        model.table_a.sparse = sparse
        balancer, optimizer = Balancer(model), torch.optim.SGD(model.parameters(), lr=0.1)
        backward(model, balancer)
        balancer.step(optimizer, epoch=1, max_norm=0.1)
        found.append([balancer.speeds.values, *model.parameters()])
    for x, y in zip(*found, strict=True):
        torch.testing.assert_close(x, y)


def test_a_regression_is_balanced_by_a_loss_of_one_s_own():
    """Nothing in a step asks what the labels are."""
    model, policy = Own("late"), Noted()
    balancer, optimizer = Balancer(model, policy), sgd(model)
    for epoch in (1, 2):
        for inputs, labels in batches():
            optimizer.zero_grad()
            z = model(inputs, balancer.flow)["a"]
            F.mse_loss(z[:, 0], labels.float()).backward()
            balancer.step(optimizer, epoch=epoch)
    assert {mode for mode, _ in policy.seen} > {-1}


class Louder(Vanilla):
    def modulate(self, network, logits, labels):
        pass


def twice(model, balancer, optimizer):
    backward(model, balancer)
    balancer.before_step(optimizer)
    balancer.before_step(optimizer)


def replaced(model, balancer, optimizer):
    backward(model, balancer)  # so that the old head has gradients, which nobody clears
    model.head["a"] = nn.Linear(4, 3)
    backward(model, balancer)
    balancer.step(sgd(model), epoch=1)


def unfrozen(model, balancer, optimizer):
    model.stem.requires_grad_(False)
    balancer = Balancer(model)
    model.stem.requires_grad_(True)
    backward(model, balancer)
    balancer.step(optimizer, epoch=1)


def without_flow(model, balancer, optimizer):
    inputs, labels = next(iter(batches()))
    loss_of(model(inputs), labels).backward()
    balancer.step(optimizer, epoch=1)


MISTAKES = {
    "a policy of other modalities": (lambda m, b, o: Balancer(m, Random(("b", "a"), warmup_epochs=1, seed=0)),
        r"chooses among \['b', 'a'\], the network's modalities are \['a', 'b'\]"),
    "a policy that changes the gradient": (lambda m, b, o: Balancer(m, Louder()),
        r"Louder has \['modulate'\] of its own, which a loop of yours does not call"),
    "a policy with a loss": (lambda m, b, o: Balancer(m, RUBi("a", features=4, classes=3, hidden_layers=0, weight=1.0, seed=0)),
        r"RUBi has \['losses', 'parameters'\] of its own"),
    "evaluation mode": (lambda m, b, o: (m.eval(), b.step(o, epoch=1)), r"call network.train\(\) before the step"),
    "no flow": (without_flow, r"asked for the flow, .* call model\(inputs, balancer.flow\)"),
    "an optimizer of one branch": (lambda m, b, o: (backward(m, b), b.step(sgd(m.head["a"]), epoch=1)),
        r"does not move \['stem.a.weight', 'stem.a.bias', 'stem.b.weight'\] and \d+ more: give it all"),
    "two optimizers": (twice, "take one optimizer for all parameters"),
    "no gradients": (lambda m, b, o: (backward(m, b), o.zero_grad(), b.step(o, epoch=1)),
        r"update comes after backward\(\) and before zero_grad"),
    "speeds of another network": (lambda m, b, o: Balancer(Own("MMTM"), speeds=b.speeds),
        "of other parameters than the network's, a copy's or replaced ones: build .* anew"),
    "parameters that were replaced": (replaced, "give it the state_dict of this one to go on"),
    "parameters that were unfrozen": (unfrozen, "frozen or unfrozen since .* build it anew"),
    "clipping to nothing": (lambda m, b, o: (backward(m, b), b.step(o, epoch=1, max_norm=0.0)),
        "max_norm is 0.0, which would undo the step"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_a_sentence(mistake):
    act, sentence = MISTAKES[mistake]
    model = Own("MMTM")
    balancer = Balancer(model, Guided(Balance(tolerance=0.1, window=2, warmup_epochs=1)))
    with pytest.raises((TypeError, ValueError), match=sentence):
        act(model, balancer, sgd(model))


def test_the_speeds_may_be_of_settings_of_one_s_own():
    model = Own("MMTM")
    speeds = LearningSpeed.of(model, norm="after_step")
    balancer, optimizer = Balancer(model, speeds=speeds), sgd(model)
    trained(model, balancer, optimizer, [1])
    assert balancer.speeds is speeds
    assert speeds.values.isfinite().all()


def test_frozen_parameters_need_no_optimizer():
    model = Own("MMTM")
    model.stem.requires_grad_(False)
    balancer = Balancer(model)
    backward(model, balancer)
    trained = [p for p in model.parameters() if p.requires_grad]
    balancer.step(torch.optim.SGD(trained, lr=0.1), epoch=1)
