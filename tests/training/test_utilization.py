"""Conditional utilization rates of any network: what is refused, since it would come out as 0."""

import re
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn

from equimodal.fusion.base import REGULAR, Flow, Fusion
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeeze_excite import SqueezeExcite
from equimodal.fusion.squeezed import RunningMean
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.training.batch import Batch
from equimodal.training.evaluate import conditional_utilization, evaluations

INPUTS = {"a": torch.rand(8, 4), "b": torch.rand(8, 4)}
LABELS = torch.arange(8) % 2
NAN = float("nan")


class Pair(nn.Module):
    """Two linear branches with one fusion, usually an MMTM; `of_answers` changes what it returns."""

    def __init__(self, of_answers=lambda answers: answers, fuse=None):
        super().__init__()
        torch.manual_seed(0)
        self.fuse = fuse or MMTM({"a": 4, "b": 4})
        self.heads = nn.ModuleDict({m: nn.Linear(4, 2) for m in INPUTS})
        self.of_answers = of_answers

    def forward(self, inputs, flow=REGULAR):
        fused = self.fuse(inputs, flow)
        return self.of_answers({m: head(fused[m]) for m, head in self.heads.items()})


class Deaf(Pair):
    """Does not pass the flow on."""

    def forward(self, inputs, flow=REGULAR):
        return super().forward(inputs)


class WithoutFlow(Pair):
    def forward(self, inputs):
        return super().forward(inputs)


class Joined(Fusion):
    """Does the same whatever the flow."""

    modalities = ("a", "b")

    def forward(self, features, flow=REGULAR, masks=None):
        return features

    def shared_parameters(self):
        return []

    def own_parameters(self, modality):
        return []

    def reset_recording(self):
        pass


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ((INPUTS, LABELS), (INPUTS, LABELS)),
        (INPUTS, [INPUTS, LABELS, "names"]),
        (INPUTS | {"labels": LABELS}, INPUTS | {"labels": LABELS.tolist()}),
        (Batch(INPUTS, LABELS), Batch(INPUTS, LABELS)),
        (INPUTS, (INPUTS, LABELS.bool().numpy())),
    ],
    ids=["pairs", "lists", "dicts", "batches", "arrays"],
)
def test_batches_come_in_any_of_the_usual_forms(train, test):
    expected = conditional_utilization(Pair(), [INPUTS], [(INPUTS, LABELS)])
    assert conditional_utilization(Pair(), [train], [test]) == expected
    assert set(expected) == {"a", "b"}


class Answers(Pair):
    """Gives so many right answers of eight with the regular flow, and so many when isolated."""

    def forward(self, inputs, flow=REGULAR):
        super().forward(inputs, flow)
        right = {"a": 3, "b": 6} if flow.isolated else {"a": 6, "b": 4}
        return {
            m: nn.functional.one_hot((LABELS + (torch.arange(8) >= n)) % 2).float()
            for m, n in right.items()
        }


def test_the_rate_is_the_share_of_its_accuracy_that_a_branch_owes_to_the_other():
    """Eq. 9: (6/8 - 3/8) / (6/8) and (4/8 - 6/8) / (4/8)."""
    assert conditional_utilization(Answers(), [INPUTS], [(INPUTS, LABELS)]) == {"a": 0.5, "b": -0.5}


def test_another_measure_stands_in_for_the_accuracy():
    """Balanced: the recalls of branch a are 4/5 and 3/3, isolated 3/5 and 1/3; then several labels."""
    rare = torch.cat([LABELS[:6], LABELS[6:] * 0])

    def balanced(logits, labels):
        return balanced_accuracy_score(labels, logits.argmax(-1))

    found = conditional_utilization(Answers(), [INPUTS], [(INPUTS, rare)], metric=balanced)
    assert found["a"] == pytest.approx(1 - (3 / 5 + 1 / 3) / (4 / 5 + 1))

    def exact(logits, labels):
        return float(((logits > 0.5) == labels).all(-1).mean())

    several = nn.functional.one_hot(LABELS).float()
    found = conditional_utilization(Answers(), [INPUTS], [(INPUTS, several)], metric=exact)
    assert found == {"a": 0.5, "b": -0.5}

    def error(logits, labels):
        return -float(((logits[:, 0] - labels) ** 2).mean())

    with pytest.raises(
        ValueError, match=r"metric of 'a' is -0\.\d+, and .* of R² take max\(0, R²\)"
    ):
        conditional_utilization(Answers(), [INPUTS], [(INPUTS, LABELS / 3)], metric=error)


