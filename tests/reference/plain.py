"""The method of Wu et al. (2022), written from the equations: plain, slow, in float64.

It shares no code with `equimodal` and does not imitate it. A network is a dictionary of tensors; what
is summed is summed by a loop; decisions are made by Python on Python numbers. Only derivatives are
torch's, of the forward pass below. Branches and modalities are numbered: b = 0 is the paper's m0.

Keys of the weights:

    ("branch", b, stage, "kernel"), ("branch", b, stage, "bias")      convolution, then tanh
    ("branch", b, "head", "matrix"), ("branch", b, "head", "bias")    mean over space, then linear
    ("mmtm", place, "squeeze", "matrix" or "bias")                    the first layer of g
    ("mmtm", place, "gate", b, "matrix" or "bias")                    the layer of g that returns w_b
    ("rubi", "c1", layer, "matrix" or "bias"), ("rubi", "c2", "matrix" or "bias")

Stages and places count from 1: the MMTM at a place follows the stage of that number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

REGULAR = -1  # the mode of a regular step; b is that of a re-balancing step on modality b

Key = tuple[str | int, ...]
Weights = dict[Key, Tensor]
Gradients = dict[Key, Tensor | None]  # None: the loss does not depend on it
Inputs = Sequence[Tensor]  # x_m0, x_m1, ...
PerPlace = dict[int, list[Tensor]]  # place of an MMTM -> one tensor for each branch


# --- The network (Sec. 3) -------------------------------------------------------------------------


def branches(weights: Weights) -> range:
    """Numbers of the branches."""
    return range(1 + max(int(key[1]) for key in weights if key[0] == "branch"))


def stages(weights: Weights) -> range:
    """Numbers of the stages, which all branches share."""
    return range(1, 1 + max(int(key[2]) for key in weights if key[-1] == "kernel"))


def places(weights: Weights) -> list[int]:
    """Stages that an MMTM follows."""
    return sorted({int(key[1]) for key in weights if key[0] == "mmtm"})


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def linear(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("ni,oi->no", x, matrix) + bias


def convolution(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Sum over the kernel's offsets; no padding, stride 1."""
    rows, columns = kernel.shape[2:]
    height, width = x.shape[2] - rows + 1, x.shape[3] - columns + 1
    total = bias[None, :, None, None]
    for i in range(rows):
        for j in range(columns):
            patch = x[:, :, i : i + height, j : j + width]
            total = total + torch.einsum("nchw,oc->nohw", patch, kernel[:, :, i, j])
    return total


def pooled(features: Tensor) -> Tensor:
    """h: the mean over space of every channel (Sec. 3)."""
    return features.sum((2, 3)) / (features.shape[2] * features.shape[3])


def g(weights: Weights, place: int, h: Sequence[Tensor]) -> list[Tensor]:
    """Eq. 1: [w0, w1] = g([h0, h1]), one layer and a ReLU, then one layer for each w."""
    code = relu(linear(torch.cat(list(h), dim=1), *_layer(weights, "mmtm", place, "squeeze")))
    return [linear(code, *_layer(weights, "mmtm", place, "gate", b)) for b in range(len(h))]


def _layer(weights: Weights, *name: str | int) -> tuple[Tensor, Tensor]:
    return weights[(*name, "matrix")], weights[(*name, "bias")]


@dataclass
class RunningMeans:
    """The means over previous samples that a re-balancing step gates with.

    Eqs. 13 and 14: the mean of w_b over the samples of the previous regular training steps, then the
    sigmoid. The flags turn on what the official code does instead (method.md, D1 to D3).
    """

    first_for_all: bool = False  # D1: the first branch's mean for every branch
    every_pass: bool = False  # D2: every forward pass adds to it, before it uses it
    of_sigmoids: bool = False  # D3: the mean of the sigmoids in place of the sigmoid of the mean
    batches_alike: bool = False  # D3: the mean of the batches' means
    sums: PerPlace = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, place: int, w: Sequence[Tensor]) -> None:
        """Add one batch, sample by sample."""
        self.sums.setdefault(place, [torch.zeros_like(x[0]) for x in w])
        samples = len(w[0])
        for b in range(len(w)):
            batch = torch.zeros_like(self.sums[place][b])
            for sample in w[0 if self.first_for_all else b].detach():
                batch += sigmoid(sample) if self.of_sigmoids else sample
            self.sums[place][b] = self.sums[place][b] + (
                batch / samples if self.batches_alike else batch
            )
        self.counts[place] = self.counts.get(place, 0) + (1 if self.batches_alike else samples)

    def mean(self, place: int, b: int) -> Tensor:
        """w-bar of branch b, or the mean of its sigmoids."""
        return self.sums[place][b] / self.counts[place]

    def gate(self, place: int, b: int) -> Tensor:
        """What stands in for sigmoid(w_b)."""
        return self.mean(place, b) if self.of_sigmoids else sigmoid(self.mean(place, b))


