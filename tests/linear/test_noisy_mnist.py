import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from equimodal.linear import products
from equimodal.linear.mnist_table import COLUMNS, for_readers, linear_mnist
from equimodal.linear.noisy_mnist import FusionNetwork, noisy_pairs, train_noisy_mnist
from equimodal.linear.settings import load_linear
from equimodal.study import layout
from equimodal.study.cli import app
from equimodal.study.errors import UserError
from equimodal.study.params import load_params
from equimodal.study.spec import Modality
from tests.conftest import ROOT, make_project, run_verb
from tests.linear.conftest import made_up_courses


def pairs_of(settings, digits, **changed):
    settings = settings.noisy_mnist.model_copy(update=changed)
    return noisy_pairs(digits, settings, torch.Generator().manual_seed(0))


def test_a_is_clean_in_84_of_100_digits_b_in_20_and_one_of_them_always(settings):
    digits = torch.full((50_000, 1), 10.0)
    a, b = (x[:, 0] == 10 for x in pairs_of(settings, digits))
    for clean, share in ((a & ~b, 0.80), (a & b, 0.04), (~a & b, 0.16), (~a & ~b, 0)):
        assert clean.float().mean().item() == pytest.approx(share, abs=0.006 if share else 0)


def test_under_noise_a_tenth_is_left_of_a_digit(settings):
    digits = torch.full((1000, 100), 10.0)
    _, b = pairs_of(settings, digits, feed_a=1.0)
    assert b.mean().item() == pytest.approx(1, abs=0.005)
    assert b.std().item() == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize("fusion", [1, 2, 3, 4])
def test_the_layer_that_reads_both_modalities_is_the_one_named(fusion):
    network = FusionNetwork(depth=4, fusion=fusion, width=5, pixels=7, classes=3)
    a, b, after = (
        [part for part in parts if isinstance(part, nn.Linear)]
        for parts in (*network.branches, network.after)
    )
    assert len(a) == len(b) == fusion - 1
    assert len(a) + len(after) == 4
    assert after[0].in_features == 2 * (7 if fusion == 1 else 5)
    assert network(torch.zeros(2, 7), torch.zeros(2, 7)).shape == (2, 3)
    assert isinstance(network.after[-1], nn.Linear)


class Digits:
    """Prepared digits of a scale and the networks trained on them."""

    def __init__(self, folder, scale):
        path = (ROOT if scale == "demo" else folder) / "params.yaml"
        params = load_params(path, scale)
        dataset = params.datasets["colored_mnist"]
        self.folder = folder
        self.settings = load_linear(params, path).noisy_mnist
        self.gray = Modality(source="gray", **dict(dataset.sources["gray"]))
        dataset.fetch(folder / "raw", mirror=None)
        dataset.prepare(folder / "raw", folder / "digits")

    def train(self, name, fusion=2, **options):
        """Return the file of a training, whatever became of it."""
        changed = options.pop("changed", {})
        train_noisy_mnist(
            self.settings.model_copy(update=changed),
            fusion,
            gray=self.gray,
            classes=10,
            data=self.folder / "digits",
            out=self.folder / f"{name}.csv",
            checkpoint=self.folder / f"{name}.pt",
            **options,
        )
        return self.folder / f"{name}.csv"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_project(folder)
    return Digits(folder, "tiny")


class KilledError(Exception):
    pass


def kill_training(digits, name, epoch, **changed):
    """Stop one that saves after each epoch, in an epoch."""

    def report(row):
        if row["epoch"] == epoch:
            raise KilledError

    with pytest.raises(KilledError):
        digits.train(name, changed=changed, checkpoint_seconds=0, report=report)


FIVE = {"epochs": 5}


@pytest.fixture(scope="module")
def whole(tiny):
    """File of a training of five epochs that nothing disturbed."""
    return tiny.train("whole", changed=FIVE)


