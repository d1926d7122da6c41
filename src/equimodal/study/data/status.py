"""Where raw files are from, what is there of a data set, and what to do about the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FETCH = "run `equimodal fetch` with the data set and scale"


class Origin(NamedTuple):
    """Where raw files come from and on which terms."""

    source: str
    license: str
    by_hand: str | None = None  # what the user has to do before `fetch`, if no command can


def describe(
    name: str,
    scale: str,
    origin: Origin,
    raw: Sequence[Path],
    arrays: Sequence[Path],
    objection: str | None = None,
) -> str:
    """Say in a few lines what is there of a data set, where it is from and what to do next.

    Contents are not read. An objection says why the arrays that are there can not be used.
    """
    fetch = f"equimodal fetch {name} --scale {scale}"
    if all(path.exists() for path in arrays) and not objection:
        step = "nothing: it is ready"
    elif all(path.exists() for path in raw):
        step = f"equimodal prepare {name} --scale {scale}"
    else:
        step = f"{origin.by_hand}\nthen run\n  {fetch}" if origin.by_hand else fetch
    lines = {
        "raw": _there(raw),
        "prepared": "; ".join(filter(None, [_there(arrays), objection])),
        "from": origin.source,
        "license": origin.license,
        "next": step.replace("\n", "\n" + 12 * " "),
    }
    return "\n".join([name, *(f"  {key:<9} {value}" for key, value in lines.items())])


def _there(places: Sequence[Path]) -> str:
    found = [place for place in places if place.exists()]
    files = [path for place in found for path in (place, *place.rglob("*")) if path.is_file()]
    state = "present" if len(found) == len(places) else "partial" if found else "missing"
    size = sum(path.stat().st_size for path in files)
    return f"{state:<8} {len(found)} of {len(places)} files, {size / 1e6:.1f} MB"
