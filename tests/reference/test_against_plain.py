"""The package against `plain.py`, the method written straight from the equations.

Small random networks in float64, from equal weights: everything agrees to 1e-9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import e

import pytest
import torch
from torch import nn

from equimodal.fusion.base import REGULAR, Flow
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeezed import RunningMean
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.metrics.utilization import accuracy, utilization_rate
from equimodal.models.network import Network, fused
from equimodal.study.data.split import Split
from equimodal.study.runs import switched_off
from equimodal.study.runs.score import predict, score
from equimodal.study.runs.switched_off import record_mean_squeezes
from equimodal.training.balance import Balance
from equimodal.training.policies import Guided, Random, RUBi, Vanilla
from equimodal.training.step import StepRules, train_step

from . import plain

CLASSES = 4
BATCHES = (5, 5, 3)  # sizes of an epoch's batches: the last is smaller
EPOCHS = 6  # the first is the warm-up
WINDOW = 3
FOREVER = 1e300  # a tolerance that nothing exceeds
SEEDS = (0, 1)

# Modalities of unlike channels, kernels and image sizes: name -> (channels, kernel, image).
BRANCHES = {
    "color": ((2, 3, 4, 5), (2, 2), (6, 6)),
    "depth": ((1, 4, 2, 3), (1, 2), (4, 7)),
    "sound": ((3, 2, 3, 4), (1, 1), (3, 1)),
}
# The official code's shared running mean asks for equal channels.
ALIKE = {m: ((c[0], 3, 4, 4), *rest) for m, (c, *rest) in BRANCHES.items()}
FUSED_AFTER = (1, 3)


class Branch(nn.Module):
    """Three convolutions and a linear classifier of the pooled features."""

    def __init__(self, channels, kernel):
        super().__init__()
        self.widths = channels[1:]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, kernel), nn.Tanh()) for a, b in pairwise(channels)
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], CLASSES)
        )


def build(modalities, seed, *, shapes=BRANCHES, gate_scale=2.0, running_mean=None):
    torch.manual_seed(seed)
    branches = {m: Branch(*shapes[m][:2]) for m in modalities}
    fusions = {
        place: MMTM(
            {m: b.widths[place - 1] for m, b in branches.items()},
            gate_scale=gate_scale,
            running_mean=running_mean or RunningMean(),
        )
        for place in FUSED_AFTER
    }
    network = Network(branches, fusions).double()
    for p in network.parameters():  # so large that so narrow a network uses all of its inputs
        nn.init.normal_(p, std=0.3 if p.ndim == 1 else 1.5 / p[0].numel() ** 0.5)
    return network


def random_split(modalities, examples, seed, shapes=BRANCHES):
    generator = torch.Generator().manual_seed(seed)

    def images(m):
        """Every channel of an image has a level of its own, so that the pooled features differ."""
        channels, _, space = shapes[m]
        levels = torch.randint(30, 200, (examples, 1, 1, channels[0]), generator=generator)
        noise = torch.randint(56, (examples, *space, channels[0]), generator=generator)
        return (levels + noise).to(torch.uint8)

    def scale(m):
        ones = torch.ones(shapes[m][0][0], dtype=torch.float64)
        return ones / 64, -2.0 * ones

    return Split(
        arrays={m: images(m) for m in modalities},
        labels=torch.randint(CLASSES, (examples,), generator=generator),
        ids=torch.arange(examples),
        scale={m: scale(m) for m in modalities},
    )


def every(split):
    """All examples of a split as one batch."""
    return split.batch(torch.arange(len(split)))


def plain_weights(network, policy=None):
    """The weights of a network, and of RUBi's classifiers, under the reference's keys."""
    weights = {}
    for b, m in enumerate(network.modalities):
        branch = network.branches[m]
        for stage, (convolution, _) in enumerate(branch.stages, start=1):
            weights["branch", b, stage, "kernel"] = convolution.weight
            weights["branch", b, stage, "bias"] = convolution.bias
        weights |= plain_layer(("branch", b, "head"), branch.head[-1])
    for place in FUSED_AFTER:
        fusion = network.fusions[str(place)]
        weights |= plain_layer(("mmtm", place, "squeeze"), fusion.squeeze)
        for b, m in enumerate(network.modalities):
            weights |= plain_layer(("mmtm", place, "gate", b), fusion.excite[m])
    if isinstance(policy, RUBi):
        *c1, (matrix, bias) = zip(*[iter(policy.parameters())] * 2, strict=True)
        for layer, parts in enumerate(c1):
            weights |= dict(zip(plain_layer(("rubi", "c1", layer)), parts, strict=True))
        weights |= {("rubi", "c2", "matrix"): matrix, ("rubi", "c2", "bias"): bias}
    return {key: x.detach().clone() for key, x in weights.items()}


def plain_layer(name, layer=None):
    return {
        (*name, "matrix"): getattr(layer, "weight", None),
        (*name, "bias"): getattr(layer, "bias", None),
    }


def plain_means(network, buffer):
    return {
        place: [
            network.fusions[str(place)].get_buffer(f"{buffer}_{m}").clone()
            for m in network.modalities
        ]
        for place in FUSED_AFTER
    }


def difference(ours, reference, what):
    """Where two nests of lists, dictionaries, tensors and numbers differ by more than 1e-9, or None."""
    if isinstance(reference, dict):
        if ours.keys() != reference.keys():
            return f"{what} has {list(ours)}, the reference {list(reference)}"
        found = (difference(ours[k], x, f"{what} {k}") for k, x in reference.items())
        return next(filter(None, found), None)
    if isinstance(reference, Sequence):
        if len(ours) != len(reference):
            return f"{what} has {len(ours)} entries, the reference {len(reference)}"
        return difference(dict(enumerate(ours)), dict(enumerate(reference)), what)
    if ours is None or reference is None:
        return None if ours is reference else f"{what} is {ours}, the reference's {reference}"
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (ours, reference))
    if a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-12):
        return None
    return f"{what} is {a}, the reference's {b}"


def close(ours, reference, what):
    assert difference(ours, reference, what) is None


# --- Whole trainings ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A training: how many modalities, which seed, and the reference's settings."""

    modalities: int
    seed: int
    settings: plain.Settings

    def __str__(self):
        """Name in pytest's listing."""
        default = plain.Settings("", 0.0)
        changed = [
            f"{k}={sorted(v) if isinstance(v, frozenset) else v}"  # each process orders sets its own way
            for k, v in vars(self.settings).items()
            if v != getattr(default, k) and k not in ("algorithm", "rate", "alpha", "window")
        ]
        return "-".join([self.settings.algorithm, f"K{self.modalities}", f"s{self.seed}", *changed])


