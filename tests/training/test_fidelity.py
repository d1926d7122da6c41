"""Each switch of a fidelity preset changes what it says, and nothing else."""

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from equimodal.data.split import draw_views
from equimodal.fusion.base import Flow, held_parameters
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeezed import RunningMean
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.models.network import build_network
from equimodal.params import load_params
from equimodal.spec import Augmentation, Fidelity
from equimodal.training.logit_bank import evaluate_run
from equimodal.training.loop import Training
from equimodal.training.run import train_run
from equimodal.training.score import predict, score, with_fused

from .conftest import small_spec

ROOT = Path(__file__).parents[2]
GUIDED = "colored_mnist/distinct/guided/paper/lr0.01/seed0"
RANDOM = "colored_mnist/distinct/random/paper/lr0.01/seed0"
VANILLA = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
PRESETS = load_params(ROOT / "params.yaml", "demo").presets
BOTH = {"color": torch.rand(6, 4, 5, 5), "gray": torch.rand(6, 4, 5, 5)}


def mmtm(gate_scale=1.0, squeeze_ratio=4.0, **running_mean):
    torch.manual_seed(0)
    return MMTM(
        {"color": 4, "gray": 4},
        squeeze_ratio=squeeze_ratio,
        gate_scale=gate_scale,
        running_mean=RunningMean(**running_mean),
    )


def rebalance(branch):
    return Flow(rebalance=torch.tensor(branch))


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
    differing = {k for k in Fidelity.model_fields if getattr(paper, k) != getattr(official, k)}
    assert differing == {
        "gate_scale", "mean_gate_of", "mean_gate_source", "mean_gate_updates",
        "mean_gate_weights", "held_parameters", "evaluation_mode", "validation_flips",
        "squeeze_flips", "random_choices", "data_order",
    }  # fmt: skip


def test_gate_scale_scales_the_gated_features():
    ones, twos = mmtm(gate_scale=1)(BOTH), mmtm(gate_scale=2)(BOTH)
    torch.testing.assert_close(2 * ones["color"], twos["color"])


def test_squeeze_ratio_sets_the_width_of_the_joint_code():
    assert [mmtm(squeeze_ratio=r).squeeze.out_features for r in (4, 8)] == [4, 2]


def test_the_code_averages_sigmoids_and_the_paper_takes_the_sigmoid_of_the_average():
    before, after = mmtm(of="pre_sigmoid"), mmtm(of="post_sigmoid")
    before(BOTH), after(BOTH)
    code = before.squeeze(torch.cat([x.flatten(2).mean(-1) for x in BOTH.values()], 1)).relu()
    w = before.excite["gray"](code)
    torch.testing.assert_close(before.mean_gate_gray, w.mean(0))
    torch.testing.assert_close(after.mean_gate_gray, w.sigmoid().mean(0))
    gates = [m(BOTH, rebalance(1))["gray"] / BOTH["gray"] for m in (before, after)]
    torch.testing.assert_close(gates[0][0, :, 0, 0], w.mean(0).sigmoid())
    torch.testing.assert_close(gates[1][0, :, 0, 0], w.sigmoid().mean(0))


def test_before_any_step_both_readings_stand_in_the_same_gate():
    gates = [mmtm(of=of)(BOTH, rebalance(1))["gray"] for of in ("pre_sigmoid", "post_sigmoid")]
    torch.testing.assert_close(*gates)


def test_the_mean_gate_bug_feeds_the_first_branch_to_the_second_mean():
    own, first = mmtm(source="own"), mmtm(source="first")
    own(BOTH), first(BOTH)
    torch.testing.assert_close(first.mean_gate_gray, own.mean_gate_color)
    torch.testing.assert_close(first.mean_gate_color, own.mean_gate_color)
    assert not torch.allclose(own.mean_gate_gray, own.mean_gate_color)


def test_the_mean_gate_bug_needs_equal_channels():
    with pytest.raises(ValueError, match="equal channels"):
        MMTM({"a": 3, "b": 4}, running_mean=RunningMean(source="first"))


@pytest.mark.parametrize("training", [True, False], ids=["a re-balancing step", "evaluation"])
def test_means_that_every_pass_updates_move_where_the_paper_s_do_not(training):
    modules = [mmtm(updates=u).train(training) for u in ("regular_steps", "every_pass")]
    for module in modules:
        module(BOTH, rebalance(0) if training else Flow())
    assert [float(module.gates_seen) for module in modules] == [0, 6]


def test_a_frozen_pass_moves_no_running_mean():
    module = mmtm(updates="every_pass").eval()
    module(BOTH, Flow(frozen=True))
    assert float(module.gates_seen) == 0


