import pytest

from equimodal.training.methods import dgl

from .plain import agree, batch, ce, gradients, mean, network, shares, steps, weights


@pytest.mark.parametrize("count", [2, 3])
def test_encoders_learn_from_the_branches_and_classifiers_from_the_answer(count):
    net, (x, y) = network(count), batch(count)
    h, z = shares(net, x)
    of_branches = gradients(sum(ce(z_u, y) for z_u in z.values()), net)
    detached = {m: h[m].detach() @ w[2].T + w[3] for m, w in weights(net).items()}
    of_answer = gradients(ce(mean(detached), y), net)
    expected = {m: [*of_branches[m][:2], *of_answer[m][2:]] for m in x}
    agree(steps(dgl.METHOD(net), net, [(x, y)])[0], expected)


def test_frozen_parameters_get_no_gradient():
    net, data = network(2), batch(2)
    first, *_ = net.parameters()
    first.requires_grad_(False)
    steps(dgl.METHOD(net), net, [data])
    assert first.grad is None
