"""Conditional utilization rates of any network: what is refused, since it would come out as 0."""

import pytest
import torch
from torch import nn

from equimodal.fusion.base import REGULAR
from equimodal.fusion.mmtm import MMTM
from equimodal.training.evaluate import conditional_utilization, evaluations

INPUTS = {"a": torch.rand(8, 4), "b": torch.rand(8, 4)}
LABELS = torch.arange(8) % 2


class Pair(nn.Module):
    """Two linear branches with one fusion, to which `forward` may forget to pass the flow."""

    def __init__(self, passes_flow=True, fuses=True):
        super().__init__()
        torch.manual_seed(0)
        self.fuse = MMTM({"a": 4, "b": 4}) if fuses else nn.Identity()
        self.heads = nn.ModuleDict({m: nn.Linear(4, 2) for m in INPUTS})
        self.passes_flow = passes_flow

    def forward(self, inputs, flow=REGULAR):
        fused = self.fuse(inputs, flow) if self.passes_flow else self.fuse(inputs)
        return {m: head(fused[m]) for m, head in self.heads.items()}


def test_a_loader_of_inputs_and_labels_serves_for_both_sets():
    test = [(INPUTS, LABELS)]
    rates = conditional_utilization(Pair(), test, test)
    assert rates == conditional_utilization(Pair(), [INPUTS], test)
    assert set(rates) == {"a", "b"}


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


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_that_has_diverged_is_refused(bad):
    """The largest of NaNs is the first: it would answer alike with and without the other modality."""
    model = Pair()
    nn.init.constant_(model.heads["b"].weight, bad)
    with pytest.raises(ValueError, match="logits of 'b' are not finite: the network has diverged"):
        conditional_utilization(model, [INPUTS], [(INPUTS, LABELS)])


@pytest.mark.parametrize(("first", "said"), [(1, "1 to 2"), (-1, "-1 to 0")])
def test_labels_that_are_no_class_are_refused(first, said):
    with pytest.raises(ValueError, match=f"labels from {said} where 'a' has 2 logits"):
        conditional_utilization(Pair(), [INPUTS], [(INPUTS, LABELS + first)])


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


def test_a_flow_that_does_not_reach_the_fusion_is_refused():
    with pytest.raises(ValueError, match=r"did not reach a MMTM of \['a', 'b'\]: pass it on"):
        conditional_utilization(Pair(passes_flow=False), [INPUTS], [(INPUTS, LABELS)])


def test_a_model_without_a_fusion_is_refused():
    with pytest.raises(ValueError, match=r"no equimodal\.fusion\.base\.Fusion"):
        conditional_utilization(Pair(False, fuses=False), [INPUTS], [(INPUTS, LABELS)])


def test_empty_sets_are_refused():
    with pytest.raises(ValueError, match="the training set is empty"):
        conditional_utilization(Pair(), [], [(INPUTS, LABELS)])
    with pytest.raises(ValueError, match="the test set is empty"):
        conditional_utilization(Pair(), [INPUTS], iter(()))


def test_a_model_trains_on_in_the_mode_it_was_in():
    """Measured between two epochs, a network would else go on without batch norm and running means."""
    model = Pair().train()
    model.heads.eval()
    conditional_utilization(model, [INPUTS], [(INPUTS, LABELS)])
    assert model.training
    assert model.fuse.training
    assert not model.heads["a"].training


@pytest.mark.parametrize(
    ("of_logits", "labels"),
    [
        (lambda z: z[:, :1], LABELS),
        (lambda z: z[:, 0], LABELS),
        (lambda z: z, LABELS[:, None]),
        (lambda z: z[:, :, None], LABELS),
        (lambda z: z[:4], LABELS),
    ],
    ids=["one logit", "no classes", "labels in a column", "pixels", "other examples"],
)
def test_logits_and_labels_of_other_shapes_are_refused(of_logits, labels):
    """They would be compared all the same, and every branch come out as not greedy."""
    model = Pair()
    model.register_forward_hook(lambda _, __, out: {m: of_logits(z) for m, z in out.items()})
    with pytest.raises(
        ValueError, match=r"logits of 'a' have shape .*expected \(batch, two classes"
    ):
        conditional_utilization(model, [INPUTS], [(INPUTS, labels)])


def test_logits_without_names_are_refused():
    model = Pair()
    model.register_forward_hook(lambda _, __, out: list(out.values()))
    with pytest.raises(
        TypeError, match="returned list: expected the logits of each branch, a dict"
    ):
        conditional_utilization(model, [INPUTS], [(INPUTS, LABELS)])


def test_any_network_with_fusion_modules_has_every_way_of_evaluating():
    assert list(evaluations(Pair())) == [
        "regular",
        "rebalance_a",
        "rebalance_b",
        "isolated",
        "zeroed",
    ]


@pytest.mark.parametrize("second", ["ba", "bc", "abc"])
def test_there_is_no_rebalancing_where_a_mode_would_mean_two_branches(second):
    """Index 0 is `a` in one module and another in the other, or is nothing there."""
    model = nn.ModuleList(MMTM(dict.fromkeys(m, 4)) for m in ("ab", second))
    assert list(evaluations(model)) == ["regular", "isolated", "zeroed"]