@dataclass
class Pass:
    """What a forward pass computes."""

    logits: list[Tensor]  # y-hat_b
    features: list[Tensor]  # that the classifiers read
    h: PerPlace
    w: PerPlace


def forward(
    weights: Weights,
    inputs: Inputs,
    *,
    gate_scale: float = 2.0,
    mode: int = REGULAR,
    running: RunningMeans | None = None,
    h_bar: PerPlace | None = None,
) -> Pass:
    """Eqs. 1, 2 and 5: the logits of every branch.

    With `mode` b, the gate of branch b is its running mean in every MMTM (Eqs. 13, 14). With `h_bar`,
    there is no cross-modal flow (Eqs. 7, 8): the gate of branch b is made of its own pooled vector
    and the training-set mean of the others'.
    """
    features = list(inputs)
    h, w = {}, {}
    for stage in stages(weights):
        for b in branches(weights):
            kernel, bias = (weights["branch", b, stage, part] for part in ("kernel", "bias"))
            features[b] = torch.tanh(convolution(features[b], kernel, bias))
        if stage not in places(weights):
            continue
        h[stage] = [pooled(x) for x in features]
        if h_bar is None:
            w[stage] = g(weights, stage, h[stage])
        else:
            w[stage] = [
                g(weights, stage, _others_at_mean(h[stage], h_bar[stage], keep=b))[b]
                for b in branches(weights)
            ]
        if running is not None and running.every_pass:
            running.add(stage, w[stage])
        for b in branches(weights):
            gate = sigmoid(w[stage][b])
            if b == mode:
                gate = torch.stack([running.gate(stage, b)] * len(gate))
            features[b] = gate_scale * gate[:, :, None, None] * features[b]
    logits = [
        linear(pooled(features[b]), *_layer(weights, "branch", b, "head"))
        for b in branches(weights)
    ]
    return Pass(logits, features, h, w)


def _others_at_mean(h: Sequence[Tensor], h_bar: Sequence[Tensor], *, keep: int) -> list[Tensor]:
    return [h[b] if b == keep else torch.stack([h_bar[b]] * len(h[b])) for b in range(len(h))]


def prediction(logits: Sequence[Tensor]) -> Tensor:
    """Eq. 3: the mean of the branches' logits."""
    return sum(logits[1:], start=logits[0]) / len(logits)


# --- Losses ---------------------------------------------------------------------------------------


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """CE(y, y-hat), the mean over the batch."""
    total = torch.zeros((), dtype=torch.float64)
    for z, y in zip(logits, labels.tolist(), strict=True):
        total = total + torch.log(torch.exp(z).sum()) - z[y]
    return total / len(labels)


