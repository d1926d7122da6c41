"""A product is taken for what it is only if its receipt says so, whatever was done to it."""

import json
import os
import shutil
from itertools import product

import pytest

from equimodal.study import receipts
from equimodal.study.errors import UserError

SETTINGS = {"coloring": {"variance": 0.02, "palette": ((1, 2), (3, 4))}, "classes": 10}
REMEDY = "make it again"


@pytest.fixture
def made(tmp_path):
    """Path of the receipt of two files, one of them elsewhere."""
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "models").mkdir()
    (folder / "history.csv").write_text("epoch\n1\n")
    (tmp_path / "models/run.pt").write_bytes(b"weights")
    files = [folder / "history.csv", tmp_path / "models/run.pt"]
    path = folder / receipts.NAME
    receipts.write(
        path,
        step="train run",
        settings=SETTINGS,
        code="abc",
        files=files,
        inputs={"train.npy": "1"},
    )
    return path


def found(path, **asked):
    return [(o.what, o.file.name) for o in receipts.objections(path, **asked)]


def test_what_was_made_is_not_objected_to(made):
    asked = {"settings": SETTINGS, "code": "abc", "inputs": {"train.npy": "1"}}
    assert found(made, **asked) == found(made, **asked, deep=True) == []
    assert receipts.require(made, REMEDY, **asked).files.keys() == {
        "history.csv",
        "../models/run.pt",
    }


def test_folders_may_be_links_to_another_disk(made, tmp_path):
    """The weights are seen from the run's folder, by names."""
    for folder in ("run", "models"):
        elsewhere = tmp_path / "disk" / folder / "deeper"
        elsewhere.parent.mkdir(parents=True)
        (tmp_path / folder).rename(elsewhere)
        (tmp_path / folder).symlink_to(elsewhere)
        assert found(made, deep=True) == []
    (tmp_path / "models/run.pt").unlink()
    with pytest.raises(
        UserError, match=rf"^{tmp_path}/models/run.pt can not be used: it is missing"
    ):
        receipts.require(made, REMEDY)


ASKED = {  # what differs -> what is asked for
    "settings": {"settings": SETTINGS | {"classes": 9}},
    "code": {"code": "other"},
    "input": {"inputs": {"train.npy": "2"}},
}


@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_for_now_is_compared(made, what):
    assert found(made, **ASKED[what]) == [(what, receipts.NAME)]


def test_other_settings_are_named_with_both_values(made):
    paler = SETTINGS | {"coloring": SETTINGS["coloring"] | {"variance": 0.5}, "per_class": 3}
    said = r"made with other settings \(coloring.variance 0.02, now 0.5; per_class null, now 3\); make it again"
    with pytest.raises(receipts.OtherSettingsError, match=said):
        receipts.require(made, REMEDY, settings=paler)


def flip_a_bit(path):
    """Alter a file whose size and time stay as they were."""
    about = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


DAMAGES = {
    "removed": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "altered": lambda path: path.write_bytes(path.read_bytes()[::-1]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(made, damage):
    path = made.parent / "../models/run.pt"
    DAMAGES[damage](path)
    assert found(made) == [("bytes", "run.pt")]
    with pytest.raises(UserError, match=r"models/run\.pt can not be used: .*; make it again"):
        receipts.require(made, REMEDY)


def test_a_bit_that_flipped_without_a_trace_is_seen_by_a_deep_look(made):
    flip_a_bit(made.parent / "../models/run.pt")
    assert found(made) == []
    assert found(made, deep=True) == [("bytes", "run.pt")]


def test_a_file_that_only_looks_new_is_hashed_once_and_good(made, monkeypatch):
    (made.parent / "history.csv").touch()
    receipts.require(made, REMEDY)
    hashed = []
    sha256 = receipts.sha256
    monkeypatch.setattr(receipts, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    assert found(made) == []
    assert "history.csv" not in hashed


@pytest.mark.parametrize("damage", [b"", b"{", b"3", b"\xff\xfe", b"[]", b'{"step": 3}'])
def test_a_damaged_receipt_makes_nothing_valid(made, damage):
    made.write_bytes(damage)
    assert found(made) == [("receipt", receipts.NAME)]


def test_whatever_bit_of_a_receipt_flips_is_seen(made):
    whole = made.read_bytes()
    for i, bit in product(range(len(whole)), range(8)):
        altered = bytearray(whole)
        altered[i] ^= 1 << bit
        made.write_bytes(altered)
        with pytest.raises(UserError, match="is damaged"):
            receipts.read(made)


def test_a_receipt_of_before_has_no_hash_of_itself_and_is_read(made):
    told = json.loads(made.read_text())
    del told["own"]
    made.write_text(json.dumps(told))
    assert found(made) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"3", b"\xff", b'{"of": 1, "states": 2}'])
def test_damaged_notes_on_how_files_looked_are_left_aside(made, damage):
    made.with_name(f"{receipts.NAME}{receipts.SEEN}").write_bytes(damage)
    assert found(made) == []


def test_notes_on_files_are_of_one_receipt_only(made, tmp_path):
    """A folder that is copied over another brings its notes along."""
    other = tmp_path / "other"
    shutil.copytree(made.parent, other)
    receipts.write(
        other / receipts.NAME, step="x", settings=None, code="", files=[other / "history.csv"]
    )
    shutil.copy(other / f"{receipts.NAME}{receipts.SEEN}", made.parent)
    (made.parent / "history.csv").write_text("epoch\n2\n")
    assert found(made) == [("bytes", "history.csv")]


def test_the_same_product_has_the_same_receipt(made):
    before = made.read_bytes()
    receipts.write(
        made,
        step="train run",
        settings=SETTINGS,
        code="abc",
        files=[made.parent / "../models/run.pt", made.parent / "history.csv"],
        inputs={"train.npy": "1"},
    )
    assert made.read_bytes() == before


def test_a_receipt_that_does_not_tell_of_a_file_does_not_vouch_for_it(tmp_path):
    told, untold = tmp_path / "told", tmp_path / "untold"
    for file in (told, untold):
        file.write_text("content")
    path = tmp_path / receipts.NAME
    receipts.write(path, step="a step", settings=None, code="", files=[told])
    for asked in ({"files": [told, untold]}, {"among": ["untold"]}):
        (objection,) = receipts.objections(path, **asked)
        assert objection.what == "receipt"
        assert "does not tell of untold" in objection.reason


def test_a_pipe_in_the_place_of_a_file_is_an_objection_and_no_hang(tmp_path):
    file, path = tmp_path / "file", tmp_path / receipts.NAME
    file.write_text("content")
    receipts.write(path, step="a step", settings=None, code="", files=[file])
    file.unlink()
    os.mkfifo(file)
    (objection,) = receipts.objections(path)
    assert "it can not be read (it is no file)" in objection.reason
    path.unlink()
    os.mkfifo(path)
    (objection,) = receipts.objections(path)
    assert "is damaged (it is no file)" in objection.reason