def settings_of(algorithm, **changes):
    defaults = {"rate": 0.2, "alpha": 0.02, "window": WINDOW}
    return plain.Settings(algorithm, **(defaults | changes))


def cases(algorithms, *, modalities=(2, 3), seeds=SEEDS, **changes):
    """A case for each combination; a tuple among the changes is a choice of values."""
    variants = [{}]
    for key, values in changes.items():
        values = values if isinstance(values, tuple) else (values,)
        variants = [v | {key: value} for v in variants for value in values]
    return [
        Case(k, seed, settings_of(algorithm, **variant))
        for algorithm in algorithms
        for k in modalities
        for variant in variants
        for seed in seeds
    ]


def all_official(modalities, seed):
    """The official code's answers, all at once (method.md, section 6)."""
    return Case(
        modalities,
        seed,
        settings_of(
            "guided",
            momentum=0.9,
            gate_scale=1.0,
            official_means=frozenset(MEAN_FLAGS),
            evaluate_in_last_mode=True,
            zero_for_no_gradient=True,
        ),
    )


# Flag of the reference -> field of RunningMean and its value.
MEAN_FLAGS = {
    "first_for_all": {"source": "first"},
    "every_pass": {"updates": "every_pass"},
    "of_sigmoids": {"of": "post_sigmoid"},
    "batches_alike": {"weights": "batches"},
}


def by_case(cases):
    return pytest.mark.parametrize("case", cases, ids=str)


def build_for(case):
    """Network, policy, and held-out and training split of a case."""
    settings = case.settings
    modalities = list(BRANCHES)[: case.modalities]
    shapes = ALIKE if "first_for_all" in settings.official_means else BRANCHES
    switches = {}
    for flag in settings.official_means:
        switches |= MEAN_FLAGS[flag]
    network = build(
        modalities,
        case.seed,
        shapes=shapes,
        gate_scale=settings.gate_scale,
        running_mean=RunningMean(**switches),
    )
    splits = [random_split(modalities, n, 100 + case.seed, shapes) for n in (30, sum(BATCHES))]
    return network, build_policy(case, network), *splits


def build_policy(case, network):
    settings = case.settings
    if settings.algorithm == "vanilla":
        return Vanilla()
    if settings.algorithm == "guided":
        return Guided(
            Balance(
                tolerance=settings.alpha,
                window=settings.window,
                warmup_epochs=settings.warmup_epochs,
            )
        )
    if settings.algorithm == "random":
        return Random(network.modalities, warmup_epochs=settings.warmup_epochs, seed=case.seed)
    biased = network.modalities[settings.biased]
    policy = RUBi(
        biased,
        hidden_layers=2,
        weight=settings.bias_weight,
        features=network.width(biased),
        classes=CLASSES,
        seed=case.seed,
    )
    for p in policy.parameters():
        p.data = p.data.double()
    return policy


