"""`verify` finds whatever is not what a verb wrote: altered, exchanged, stale, of another scale, unsigned."""

import os
import shutil

import pytest
from typer.testing import CliRunner

from equimodal.study import layout, steps
from equimodal.study.cli import app
from equimodal.study.files import write_text
from equimodal.study.params import load_params
from equimodal.study.table_files import write_table
from tests.conftest import make_project, run_verb
from tests.made_up import study

TABLES, FIGURES = layout.tables("tiny"), layout.figures("tiny")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Tables of runs, as `collect` leaves them, and three tables and two figures that were made of them."""
    folder = tmp_path_factory.mktemp("made")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = load_params()
        for name, table in study().items():
            write_table(table, layout.table("tiny", name))
        write_text("", layout.specs("tiny"))
        steps.sign(steps.collected(settings))
        for verb in (
            ["table", "unimodal", "sensitivity", "greediness"],
            ["draw", "figure9", "figure7"],
        ):
            run_verb(*verb)
    return folder / "results"


@pytest.fixture
def made(project, made_once):
    shutil.copytree(made_once, project.folder / "results")


def verified():
    """The files that `verify` objects to, and what it counts."""
    *lines, counts = CliRunner().invoke(app, ["verify"]).output.splitlines()
    return {line.partition(":")[0].rpartition("/")[2] for line in lines}, counts


def append(path):
    path.write_bytes(path.read_bytes() + b" ")


def exchange(receipt, by):
    shutil.copy(by, receipt)


def of_another_scale():
    """A table and its receipt as another scale has them."""
    for file in [*TABLES.glob("sensitivity.*")]:
        target = layout.tables("mine") / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    receipt = layout.tables("mine") / "sensitivity.json"
    text = receipt.read_text().replace('"tiny"', '"mine"')
    (TABLES / "sensitivity.json").write_text(text)


def collected_anew():
    table = study()["runs"]
    write_table(table.assign(learning_rate=0.5), layout.table("tiny", "runs"))
    settings = load_params()
    steps.sign(steps.collected(settings))


WRONG = {  # what is done, and the files that are then named
    "a number in Markdown": (lambda: append(TABLES / "unimodal.md"), {"unimodal.md"}),
    "a picture": (lambda: append(FIGURES / "figure9.png"), {"figure9.png"}),
    "a spec": (lambda: append(layout.specs("tiny")), {"specs.jsonl"}),
    "a file removed": (lambda: (TABLES / "unimodal.tex").unlink(), {"unimodal.tex"}),
    "no receipt": (lambda: (TABLES / "unimodal.json").unlink(), {"unimodal.json"}),
    "no receipt of a figure": (lambda: (FIGURES / "figure7.json").unlink(), {"figure7.json"}),
    "the receipt of another table": (lambda: exchange(TABLES / "unimodal.json", TABLES / "sensitivity.json"), {"unimodal.json"}),
    "the receipt of another figure": (lambda: exchange(FIGURES / "figure7.json", FIGURES / "figure9.json"), {"figure7.json"}),
    "another scale's": (of_another_scale, {"sensitivity.json"}),
    "stale": (collected_anew, {"unimodal.json", "sensitivity.json", "greediness.json", "figure7.json"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.usefixtures("made")
def test_what_is_not_as_it_was_made_is_named(kind):
    assert verified()[0] == set()
    act, files = WRONG[kind]
    act()
    found, counts = verified()
    assert found == files
    assert f"{len(files)} wrong" in counts


@pytest.mark.usefixtures("made")
def test_what_was_never_made_is_counted_and_is_no_fault():
    found, counts = verified()
    assert found == set()
    assert counts.startswith("6 as they should be, 0 of other code, 0 wrong, ")


def kept_size_and_time(path):
    """Alter a byte so that only a deep look sees it."""
    about, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_a_deep_look_at_some_data_sets_is_deep(project):
    for verb in ("fetch", "prepare"):
        assert CliRunner().invoke(app, [verb, "colored_mnist"]).exit_code == 0
    assert CliRunner().invoke(app, ["verify", "colored_mnist", "--deep"]).exit_code == 0
    kept_size_and_time(project.folder / "data/prepared/tiny/colored_mnist/train.gray.npy")
    assert CliRunner().invoke(app, ["verify", "colored_mnist"]).exit_code == 0
    found = CliRunner().invoke(app, ["verify", "colored_mnist", "--deep"])
    assert "train.gray.npy can not be used: its bytes are not those" in str(found.exception)


def test_raw_files_are_looked_at_and_those_that_are_not_here_are_no_fault(project):
    assert verified()[1].startswith("0 as they should be, 0 of other code, 0 wrong, ")
    assert CliRunner().invoke(app, ["fetch", "nvgesture"]).exit_code == 0
    assert CliRunner().invoke(app, ["fetch", "colored_mnist"]).exit_code == 0
    assert verified()[1].startswith("2 as they should be, 0 of other code, 0 wrong, ")
    raw = project.folder / "data/raw"
    video = next(raw.glob("nvgesture_stand_in/*/*/*/*.avi"))
    append(video)
    (line, counts) = CliRunner().invoke(app, ["verify"]).output.splitlines()
    assert f"{video.relative_to(project.folder)} can not be used: its bytes are not those" in line
    assert "run `equimodal fetch` with the data set and scale" in line
    assert counts.startswith("1 as they should be, 0 of other code, 1 wrong, ")


@pytest.mark.usefixtures("made")
def test_collecting_that_is_killed_before_its_end_leaves_the_tables_of_before(monkeypatch):
    before = {path.name: path.read_bytes() for path in TABLES.iterdir()}

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "sign", killed)
    CliRunner().invoke(app, ["collect"])
    assert {path.name: path.read_bytes() for path in TABLES.iterdir()} == before
