import math
import shutil
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from equimodal.study.errors import UserError
from equimodal.study.layout import RUN_FILES
from equimodal.study.runs.logit_bank import evaluate_run
from equimodal.study.runs.loop import Training
from equimodal.study.runs.run import train_run, walk_run
from equimodal.study.spec import Schedule
from equimodal.study.turns import in_turn
from tests.training.conftest import GRAY, GUIDED, RANDOM, RUBI, VANILLA, small_spec, write_prepared


def run(spec, splits):
    training = Training(spec, splits(spec))
    training.run()
    return training


def history(training):
    return pd.DataFrame(training.progress.rows)


@pytest.mark.parametrize("name", [GUIDED, VANILLA, GRAY])
def test_a_row_an_epoch_with_all_that_is_promised(name, splits):
    training = run(small_spec(name), splits)
    rows = history(training)
    assert list(rows["epoch"]) == [1, 2, 3]
    assert list(rows["steps"]) == [5, 10, 15]  # 36 examples in batches of 8
    accuracies = rows.filter(like="accuracy")
    assert accuracies.stack().between(0, 1).all()
    assert np.isfinite(rows.select_dtypes("number").to_numpy()).all()
    modalities = training.network.modalities
    assert {f"{s}_accuracy_{m}" for s in ("train", "test") for m in modalities} <= set(rows)
    if len(modalities) > 1:
        kinds = rows[["regular_steps", "rebalance_color_steps", "rebalance_gray_steps"]]
        assert (kinds.sum(axis=1) == 5).all()
        assert {"speed_color", "speed_gray"} <= set(rows)


def test_every_policy_starts_from_the_same_weights_and_batches_and_every_seed_from_others(splits):
    vanilla, guided = (history(run(small_spec(n), splits)) for n in (VANILLA, GUIDED))
    assert not vanilla.equals(history(run(small_spec(VANILLA, seed=1), splits)))
    first = [c for c in vanilla if c != "next_mode"]
    assert vanilla.loc[0, first].equals(guided.loc[0, first])  # the warm-up epoch is the same
    assert not vanilla.loc[2, first].equals(guided.loc[2, first])


def test_the_best_epoch_is_the_first_of_the_best_validation_accuracy_and_rubi_s_branch_learns(
    splits,
):
    training = Training(small_spec(RUBI, training={"max_epochs": 8}), splits(small_spec(RUBI)))
    before = [p.clone() for p in training.policy.parameters()]
    training.run()
    accuracies = [row["validation_accuracy"] for row in training.progress.rows]
    assert training.progress.best_epoch == 1 + int(np.argmax(accuracies))
    after = training.policy.parameters()
    assert [torch.equal(p, q) for p, q in zip(before, after, strict=True)] == [False] * len(before)
    assert before


def test_networks_trained_with_16_bits_are_as_good(splits):
    """A preset that is faster has to tell the same: accuracy within the spread of seeds, same speeds."""
    spec = {a: small_spec(GUIDED, switches={"arithmetic": a}) for a in ("float32", "bfloat16")}
    exact, fast = (history(run(s, splits)) for s in spec.values())
    assert not exact.equals(fast)
    others = history(run(small_spec(GUIDED, seed=1), splits))
    numbers = ["train_loss", "speed_color", "speed_gray"]
    arithmetic, seed = ((x[numbers] - exact[numbers]).abs().to_numpy() for x in (fast, others))
    assert arithmetic.max() < 0.02
    assert 10 * arithmetic.mean() < seed.mean()


def stop_after(step, saved):
    """What saves the state after a step, and stops there."""

    def after_step(training):
        if training.progress.steps == step:
            torch.save(training.state(), saved)
            raise KeyboardInterrupt

    return after_step


def with_dropout(training):
    for branch in training.network.branches.values():
        branch.stages[-1] = nn.Sequential(branch.stages[-1], nn.Dropout())
    return training


AT_ONCE = {"training": {"schedule": Schedule(factor=0.5, patience=0, threshold=0.99, min_rate=0)}}
AT_ONCE |= {"switches": {"schedule": True}}