def epochs_of(split):
    """Batches of every epoch, in an order of its own."""
    for epoch in range(1, EPOCHS + 1):
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(split), generator=generator)
        yield epoch, [split.batch(index) for index in order.split(BATCHES)]


def speeds_of(network, settings):
    return LearningSpeed(
        branch={m: network.branch_parameters(m) for m in network.modalities},
        fusion=network,
        log_base="10" if settings.log_base == 10 else "e",
        norm="after_step" if settings.norm_after_step else "before_step",
    )


def train(network, policy, split, held_out, settings):
    """Train by the package; return what `plain.train` returns."""
    speeds = speeds_of(network, settings)
    optimizer = torch.optim.SGD(
        [*network.parameters(), *policy.parameters()], lr=settings.rate, momentum=settings.momentum
    )
    rules = StepRules(
        l1=settings.penalty,
        l1_in_speed=settings.penalty_in_speed,
        speed_sums="every_step" if settings.sums_over_every_step else "regular_steps",
        held_parameters="zero_gradient" if settings.zero_for_no_gradient else "skip",
    )
    steps = []
    for epoch, batches in epochs_of(split):
        for number, batch in enumerate(batches, start=1):
            network.train()
            record = train_step(network, batch, optimizer, policy, speeds, epoch=epoch, rules=rules)
            evaluation = None
            if number == len(batches):
                flow = Flow(rebalance=policy.mode) if settings.evaluate_in_last_mode else REGULAR
                evaluation = list(predict(network, held_out, flow).values())
            steps.append(
                plain.Step(
                    mode=plain.REGULAR if record.mode is None else int(record.mode),
                    loss=float(record.loss),
                    logits=list(record.logits.values()),
                    speeds=record.speeds.tolist(),
                    weights=plain_weights(network, policy),
                    mean_gates=plain_means(network, "mean_gate"),
                    evaluation=evaluation,
                )
            )
    return steps


@cache
def both(case):
    """The steps of a case, as the package and as the reference take them."""
    network, policy, held_out, split = build_for(case)
    weights = plain_weights(network, policy)
    ours = train(network, policy, split, held_out, case.settings)
    epochs = [
        [(list(batch.inputs.values()), batch.labels) for batch in batches]
        for _, batches in epochs_of(split)
    ]
    # The step after the warm-up is regular still: the first choice is the mode of the one after it.
    chosen = [step.mode for step in ours[len(BATCHES) + 1 :]] + [plain.REGULAR]
    return ours, plain.train(
        weights,
        epochs,
        case.settings,
        held_out=list(every(held_out).inputs.values()),
        choices=chosen if case.settings.algorithm == "random" else (),
    )


ALGORITHMS = ["vanilla", "guided", "random", "rubi"]
TRAININGS = [
    *cases(ALGORITHMS, seeds=(0,)),
    *cases(["guided", "random"], momentum=0.9),
]
PENALTIES = [
    *cases(["vanilla"], modalities=(2,), penalty=0.02, penalty_in_speed=(True, False), seeds=(0,)),
    *cases(["vanilla"], modalities=(3,), penalty=0.02, momentum=0.9, seeds=(1,)),
]
# With a penalty every parameter has a gradient, in re-balancing steps too.
OF_ALL_GRADIENTS = cases(
    ["guided", "random"], modalities=(2,), penalty=0.02, momentum=0.9, seeds=(0,)
)
OFFICIAL = [all_official(modalities, seed=0) for modalities in (2, 3)]
SWITCHES = [
    case
    for algorithm, change in [
        ("guided", {"norm_after_step": True}),
        ("guided", {"log_base": e}),
        ("guided", {"sums_over_every_step": True}),
        ("guided", {"zero_for_no_gradient": True, "momentum": 0.9}),
        ("guided", {"gate_scale": 1.0}),
        ("guided", {"evaluate_in_last_mode": True}),
        *(("random", {"official_means": frozenset([flag])}) for flag in MEAN_FLAGS),
        ("rubi", {"biased": 1}),
        ("rubi", {"bias_weight": 0.5}),
    ]
    for case in cases([algorithm], modalities=(2,), seeds=(0,), **change)
]


