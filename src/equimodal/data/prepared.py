"""Which settings a prepared data set was made with, in a file beside its arrays."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equimodal.errors import UserError
from equimodal.files import write_aside

FILE = "settings.json"


def begin(folder: Path, settings: dict[str, Any]) -> None:
    """Write down that the arrays of a folder are being replaced, and may be of different settings.

    To be called before the first one is, and no earlier: until then those that are there stay good.
    Those that were made with these settings already stay what they are, should it break off.
    """
    path = folder / FILE
    if not (path.is_file() and path.read_bytes() == _text(settings).encode()):
        _write(folder, {})


def end(folder: Path, settings: dict[str, Any]) -> None:
    """Write down the settings that all arrays of a folder were made with."""
    _write(folder, settings)


def objection(folder: Path, settings: dict[str, Any]) -> str | None:
    """Say why the arrays of a folder are not those of the settings; None if they are.

    Also of a folder that does not say: it was put together by hand.

    Raises:
        UserError: If the file is damaged.
    """
    if _read(folder) == {}:
        return "its preparation has not ended"
    return other_settings(folder, settings)


def other_settings(folder: Path, settings: dict[str, Any]) -> str | None:
    """Say that the arrays of a folder were made with other settings, and which; None if not.

    Nor of those that are being made.

    Raises:
        UserError: If the file is damaged.
    """
    if not (found := _read(folder)):
        return None
    others = "; ".join(_differing(found, json.loads(_text(settings))))
    return f"it was made with other settings ({others})" if others else None


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); prepare the data set again") from None


def _write(folder: Path, settings: dict[str, Any]) -> None:
    with write_aside(folder / FILE) as aside:
        aside.write_text(_text(settings))


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"


def _differing(found: Any, wanted: Any, key: str = "") -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for inner in sorted(found.keys() | wanted.keys()):
            name = f"{key}.{inner}" if key else inner
            yield from _differing(found.get(inner), wanted.get(inner), name)
    elif found != wanted:
        yield f"{key} {json.dumps(found)}, now {json.dumps(wanted)}"
