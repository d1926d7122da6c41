"""Stand-ins of objects and of clips: brought by `fetch` alone, whole or made again."""

import os
import shutil
from pathlib import Path

import pytest

from equimodal.study.data import modelnet40_standin, nvgesture_standin
from equimodal.study.errors import UserError
from tests.study.data.helpers import CLIPS, VIEW, changed, contents, dataset

OBJECTS = {"train_per_class": 5, "test_per_class": 1, "seed": 0}
STAND_INS = {
    "modelnet40": {"source": "meshes", "sources": {"view0": VIEW}, "stand_in": OBJECTS, "size": 8},
    "nvgesture": {"frames": 8, "size": 16, "validation_examples": 2, "stand_in": CLIPS},
}


@pytest.fixture(scope="module", params=STAND_INS)
def asked(request):
    return dataset(request.param, classes=2, **STAND_INS[request.param])


def other(asked, **changes):
    return changed(asked, stand_in=asked.stand_in.model_dump() | changes)


@pytest.fixture(scope="module")
def drawn(asked, tmp_path_factory):
    """A stand-in; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "raw"
    asked.fetch(folder, mirror=None)
    return folder


@pytest.fixture
def raw(drawn, tmp_path):
    """The same, to change."""
    return shutil.copytree(drawn, tmp_path / "raw")


def test_a_stand_in_is_brought_by_fetch_alone_and_says_what_it_is(asked):
    assert asked.fetched == ("README.txt",)
    assert asked.raw_files(Path("raw"), mirror=None) == [Path("raw/README.txt")]
    assert asked.origin.by_hand is None
    assert "stand-ins" in asked.origin.source
    assert asked.raw.endswith("_stand_in")


OTHERS = [{"seed": 2}, {"train_per_class": 3}, {"test_per_class": 4}]


@pytest.mark.parametrize("changes", [None, *OTHERS])
def test_a_stand_in_that_is_not_there_is_fetched_and_no_other_taken(
    asked, drawn, tmp_path, changes
):
    """The scales share its folder."""
    raw = tmp_path if changes is None else drawn
    with pytest.raises(UserError, match=r"receipt.json .*run `equimodal fetch` with the data set"):
        other(asked, **changes or {}).prepare(raw, tmp_path / "out")


def test_a_stand_in_that_is_there_is_kept(asked, drawn, monkeypatch):
    for module in (modelnet40_standin, nvgesture_standin):
        monkeypatch.setattr(module, "write", lambda *_: 1 / 0)
    asked.fetch(drawn, mirror=None)


@pytest.mark.parametrize("changes", OTHERS)
def test_other_settings_draw_it_again_and_nothing_old_is_left(asked, drawn, raw, tmp_path, changes):
    new = tmp_path / "new/raw"
    for folder in (new, raw):
        other(asked, **changes).fetch(folder, mirror=None)
    ours, others = contents(raw), contents(drawn)
    assert ours == contents(new) != others
    if "seed" in changes:
        alike = {name for name, digest in ours.items() if digest in others.values()}
        assert not [name for name in alike if name.endswith((".off", ".avi", ".lst"))]


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [Path.unlink, cut], ids=["removed", "cut"])
@pytest.mark.parametrize("pattern", ["train/*.off subject1_r0/*.avi", "README.txt"])
def test_a_stand_in_that_is_not_whole_is_refused_and_drawn_again(
    asked, drawn, raw, tmp_path, spoil, pattern
):
    spoil(next(path for p in pattern.split() for path in raw.rglob(p)))
    with pytest.raises(UserError, match=r"can not be used: .*run `equimodal fetch`"):
        asked.prepare(raw, tmp_path / "out")
    asked.fetch(raw, mirror=None)
    assert contents(raw) == contents(drawn)


@pytest.mark.parametrize("written", [0, 3, 1000], ids=["nothing", "three files", "all files"])
def test_an_end_while_it_is_drawn_leaves_what_was_there(
    asked, drawn, raw, tmp_path, monkeypatch, written
):
    rename, done = os.replace, []

    def end(source, target):
        if len(done) == written or target == raw:
            raise KeyboardInterrupt
        done.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", end)
        with pytest.raises(KeyboardInterrupt):
            other(asked, seed=2).fetch(raw, mirror=None)
    if written < 1000:
        assert contents(raw) == contents(drawn)
    (tmp_path / ".raw.part/half").mkdir(parents=True)  # of a process that was killed
    asked.fetch(raw, mirror=None)
    assert contents(tmp_path) == {f"raw/{name}": digest for name, digest in contents(drawn).items()}


def test_a_stand_in_never_replaces_anything_else(asked, raw):
    (raw / "receipt.json").unlink()
    before = contents(raw)
    with pytest.raises(UserError, match="no stand-in of this program; move it"):
        asked.fetch(raw, mirror=None)
    assert contents(raw) == before
