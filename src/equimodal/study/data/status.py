"""What is there of a data set, and what to do about the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple


class Origin(NamedTuple):
    """Where raw files come from and on which terms."""

    source: str
    licence: str
    by_hand: str | None = None  # what the user has to do before `fetch`, if no command can


State = Literal["present", "partial", "missing"]


class Status(NamedTuple):
    """What is there of a data set's raw or prepared files."""

    state: State
    found: int  # files
    expected: int
    size: int  # bytes


def status_of(files: Sequence[Path]) -> Status:
    """Look which of the files and folders are there; their contents are not read."""
    sizes = [_size(file) for file in files if file.exists()]
    states: dict[int, State] = {0: "missing", len(files): "present"}
    return Status(states.get(len(sizes), "partial"), len(sizes), len(files), sum(sizes))


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in inside if p.is_file())


def describe(
    name: str,
    scale: str,
    origin: Origin,
    raw: Status,
    prepared: Status,
    objection: str | None = None,
) -> str:
    """Say in a few lines what is there of a data set, where it is from and what to do next.

    An objection says why the arrays that are there can not be used.
    """
    fetch = f"equimodal fetch {name} --scale {scale}"
    if prepared.state == "present" and not objection:
        step = "nothing: it is ready"
    elif raw.state == "present":
        step = f"equimodal prepare {name} --scale {scale}"
    else:
        step = f"{origin.by_hand}\nthen run\n  {fetch}" if origin.by_hand else fetch
    lines = {
        "raw": _files(raw),
        "prepared": "; ".join(filter(None, [_files(prepared), objection])),
        "from": origin.source,
        "licence": origin.licence,
        "next": step.replace("\n", "\n" + 12 * " "),
    }
    return "\n".join([name, *(f"  {key:<9} {value}" for key, value in lines.items())])


def _files(status: Status) -> str:
    count = f"{status.found} of {status.expected} files"
    return f"{status.state:<8} {count}, {status.size / 1e6:.1f} MB"
