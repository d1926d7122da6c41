"""Each balancing method against its rule, written out slowly; the network has no fusion."""

import math
from functools import partial
from itertools import permutations

import pytest
import torch

from equimodal.metrics.gradients import cosine
from equimodal.training.methods import (
    agm,
    g_blend,
    joint,
    mmpareto,
    ogm_ge,
    pmr,
    relearning,
    uniform,
)

from .plain import CLASSES, agree, batch, ce, gradients, mean, network, shares, steps

BOTH = pytest.mark.parametrize("count", [2, 3])


@BOTH
def test_joint_training_has_the_loss_of_the_answer(count):
    net, (x, y) = network(count), batch(count)
    expected = gradients(ce(mean(shares(net, x)[1]), y), net)
    agree(steps(joint.METHOD(net), net, [(x, y)])[0], expected)


@BOTH
def test_uniform_training_has_it_and_one_for_each_branch(count):
    net, (x, y) = network(count), batch(count)
    _, z = shares(net, x)
    loss = ce(mean(z), y) + sum(ce(z_u, y) for z_u in z.values())
    expected = gradients(loss, net)
    found, record = steps(uniform.METHOD(net), net, [(x, y)])
    agree(found, expected)
    torch.testing.assert_close(record.loss, loss.detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("scaled", ["branch", "convolutions"])
def test_ogm_ge_slows_the_better_branch_and_adds_noise(scaled):
    net, (x, y) = network(), batch()
    _, z = shares(net, x)
    s = {m: sum(z_u[i].softmax(0)[y[i]] for i in range(len(y))) for m, z_u in z.items()}
    better, worse = sorted(s, key=s.get, reverse=True)
    k = {better: 1 - math.tanh(0.4 * float((s[better] / s[worse]).detach())), worse: 1.0}
    expected = {m: list(g) for m, g in gradients(ce(mean(z), y), net).items()}
    torch.manual_seed(3)
    for m, g in expected.items() if scaled == "branch" else ():
        for i in (0, 1):  # the encoder's
            noise = torch.randn(g[i].shape, dtype=torch.float64) * g[i].std()
            g[i] = k[m] * g[i] + noise
    settings = {"alpha": 0.4, "last_epoch": 1, "scaled": scaled, "noise": True}
    policy = ogm_ge.METHOD(net, **settings)
    torch.manual_seed(3)
    plain = gradients(ce(mean(z), y), net)
    agree(steps(policy, net, [(x, y)])[0], expected)  # of two dimensions are all of its tensors
    policy.end_epoch(net, {})
    agree(steps(policy, net, [(x, y)])[0], plain)
    with pytest.raises(ValueError, match=r"for two modalities, given \['a', 'b', 'c'\]"):
        ogm_ge.METHOD(network(3), **settings)


@BOTH
def test_agm_weighs_the_gradient_into_each_modality_s_part(count):
    net, alpha, every, running = network(count), 1.7, [batch(count, seed) for seed in (1, 2)], None
    for t, (x, y) in enumerate(every, start=1):

        def f(seen, x=x):
            return mean(shares(net, {m: v if m in seen else 0 * v for m, v in x.items()})[1])

        parts = dict.fromkeys(x, 0.0)
        orders = list(permutations(x))
        for order in orders:
            for i, m in enumerate(order):
                parts[m] = parts[m] + (f(order[: i + 1]) - (f(order[:i]) if i else 0)) / len(orders)
        if count == 2:
            torch.testing.assert_close(parts["a"], (f("ab") - f("b") + f("a")) / 2)
        s = torch.stack([ce(m, y) for m in parts.values()]).detach()
        running = s if running is None else running + (s - running) / t
        r, tau = ((count / (count - 1) * (v.mean() - v)).exp() for v in (s, running))
        k = (alpha * (tau - r)).exp()
    z = sum(parts.values())
    error = (z.softmax(1) - torch.eye(CLASSES, dtype=torch.float64)[y]).detach() / len(y)
    loss = sum((k_u * error * m).sum() for k_u, m in zip(k, parts.values(), strict=True))
    expected = gradients(loss, net)
    found, record = steps(agm.METHOD(net, alpha=alpha), net, every)
    agree(found, expected)
    torch.testing.assert_close(mean(record.logits), mean(shares(net, x)[1]).detach())


def test_masked_passes_move_no_running_statistics():
    net, inputs = network(), batch()
    net.branches["a"].stages[0].append(torch.nn.BatchNorm1d(5).double())
    steps(agm.METHOD(net, alpha=1.0), net, [inputs])
    norm = net.branches["a"].stages[0][-1]
    assert norm.num_batches_tracked == 1
    assert net.fusions["1"].gates_seen == len(inputs[1])


@BOTH
def test_pmr_pulls_the_slow_branch_to_the_prototypes_of_its_classes(count):
    net, parts, (x, y) = network(count), [batch(count, 5, 40), batch(count, 6, 30)], batch(count)
    policy = pmr.METHOD(net, alpha=0.7, entropy=0.2, last_epoch=2, classes=CLASSES)
    plain = gradients(ce(mean(shares(net, x)[1]), y), net)
    agree(steps(policy, net, [(x, y)])[0], plain)  # no prototypes yet
    policy.end_epoch(net, {"train": [Of(*part) for part in parts]})
    net.train()
    seen = [shares(net, part)[0] for part, _ in parts]
    h, z = shares(net, x)
    q = {}
    for m in x:
        stored, labels = torch.cat([s[m] for s in seen]), torch.cat([label for _, label in parts])
        c = [stored[labels == k].mean(0).detach() for k in range(CLASSES)]
        q[m] = torch.stack(
            [(-torch.stack([(row - p).norm() for p in c])).softmax(0) for row in h[m]]
        )
    of_label = {m: torch.stack([q[m][i, y[i]] for i in range(len(y))]) for m in x}
    slow, *_, fast = sorted(x, key=lambda m: of_label[m].sum())
    entropy = -(q[fast] * q[fast].log()).sum(1).mean()
    loss = ce(mean(z), y) - 0.7 * of_label[slow].log().mean() - 0.2 * entropy
    expected = gradients(loss, net)
    agree(steps(policy, net, [(x, y)])[0], expected)
    policy.end_epoch(net, {"train": []})
    agree(steps(policy, net, [(x, y)])[0], plain)


def integrated(g_m, g_u, gamma):
    """MMPareto's rule for one encoder."""
    m, u = (torch.cat([g.flatten() for g in gradient]) for gradient in (g_m, g_u))
    w = 0.5
    if (m @ u) <= 0:
        w = min(max(float((u - m) @ u / ((m - u) @ (m - u))), 0.0), 1.0)
    h = 2 * (w * m + (1 - w) * u)
    h = gamma * h * max(1.0, float((m + u).norm() / h.norm()))
    return [part.view_as(g) for part, g in zip(h.split([g.numel() for g in g_m]), g_m, strict=True)]


@BOTH
def test_mmpareto_integrates_the_gradients_of_each_encoder(count):
    net, (x, y) = network(count), batch(count)
    _, z = shares(net, x)
    of_answer = gradients(ce(mean(z), y), net)
    of_branch = {m: gradients(ce(z[m], y), net)[m] for m in x}
    expected = {}
    for m in x:
        encoder = integrated(of_answer[m][:2], of_branch[m][:2], 1.5)
        head = [g + of_branch[m][i] for i, g in enumerate(of_answer[m])][2:]
        expected[m] = [*encoder, *head]
    agree(steps(mmpareto.METHOD(net, gamma=1.5), net, [(x, y)])[0], expected)


def test_a_conflict_of_gradients_is_seen_as_it_is():
    """Losses of which the gradients by each encoder have a cosine of -0.36."""
    net = network()
    policy = mmpareto.METHOD(net, gamma=1.5)
    terms, planted = [0.0], {}
    for m in net.modalities:
        encoder = net.encoder_parameters(m)
        a, b = ([torch.randn_like(p) for p in encoder] for _ in range(2))
        flat_a, flat_b = (torch.cat([g.flatten() for g in v]) for v in (a, b))
        unit = flat_a / flat_a.norm()
        across = flat_b - (flat_b @ unit) * unit
        g_u = 3 * (-0.36 * unit + math.sqrt(1 - 0.36**2) * across / across.norm())
        g_u = [
            g.view_as(p)
            for g, p in zip(g_u.split([p.numel() for p in encoder]), encoder, strict=True)
        ]
        planted[m] = (a, g_u)
        terms[0] = terms[0] + sum((p * g).sum() for p, g in zip(encoder, a, strict=True))
        terms.append(sum((p * g).sum() for p, g in zip(encoder, g_u, strict=True)))
    policy.backward(torch.stack(terms), net)
    expected = torch.full((2,), -0.36, dtype=torch.float64)
    torch.testing.assert_close(policy.cosines, expected, rtol=1e-9, atol=0)
    for m, (g_m, g_u) in planted.items():
        assert float(cosine(g_m, g_u)) == pytest.approx(-0.36, rel=1e-9)
        for p, g in zip(net.encoder_parameters(m), integrated(g_m, g_u, 1.5), strict=True):
            torch.testing.assert_close(p.grad, g, rtol=1e-9, atol=1e-12)


@BOTH
def test_g_blend_weighs_each_loss_by_how_it_generalized_alone(count):
    net, (x, y) = network(count), batch(count)
    histories = {
        "joint": ([2.0, 1.0, 0.5], [2.0, 1.5, 1.6]),  # G 0.5, O 0.5: 2
        "a": ([2.0, 1.0, 0.1], [2.0, 2.5, 3.0]),  # never fell: 0
        "b": ([2.0, 1.0, 0.8], [2.5, 2.0, 1.5]),  # G 1.0, O 0.2: 25
        "c": ([2.0, 1.5, 0.4], [2.0, 1.0, 0.9]),  # G 1.1, O 0.5: 4.4
    }
    histories = {k: histories[k] for k in ("joint", *x)}
    raw = dict(zip(histories, [2.0, 0.0, 25.0, 4.4][: count + 1], strict=True))
    w = {k: v / sum(raw.values()) for k, v in raw.items()}
    policy = g_blend.METHOD(net, histories=histories)
    assert policy.weights.tolist() == pytest.approx(list(w.values()), rel=1e-9)
    _, z = shares(net, x)
    loss = w["joint"] * ce(mean(z), y) + sum(w[m] * ce(z[m], y) for m in x)
    expected = gradients(loss, net)
    agree(steps(policy, net, [(x, y)])[0], expected)
    assert g_blend.blend_weights([([1.0], [1.0])] * 3) == [1 / 3] * 3


class Of:
    """A batch whose inputs and labels have names."""

    def __init__(self, inputs, labels):
        self.inputs, self.labels = inputs, labels


@BOTH
def test_relearning_takes_encoders_back_by_how_much_purer_the_training_set_is(count):
    net = network(count)
    policy = relearning.METHOD(net, strength=3.0, every=2, times=1, classes=CLASSES)
    start = {m: [p.detach().clone() for p in net.encoder_parameters(m)] for m in net.modalities}
    for p in net.parameters():
        p.data += 0.3 * torch.randn_like(p)
    moved = {m: [p.detach().clone() for p in net.encoder_parameters(m)] for m in net.modalities}
    splits = {"train": [Of(*batch(count, 7, 60))], "validation": [Of(*batch(count, 8, 40))]}
    pure = {}
    for name, (part,) in splits.items():
        for m, h in shares(net, part.inputs)[0].items():
            cluster = relearning.k_means(h.detach(), CLASSES, 0).tolist()
            most = 0
            for c in set(cluster):
                mine = [int(k) for k, own in zip(part.labels, cluster, strict=True) if own == c]
                most += max(mine.count(k) for k in set(mine))
            pure[name, m] = most / len(cluster)
    policy.end_epoch(net, splits)
    assert all(
        torch.equal(p, q)
        for m in moved
        for p, q in zip(net.encoder_parameters(m), moved[m], strict=True)
    )
    policy.end_epoch(net, splits)
    for m, nows in moved.items():
        share = math.tanh(3.0 * abs(pure["train", m] - pure["validation", m]))
        assert share > 0
        for p, now, then in zip(net.encoder_parameters(m), nows, start[m], strict=True):
            torch.testing.assert_close(p, (1 - share) * now + share * then, rtol=1e-9, atol=1e-12)
    policy.end_epoch(net, {})  # epoch 3; epoch 4 would be the second time
    policy.end_epoch(net, {})


def test_k_means_finds_clusters_that_are_apart():
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (90,), generator=generator)
    h = 10 * torch.eye(3).double()[label] + torch.rand(90, 3, generator=generator)
    assert relearning.purity(h, label, 3, seed=0) == 1
    assert relearning.purity(torch.zeros(90, 3).double(), label, 3, seed=0) == pytest.approx(
        label.bincount().max().item() / 90
    )