def test_batches_that_count_alike_give_a_small_batch_more_weight():
    parts = [{m: x[s] for m, x in BOTH.items()} for s in (slice(0, 5), slice(5, 6))]
    samples, batches = mmtm(weights="samples"), mmtm(weights="batches")
    means = []
    for part in parts:
        alone = mmtm()
        alone(part)
        means.append(alone.mean_gate_gray)
        samples(part), batches(part)
    torch.testing.assert_close(samples.mean_gate_gray, (5 * means[0] + means[1]) / 6)
    torch.testing.assert_close(batches.mean_gate_gray, (means[0] + means[1]) / 2)


def meter(**settings):
    p, q = (nn.Parameter(torch.tensor([x], dtype=torch.float64)) for x in (2.0, 4.0))
    p.grad, q.grad = torch.ones_like(p), 3 * torch.ones_like(q)
    return LearningSpeed(branch={"a": [p]}, fusion={"a": [q]}, **settings), p, q


def test_the_natural_logarithm_is_the_common_one_times_ln_10():
    speeds = []
    for base in ("10", "e"):
        speed, *_ = meter(log_base=base)
        speed.update()
        speeds.append(speed.values.item())
    assert speeds[1] == pytest.approx(log(10) * speeds[0])


def test_the_norm_after_the_step_is_that_of_the_moved_parameters():
    speed, p, q = meter(norm="after_step", log_base="e")
    speed.update()
    with torch.no_grad():
        p += 1
        q += 2
    speed.after_step()
    assert speed.values.item() == pytest.approx(log((9 / 36) / (1 / 9)))


def test_sums_over_every_step_count_rebalancing_steps_as_well(splits):
    counts = {}

    def watch(training):
        sums = training.speeds.sums.clone()
        mode = int(training._modes[-1])
        key = training.spec.switches.speed_sums
        counts.setdefault(key, []).append((mode, sums))

    for sums in ("regular_steps", "every_step"):
        run(GUIDED, splits, watch, switches={"speed_sums": sums})
    for key, steps in counts.items():
        rebalanced = [i for i, (mode, _) in enumerate(steps) if mode >= 0]
        assert rebalanced
        still = [torch.equal(steps[i][1], steps[i - 1][1]) for i in rebalanced]
        assert all(still) if key == "regular_steps" else not any(still)


def test_with_a_gradient_of_zero_momentum_still_moves_held_parameters(splits):
    """And in a vanilla run, which holds nothing, the switch changes nothing."""
    moved = {}

    def watch(training):
        network = training.network
        now = [torch.cat([p.detach().ravel() for p in held]) for held in held_parameters(network)]
        last = moved.setdefault(training.spec.switches.held_parameters, {"moved": []})
        if (mode := int(training._modes[-1])) >= 0:
            last["moved"].append(not torch.equal(now[mode], last["weights"][mode]))
        last["weights"] = now

    finals = []
    for rule in ("skip", "zero_gradient"):
        run(GUIDED, splits, watch, switches={"held_parameters": rule})
        finals.append(weights(run(VANILLA, splits, switches={"held_parameters": rule})))
    assert moved["skip"]["moved"]
    assert not any(moved["skip"]["moved"])
    assert all(moved["zero_gradient"]["moved"])
    assert torch.equal(*finals)


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


def test_shared_flips_are_the_same_in_all_modalities(splits):
    split = splits(small_spec(VANILLA))["train"]
    shared = draw_views(split, Augmentation(flip=0.5, shared=True), [0])
    single = draw_views(split, Augmentation(flip=0.5, shared=False), [0])
    assert torch.equal(shared.mirrored["color"], shared.mirrored["gray"])
    assert not torch.equal(single.mirrored["color"], single.mirrored["gray"])
    index = torch.arange(5)
    plain, mirrored = split.batch(index), split.batch(index, shared)
    for i in range(5):
        expected = plain.inputs["color"][i].flip(-1) if shared.mirrored["color"][i] else None
        torch.testing.assert_close(
            mirrored.inputs["color"][i], plain.inputs["color"][i] if expected is None else expected
        )


def test_the_stop_rule_counts_perfect_epochs_and_changes_nothing_before(splits):
    """On the second rests the table `selection`, which cuts trainings off at their first perfect epoch."""
    one, three = (
        run(
            VANILLA,
            splits,
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


@pytest.mark.parametrize("counts", [True, False])
def test_the_l1_gradient_counts_in_the_speeds_only_if_asked_and_trains_in_any_case(counts, splits):
    runs = {
        l1: run(
            VANILLA, splits, l1=l1, switches={"l1_in_speed": counts}, training={"max_epochs": 1}
        )
        for l1 in (0.0, 1e-3)
    }
    first = {l1: t.steps()["speeds"][0].tolist() for l1, t in runs.items()}
    assert (first[0.0] == first[1e-3]) == (not counts)
    assert not torch.equal(weights(runs[0.0]), weights(runs[1e-3]))


def test_the_l1_switch_changes_no_training(splits):
    finals = [
        weights(run(VANILLA, splits, l1=1e-3, switches={"l1_in_speed": c})) for c in (True, False)
    ]
    assert torch.equal(*finals)


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
