"""Each switch of a fidelity preset changes what it says, and nothing else."""

import math

import numpy as np
import pytest
import torch

from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeezed import RunningMean
from equimodal.study.data.split import draw_views
from equimodal.study.params import load_params
from equimodal.study.runs.build import build_network
from equimodal.study.runs.logit_bank import evaluate_run
from equimodal.study.runs.loop import Training
from equimodal.study.runs.run import train_run
from equimodal.study.runs.score import predict, score, with_fused
from equimodal.study.spec import Augmentation, Switches
from tests.conftest import ROOT

from .conftest import GUIDED, RANDOM, VANILLA, random_split, small_spec

PRESETS = load_params(ROOT / "params.yaml", "demo").presets


def run(name, splits, after_step=lambda training: None, **changes):
    spec = small_spec(name, **changes)
    training = Training(spec, splits(spec))
    training.run(after_step)
    return training


def weights(training):
    return torch.cat([p.detach().ravel() for p in training.network.parameters()])


def columns(training, prefix):
    return [[v for k, v in row.items() if k.startswith(prefix)] for row in training.progress.rows]


def test_presets_hold_every_switch_and_differ_where_the_code_departs_from_the_paper():
    paper, official = PRESETS["paper"], PRESETS["official"]
    differing = {k for k in Switches.model_fields if getattr(paper, k) != getattr(official, k)}
    assert differing == {
        "gate_scale", "mean_gate_of", "mean_gate_source", "mean_gate_updates",
        "mean_gate_weights", "held_parameters", "evaluation_mode", "validation_flips",
        "squeeze_flips", "random_choices", "data_order",
    }  # fmt: skip


def of_fusion(name):
    return lambda training: getattr(training.network.fusions["2"], name)


def of_mean(name):
    return lambda training: getattr(training.network.fusions["2"].running_mean, name)


def of_rules(name):
    return lambda training: getattr(training.rules, name)


