"""What all that is read against a schema shares."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Section(BaseModel):
    """A part of params.yaml, or of a file of ours: typed, frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def first_reason(error: ValidationError) -> str:
    """Say where the first fault lies, and what it is."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
