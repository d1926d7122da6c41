"""The balancing methods of others as runs of the study."""

from importlib import import_module
from inspect import Parameter, signature
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from equimodal.study import consistency, layout
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.methods import METHODS
from equimodal.study.params import Grid, load_params
from equimodal.study.runs.build import method_of, read_losses, take_branches
from equimodal.study.runs.graphed import recordable
from equimodal.study.runs.loop import Training
from equimodal.training.methods import joint
from tests.conftest import ROOT
from tests.training.conftest import small_spec

from .tape import Tape, Unasked
from .test_loop import GRAY, VANILLA

PARAMS = load_params(ROOT / "params.yaml", "demo")
DIGITS = PARAMS.datasets["colored_mnist"].model_copy(update={"validation_examples": 100})
HELD_OUT = PARAMS.datasets | {"colored_mnist": DIGITS}
STEPPING = [name for name, method in METHODS.items() if method.members is None]


def asked(*grids, **changes):
    """Runs of one experiment of the demo on two modalities without fusion."""
    usual = {"dataset": "colored_mnist", "inputs": ("distinct",), "rates": "table1", "seeds": 1}
    without = PARAMS.presets["paper"].model_copy(update={"network": {"fused_after": []}})
    grids = tuple(Grid(**usual | {"fidelity": ("without_fusion",)} | grid) for grid in grids)
    changes |= {
        "presets": PARAMS.presets | {"without_fusion": without},
        "experiments": {"tuning": grids},
    }
    return expand_runs(type(PARAMS).model_validate(dict(PARAMS) | changes))


def small(policy, **changes):
    (spec,) = asked({"policy": (policy,)}, datasets=HELD_OUT).values()
    of = small_spec(VANILLA)
    return of.model_copy(
        update={
            "policy": policy,
            "parameters": spec.parameters,
            "network": of.network.model_copy(update={"fused_after": ()}),
        }
        | changes
    )


@pytest.mark.parametrize("policy", [p for p in STEPPING if not METHODS[p].validates])
def test_no_method_waits_for_the_device_in_a_step(splits, policy):
    spec = small(policy)
    training = Training(spec, splits(spec))
    first, *others = training._batches_left()
    training._on_device(first)
    training.policy.end_epoch(training.network, training._for_policy())
    training.progress.epoch = 2
    before = torch.get_rng_state()
    with Unasked():
        for index in others:
            training._on_device(index)
    drawn = not torch.equal(before, torch.get_rng_state())
    assert training.policy.draws_on_device == drawn, "draws_on_device does not say what a step does"
    assert recordable(training.network, training.policy, splits(spec)["train"]) != drawn


def same(one, other):
    weights = (training.network.parameters() for training in (one, other))
    return one.progress.rows == other.progress.rows and all(map(torch.equal, *weights))


@pytest.mark.parametrize("policy", [p for p in STEPPING if p != "joint"])
def test_a_training_that_was_stopped_or_recorded_comes_to_the_same_weights(splits, policy):
    validated = METHODS[policy].validates
    spec = small(policy, **({"validation": "validation"} if validated else {}))
    if policy == "relearning":
        spec = spec.model_copy(update={"parameters": {"strength": 3.0, "every": 1, "times": 2}})
    parts = splits(spec) | ({"validation": splits(spec)["test"]} if validated else {})
    whole, first, second = (Training(spec, parts) for _ in range(3))
    recorded = Training(spec, parts, graph=Tape)
    whole.run()
    recorded.run()
    walk = first.walk()
    for _ in range(7):  # into the second epoch
        next(walk)
    second.restore(first.state())
    second.run()
    assert same(whole, second), "state_dict lacks what it remembers"
    assert same(whole, recorded), "numbers lacks a change, or one is not in place"
    for training in (whole, second):  # the last epoch has no `end_epoch`
        counted = training.policy.epoch
        assert counted == training.progress.epoch - 1, "end_epoch does not call that of Method"


