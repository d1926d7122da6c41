"""Tests of what is said of errors that are not ours."""

from equimodal.errors import first_line


def test_an_error_is_told_by_the_first_line_of_its_message_or_by_its_name():
    assert first_line(ValueError("bad\nand long")) == "bad"
    assert first_line(EOFError()) == "EOFError"  # what torch raises for an empty file
