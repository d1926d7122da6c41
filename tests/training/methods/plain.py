"""A network without fusion that can be written out by hand, in float64, and its step."""

import torch
from torch import nn

from equimodal.fusion.late import LateFusion
from equimodal.models.network import Network
from equimodal.training.step import train_step

CLASSES, WIDTHS = 4, {"a": 5, "b": 6, "c": 7}


class Branch(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.widths = (width,)
        self.stages = nn.ModuleList([nn.Sequential(nn.Linear(3, width), nn.Tanh())])
        self.head = nn.Identity()


def network(count=2):
    torch.manual_seed(0)
    widths = dict(list(WIDTHS.items())[:count])
    heads = {m: nn.Linear(w, CLASSES) for m, w in widths.items()}
    late = LateFusion(widths, CLASSES, heads)
    return Network({m: Branch(w) for m, w in widths.items()}, {1: late}).double().train()


def batch(count=2, seed=1, size=9):
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        m: torch.randn(size, 3, generator=generator, dtype=torch.float64)
        for m in list(WIDTHS)[:count]
    }
    return inputs, torch.randint(CLASSES, (size,), generator=generator)


def weights(net):
    """Encoder's and classifier's weight and bias of each branch."""
    late = net.fusions["1"]
    return {m: (*net.encoder_parameters(m), *late.excite[m].parameters()) for m in net.modalities}


def shares(net, inputs):
    """h_u and z_u of each branch, written out."""
    h = {m: torch.tanh(inputs[m] @ w[0].T + w[1]) for m, w in weights(net).items()}
    return h, {m: h[m] @ w[2].T + w[3] for m, w in weights(net).items()}


def mean(z):
    return sum(z.values()) / len(z)


def gradients(loss, net):
    """Of a loss, by the parameters of each branch."""
    every = weights(net)
    flat = torch.autograd.grad(
        loss, [p for w in every.values() for p in w], allow_unused=True, materialize_grads=True,
        retain_graph=True,
    )  # fmt: skip
    return {m: flat[4 * u : 4 * u + 4] for u, m in enumerate(every)}


def steps(policy, net, batches, rate=0.0):
    """Take a step on each batch; return the gradients of the last one, and its record."""
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    for each in batches:
        record = train_step(net, each, optimizer, policy, None, epoch=1)
    return {m: [p.grad for p in w] for m, w in weights(net).items()}, record


def agree(found, expected):
    for m in expected:
        for x, y in zip(found[m], expected[m], strict=True):
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


def ce(z, y):
    """Mean cross-entropy, example by example."""
    return -sum(torch.log_softmax(row, 0)[label] for row, label in zip(z, y, strict=True)) / len(y)
