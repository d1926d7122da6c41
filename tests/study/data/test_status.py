import pytest

from equimodal.study.data.status import Origin, describe

ORIGIN = Origin("somewhere", "CC0", by_hand="ask for it")


@pytest.mark.parametrize(
    ("there", "prepared", "by_hand", "said"),
    [
        ("", False, False, "missing  0 of 2 files, 0.0 MB"),
        ("a", False, False, "partial  1 of 2 files, 1.0 MB"),
        ("a", False, False, "next      equimodal fetch digits --scale paper"),
        ("a", False, True, "next      ask for it\n            then run\n              equimodal fetch"),
        ("ab", False, True, "next      equimodal prepare digits --scale paper"),
        ("ab", True, True, "next      nothing: it is ready"),
    ],
)  # fmt: skip
def test_what_is_there_and_what_is_next_is_said(tmp_path, there, prepared, by_hand, said):
    for name in there:
        (tmp_path / name).write_bytes(bytes(10**6))
    raw, arrays = [tmp_path / name for name in "ab"], [tmp_path / ("a" if prepared else "none")]
    origin = ORIGIN if by_hand else ORIGIN._replace(by_hand=None)
    assert said in describe("digits", "paper", origin, raw, arrays)


def test_an_objection_asks_for_another_preparation(tmp_path):
    told = describe("digits", "paper", ORIGIN, [tmp_path], [tmp_path], "of other settings")
    assert "of other settings" in told
    assert "equimodal prepare digits" in told