def test_what_a_method_learns_starts_from_the_seed_of_the_run_and_is_in_its_state(
    splits, monkeypatch
):
    class Learned(joint.METHOD):
        def __init__(self, network, **common):
            super().__init__(network, **common)
            self.layer = nn.Linear(2, 2)

        def parameters(self):
            return self.layer.parameters()

    monkeypatch.setattr(joint, "METHOD", Learned)
    spec = small("joint")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (Training(spec, splits(spec)).policy for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.layer.weight, second.layer.weight)
    with torch.no_grad():
        first.layer.weight.fill_(3.0)
    second.load_state_dict(first.state_dict())
    assert (second.layer.weight == 3).all()


def test_weights_that_the_last_step_spoils_fail_the_run(splits, monkeypatch):
    class Spoiled(joint.METHOD):
        def modulate(self, network, logits, labels):
            self.steps = getattr(self, "steps", 0) + 1
            for p in network.parameters():
                p.grad.mul_(torch.nan if self.steps == 15 else 1.0)  # the last of three epochs

    monkeypatch.setattr(joint, "METHOD", Spoiled)
    spec = small("joint")
    training = Training(spec, splits(spec))
    training.run()
    said = "the loss in evaluation became infinite or NaN (epoch 3) at learning rate 0.01"
    assert training.progress.failure == said
    assert [row["epoch"] for row in training.progress.rows] == [1, 2]
    assert all(x.isfinite().all() for x in training.best_weights.values())


def test_an_ensemble_averages_uni_modal_networks_and_is_not_trained(splits, tmp_path):
    files, alone = {}, {}
    ensemble = small("uniform").model_copy(update={"policy": "ensemble"})
    for m in ("color", "gray"):
        modality = {m: ensemble.modalities[m]}
        spec = small_spec(GRAY, network=ensemble.network, modalities=modality)
        training = Training(spec, splits(spec))
        training.run()
        files[m] = str(tmp_path / f"{m}.pt")
        torch.save(training.network.state_dict(), files[m])
        alone[m] = training.network.eval()
    spec = ensemble.model_copy(update={"members": files})
    training = Training(spec, splits(spec))
    training.run()
    assert (training.progress.steps, training.progress.best_epoch) == (0, 1)
    inputs = splits(spec)["test"].batch(torch.arange(20)).inputs
    expected = torch.stack([net({m: inputs[m]})[m] for m, net in alone.items()]).mean(0)
    torch.testing.assert_close(training.network.eval()(inputs)["gray"], expected)
    with pytest.raises(UserError, match=r"color.pt does not fit the network"):
        take_branches(training.network, {"gray": files["color"]})
    with pytest.raises(UserError, match="is missing; train that run first"):
        take_branches(training.network, {"gray": "nowhere.pt"})


