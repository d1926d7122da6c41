"""What a user of the library does wrong at first, and the sentence that says what to do."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from equimodal import (
    MMTM,
    Balance,
    Batch,
    Guided,
    LateFusion,
    LearningSpeed,
    Network,
    Policy,
    Random,
    RUBi,
    Vanilla,
    conditional_utilization,
    train_step,
)

BALANCE = Balance(tolerance=0.1, window=2, warmup_epochs=1)


class Branch(nn.Module):
    widths = (4,)

    def __init__(self, head=None):
        super().__init__()
        self.stages = nn.ModuleList([nn.Linear(3, 4)])
        self.head = head or nn.Linear(4, 2)


class Own(Policy):
    kept = ("mode",)

    def __init__(self, *, mode=None, losses=None, layers=None, kept=("mode",)):
        self.mode, self.terms, self.layers, self.kept = mode, losses, layers, kept

    def losses(self, logits, features, labels):
        return self.terms


def network():
    return Network({"a": Branch(), "b": Branch()}, {1: MMTM({"a": 4, "b": 4})})


def batch(labels=(0, 1, 1)):
    inputs = {m: torch.ones(3, 3) for m in ("a", "b")}
    return inputs, torch.tensor(labels)


def meter(net):
    return LearningSpeed({m: net.branch_parameters(m) for m in net.modalities}, net)


def step(net=None, policy=None, *, examples=None, speeds="its own", epoch=1):
    net = net or network()
    policy = policy or Vanilla()
    of_policy = policy.parameters() if isinstance(policy, Policy) else ()
    if speeds == "its own":
        speeds = meter(net)
    optimizer = torch.optim.SGD([*net.parameters(), *of_policy], lr=0.1)
    return train_step(net, examples or batch(), optimizer, policy, speeds, epoch=epoch)


def rubi(modality, weight=1.0):
    return RUBi(modality, features=4, classes=2, hidden_layers=0, weight=weight, seed=0)


def at_random(modalities):
    return Random(modalities, warmup_epochs=1, seed=0)


def measured(train=None, test=None, **metric):
    return conditional_utilization(network(), train or [batch()], test or [batch()], **metric)


def fuse(a, b, *flow):
    return MMTM({"a": 3, "b": 3})({"a": a, "b": b}, *flow)


def forgetful():
    """A fusion with a layer that none of its lists of parameters has."""
    fusion = MMTM({"a": 4, "b": 4})
    fusion.layer = nn.Linear(2, 2)
    return fusion


NETWORK = network()
ONES = torch.ones(2, 3)
MISTAKES = {
    "guided without speeds": (lambda: step(policy=Guided(BALANCE), speeds=None), "give train_step the LearningSpeed"),
    "the class of a policy": (lambda: step(policy=Guided), "expected a policy, such as"),
    "guided with a number": (lambda: Guided(0.1), r"Guided takes a Balance\(tolerance"),
    "the meter in place of its values": (lambda: Guided(BALANCE).advance(meter(network()), epoch=1), "advance takes speeds.values"),
    "epochs from 0": (lambda: step(policy=Guided(BALANCE), epoch=0), "epochs count from 1"),
    "epochs from 0, at random": (lambda: at_random(("a", "b")).advance(None, epoch=0), "epochs count from 1"),
    "no number of an epoch": (lambda: Guided(BALANCE).advance(torch.ones(2), epoch=None), "epoch is None; epochs count from 1"),
    "one text for modalities": (lambda: at_random("ab"), "modalities are names"),
    "nothing to balance": (lambda: at_random(["a"]), "nothing to balance"),
    "a policy for another network": (lambda: step(policy=at_random(("x", "y", "z"))), r"the policy chooses among \['x', 'y', 'z'\]"),
    "a biased modality that is none": (lambda: step(policy=rubi("c")), r"the network has \['a', 'b'\]"),
    "a negative weight": (lambda: rubi("a", weight=-1.0), "weight -1.0; expected numbers from 0 on"),
    "the speeds of a copy": (lambda: step(copy.deepcopy(NETWORK), speeds=meter(NETWORK)), "build LearningSpeed anew for this network"),
    "the whole network as a branch": (lambda: LearningSpeed({m: NETWORK.parameters() for m in "ab"}, NETWORK), r"hold parameters of the fusion"),
    "a name that torch keeps": (lambda: Network({"type": Branch(), "b": Branch()}, {}), "'type' can not name a modality"),
    "a list of branches": (lambda: Network([Branch()], {}), "branches is a list: expected a dict"),
    "text for a stage": (lambda: Network({m: Branch() for m in "ab"}, {"1": MMTM({"a": 4, "b": 4})}), "there is no stage '1'"),
    "a head after late fusion": (lambda: Network({m: Branch() for m in "ab"}, {1: LateFusion({"a": 4, "b": 4}, 2)}), r"has to be nn.Identity\(\)"),
    "labels that are no integers": (lambda: step(examples=batch((0.0, 1.0, 1.0))), r"labels.long\(\), if they are class indices"),
    "a batch in place of a set": (lambda: measured(Batch(*batch())), "the training set is a Batch: expected batches"),
    "examples in place of batches": (lambda: measured(test=[(batch()[0], torch.tensor(1))]), "a set holds batches, not examples"),
    "a metric by its name": (lambda: measured(metric="accuracy"), "metric takes a function"),
    "a metric of each example": (lambda: measured(metric=lambda z, y: z.argmax(-1) == y), "it has to return one number"),
    "losses in a list": (lambda: step(policy=Own(losses=list(torch.ones(2)))), "losses returned a list: expected one tensor"),
    "a number for a mode": (lambda: step(policy=Own(mode=1)), "the mode of Own is 1: expected a"),
    "a number to keep": (lambda: Own(mode=1).state_dict(), "Own.mode is a int: what is kept"),
    "a list of channels": (lambda: MMTM(["a", "b"]), "a dict of modality -> channels"),
    "one text to keep": (lambda: Own(kept="mode").state_dict(), r"one text: write \('mode',\)"),
    "nothing to keep": (lambda: Own(kept=("x",)).state_dict(), "Own.x is a NoneType: what is kept"),
    "a layer that a policy forgets": (lambda: step(policy=Own(layers={"a": [nn.Linear(2, 2)]})), r"Own holds parameters in \['layers'\] that its parameters\(\) does not return"),
    "a layer that a fusion forgets": (lambda: LearningSpeed({"a": [], "b": []}, forgetful()), r"MMTM has the parameters \['layer.weight', 'layer.bias'\], which neither"),
    "channels that are no count": (lambda: MMTM({"a": 4.0, "b": 4}), "whole numbers from 1 on"),
    "a ratio of zero": (lambda: MMTM({"a": 4, "b": 4}, squeeze_ratio=0), "leaves no code"),
    "features of a missing modality": (lambda: fuse(ONES, None), "'b': 'NoneType'}; where examples lack a modality, pass zeros and a mask"),
    "features of unlike batches": (lambda: fuse(ONES, ONES[:1]), "different numbers of examples"),
    "features of whole numbers": (lambda: fuse(ONES.long(), ONES.long()), "torch.int64: expected floats"),
    "a switch for a flow": (lambda: fuse(ONES, ONES, True), "expected a Flow, such as balancer.flow"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_a_sentence_that_says_what_to_do(mistake):
    act, sentence = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError), match=sentence):
        act()


def test_the_network_of_these_mistakes_trains_and_is_measured_without_them():
    net = network()
    assert step(net).loss.isfinite()
    rates = conditional_utilization(net, [batch()], [batch()])
    assert rates.keys() == {"a", "b"}


def test_a_policy_may_hold_the_network_and_what_is_frozen():
    net, teacher = network(), network().requires_grad_(False)
    policy = Own(layers=[net, teacher])
    policy.losses = Vanilla().losses
    assert step(net, policy).loss.isfinite()


def test_numbers_of_numpy_are_numbers():
    balance = Balance(tolerance=np.float32(0.5), window=np.int64(2), warmup_epochs=1)
    assert (balance.tolerance, balance.window) == (0.5, 2)


def test_rubi_takes_vectors_for_features():
    assert step(policy=rubi("a")).loss.isfinite()