def of_a(change):
    return lambda answers: answers | {"a": change(answers["a"])}


@pytest.mark.parametrize(
    ("of_answers", "labels", "said"),
    [
        (of_a(lambda z: z[:, :1]), LABELS, "(8, 1).*of a single logit z per example make two"),
        (of_a(lambda z: z[:, 0]), LABELS, "of a single logit z per example make two"),
        (of_a(lambda z: z[:, :, None]), LABELS, "pool the logits over space or time"),
        (of_a(lambda z: z[:4]), LABELS, "give the labels of the examples that the inputs hold"),
        (dict, LABELS[:, None], "(8, 1).*flatten the labels"),
        (dict, nn.functional.one_hot(LABELS), "take labels.argmax(1); for several labels"),
        (dict, LABELS * 0.5, "torch.float32.*make integers of the labels"),
        (dict, LABELS * NAN, "make integers of the labels"),
        (dict, LABELS + 1, "labels from 1 to 2 where 'a' has 2 logits"),
        (dict, LABELS - 1, "labels from -1 to 0 where 'a' has 2 logits"),
        (dict, ["cat"] * 8, "labels are no tensor and make none"),
        (lambda z: tuple(z.values()), LABELS, "the model returned tuple: it has to return the logits"),
        (of_a(lambda z: (z, z)), LABELS, "the model returned a dict of tuple: it has to return the logits"),
        (lambda z: z | {"loss": z["a"].mean()}, LABELS, "answered for ['a', 'b', 'loss'], but its fusion modules join ['a', 'b']"),
        (of_a(lambda z: z * NAN), LABELS, "'a' are not finite: the network has diverged"),
        (of_a(lambda z: z / 0), LABELS, "'a' are not finite: the network has diverged"),
    ],
)  # fmt: skip
def test_answers_and_labels_that_can_not_be_compared_are_refused(of_answers, labels, said):
    """They would be compared all the same, and every branch come out as not greedy."""
    pattern = ".*".join(map(re.escape, said.split(".*")))
    with pytest.raises((ValueError, TypeError), match=pattern):
        conditional_utilization(Pair(of_answers), [INPUTS], [(INPUTS, labels)])


def test_logits_in_half_precision_are_measured_too():
    """As they come from a network under autocast."""
    half = Pair(of_a(lambda z: z.bfloat16()))
    found = conditional_utilization(half, [INPUTS], [(INPUTS, LABELS)])
    assert found["b"] == conditional_utilization(Pair(), [INPUTS], [(INPUTS, LABELS)])["b"]


def test_measuring_moves_no_running_mean_and_forgets_what_was_recorded_before():
    every_pass = MMTM({"a": 4, "b": 4}, running_mean=RunningMean(updates="every_pass"))
    model = Pair(fuse=every_pass)
    for shift in (100.0, 0.0):
        shifted = {m: x + shift for m, x in INPUTS.items()}
        conditional_utilization(model, [shifted], [(INPUTS, LABELS)])
    assert not model.fuse.mean_gate_a.any()
    torch.testing.assert_close(model.fuse.mean_squeeze_a, INPUTS["a"].mean(0))


@pytest.mark.parametrize("broken", [NAN, float("inf")])
def test_an_input_that_is_not_finite_is_named_and_a_weight_is_the_network_s(broken):
    bad = INPUTS | {"b": INPUTS["b"].clone()}
    bad["b"][3, 1] = broken  # one of many
    for train, test in ((bad, INPUTS), (INPUTS, bad)):
        with pytest.raises(ValueError, match=r"not finite, as the inputs \['b'\] are not: mend"):
            conditional_utilization(Pair(), [train], [(test, LABELS)])
    model = Pair()
    nn.init.constant_(model.heads["b"].weight, broken)
    with pytest.raises(ValueError, match="logits of 'b' are not finite: the network has diverged"):
        conditional_utilization(model, [INPUTS], [(INPUTS, LABELS)])


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (INPUTS, [(INPUTS, LABELS)]),
        ((INPUTS, LABELS), [(INPUTS, LABELS)]),
        ([INPUTS], (INPUTS, LABELS)),
        ([INPUTS], [INPUTS]),
        ([INPUTS], INPUTS),
    ],
    ids=["a dict to train on", "a pair to train on", "a pair", "no labels", "a dict"],
)
def test_a_batch_in_place_of_a_list_of_batches_is_refused(train, test):
    with pytest.raises(TypeError, match=r"expected batches, each \(inputs, labels\)"):
        conditional_utilization(Pair(), train, test)


