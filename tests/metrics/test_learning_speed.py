import math

import pytest
import torch
from torch import nn

from equimodal.fusion.base import fusion_parameters
from equimodal.fusion.mmtm import MMTM
from equimodal.metrics.learning_speed import LearningSpeed


def parameter(value, gradient):
    p = nn.Parameter(torch.tensor(value, dtype=torch.float64))
    p.grad = None if gradient is None else torch.tensor(gradient, dtype=torch.float64)
    return p


def test_speed_is_the_log_ratio_of_summed_effective_updates():
    """Of a group as one vector, to whose size a parameter without a gradient adds."""
    branch, fusion = parameter([3.0, 0.0], [3.0, 4.0]), parameter([1.0], [3.0])
    whole = [branch, parameter([4.0], None)]
    speed = LearningSpeed(branch={"color": whole}, fusion={"color": [fusion]})
    speed.update()  # mu: 9 for the fusion, 1 for the branch
    fusion.grad = torch.tensor([1.0], dtype=torch.float64)
    speed.update()  # mu: 1 and 1
    assert speed.values.item() == pytest.approx(math.log10(10 / 2))


def test_whether_a_step_counts_is_not_taken_for_its_mode():
    one = [parameter([1.0], [1.0])]
    with pytest.raises(TypeError, match="takes the mode of the step"):
        LearningSpeed(branch={"a": one}, fusion={"a": one}).update(torch.tensor(True))
    with pytest.raises(TypeError, match="takes the mode of the step"):
        LearningSpeed(branch={"a": one}, fusion={"a": one}).update(-1)


def test_a_meter_of_other_modalities_than_the_fusion_or_in_another_order_is_refused():
    """The policy's mode 0 would be one branch of the meter and another of the fusion modules."""
    one = [parameter([1.0], [1.0])]
    with pytest.raises(ValueError, match="do not match"):
        LearningSpeed(branch={"a": one}, fusion={"b": one})
    pair, three = MMTM({"a": 4, "b": 4}), MMTM({"a": 4, "b": 4, "c": 4})
    for names, model, said in (
        (
            "ba",
            pair,
            r"branches are \['b', 'a'\], the fusion modules join \['a', 'b'\]; name the same",
        ),
        ("ab", three, r"the fusion modules join \['a', 'b', 'c'\]"),
        (
            "ax",
            nn.ModuleList([pair, three]),
            "no fusion module of the model joins the modality 'x'",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            LearningSpeed(branch=dict.fromkeys(names, one), fusion=model)


def test_a_meter_finds_the_parameters_of_the_fusion_modules():
    fusion = MMTM({"a": 4, "b": 4})
    for p in fusion.parameters():
        p.grad = torch.ones_like(p)
    found = []
    for of_fusion in (fusion, {m: fusion_parameters(fusion, m) for m in "ab"}):
        speed = LearningSpeed(branch={m: [parameter([1.0], [1.0])] for m in "ab"}, fusion=of_fusion)
        speed.update()
        found.append(speed.values)
    assert torch.equal(*found)


class Named(nn.Module):
    """Branches that the names of parameters tell, around a fusion that joins b and a, in this order."""

    def __init__(self):
        super().__init__()
        self.a_stem = nn.Linear(2, 4)
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})
        self.fuse = MMTM({"b": 4, "a": 4})


def test_the_fusion_modules_say_which_branches_there_are_and_their_names_which_parameters():
    model = Named()
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, 1.0 + i)
    a = [*model.a_stem.parameters(), *model.heads["a"].parameters()]
    by_hand = LearningSpeed({"b": [*model.heads["b"].parameters()], "a": a}, model)
    found = LearningSpeed.of(nn.ModuleDict({"wrapped": model}))
    for speed in (by_hand, found):
        speed.update()
    assert found.modalities == ("b", "a")
    assert torch.equal(found.values, by_hand.values)
    model.branch_parameters = lambda m: [*model.heads[m].parameters()]
    by_method = LearningSpeed.of(model)
    by_method.update()
    assert not torch.equal(by_method.values, found.values)


@pytest.mark.parametrize(
    ("add", "said"),
    [
        (lambda m: m.add_module("shared", nn.Linear(2, 2)), "2 parameters, such as 'shared.weight', do not"),
        (lambda m: m.add_module("a_b", nn.Linear(2, 2)), "such as 'a_b.weight'.*a method branch_parameters"),
        (lambda m: m.heads.update({"b": m.heads["a"]}), "2 parameters, such as 'heads.b.weight', do not"),
        (lambda m: delattr(m, "fuse"), "Named has no fusion module, so no speed can be measured"),
    ],
)  # fmt: skip
def test_a_network_whose_branches_nobody_can_tell_is_refused(add, said):
    model = Named()
    add(model)
    with pytest.raises(ValueError, match=said):
        LearningSpeed.of(model)