def test_each_epoch_has_a_row_and_row_0_is_the_untrained_network(tiny, whole):
    table = pd.read_csv(whole)
    assert list(table) == [*COLUMNS]
    assert table["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["loss"][0] == pytest.approx(np.log(10), rel=0.1)
    assert table["examples"].tolist() == [200] * 6
    untrained = pd.read_csv(tiny.train("untrained", changed=FIVE | {"learning_rate": 1e-30}))
    pd.testing.assert_frame_equal(untrained.iloc[:1], table.iloc[:1])
    assert untrained["accuracy_b"].nunique() == 1


def test_a_training_that_was_killed_goes_on_to_the_same_bytes(tiny, whole):
    kill_training(tiny, "killed", 3, **FIVE)
    assert not (tiny.folder / "killed.csv").exists()
    seen = []
    out = tiny.train("killed", changed=FIVE, report=lambda row: seen.append(row["epoch"]))
    assert seen == [3, 4, 5]
    assert out.read_bytes() == whole.read_bytes()
    assert not (tiny.folder / "killed.pt").exists()


def test_a_checkpoint_past_the_end_of_a_shorter_training_is_not_used(tiny):
    two = tiny.train("two", changed={"epochs": 2}).read_bytes()
    kill_training(tiny, "cut", 4, **FIVE)
    assert tiny.train("cut", changed={"epochs": 2}).read_bytes() == two


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_not_used(tiny, whole, capsys):
    kill_training(tiny, "other", 3, **FIVE, noise=0.5)
    assert tiny.train("other", changed=FIVE).read_bytes() == whole.read_bytes()
    assert "other.pt belongs to other settings, data or code. Starting anew." in (
        capsys.readouterr().err
    )
    (tiny.folder / "damaged.pt").write_bytes(b"not a checkpoint")
    assert tiny.train("damaged", changed=FIVE).read_bytes() == whole.read_bytes()
    assert "damaged.pt is damaged" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_is_one_message(tiny):
    with pytest.raises(UserError, match=r"the loss is nan in epoch 1; choose a smaller linear\."):
        tiny.train("diverged", changed={"learning_rate": 1e30})


def test_b_is_learned_later_the_deeper_the_fusion_and_a_is_not(tmp_path):
    """T18, on the demo's 4,000 digits: after seven epochs of theirs, less than 5 of the paper's in steps."""
    demo = Digits(tmp_path, "demo")
    rows = [
        pd.read_csv(demo.train(f"L_f{f}", fusion=f, changed={"epochs": 7})).iloc[-1]
        for f in (1, 2, 4)
    ]
    b = np.array([row["accuracy_b"] for row in rows])
    assert (np.diff(b) < -0.02).all()
    assert np.ptp([row["accuracy_a"] for row in rows]) < 0.03


@pytest.fixture
def courses(project):
    """Courses of the tiny scale, by hand, in their files."""
    table = made_up_courses(project.load_linear().noisy_mnist)
    for fusion, course in table.groupby("L_f"):
        file = products.record("tiny", fusion)
        file.parent.mkdir(parents=True, exist_ok=True)
        course.to_csv(file, index=False)
    return table


def write_column(file, **values):
    pd.read_csv(file).assign(**values).to_csv(file, index=False)


def test_the_verb_writes_one_table_of_all_layers(courses):
    run_verb("linear-mnist")
    written = layout.tables("tiny") / "linear_mnist.csv"
    pd.testing.assert_frame_equal(pd.read_csv(written), courses, rtol=1e-5)
    text = written.with_suffix(".md").read_text()
    assert "| 2       | 66.7 / 66.7 / 66.7 | 66.7 / 66.7 / 33.3 |" in text
    assert "Tiny scale." in text
    assert r"\begin{tabular}" in written.with_suffix(".tex").read_text()


def test_readers_see_some_epochs_and_the_last(settings):
    table = made_up_courses(settings.noisy_mnist.model_copy(update={"epochs": 7}))
    assert for_readers(table)["epoch"].tolist() == [0, 1, 2, 5, 7]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), r"L_f3.csv is missing; run `equimodal noisy-mnist 3`"),
        (lambda file: file.write_bytes(b""), "L_f3.csv is damaged"),
        (lambda file: file.write_text("epoch\n0\n"), "lacks the columns"),
        (lambda file: file.write_text(file.read_text().rpartition("3,2,")[0]), "epochs 0 to 2"),
        (lambda file: shutil.copy(file.with_name("L_f1.csv"), file), "L_f = 3"),
        (lambda file: write_column(file, width=500), "a width of 4"),
        (lambda file: write_column(file, loss=None), "damaged .a value of loss is missing"),
        (lambda file: write_column(file, examples=100), "L_f = 2: 200, L_f = 3: 100, L_f = 4: 200"),
    ],
)
@pytest.mark.usefixtures("courses")
def test_a_file_that_is_missing_or_of_another_training_is_named(project, spoil, message):
    own = project.load_linear().noisy_mnist
    records = {f: products.record("tiny", f) for f in (1, 2, 3, 4)}
    spoil(records[3])
    with pytest.raises(UserError, match=message):
        linear_mnist(records, own)


def test_a_layer_that_is_none_is_refused(project):
    ended = CliRunner().invoke(app, ["noisy-mnist", "1", "5"])
    assert "fusion layer L_f is 5; expected 1 (early) to 4 (late)" in str(ended.exception)
    assert not (project.folder / "results").exists()


def test_digits_of_a_data_set_that_has_none_are_refused(project):
    project.edit("config/linear/base.yaml", "dataset: colored_mnist ", "dataset: nvgesture ")
    with pytest.raises(UserError, match=r"noisy_mnist.dataset is 'nvgesture'; there are"):
        project.load_linear()


def test_a_mistake_in_the_settings_is_said_with_file_and_key(project):
    project.edit("config/linear/tiny.yaml", "xor: {width: 4, ", "xor: {widht: 4, ")
    project.edit("config/linear/base.yaml", "depth: 4 ", "depth: 1000000000 ")
    with pytest.raises(UserError) as refused:
        project.load_linear()
    assert "tiny.yaml: unknown key xor.widht; it takes" in str(refused.value)
    assert "base.yaml: deep.depth: expected a number less than or equal to 999" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "config/linear is missing"),
        (lambda folder: (folder / "mine.yml").write_text("seed: 1\n"), r"has \['mine.yml'\]"),
        (lambda folder: (folder / "tiny.yaml").unlink(), "has nothing for the scale tiny"),
        (lambda folder: (folder / "base.yaml").unlink(), "base.yaml is missing"),
        (lambda folder: ((folder / "tiny.yaml").unlink(), (folder / "tiny.yaml").mkdir()), "tiny.yaml"),
    ],
    ids=["no folder", "of no scale", "no file of the scale", "no base", "a folder"],
)  # fmt: skip
def test_files_of_settings_that_are_missing_or_no_files_are_named(project, spoil, said):
    spoil(project.folder / "config/linear")
    with pytest.raises(UserError, match=said):
        project.load_linear()


def test_a_scale_without_settings_of_its_own_has_those_of_the_one_that_it_is_like(project):
    assert load_linear(load_params(scale="decisive")) == load_linear(load_params(scale="paper"))