def modality_losses(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Eq. 4: L = CE(y, y-hat0) + CE(y, y-hat1)."""
    return sum((cross_entropy(z, labels) for z in logits), start=torch.zeros(()))


def rubi_loss(
    weights: Weights, result: Pass, labels: Tensor, *, biased: int, weight: float
) -> Tensor:
    """Method.md, section 7: L = CE(y-hat0 m) + CE(y-hat1 m) + CE(c_2(c_1(q))), m = sigmoid(c_1(q))."""
    answer = pooled(result.features[biased]).detach()  # q
    layers = sorted({int(key[2]) for key in weights if key[:2] == ("rubi", "c1")})
    for layer in layers:
        answer = linear(answer, *_layer(weights, "rubi", "c1", layer))
        if layer != layers[-1]:
            answer = relu(answer)
    mask = sigmoid(answer)
    alone = linear(answer, *_layer(weights, "rubi", "c2"))
    masked = modality_losses([z * mask for z in result.logits], labels)
    return masked + weight * cross_entropy(alone, labels)


def l1(weights: Weights) -> Tensor:
    """|theta|_1 over all parameters of the model (Sec. 6.3)."""
    return sum(
        (x.abs().sum() for key, x in weights.items() if key[0] != "rubi"), start=torch.zeros(())
    )


# --- The conditional utilization rate (Sec. 4.1) --------------------------------------------------


def mean_squeezes(weights: Weights, inputs: Inputs, *, gate_scale: float = 2.0) -> PerPlace:
    """Eq. 6: h-bar_b = (1/n) sum_i h_b(x^i), one example at a time, with the regular fusion."""
    n = len(inputs[0])
    sums: PerPlace = {}
    for i in range(n):
        h = forward(weights, [x[i : i + 1] for x in inputs], gate_scale=gate_scale).h
        for place, vectors in h.items():
            before = sums.get(place, [torch.zeros_like(v[0]) for v in vectors])
            sums[place] = [s + v[0] for s, v in zip(before, vectors, strict=True)]
    return {place: [s / n for s in vectors] for place, vectors in sums.items()}


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """A: the share of examples whose label has the largest logit."""
    hits = 0
    for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
        hits += z.index(max(z)) == y
    return hits / len(labels)


def utilization(a_f: float, a_f_prime: float) -> float:
    """Eqs. 9, 10: u(m1|m0) = (A(f0) - A(f0')) / A(f0), and u(m0|m1) of f1 and f1'."""
    return (a_f - a_f_prime) / a_f


# --- The conditional learning speed (Sec. 5.1) ----------------------------------------------------


def theta(weights: Weights, b: int) -> list[Key]:
    """theta_b: all parameters of branch b."""
    return [key for key in weights if key[:2] == ("branch", b)]


def theta_prime(weights: Weights, b: int) -> list[Key]:
    """theta_b': of all MMTMs, the shared layer and the one that returns w_b."""
    return [
        key
        for key in weights
        if key[0] == "mmtm" and (key[2] == "squeeze" or key[2:4] == ("gate", b))
    ]


def mu(gradients: Gradients, weights: Weights, group: Sequence[Key]) -> float:
    """mu(theta; i) = |G|^2 / |theta|^2, the group as one vector."""
    above = below = 0.0
    for key in group:
        if gradients[key] is not None:
            for x in gradients[key].flatten().tolist():
                above += x * x
        for x in weights[key].flatten().tolist():
            below += x * x
    return above / below


def speed(fusion_sum: float, branch_sum: float, *, base: float = 10.0) -> float:
    """Eqs. 11, 12: log of the ratio of the running sums of mu."""
    return math.log(fusion_sum / branch_sum) / math.log(base)


# --- Training (Sec. 5.2) --------------------------------------------------------------------------


def algorithm_1(s_m1_m0: float, s_m0_m1: float, alpha: float) -> int | None:
    """The modality to accelerate, or None (method.md 1.7): m0 if m1 learns faster by more than alpha."""
    d_speed = s_m1_m0 - s_m0_m1
    if abs(d_speed) > alpha:
        return 0 if d_speed > 0 else 1
    return None


def algorithm_1_for_many(r: Sequence[float], alpha: float) -> int | None:
    """The same for three branches or more (method.md 1.11, a proposal)."""
    fastest = slowest = 0
    for b in range(len(r)):
        if r[b] > r[fastest]:
            fastest = b
        if r[b] < r[slowest]:
            slowest = b
    return fastest if r[fastest] - r[slowest] > alpha else None


def gradient(loss: Tensor, weights: Weights) -> Gradients:
    """G, with None where the loss does not depend on a parameter."""
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, retain_graph=True)
    return dict(zip(weights, found, strict=True))


def sgd(
    weights: Weights, gradients: Gradients, velocity: Weights, *, rate: float, momentum: float
) -> Weights:
    """One step; a parameter without a gradient stays, and so does its velocity (D16)."""
    after = dict(weights)
    for key, gradient in gradients.items():
        if gradient is None:
            continue
        velocity[key] = momentum * velocity[key] + gradient if key in velocity else gradient
        after[key] = weights[key] - rate * velocity[key]
    return after


@dataclass(frozen=True)
class Settings:
    """How to train. The defaults of what the paper and its code do differently are method.md's."""

    algorithm: str  # vanilla, guided, random or rubi
    rate: float
    momentum: float = 0.0
    penalty: float = 0.0  # lambda
    alpha: float = 0.0
    window: int = 5  # Q
    warmup_epochs: int = 1
    biased: int = 0
    bias_weight: float = 1.0
    gate_scale: float = 2.0  # D4
    official_means: frozenset[str] = frozenset()  # flags of RunningMeans that are on: D1 to D3
    log_base: float = 10.0  # D6
    norm_after_step: bool = False  # D7
    sums_over_every_step: bool = False  # D8
    evaluate_in_last_mode: bool = False  # D9
    zero_for_no_gradient: bool = False  # D16
    penalty_in_speed: bool = True  # method.md 2.3


@dataclass(frozen=True)
class Step:
    """What one step leaves behind."""

    mode: int  # of the step
    loss: float  # what was minimized
    logits: list[Tensor]  # before the step
    speeds: list[float]  # after it: s(m1|m0), s(m0|m1), ...
    weights: Weights  # after it
    mean_gates: PerPlace  # after it and the evaluation
    evaluation: list[Tensor] | None = None  # at the end of an epoch: logits of the held-out inputs


def train(
    weights: Weights,
    epochs: Sequence[Sequence[tuple[Inputs, Tensor]]],
    settings: Settings,
    *,
    held_out: Inputs,
    choices: Sequence[int] = (),
) -> list[Step]:
    """Train by the algorithm of the settings (method.md 1.7 to 1.9); return every step.

    Args:
        weights: To begin with.
        epochs: The batches, inputs and labels, of each epoch.
        settings: How to train.
        held_out: Inputs that are looked at after each epoch.
        choices: What the random algorithm draws.
    """
    k = branches(weights)
    running = RunningMeans(**dict.fromkeys(settings.official_means, True))
    fusion_sums, branch_sums = [0.0 for _ in k], [0.0 for _ in k]
    velocity: Weights = {}
    drawn = iter(choices)
    mode, rebalanced = REGULAR, 0
    steps: list[Step] = []
    for epoch, batches in enumerate(epochs, start=1):
        for number, (inputs, labels) in enumerate(batches, start=1):
            theta_before = {key: x.detach().requires_grad_() for key, x in weights.items()}
            result = forward(
                theta_before, inputs, gate_scale=settings.gate_scale, mode=mode, running=running
            )
            if settings.algorithm == "rubi":
                loss = rubi_loss(
                    theta_before,
                    result,
                    labels,
                    biased=settings.biased,
                    weight=settings.bias_weight,
                )
            else:
                loss = modality_losses(result.logits, labels)
            gradients = without_penalty = gradient(loss, theta_before)
            if settings.penalty:
                loss = loss + settings.penalty * l1(theta_before)
                gradients = gradient(loss, theta_before)
            if settings.zero_for_no_gradient:
                gradients = {
                    key: torch.zeros_like(weights[key]) if x is None else x
                    for key, x in gradients.items()
                }
            weights = sgd(
                {key: x.detach() for key, x in theta_before.items()},
                gradients,
                velocity,
                rate=settings.rate,
                momentum=settings.momentum,
            )

            if mode == REGULAR or settings.sums_over_every_step:
                measured = gradients if settings.penalty_in_speed else without_penalty
                norm_of = weights if settings.norm_after_step else theta_before
                for b in k:
                    fusion_sums[b] += mu(measured, norm_of, theta_prime(weights, b))
                    branch_sums[b] += mu(measured, norm_of, theta(weights, b))
            speeds = [speed(fusion_sums[b], branch_sums[b], base=settings.log_base) for b in k]

            next_mode = mode
            if settings.algorithm == "guided":
                if mode == REGULAR:
                    if len(k) == 2:
                        accelerated = algorithm_1(speeds[0], speeds[1], settings.alpha)
                    else:
                        accelerated = algorithm_1_for_many(speeds, settings.alpha)
                    if epoch > settings.warmup_epochs and accelerated is not None:
                        next_mode, rebalanced = accelerated, 0
                else:
                    rebalanced += 1
                    if rebalanced == settings.window:
                        next_mode = REGULAR
            elif settings.algorithm == "random" and epoch > settings.warmup_epochs:
                next_mode = next(drawn)

            if mode == REGULAR and not running.every_pass:
                for place, w in result.w.items():
                    running.add(place, w)

            evaluation = None
            if number == len(batches):
                evaluation = forward(
                    weights,
                    held_out,
                    gate_scale=settings.gate_scale,
                    mode=next_mode if settings.evaluate_in_last_mode else REGULAR,
                    running=running,
                ).logits
            steps.append(
                Step(
                    mode=mode,
                    loss=loss.item(),
                    logits=[z.detach() for z in result.logits],
                    speeds=speeds,
                    weights=weights,
                    mean_gates={p: [running.mean(p, b) for b in k] for p in places(weights)},
                    evaluation=evaluation,
                )
            )
            mode = next_mode
    return steps
