"""Arrays are whole while their receipt is there, and of the settings that it names."""

import pytest

from equimodal.study import receipts
from equimodal.study.data.prepared import begin, end

SETTINGS = {"variance": 0.02, "classes": 10}
KIND = "colored_mnist"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.labels.npy").write_bytes(b"labels")
    end(tmp_path, SETTINGS, KIND, {})
    return tmp_path


def objections(folder, settings=SETTINGS):
    return [o.what for o in receipts.objections(folder / receipts.NAME, settings=settings)]


def test_a_preparation_that_broke_off_is_no_data_set(folder):
    """Some arrays may be of the settings before, others of those now."""
    others = SETTINGS | {"classes": 9}
    begin(folder, others)
    for settings in (SETTINGS, others):
        assert objections(folder, settings) == ["receipt"]


def test_arrays_that_were_to_be_made_again_alike_stay_what_they_are(folder):
    """The raw files may be gone by then."""
    begin(folder, SETTINGS)
    assert objections(folder) == []


def test_a_damaged_receipt_is_written_anew(folder):
    (folder / receipts.NAME).write_bytes(b"{")
    begin(folder, SETTINGS)
    end(folder, SETTINGS, KIND, {})
    assert objections(folder) == []