def test_a_group_of_which_nothing_is_trained_is_refused():
    """Its speed would be infinite, and guided training would never look at another branch."""
    trained, frozen = parameter([1.0], [1.0]), torch.nn.Parameter(torch.ones(1), False)
    for nothing in ([], [frozen]):
        with pytest.raises(ValueError, match="'a' has no parameters of its branch that are"):
            LearningSpeed(branch={"a": nothing}, fusion={"a": [trained]})


def test_a_state_is_a_snapshot():
    groups = {
        "branch": {"a": [parameter([1.0], [2.0])]},
        "fusion": {"a": [parameter([1.0], [1.0])]},
    }
    speed = LearningSpeed(**groups)
    speed.update()
    state, before = speed.state_dict(), speed.values
    groups["fusion"]["a"][0].grad *= 100
    speed.update()
    speed.load_state_dict(state)
    assert torch.equal(speed.values, before)
    with pytest.raises(
        ValueError, match=r"shapes \{'sums': \(2, 3\)\} is not one of this Learning"
    ):
        speed.load_state_dict({"sums": torch.zeros(2, 3)})


def test_a_step_whose_gradients_are_not_finite_leaves_the_speeds_alone():
    """Mixed precision begins with such steps, which its scaler skips; NaN would stay for good."""
    branch = {m: [parameter([1.0], [2.0])] for m in "ab"}
    fusion = {m: [parameter([1.0], [1.0])] for m in "ab"}
    speed = LearningSpeed(branch=branch, fusion=fusion)
    speed.update()
    before = speed.values
    for value in (math.inf, math.nan):
        fusion["b"][0].grad = torch.tensor([value], dtype=torch.float64)
        speed.update()
    assert before.isfinite().all()
    assert torch.equal(speed.values, before)


@pytest.mark.parametrize("gradient", [0.0, 3.0])
def test_parameters_that_begin_at_zero_count_from_their_first_step_on(gradient):
    """Divided by their norm they would make the speed infinite, or NaN, for good."""
    branch, fusion = parameter([1.0], [1.0]), parameter([0.0], [gradient])
    speed = LearningSpeed(branch={"a": [branch]}, fusion={"a": [fusion]})
    speed.update()
    fusion.data.fill_(0.5)
    fusion.grad.fill_(1.0)
    speed.update()  # mu: 4 for the fusion; twice 1 for the branch
    assert speed.values.item() == pytest.approx(math.log10(4 / 2))


@pytest.mark.parametrize("gone", [None, 0.0])
def test_gradients_that_are_gone_are_not_taken_for_zero(gone):
    """After `zero_grad`, with `set_to_none` or without, the speeds would be NaN and nothing be said."""
    branch, fusion = parameter([1.0], [1.0]), parameter([1.0], None)
    LearningSpeed(branch={"a": [branch]}, fusion={"a": [fusion]}).update()  # of an unused fusion
    branch.grad = None if gone is None else branch.grad * gone
    with pytest.raises(ValueError, match=r"update comes after backward\(\) and before zero_grad"):
        LearningSpeed(branch={"a": [branch]}, fusion={"a": [fusion]}).update()


def test_a_step_that_was_not_finished_is_refused():
    one = {"a": [parameter([1.0], [1.0])]}
    speed = LearningSpeed(branch=one, fusion=one, norm="after_step")
    speed.update()
    with pytest.raises(ValueError, match=r"needs after_step\(\) after each step"):
        speed.update()


def test_a_frozen_trunk_does_not_make_its_branch_slow():
    trunk = nn.Parameter(torch.full((9,), 100.0), requires_grad=False)
    head, fusion = parameter([1.0], [2.0]), parameter([1.0], [1.0])
    speed = LearningSpeed(branch={"a": [trunk, head]}, fusion={"a": [fusion]})
    speed.update()
    assert speed.values.item() == pytest.approx(math.log10(1 / 4))


def test_single_precision_is_enough_for_a_network():
    """Squares of 1e-25 are 0 in it, and the speed would be NaN."""
    tiny = nn.Parameter(torch.tensor([1e-25]))
    large = nn.Parameter(torch.tensor([1.0]))
    tiny.grad, large.grad = torch.tensor([1e-25]), torch.tensor([1.0])
    speed = LearningSpeed(branch={"a": [tiny]}, fusion={"a": [large]})
    speed.update()
    assert speed.sums.tolist() == [[1.0], [pytest.approx(1.0)]]


def test_gradients_may_be_zero_once_learning_has_begun():
    """To look at them again in each step would wait for the device."""
    branch, fusion = parameter([1.0], [2.0]), parameter([1.0], [1.0])
    speed = LearningSpeed(branch={"a": [branch]}, fusion={"a": [fusion]})
    speed.update()
    branch.grad.zero_()
    fusion.grad.zero_()
    speed.update()
    assert speed.sums.tolist() == [[1.0], [4.0]]
