"""Arrays made with other settings are never taken for those of the settings."""

import pytest

from equimodal.data.prepared import FILE, begin, end, objection, other_settings
from equimodal.errors import UserError

SETTINGS = {"coloring": {"variance": 0.02, "palette": ((0.1, 0.2), (0.3, 0.4))}, "classes": 10}


def test_arrays_of_the_same_settings_are_not_objected_to(tmp_path):
    begin(tmp_path, SETTINGS)
    end(tmp_path, SETTINGS)
    assert objection(tmp_path, SETTINGS) is None
    assert other_settings(tmp_path, SETTINGS) is None


def test_what_is_other_is_named_with_both_values(tmp_path):
    end(tmp_path, SETTINGS)
    paler = SETTINGS | {"coloring": SETTINGS["coloring"] | {"variance": 0.5}, "per_class": 3}
    said = (
        "it was made with other settings (coloring.variance 0.02, now 0.5; per_class null, now 3)"
    )
    assert objection(tmp_path, paler) == other_settings(tmp_path, paler) == said


def test_a_preparation_that_broke_off_is_no_data_set(tmp_path):
    """Some arrays may be of the settings before, others of those now."""
    end(tmp_path, SETTINGS)
    others = SETTINGS | {"classes": 9}
    begin(tmp_path, others)
    for settings in (SETTINGS, others):
        assert objection(tmp_path, settings) == "its preparation has not ended"
        assert other_settings(tmp_path, settings) is None  # it may be going on


def test_arrays_that_were_to_be_made_again_alike_stay_what_they_are(tmp_path):
    """The raw files may be gone by then."""
    end(tmp_path, SETTINGS)
    begin(tmp_path, SETTINGS)
    assert objection(tmp_path, SETTINGS) is None


DAMAGES = [b"", b"{", b"3", b"\xff\xfe"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_written_anew(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage)
    begin(tmp_path, SETTINGS)
    end(tmp_path, SETTINGS)
    assert objection(tmp_path, SETTINGS) is None


def test_a_folder_put_together_by_hand_is_taken_as_it_is(tmp_path):
    assert objection(tmp_path, SETTINGS) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(UserError, match=r"settings\.json is damaged .*prepare the data set again"):
        objection(tmp_path, SETTINGS)