@pytest.mark.parametrize(
    ("name", "step", "changes", "change"),
    [
        (GUIDED, 1, {}, None),
        (GUIDED, 7, {}, with_dropout),
        (RANDOM, 5, {}, None),  # the last step of an epoch
        (RUBI, 14, {}, None),
        (VANILLA, 11, AT_ONCE, None),
    ],
)
def test_a_training_stopped_at_any_step_goes_on_to_the_same_bytes(
    name, step, changes, change, splits, tmp_path
):
    """The same masks of dropout, too, whatever torch was seeded with, which is left as it was."""
    spec = small_spec(name, **changes)

    def training():
        return (change or (lambda x: x))(Training(spec, splits(spec)))

    torch.manual_seed(1)
    outside = torch.get_rng_state()
    whole, stopped, resumed = training(), training(), training()
    whole.run()
    assert change or torch.equal(torch.get_rng_state(), outside)
    torch.manual_seed(2)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(stop_after(step, tmp_path / "checkpoint.pt"))
    resumed.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    resumed.run()
    assert history(resumed).to_csv() == history(whole).to_csv()
    assert not changes or history(whole)["learning_rate"].nunique() > 1
    a, b = whole.best_weights, resumed.best_weights
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert all(np.array_equal(x, resumed.steps()[k]) for k, x in whole.steps().items())


def test_every_step_of_every_seed_draws_its_own_dropout(splits, monkeypatch):
    def seeds_of(spec):
        training, given = Training(spec, splits(spec)), []
        with monkeypatch.context() as patch:
            patch.setattr(torch, "manual_seed", given.append)
            training.run()
        return given

    one, other = (seeds_of(small_spec(GUIDED, seed=s)) for s in (0, 1))
    assert len(one) == len(set(one)) == 15
    assert not set(one) & set(other)


@pytest.fixture
def places(tmp_path, prepared):
    """Where `train_run` reads and writes, and where `evaluate_run` does."""

    def of(spec):
        training = {"data": prepared(spec), "out": tmp_path / "run", "model": tmp_path / "model.pt"}
        evaluation = {k: training[k] for k in ("data", "model")} | {"out": tmp_path / "logits.npz"}
        return training | {"scratch": tmp_path / "scratch"}, evaluation

    return of


def test_the_same_spec_gives_the_same_bytes(places, tmp_path):
    spec = small_spec(GUIDED)
    training, evaluation = places(spec)
    made = []
    for _ in range(2):
        train_run(spec, **training)
        evaluate_run(tmp_path / "run", **evaluation)
        files = [*(tmp_path / "run").iterdir(), tmp_path / "model.pt", tmp_path / "logits.npz"]
        made.append({file.name: file.read_bytes() for file in files})
    assert set(made[0]) == {*RUN_FILES, "model.pt", "logits.npz"}
    assert made[0] == made[1]


def test_the_bank_holds_every_way_of_evaluating(places, tmp_path):
    """And the answers on test examples that are biased as those for training are."""
    spec = small_spec(GUIDED)
    training, evaluation = places(spec)
    images = np.load(training["data"] / "test.color.npy")
    np.save(training["data"] / "test.color_by_label.npy", images[::-1])
    train_run(spec, **training)
    banks = []
    for by_label in ({}, {"color": "color"}, {"color": "color_by_label"}):
        evaluate_run(tmp_path / "run", **evaluation, by_label=by_label)
        banks.append(dict(np.load(tmp_path / "logits.npz")))
    bank, same, other = banks
    ways = ("regular", "rebalance_color", "rebalance_gray")
    ways += ("isolated", "zeroed", "permuted", "class_mean")
    assert set(bank) == {"ids", "labels"} | {f"{w}/{m}" for w in ways for m in ("color", "gray")}
    assert all(bank[k].shape == (20, 10) and bank[k].dtype == np.float16 for k in bank if "/" in k)
    for way in ("regular", "isolated"):
        for m in ("color", "gray"):
            assert (same[f"{way}_by_label/{m}"] == bank[f"{way}/{m}"]).all()
            assert (other[f"{way}/{m}"] == bank[f"{way}/{m}"]).all()
        # The gray branch, isolated, does not see the color.
        assert (other[f"{way}_by_label/color"] != other[f"{way}/color"]).any()
    assert (other["isolated_by_label/gray"] == other["isolated/gray"]).all()


def test_a_loss_that_is_not_finite_ends_the_run_with_its_reason_and_an_empty_bank(places, tmp_path):
    spec = small_spec(GUIDED, learning_rate=1e30)
    training, evaluation = places(spec)
    outcome = train_run(spec, **training)
    evaluate_run(tmp_path / "run", **evaluation)
    assert (outcome["status"], outcome["best_epoch"]) == ("failed", None)
    assert outcome["steps"] < 5
    assert f"step {outcome['steps']} (epoch 1) at learning rate 1e+30" in outcome["reason"]
    assert set(np.load(tmp_path / "logits.npz")) == {"ids", "labels"}


