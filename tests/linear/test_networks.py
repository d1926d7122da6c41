import numpy as np
import pytest
import torch

from equimodal.linear.descent import descend
from equimodal.linear.moments import Moments, random_moments, toy_moments
from equimodal.linear.networks import Architecture, gradient_factors, pad, stability_limit, start
from equimodal.linear.theory import joint_solution
from equimodal.study.errors import UserError
from tests.linear.conftest import aligned, train

SHAPES = [(2, 1), (2, 2), (3, 2), (4, 1), (4, 2), (4, 3), (4, 4)]


def as_torch(layers):
    """Weights of one network, for autograd."""
    return [torch.tensor(layer[0], requires_grad=True) for layer in layers]


def loss_of(layers, moments):
    """1/2 <(y - W x)^2> of one network, written as in the paper, for autograd; and its W."""
    branches = []
    for b in (0, 1):
        product = torch.eye(layers[0].shape[-1], dtype=torch.float64)
        for layer in layers:
            product = layer[b if len(layer) == 2 else 0] @ product
        branches.append(product)
    sizes = moments.a.shape[1], moments.b.shape[1]
    w = torch.cat([p[0, :n] for p, n in zip(branches, sizes, strict=True)])
    sigma, s = torch.from_numpy(moments.covariance[0]), torch.from_numpy(moments.cross[0])
    return 0.5 * (moments.yy[0] - 2 * s @ w + w @ sigma @ w), w


@pytest.mark.parametrize(("depth", "fusion"), SHAPES)
def test_400_steps_are_those_of_autograd(depth, fusion):
    """T1."""
    architecture, moments = Architecture(depth, fusion, 12), toy_moments(0.3, 2.0)
    layers = start(architecture, moments, "frobenius", 0.4, 3)
    ours = descend(architecture, moments, layers, step_size=0.02, steps=400)
    layers = as_torch(layers)
    optimizer = torch.optim.SGD(layers, lr=0.02)
    for step in range(400):
        loss, w = loss_of(layers, moments)
        both = np.concatenate([ours.w_a[step, 0], ours.w_b[step, 0]])
        assert np.abs(both - w.detach().numpy()).max() < 1e-9
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for same, layer in zip(ours.layers, layers, strict=True):
        np.testing.assert_allclose(same[0], layer.detach().numpy(), atol=1e-9)


def test_gradients_of_modalities_of_unequal_size_are_those_of_autograd():
    drawn = random_moments(1, 3, 0)
    moments = Moments(
        drawn.a, drawn.b[:, :2, :2], drawn.ab[:, :, :2], drawn.y_a, drawn.y_b[:, :2], drawn.yy
    )
    layers = start(Architecture(3, 2, 4), moments, "frobenius", 0.5, 0)
    in_torch = as_torch(layers)
    gradients = torch.autograd.grad(loss_of(in_torch, moments)[0], in_torch)
    above, below, _ = gradient_factors(layers, pad(moments))
    for up, down, gradient in zip(above, below, gradients, strict=True):
        np.testing.assert_allclose((up.swapaxes(2, 3) * down)[0], -gradient, atol=1e-14)


def test_runs_of_one_draw_start_from_the_same_weights_but_for_their_scale():
    scales, draws = [0.1, 0.3, 0.1], np.array([0, 0, 1])
    moments = toy_moments([0.0, 0.5, 0.0], 2.0)
    for layer in start(Architecture(3, 2, 4), moments, "frobenius", scales, 0, draws):
        np.testing.assert_allclose(layer[1], 3 * layer[0])
        assert (layer[2] != layer[0]).all()


def test_runs_are_the_same_alone_and_however_many_move_on_together(monkeypatch):
    """Seven that stop at different steps, one of them at a step of its own: no bit differs."""
    architecture, moments = Architecture(3, 2, 5), toy_moments(np.linspace(-0.6, 0.6, 7), 2.0)
    layers = start(architecture, moments, "frobenius", np.linspace(0.2, 0.8, 7), 0)
    limits = np.array([2000] * 6 + [333])
    how = {"step_size": 0.02, "every": 7, "tolerance": 1e-3}

    def train_with(together):
        monkeypatch.setattr("equimodal.linear.descent.TOGETHER", together)
        got = descend(architecture, moments, layers, steps=limits, **how)
        return got, [x.tobytes() for x in (got.steps, got.w_a, got.w_b, got.converged, *got.layers)]

    whole, bits = train_with(2**30)
    assert whole.converged[:6].any()
    of_a_run = sum(layer[0].nbytes for layer in layers)
    assert all(train_with(n * of_a_run)[1] == bits for n in (0, 1, 2, 3))
    for run, limit in enumerate(limits):
        one = [layer[[run]] for layer in layers]
        alone = descend(architecture, moments[[run]], one, steps=int(limit), **how)
        records = len(alone.steps)  # the others may go on
        np.testing.assert_array_equal(whole.w_b[:records, run], alone.w_b[:, 0])
        assert (whole.w_b[records:, run] == whole.w_b[-1, run]).all()
        assert whole.converged[run] == alone.converged[0]
        for ours, theirs in zip(whole.layers, alone.layers, strict=True):
            np.testing.assert_array_equal(ours[run], theirs[0])


def test_frobenius_norms_are_the_scale_and_sqrt_2_times_it_after_the_fusion():
    layers = start(Architecture(4, 2, 200), toy_moments(0.0, 2.0), "frobenius", 0.1, 0)
    norms = [np.linalg.norm(x[0, b]) for x in layers for b in range(x.shape[1])]
    assert norms == pytest.approx([0.1] * 4 + [0.1 * 2**0.5] * 2, rel=0.15)


@pytest.mark.parametrize(("depth", "fusion"), SHAPES)
def test_training_is_stable_below_the_limit_and_not_above(depth, fusion, monkeypatch):
    architecture, moments = Architecture(depth, fusion, 1), toy_moments(0.0, 2.0)
    limit = stability_limit(architecture, moments)[0]
    settled, _ = train(
        *(moments, architecture, "aligned", 0.3), step_size=0.5 * limit, steps=3000, tolerance=1e-8
    )
    assert settled["converged"].all()
    with pytest.raises(UserError, match=f"less than {limit:.4g}, the stability limit of run 0"):
        train(moments, architecture, "aligned", 0.3, step_size=1.01 * limit, steps=10)
    layers = aligned(architecture, moments, 0.3)
    best = descend(architecture, moments, layers, step_size=0.3 * limit, steps=5000)
    nearly = [x * 1.0001 for x in best.layers]
    monkeypatch.setattr("equimodal.linear.descent.check_step_size", lambda *_: None)
    for factor, stays in ((0.97, True), (1.03, False)):
        with np.errstate(over="ignore", invalid="ignore"):
            moved = descend(architecture, moments, nearly, step_size=factor * limit, steps=800)
        end = np.array([moved.w_a[-1, 0, 0], moved.w_b[-1, 0, 0]])
        assert (np.abs(end - np.concatenate(joint_solution(moments), 1)).max() < 1e-4) == stays


def test_the_limit_is_finite_where_a_modality_alone_tells_nothing():
    """rho = -0.5, r = 2: s_B = 0, but B helps once A is known."""
    limit = stability_limit(Architecture(4, 2, 1), toy_moments(-0.5, 2.0))
    assert np.isfinite(limit).all()
    assert (limit > 0).all()