@by_case([*TRAININGS, *PENALTIES, *OF_ALL_GRADIENTS, *SWITCHES, *OFFICIAL])
def test_every_step_of_a_training_is_the_reference_s_whatever_the_switches(case):
    ours, reference = both(case)
    assert [s.mode for s in ours] == [s.mode for s in reference]
    for i, (a, b) in enumerate(zip(ours, reference, strict=True), start=1):
        close(vars(a), vars(b), f"step {i}:")


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("algorithm", ["guided", "random"])
def test_the_compared_trainings_hold_every_kind_of_step(algorithm, modalities):
    seen = {
        step.mode
        for case in TRAININGS
        if (case.settings.algorithm, case.modalities) == (algorithm, modalities)
        for step in both(case)[1]
    }
    assert seen == {plain.REGULAR, *range(modalities)}


@by_case([*PENALTIES, *SWITCHES])
def test_every_switch_makes_a_difference_in_what_is_compared(case):
    settings = settings_of(case.settings.algorithm, momentum=case.settings.momentum)
    usual, switched = both(replace(case, settings=settings))[1], both(case)[1]
    assert difference([vars(s) for s in switched], [vars(s) for s in usual], "steps")


@pytest.mark.parametrize("modalities", [2, 3])
def test_guided_training_that_tolerates_everything_is_vanilla_bit_for_bit(modalities):
    finals = []
    for settings in (settings_of("vanilla"), settings_of("guided", alpha=FOREVER)):
        ours, _ = both(Case(modalities, 0, replace(settings, momentum=0.9)))
        finals.append(ours)
    for a, b in zip(*finals, strict=True):
        assert (a.mode, a.loss, a.speeds) == (b.mode, b.loss, b.speeds)
        assert all(torch.equal(x, b.weights[key]) for key, x in a.weights.items())
        assert all(map(torch.equal, a.logits, b.logits))
        close(a.mean_gates, b.mean_gates, "mean gates")


# --- The conditional utilization rate -------------------------------------------------------------


@cache
def trained(modalities, seed):
    """A trained network, its training and held-out split, and its weights for the reference."""
    case = Case(modalities, seed, settings_of("guided", momentum=0.9))
    network, policy, held_out, split = build_for(case)
    train(network, policy, split, held_out, case.settings)
    return network, split, held_out, plain_weights(network)


by_network = pytest.mark.parametrize("seed", SEEDS)
by_modalities = pytest.mark.parametrize("modalities", [2, 3])


@by_modalities
@by_network
def test_predictions_are_the_reference_s(modalities, seed):
    network, _, split, weights = trained(modalities, seed)
    batch = every(split)
    reference = plain.forward(weights, list(batch.inputs.values()))
    logits = predict(network, split)
    close(list(logits.values()), reference.logits, "logits")
    close(fused(logits), plain.prediction(reference.logits), "prediction")
    ours = score(network, split)
    for m, z in zip(network.modalities, reference.logits, strict=True):
        assert ours.accuracy[m] == pytest.approx(plain.accuracy(z, batch.labels), rel=1e-6)
    fused_accuracy = plain.accuracy(plain.prediction(reference.logits), batch.labels)
    assert ours.accuracy["fused"] == pytest.approx(fused_accuracy, rel=1e-6)
    close(ours.loss, plain.modality_losses(reference.logits, batch.labels), "loss")


@by_modalities
@by_network
def test_mean_squeezes_and_utilization_rates_are_the_reference_s(modalities, seed, monkeypatch):
    network, train_split, test_split, weights = trained(modalities, seed)
    # 13 examples in batches of 5: the last one is smaller, and counts for less.
    monkeypatch.setattr(switched_off, "slices", lambda split, *_: torch.arange(len(split)).split(5))
    record_mean_squeezes(network, test_split)
    record_mean_squeezes(network, train_split)  # a second recording starts anew
    h_bar = plain.mean_squeezes(weights, list(every(train_split).inputs.values()))
    close(plain_means(network, "mean_squeeze"), h_bar, "mean squeezes")

    regular, isolated = (predict(network, test_split, Flow(isolated=i)) for i in (False, True))
    batch = every(test_split)
    inputs = list(batch.inputs.values())
    f = plain.forward(weights, inputs).logits
    f_prime = plain.forward(weights, inputs, h_bar=h_bar).logits
    close(list(isolated.values()), f_prime, "isolated logits")
    rates = []
    for b, m in enumerate(network.modalities):
        ours = [accuracy(z[m].numpy(), batch.labels.numpy()) for z in (regular, isolated)]
        reference = [plain.accuracy(z[b], batch.labels) for z in (f, f_prime)]
        close(ours, reference, f"accuracies of {m}")
        close(utilization_rate(*ours), plain.utilization(*reference), f"rate of {m}")
        rates.append(plain.utilization(*reference))
    assert any(rates)  # a rate of 0 would not tell the two accuracies apart