def test_g_blend_reads_the_losses_of_other_runs(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,train_loss,validation_loss\n1,2.0,2.5\n2,1.0,2.25\n")
    assert read_losses(history) == ([2.0, 1.0], [2.5, 2.25])
    history.write_text("epoch,train_loss\n1,2.0\n")
    with pytest.raises(UserError, match=r"history.csv"):
        read_losses(history)


def test_what_a_run_reads_of_others_are_runs_of_equal_settings():
    runs = asked(
        {"inputs": ("color", "gray"), "policy": ("vanilla",)},
        {"policy": ("joint", "g_blend", "ensemble")},
        datasets=HELD_OUT,
    )
    made = {layout.model("demo", name).as_posix() for name in runs}
    made |= {(layout.run("demo", name) / "history.csv").as_posix() for name in runs}
    reads = {spec.policy: spec.reads for spec in runs.values()}
    assert {policy: len(files) for policy, files in reads.items()} == {
        "vanilla": 0, "joint": 0, "g_blend": 3, "ensemble": 2,
    }  # fmt: skip
    assert {file for files in reads.values() for file in files} <= made


@pytest.mark.parametrize("again", [{}, {"entropy": 0.0, "alpha": 0.5}])
def test_one_network_with_two_names_is_refused(again):
    usual = PARAMS.methods["colored_mnist"].pmr.model_dump()
    first = {"alpha": 0.5, "entropy": 0.0} if again else {"alpha": usual["alpha"]}
    with pytest.raises(UserError, match="are the same network; name in `parameters` what differs"):
        asked({"policy": ("pmr",), "parameters": (first, again)})


def test_what_is_no_network_of_one_modality_here_is_not_read():
    """Of two copies of one image, none is an input of its own; UserError, or another's network would be read."""
    with pytest.raises(UserError, match=r"datasets.colored_mnist.inputs has no entry {'gray"):
        asked({"policy": ("ensemble",), "inputs": ("identical",)})


def test_hyper_parameters_are_those_of_the_data_set_unless_a_grid_changes_them():
    grid, own = {"policy": ("ogm_ge",)}, {"alpha": 0.5, "noise": False}
    (usual,) = asked(grid).values()
    (changed,) = asked(grid | {"parameters": (own,)}).values()
    assert usual.parameters == PARAMS.methods["colored_mnist"].ogm_ge.model_dump()
    assert changed.parameters == usual.parameters | {"alpha": 0.5, "noise": False}
    assert changed.name == usual.name.replace("/seed0", "-alpha_0.5-noise_False/seed0")
    (vanilla,) = asked({"policy": ("vanilla",)}).values()
    assert not {"parameters", "members"} & vanilla.model_dump().keys()


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (
            {"policy": ("agm",), "parameters": ({"beta": 1.0},)},
            "settings of agm: beta: unknown key",
        ),
        (
            {"policy": ("agm",), "parameters": ({"alpha": -1.0},)},
            "settings of agm: alpha: expected",
        ),
        ({"policy": ("vanilla",), "parameters": ({"alpha": 1.0},)}, "sets parameters for policy"),
        ({"policy": ("relearning",)}, "asks for relearning, which looks at a validation split"),
        ({"policy": ("ensemble",), "fidelity": ("paper",)}, "ensemble, which is of networks with"),
        ({"policy": ("ogm",)}, "Input should be 'vanilla'"),
        ({"policy": ("g_blend",), "l1": (0.1,)}, "g_blend with an L1 penalty"),
    ],
)
def test_what_a_method_can_not_have_is_refused(grid, said):
    with pytest.raises(ValueError, match=said):
        asked(grid)


def test_a_method_of_two_modalities_is_refused_on_three(project):
    grid = "{dataset: modelnet40, inputs: [three], policy: [ogm_ge], rates: table1, seeds: 1}"
    with pytest.raises(
        UserError, match="ogm_ge on three, which has 3 modalities; it is defined for 2"
    ):
        project.load_scale(f"like: tiny\nexperiments:\n  methods:\n    - {grid}\n")


def test_an_entry_without_a_file_is_refused(monkeypatch):
    monkeypatch.setattr(consistency, "FOLDER", ROOT / "tests")
    with pytest.raises(
        ValueError, match=r"agm, which has an entry in METHODS but no file .*agm\.py"
    ):
        asked({"policy": ("agm",)})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "mine.py has no METHOD; end it with METHOD ="),
        ({"METHOD": joint.METHOD}, "METHOD does not fit its entry in METHODS .*'beta'"),
    ],
)
def test_a_file_that_does_not_fit_its_entry_is_refused(rule, said):
    module = SimpleNamespace(__file__="mine.py", **rule)
    with pytest.raises(UserError, match=said):
        method_of(module, None, classes=10, seed=0, beta=1.0)


def test_every_method_is_one_file_and_one_entry():
    files = {p.stem for p in (ROOT / "src/equimodal/training/methods").glob("[a-z]*.py")}
    assert files == set(METHODS)
    given = {"classes", "seed", "histories"}
    for name, about in METHODS.items():
        takes = signature(import_module(f"equimodal.training.methods.{name}").METHOD).parameters
        named = {k for k, p in takes.items() if p.kind is Parameter.KEYWORD_ONLY}
        assert named - given == set(about.settings), name
    text = (ROOT / "docs/methods.md").read_text()
    assert [name for name in METHODS if f"`{name}`" not in text] == []
