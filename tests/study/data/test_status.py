import pytest

from equimodal.study.data.status import Origin, describe, status_of

ORIGIN = Origin("somewhere", "CC0")


@pytest.fixture
def files(tmp_path):
    return [tmp_path / name for name in "ab"]


def test_nothing_there_is_missing_and_the_next_step_fetches(files):
    missing = status_of(files)
    assert (missing.state, missing.found, missing.size) == ("missing", 0, 0)
    assert "equimodal fetch digits --scale paper" in describe(
        "digits", "paper", ORIGIN, missing, missing
    )


def test_some_there_is_partial_with_its_size(files):
    files[0].write_bytes(b"12345")
    partial = status_of(files)
    assert (partial.state, partial.found, partial.expected, partial.size) == ("partial", 1, 2, 5)


def test_raw_files_that_are_all_there_are_prepared_next(files):
    missing = status_of(files)
    for file in files:
        file.write_bytes(b"1")
    assert "equimodal prepare digits --scale paper" in describe(
        "digits", "paper", ORIGIN, status_of(files), missing
    )
    assert "nothing" in describe("digits", "paper", ORIGIN, status_of(files), status_of(files))


def test_what_no_command_can_fetch_is_told_to_be_put_there_by_hand(files):
    origin = Origin("somewhere", "CC0", by_hand="ask for it")
    told = describe("digits", "paper", origin, status_of(files), status_of(files))
    assert "ask for it" in told
    assert "equimodal fetch digits --scale paper" in told