def a_bit_over(path):
    """Of a tensor."""
    with zipfile.ZipFile(path) as members:
        name = max(members.infolist(), key=lambda member: member.file_size)
        stored = members.read(name)
    path.write_bytes(path.read_bytes().replace(stored, bytes([stored[0] ^ 64]) + stored[1:]))


def without_policy(path):
    state = torch.load(path, weights_only=True)
    del state["policy"]
    torch.save(state, path)


def other_data(path):
    labels = path.parents[6] / "train.labels.npy"
    np.save(labels, (np.load(labels) + 1) % 10)


@pytest.mark.parametrize(
    ("damage", "first", "said"),
    [
        (lambda path: None, 7, ""),  # the checkpoint of step 6 was the last
        (other_data, 1, "belongs to another spec"),
        (a_bit_over, 1, "is damaged"),  # torch reads it as it is
        (lambda path: path.write_bytes(b""), 1, "is damaged"),
        (lambda path: torch.save({"identity": "another"}, path), 1, "another, expected"),
        (lambda path: torch.save([1], path), 1, "None, expected"),
        (lambda path: torch.save({"x": Path("somewhere")}, path), 1, "holds the type pathlib"),
        (without_policy, 1, "is not a checkpoint of ours"),
    ],
)
def test_a_stopped_run_goes_on_from_its_checkpoint_or_says_why_it_starts_anew(
    damage, first, said, places, tmp_path, capsys
):
    spec = small_spec(VANILLA, training={"max_epochs": 2})
    training, _ = places(spec)

    def stop(training):
        if training.progress.steps == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(spec, **training, report=stop, checkpoint_seconds=0, checkpoint_share=1)
    (checkpoint,) = (tmp_path / "scratch").rglob("*.pt")
    damage(checkpoint)
    seen = []
    train_run(spec, **training, report=lambda t: seen.append(t.progress.steps))
    assert seen[0] == first
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "scratch").rglob("*.pt"))


@pytest.mark.parametrize(
    ("number", "step", "times", "first"),
    [
        (signal.SIGTERM, 3, 1, 4),
        (signal.SIGINT, 10, 1, None),  # the last of all
        (signal.SIGTERM, 3, 2, 1),  # who asks twice does not wait
    ],
)
def test_a_run_that_is_asked_to_stop_saves_a_checkpoint_and_stops(
    number, step, times, first, places, tmp_path
):
    spec = small_spec(RANDOM, training={"max_epochs": 2})
    training, _ = places(spec)
    train_run(spec, **training)
    whole = [(tmp_path / "run" / name).read_bytes() for name in RUN_FILES]

    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    def ask(training):
        if training.progress.steps == step:
            for _ in range(times):
                signal.raise_signal(number)

    before = signal.signal(number, stop)  # in place of the end of this process
    try:
        with pytest.raises(StoppedError):
            train_run(spec, **training, report=ask)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    seen = []
    train_run(spec, **training, report=lambda t: seen.append(t.progress.steps))
    assert seen[:1] == ([first] if first else [])
    assert [(tmp_path / "run" / name).read_bytes() for name in RUN_FILES] == whole


def test_checkpoints_take_no_more_than_their_share_of_the_time(places, monkeypatch):
    """A step takes a second and a checkpoint three: at a quarter of the time, one in nine steps."""
    spec = small_spec(VANILLA, training={"max_epochs": 4})
    training, _ = places(spec)
    now, saved = [0.0], []  # `walk_run` reads the clock, and writes, by these names

    def save(*_):
        now[0] += 3
        saved.append(now[0])

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(torch, "save", lambda *_: save())
    walk = walk_run(spec, **training, checkpoint_seconds=2, checkpoint_share=0.25)
    for _ in walk:
        now[0] += 1
    *checkpoints, _ = saved  # and the network
    assert checkpoints == [5, 17]


@pytest.mark.parametrize("place", ["run/steps.npz", "model.pt", f"scratch/{VANILLA}.pt"])
def test_a_folder_in_place_of_a_file_is_refused_before_the_first_step(place, places, tmp_path):
    spec = small_spec(VANILLA)
    training, evaluation = places(spec)
    (tmp_path / place).mkdir(parents=True)
    with pytest.raises(UserError, match=r"is a folder, expected a file to write; move it away"):
        train_run(spec, **training, report=lambda training: pytest.fail("it trained"))
    (tmp_path / "logits.npz").mkdir()
    with pytest.raises(UserError, match=r"logits\.npz is a folder"):
        evaluate_run(tmp_path / "run", **evaluation)


