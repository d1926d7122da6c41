"""What all that is read against a schema shares."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

LONGEST_NAME = 60
NO_NAMES = ("NA", "NULL", "NaN", "None", "nan", "null")


MOST = 1e30  # of a number that networks are trained with, in 32 bits
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**7)]
Few = Annotated[int, Field(ge=1, le=999)]  # of what is listed one by one: runs, networks, layers
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of params.yaml, or of a file of ours: typed, frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=BaseModel)


def laid_over(usual: S, own: Mapping[str, Any]) -> S:
    """The usual settings with others in place of some of them; ValidationError if these do not fit."""
    return type(usual).model_validate_json(json.dumps(usual.model_dump() | dict(own)), strict=True)


def why_no_name(text: object) -> str | None:
    """Say why a text may not be a folder, a file, a column, a rule and a word of a command line; None if it may."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_]+", text):
        return "names are made of letters, digits and _"
    if len(text) > LONGEST_NAME:
        return f"names have at most {LONGEST_NAME} characters"
    if text in NO_NAMES:
        return "in a table this name would be a missing value"
    with suppress(ValueError):
        float({"true": "1", "false": "0"}.get(text.lower(), text))
        return "in a table this name would be a number"
    return None


def _name(text: str) -> str:
    if why := why_no_name(text):
        raise ValueError(why)
    return text


def _one_line(text: str) -> str:
    if not (line := " ".join(text.split())).isprintable():
        raise ValueError("expected text that can be printed")
    return line


Name = Annotated[str, AfterValidator(_name)]  # whatever settings or a person may call something
Sentence = Annotated[str, AfterValidator(_one_line)]  # free text for readers


def reason(fault: Mapping[str, Any]) -> str:
    """Say what was expected of a value, in the words of a settings file where pydantic has its own."""
    expected = {
        "dict_type": "keys and values",
        "model_type": "keys and values",
        "tuple_type": "a list",
    }
    if kind := expected.get(fault["type"]):
        return f"expected {kind}"
    if fault["type"] == "missing":
        return "missing"
    if fault["type"] == "extra_forbidden":
        return "unknown key"
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        key, of = fault["ctx"]["discriminator"].strip("'"), fault["ctx"]
        return (
            f"{key} is {of['tag']!r}, expected {of['expected_tags']}"
            if "tag" in of
            else f"{key} is missing"
        )
    said = str(fault["msg"]).removeprefix("Value error, ")
    said = re.sub(r"\b1(0{9,})\b", lambda zeros: f"1e{len(zeros[1])}", said)
    said = re.sub("^Input should be(?= greater| less)", "expected a number", said)
    said = re.sub(r"^\w+ should have (.*) after validation", r"expected \1", said)
    return re.sub("^Input should be", "expected", said)


def first_reason(error: ValidationError) -> str:
    """Say where the first fault lies, and what it is."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {reason(first)}"