@pytest.mark.parametrize(
    ("model", "train", "test", "said"),
    [
        (Deaf(), [INPUTS], [(INPUTS, LABELS)], r"did not reach a MMTM of \['a', 'b'\]: pass it on"),
        (WithoutFlow(), [INPUTS], [(INPUTS, LABELS)], r"has to take \(inputs, flow\)"),
        (Pair(fuse=Joined()), [INPUTS], [(INPUTS, LABELS)], "Joined ignores the flow"),
        (nn.Linear(4, 2), [INPUTS], [(INPUTS, LABELS)], r"no equimodal\.fusion\.base\.Fusion"),
        (Pair(), [], [(INPUTS, LABELS)], "the training set is empty"),
        (Pair(), [INPUTS], iter(()), "the test set is empty"),
    ],
)
def test_what_would_measure_nothing_is_refused(model, train, test, said):
    with pytest.raises((TypeError, ValueError), match=said):
        conditional_utilization(model, train, test)


def test_a_model_trains_on_in_the_mode_it_was_in():
    """Measured between two epochs, a network would else go on without batch norm and running means."""
    model = Pair().train()
    model.heads.eval()
    conditional_utilization(model, [INPUTS], [(INPUTS, LABELS)])
    assert model.training
    assert model.fuse.training
    assert not model.heads["a"].training


@pytest.mark.parametrize(
    ("joined", "rebalanced"),
    [
        (["ab"], ["rebalance_a", "rebalance_b"]),
        *((["ab", x], []) for x in ("ba", "bc", "abc")),  # where a mode would mean two branches
    ],
)
def test_any_network_with_fusion_modules_has_every_way_of_evaluating(joined, rebalanced):
    model = nn.ModuleList(MMTM(dict.fromkeys(m, 4)) for m in joined)
    assert list(evaluations(model)) == ["regular", *rebalanced, "isolated", "zeroed"]


def test_every_way_of_evaluating_is_the_flow_that_its_name_says_and_moves_no_mean():
    flows = evaluations(nn.ModuleList([MMTM({"a": 4, "b": 4})]))
    modes = [flows.pop(f"rebalance_{m}") for m in "ab"]
    assert [replace(flow, rebalance=int(flow.rebalance)) for flow in modes] == [
        Flow(rebalance=0, frozen=True),
        Flow(rebalance=1, frozen=True),
    ]
    assert flows == {
        "regular": Flow(frozen=True),
        "isolated": Flow(isolated=True, frozen=True),
        "zeroed": Flow(isolated=True, zeroed=True, frozen=True),
    }


def test_rates_come_in_the_order_of_the_fusion_modules_as_speeds_do():
    class Reversed(Pair):
        def forward(self, inputs, flow=REGULAR):
            return dict(reversed(super().forward(inputs, flow).items()))

    rates = conditional_utilization(Reversed(), [INPUTS], [(INPUTS, LABELS)])
    assert tuple(rates) == LearningSpeed.of(Reversed()).modalities


def test_a_uni_modal_network_is_evaluated_in_one_way():
    block = SqueezeExcite("a", 4, squeeze_ratio=4, gate_scale=2)
    assert list(evaluations(block)) == ["regular"]


def test_an_empty_batch_changes_nothing():
    empty = {m: x[:0] for m, x in INPUTS.items()}
    torch.manual_seed(0)
    model = Pair()
    test = [(INPUTS, LABELS)]
    expected = conditional_utilization(model, [INPUTS], test)
    assert conditional_utilization(model, [empty, INPUTS, empty], test) == expected
