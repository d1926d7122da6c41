"""Late fusion: one classifier that is measured and re-balanced like any fusion."""

import torch
import torch.nn.functional as F
from torch import nn

from equimodal.fusion.base import Flow, fusion_parameters, held_parameters
from equimodal.fusion.late import LateFusion
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.models.network import Network
from equimodal.training.balance import Balance
from equimodal.training.evaluate import conditional_utilization
from equimodal.training.policies import Guided
from equimodal.training.step import train_step


def features():
    torch.manual_seed(0)
    return {"a": torch.rand(6, 4, 3), "b": torch.rand(6, 2, 5, 5)}


def test_every_branch_answers_with_one_layer_of_the_concatenated_squeezes():
    fusion, x = LateFusion({"a": 4, "b": 2}, 3), features()
    h = {m: v.flatten(2).mean(-1) for m, v in x.items()}
    logits = fusion(x)
    torch.testing.assert_close(logits["a"], fusion.squeeze(torch.cat([h["a"], h["b"]], 1)))
    assert torch.equal(logits["a"], logits["b"])
    fusion(x, Flow(record=True))
    of_others = torch.cat([h["a"], h["b"].mean(0).expand(6, 2)], 1)  # so far both means are these
    for flow in (Flow(isolated=True), Flow(rebalance=torch.tensor(0))):
        torch.testing.assert_close(fusion.eval()(x, flow)["a"], fusion.squeeze(of_others))
    torch.testing.assert_close(fusion(x, flow)["b"], logits["b"])
    assert held_parameters(fusion) == [[], []]
    assert [name for name, _ in fusion.named_parameters()] == ["squeeze.weight", "squeeze.bias"]


def test_the_answer_is_the_mean_of_the_branches_shares():
    """Of one layer and of classifiers of their own, with two modalities and with three."""
    for sizes in ({"a": 4, "b": 2}, {"a": 4, "b": 2, "c": 3}):
        torch.manual_seed(0)
        x = {m: torch.rand(5, c) for m, c in sizes.items()}
        heads = {m: nn.Linear(c, 3) for m, c in sizes.items()}
        for fusion in (LateFusion(sizes, 3), LateFusion(sizes, 3, heads)):
            shares = fusion(x, Flow(apart=True))
            answer = torch.stack(list(shares.values())).mean(0)
            for m, z in fusion(x).items():
                torch.testing.assert_close(z, answer)
                other = fusion(x | {m: 2 * x[m]}, Flow(apart=True))
                assert [not torch.equal(other[n], shares[n]) for n in sizes] == [
                    n == m for n in sizes
                ]
        for m, head in heads.items():
            assert torch.equal(shares[m], head(x[m]))


def test_isolated_the_others_are_at_their_training_set_means():
    sizes, x = {"a": 4, "b": 2}, {"a": torch.rand(6, 4), "b": torch.rand(6, 2)}
    fusion = LateFusion(sizes, 3, heads := {m: nn.Linear(c, 3) for m, c in sizes.items()})
    fusion.eval()(x, Flow(record=True))
    isolated = fusion(x, Flow(isolated=True))["a"]
    torch.testing.assert_close(isolated, (heads["a"](x["a"]) + heads["b"](x["b"].mean(0))) / 2)
    fusion_of_a = {id(p) for p in fusion_parameters(fusion, "a")}
    assert fusion_of_a == {id(p) for head in heads.values() for p in head.parameters()}


class Branch(nn.Module):
    widths = (8,)

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(nn.Linear(4, 8), nn.ReLU())])
        self.head = nn.Identity()


def test_what_one_modality_alone_knows_the_other_branch_owes_to_it():
    """With the network and the step of ours, under guided training."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 4
    inputs = {"known": 3.0 * F.one_hot(labels, 4), "noise": torch.randn(64, 4)}
    fusion = LateFusion({"known": 8, "noise": 8}, 4)
    network = Network({m: Branch() for m in inputs}, {1: fusion}).train()
    speeds = LearningSpeed(branch={m: network.branch_parameters(m) for m in inputs}, fusion=network)
    policy = Guided(Balance(tolerance=0.01, window=2, warmup_epochs=1))
    optimizer, modes = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9), set()
    for epoch in range(1, 41):
        record = train_step(network, (inputs, labels), optimizer, policy, speeds, epoch=epoch)
        modes.add(int(record.mode))
    assert len(modes) > 1
    rates = conditional_utilization(network, [inputs], [(inputs, labels)])
    assert rates["known"] < 0.1
    assert rates["noise"] > 0.3
