"""Late fusion: one classifier that is measured and re-balanced like any fusion."""

import torch
import torch.nn.functional as F
from torch import nn

from equimodal.fusion.base import Flow, held_parameters
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