def test_what_a_method_remembers_is_in_its_state():
    net, other = network(), network()
    every = [batch(seed=seed) for seed in (1, 2)]
    policy, restored = agm.METHOD(net, alpha=1.0), agm.METHOD(other, alpha=1.0)
    steps(policy, net, every[:1])
    policy.end_epoch(net, {})
    restored.load_state_dict(policy.state_dict())
    assert restored.epoch == 2
    agree(steps(restored, other, every[1:])[0], steps(policy, net, every[1:])[0])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_noise_of_ogm_ge_is_normal_and_lies_as_the_gradient_does(layout):
    gradient = torch.zeros(64, 32, 3, 3).to(memory_format=layout)
    torch.manual_seed(0)
    noise = ogm_ge._noise_like(gradient)
    assert noise.stride() == gradient.stride()
    assert noise.unique().numel() > 0.99 * noise.numel()
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)


class Seen(torch.nn.Module):
    """Pass features on, and remember in which mode."""

    def __init__(self):
        super().__init__()
        self.modes = set()

    def forward(self, h):
        self.modes.add(self.training)
        return h


@pytest.mark.parametrize(
    "policy",
    [
        partial(pmr.METHOD, alpha=0.7, entropy=0.2, last_epoch=2),
        partial(relearning.METHOD, strength=1.0, every=1, times=1),
    ],
)
def test_features_are_read_at_the_end_of_an_epoch_as_the_network_evaluates(policy):
    net, seen = network(), Seen()
    net.branches["a"].stages[0].append(seen)
    part = [Of(*batch(size=30))]
    policy(net, classes=CLASSES).end_epoch(net, {"train": part, "validation": part})
    assert seen.modes == {False}