def of_weights(change):
    def damage(folder):
        state = torch.load(folder / "model.pt", weights_only=True)
        torch.save(change(state), folder / "model.pt")

    return damage


def with_value(value):
    def change(state):
        for part in ("weight", "bias"):
            state[f"branches.gray.head.1.{part}"][:] = value
        return state

    return of_weights(change)


def of_outcome(text):
    return lambda folder: (folder / "run/outcome.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.pt").unlink(), r"model\.pt is missing; train the run"),
        (lambda folder: (folder / "model.pt").write_bytes(b"no"), r"model\.pt is damaged"),
        (lambda folder: a_bit_over(folder / "model.pt"), r"model\.pt is damaged"),
        (of_weights(lambda state: dict(list(state.items())[1:])), "does not hold the weights of"),
        (of_weights(lambda state: [1]), "holds a list, expected named tensors"),
        (of_weights(lambda state: state | {"x": 1}), "x is a int, expected a tensor"),
        (with_value(math.nan), r"branches\.gray\.head\.1\.weight has values that are NaN or inf"),
        (with_value(math.inf), r"branches\.gray\.head\.1\.weight has values that are NaN or inf"),
        (with_value(3e38), "answers of the trained network are NaN or infinite: it has diverged"),
        (lambda folder: (folder / "run/spec.json").write_text('{"dataset": "x"}'), r"spec\.json is damaged \(inputs: "),
        (of_outcome("null"), r"outcome\.json is damaged \(it does not say"),
        (of_outcome('{"status": 1}'), "it does not say so"),
        (of_outcome("{"), r"outcome\.json is damaged \(Expecting"),
    ],
)  # fmt: skip
def test_files_of_a_run_that_are_damaged_are_refused_by_name(gray_run, tmp_path, damage, said):
    evaluation = gray_run(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=said):
        evaluate_run(tmp_path / "run", **evaluation)
    assert not (tmp_path / "logits.npz").exists()


@pytest.fixture(scope="module")
def gray_run(tmp_path_factory):
    """Copies a run of one modality into a folder."""
    whole = tmp_path_factory.mktemp("gray")
    spec = small_spec(GRAY, training={"max_epochs": 1})
    write_prepared(whole, spec)
    places = {"data": whole, "out": whole / "run", "model": whole / "model.pt"}
    train_run(spec, **places, scratch=whole / "scratch")

    def copy_to(folder):
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        return {"data": folder, "model": folder / "model.pt", "out": folder / "logits.npz"}

    return copy_to


def test_trainings_in_turn_end_in_the_bytes_that_each_has_alone(places, tmp_path, monkeypatch):
    """Of three policies and two arithmetics, one of which fails; each with its own files."""
    specs = [
        small_spec(RANDOM),
        small_spec(GUIDED, learning_rate=1e30),
        small_spec(GUIDED, switches={"arithmetic": "tf32"}, training={"max_epochs": 2}),
        small_spec(RUBI),
    ]
    training, _ = places(specs[0])

    def own(number, together):
        folder = tmp_path / f"{number}{together}"
        names = {"out": "run", "model": "model.pt", "scratch": "scratch"}
        return training | {key: folder / name for key, name in names.items()}

    tf32 = [False, False, True, False]
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    seen, step = [], Training._step

    def watched(of, index):
        seen.append(specs.index(of.spec))
        assert [flag.allow_tf32 for flag in flags] == [tf32[seen[-1]]] * 2
        step(of, index)

    monkeypatch.setattr(Training, "_step", watched)
    walks = (walk_run(s, **own(i, True)) for i, s in enumerate(specs))
    ended = dict(in_turn(walks, at_once=3))
    assert seen[:4] == [0, 1, 2, 0]
    assert [flag.allow_tf32 for flag in flags] == before  # of whoever goes on in this process
    for i, spec in enumerate(specs):
        assert train_run(spec, **own(i, False)) == ended[i]
        one, other = (own(i, together) for together in (True, False))
        for name in RUN_FILES:
            assert (one["out"] / name).read_bytes() == (other["out"] / name).read_bytes()
        assert one["model"].read_bytes() == other["model"].read_bytes()
        assert not list(one["scratch"].rglob("*.pt"))
    assert [ended[i]["status"] for i in range(4)] == ["finished", "failed", "finished", "finished"]