@pytest.mark.parametrize(
    ("switch", "value", "reached"),
    [
        ("gate_scale", 0.7, of_fusion("gate_scale")),
        ("squeeze_ratio", 1, lambda training: 32 // training.network.fusions["2"].squeeze.out_features),
        ("mean_gate_of", "post_sigmoid", of_mean("of")),
        ("mean_gate_source", "first", of_mean("source")),
        ("mean_gate_updates", "every_pass", of_mean("updates")),
        ("mean_gate_weights", "batches", of_mean("weights")),
        ("held_parameters", "zero_gradient", of_rules("held_parameters")),
        ("speed_sums", "every_step", of_rules("speed_sums")),
        ("l1_in_speed", False, of_rules("l1_in_speed")),
        ("speed_norm", "after_step", lambda training: training.speeds.norm),
        ("log_base", "e", lambda training: {math.e: "e"}.get(training.speeds._log_base)),
    ],
)  # fmt: skip
def test_a_switch_reaches_what_it_switches(switch, value, reached, splits):
    """What each does then is compared with the reference: tests/reference."""
    usual, switched = (
        Training(spec, splits(spec))
        for spec in (small_spec(GUIDED), small_spec(GUIDED, switches={switch: value}))
    )
    assert reached(switched) == value != reached(usual)


def test_the_mean_gate_bug_needs_equal_channels():
    with pytest.raises(ValueError, match="equal channels"):
        MMTM({"a": 3, "b": 4}, running_mean=RunningMean(source="first"))


def test_the_mode_left_behind_changes_what_is_measured_and_not_what_is_learned(splits):
    regular, left = (
        run(GUIDED, splits, switches={"evaluation_mode": e}) for e in ("regular", "left_behind")
    )
    assert torch.equal(weights(regular), weights(left))
    assert columns(regular, "train") == columns(left, "train")
    modes = [row["next_mode"] for row in left.progress.rows]
    assert modes[0] == "regular"  # the warm-up's end
    assert "rebalance_gray" in modes or "rebalance_color" in modes
    losses = zip(columns(regular, "test_loss"), columns(left, "test_loss"), modes, strict=True)
    assert all((a == b) == (mode == "regular") for a, b, mode in losses)


def test_flips_of_the_validation_set_leave_training_and_test_alone(splits):
    augmentation = Augmentation(flip=0.5, shared=False)

    def with_validation(spec):
        made = splits(spec)
        return made | {"validation": made["test"]}

    plain, flipped = (
        run(
            VANILLA,
            with_validation,
            augmentation=augmentation,
            validation="validation",
            switches={"validation_flips": f},
        )
        for f in (False, True)
    )
    assert columns(plain, "train") == columns(flipped, "train")
    assert columns(plain, "test") == columns(flipped, "test")
    assert columns(plain, "validation") == columns(plain, "test")
    assert columns(flipped, "validation") != columns(flipped, "test")


def test_a_score_goes_by_the_labels_of_the_mirror_images(splits):
    """Where a mirror makes one gesture of another, the answer to it is the other."""
    spec = small_spec(VANILLA)
    split = splits(spec)["train"]
    swapped = tuple((a, a + 1) for a in range(0, spec.classes - 1, 2))
    views = draw_views(split, Augmentation(flip=1.0, shared=True, flip_swaps=swapped), [0])
    network = build_network(spec)
    answers = with_fused(predict(network, split, views=views))["fused"].argmax(-1)
    seen = split.batch(torch.arange(len(split)), views).labels
    assert not torch.equal(seen, split.labels)
    accuracy = (answers == seen).float().mean().item()
    assert accuracy != (answers == split.labels).float().mean().item()
    assert score(network, split, views=views).accuracy["fused"] == pytest.approx(accuracy)


def test_the_stop_rule_counts_perfect_epochs_and_changes_nothing_before():
    """On the second rests the table `selection`, which cuts trainings off at their first perfect epoch."""

    def few(spec):
        return {name: random_split(spec, 12, seed=1) for name in ("train", "test")}

    one, three = (
        run(
            VANILLA,
            few,
            learning_rate=0.1,
            training={"max_epochs": 200},
            switches={"perfect_epochs": perfect},
        ).progress.rows
        for perfect in (1, 3)
    )
    for perfect, rows in ((1, one), (3, three)):
        reached = [row["train_accuracy"] == 1.0 for row in rows]
        assert sum(reached) == perfect
        assert reached[-1]
    assert len(one) < len(three)
    assert one == three[: len(one)]


def test_a_schedule_that_never_lowers_the_rate_changes_nothing(splits):
    """As docs/reproduction.md says of the paper-scale networks."""
    plain, scheduled = (run(VANILLA, splits, switches={"schedule": on}) for on in (False, True))
    assert {row["learning_rate"] for row in scheduled.progress.rows} == {plain.spec.learning_rate}
    assert plain.progress.rows == scheduled.progress.rows
    ours, theirs = (training.network.state_dict() for training in (plain, scheduled))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


@pytest.mark.parametrize("on", [True, False])
def test_the_schedule_lowers_the_rate_only_where_it_is_on(on, splits):
    spec = small_spec(VANILLA)
    plateau = spec.training.schedule.model_copy(update={"patience": 0, "threshold": 0.9})
    training = run(VANILLA, splits, training={"schedule": plateau}, switches={"schedule": on})
    rates = [row["learning_rate"] for row in training.progress.rows]
    assert (rates[-1] < rates[0]) == on


@pytest.mark.parametrize(("choices", "alike"), [("per_run", False), ("shared", True)])
def test_random_choices_differ_between_runs_unless_shared(choices, alike, splits):
    taken = [
        run(
            RANDOM,
            splits,
            seed=seed,
            training={"max_epochs": 6},
            switches={"random_choices": choices},
        ).steps()["modes"]
        for seed in (0, 1)
    ]
    assert (taken[0] == taken[1]).all() == alike


@pytest.mark.parametrize(("order", "alike"), [("per_run", False), ("shared", True)])
def test_the_order_of_examples_differs_between_runs_unless_shared(order, alike, splits):
    orders = []
    for seed in (0, 1):
        spec = small_spec(VANILLA, seed=seed, switches={"data_order": order})
        orders.append(torch.cat(list(Training(spec, splits(spec))._batches_left())))
    assert torch.equal(*orders) == alike


def test_flips_while_the_mean_squeezes_are_taken_change_the_isolated_answers_only(
    prepared, tmp_path
):
    banks = []
    for flips in (False, True):
        spec = small_spec(
            VANILLA,
            augmentation=Augmentation(flip=0.5, shared=False),
            switches={"squeeze_flips": flips},
        )
        data, out = prepared(spec), tmp_path / f"run{flips}"
        model = out / "model.pt"
        train_run(spec, data=data, out=out, model=model, scratch=tmp_path / "scratch")
        evaluate_run(out, model=model, data=data, out=out / "logits.npz")
        banks.append(np.load(out / "logits.npz"))
    alike = {k: np.array_equal(banks[0][k], banks[1][k]) for k in banks[0]}
    assert {k for k, same in alike.items() if not same} == {
        f"{way}/{m}" for way in ("isolated", "class_mean") for m in ("color", "gray")
    }


def test_presets_start_from_the_same_weights():
    networks = [
        build_network(small_spec(VANILLA, switches=PRESETS[name].model_dump()))
        for name in ("paper", "official")
    ]
    a, b = (dict(net.named_parameters()) for net in networks)
    assert all(torch.equal(a[n], b[n]) for n in a)


def test_where_evaluation_moves_the_means_it_runs_in_batches_of_the_training_size(splits):
    changes = {"mean_gate_updates": "every_pass", "mean_gate_weights": "batches"}
    training = run(VANILLA, splits, switches=changes, training={"max_epochs": 1})
    fusion = training.network.fusions["2"]
    assert float(fusion.gates_seen) == 5 + 3  # 36 training and 20 test examples in batches of 8
