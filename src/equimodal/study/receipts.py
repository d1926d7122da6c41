"""What makes a product valid, told by a file beside it.

Every step leaves a receipt: what was asked for, what it was made of, and the SHA-256 of
each file that it made. Whoever reads such a file asks `objections` or `require` first, so that a damaged, an
exchanged or an outdated file is never taken for the right one. Nothing here knows of networks or tables.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from equimodal.study.errors import UserError
from equimodal.study.files import read_text, state, write_aside
from equimodal.study.schema import Section, first_reason

NAME = "receipt.json"
# Size and time of each file when it last had its hash: of this machine, so beside the receipt, not in it.
SEEN = ".seen"
CHUNK = 2**22  # bytes

What = Literal["settings", "code", "input", "bytes", "receipt"]


class Receipt(Section):
    """What a step made."""

    step: str  # such as `train colored_mnist/distinct/...`
    settings: Any  # all that it was asked for; equal settings give equal files
    code: str  # hash of the code that it ran
    inputs: dict[str, str]  # file -> SHA-256; of what it read of other steps
    files: dict[str, str]  # file, as seen from the receipt's folder -> SHA-256
    made_on: str | None = None  # processor and release of torch, where they decide the last digits
    commit: str | None = None  # of the code, if it was in git and unchanged
    own: str | None = None  # SHA-256 of all of this but itself; older receipts have none

    def hashed(self) -> str:
        """What `own` has to be."""
        return hashlib.sha256(self.model_dump_json(exclude={"own"}).encode()).hexdigest()


class Objection(NamedTuple):
    """Why a product is not what it should be."""

    what: What
    file: Path
    reason: str
    tells_remedy: bool = False  # whether the reason ends with what to do


class OtherSettingsError(UserError):
    """A product is whole, but of other settings: what is asked for was never made."""


def sha256(path: Path) -> str:
    """Hash the content of a file; raises OSError if it can not be read."""
    if path.exists() and not path.is_file():
        raise OSError("it is no file")  # a pipe, say, which would never end
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write(
    path: Path,
    *,
    step: str,
    settings: Any,
    code: str,
    files: Iterable[Path],
    inputs: Mapping[str, str] | None = None,
    made_on: str | None = None,
    commit: str | None = None,
    asides: Mapping[Path, Path] = MappingProxyType({}),
) -> Receipt:
    """Hash the files that a step has made and write its receipt; raises as `write_aside`.

    `asides` says where files lie that do not have their names yet.
    """
    names = {relative(file, path.parent): file for file in files}
    receipt = Receipt(
        step=step,
        settings=json.loads(json.dumps(settings)),  # as it will be read
        code=code,
        inputs=dict(sorted((inputs or {}).items())),
        files={name: sha256(asides.get(file, file)) for name, file in sorted(names.items())},
        made_on=made_on,
        commit=commit,
    )
    receipt = receipt.model_copy(update={"own": receipt.hashed()})
    with write_aside(path) as aside:
        aside.write_text(receipt.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _remember(path, receipt)
    return receipt


def read(path: Path) -> Receipt:
    """Read a receipt; UserError if it is missing or damaged."""
    try:
        receipt = Receipt.model_validate_json(read_text(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({first_reason(error)})") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error})") from None
    if receipt.own not in (None, receipt.hashed()):
        raise UserError(f"{path} is damaged (its bytes are not those that were written)")
    return receipt


def objections(
    path: Path,
    *,
    step: str | None = None,
    settings: Any = None,
    code: str | None = None,
    inputs: Mapping[str, str] | None = None,
    files: Iterable[Path] = (),
    among: Collection[str] | None = None,
    deep: bool = False,
) -> Iterator[Objection]:
    """Say why a product is not what is asked for; nothing if it is.

    Args:
        path: Of its receipt.
        step: That makes it, with its name; None if any will do.
        settings: What is asked for; None if any will do.
        code: Hash of the code that would make it now; None if any will do.
        inputs: What it would be made of now: file -> SHA-256.
        files: That it has to tell of; it may tell of more.
        among: Names of the files that matter, of which it has to tell; None if all do.
        deep: Hash every file, and not only those whose size or time has changed since.
    """
    try:
        receipt = read(path)
    except UserError as error:
        yield Objection("receipt", path, str(error))
        return
    if step is not None and receipt.step != step:
        said = f"{path} is the receipt of another product, {receipt.step!r}"
        yield Objection("receipt", path, said)
        return
    if settings is not None and (
        differing := "; ".join(_differing(receipt.settings, json.loads(json.dumps(settings))))
    ):
        yield Objection("settings", path, f"it was made with other settings ({differing})")
    if code is not None and receipt.code != code:
        made_by = f"commit {receipt.commit}" if receipt.commit else "another version of the code"
        yield Objection("code", path, f"it was made by {made_by}")
    for name, digest in (inputs or {}).items():
        if receipt.inputs.get(name) != digest:
            yield Objection("input", path, f"{name} is another one than it was made of")
    wanted = {relative(file, path.parent) for file in files} | set(among or ())
    for name in sorted(wanted - receipt.files.keys()):
        yield Objection("receipt", path, f"{path} does not tell of {name}")
    seen = {} if deep else _seen(path)
    for name, digest in receipt.files.items():
        file = file_of(path, name)
        if among is not None and name not in among:
            continue
        if "\0" in name:
            yield Objection("receipt", path, f"{path} is damaged")
        elif altered := _altered(file, digest, seen.get(name)):
            yield Objection("bytes", file, altered)


def require(path: Path, remedy: str, **asked: Any) -> Receipt:
    """Return the receipt of a product that is as it should be, by what was `asked` as of `objections`.

    Raises:
        UserError: If it is not: which file, why, and the remedy, such as the command that makes it anew.
    """
    for objection in objections(path, **asked):
        if objection.what == "receipt":
            raise UserError(f"{objection.reason}; {remedy}")
        error = OtherSettingsError if objection.what == "settings" else UserError
        raise error(f"{objection.file} can not be used: {objection.reason}; {remedy}")
    receipt = read(path)
    if asked.get("among") is None:
        _remember(path, receipt)
    return receipt


def _altered(file: Path, digest: str, seen: list[int] | None) -> str | None:
    """Why a file is not the one that has the hash."""
    try:
        if seen == state(file):
            return None
        return None if sha256(file) == digest else "its bytes are not those that were written"
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it can not be read ({error.strerror or error})"


def _remember(path: Path, receipt: Receipt) -> None:
    """Write down how the files look that have just been found to have their hashes."""
    try:
        files = {name: file_of(path, name) for name in receipt.files}
        states = {name: state(file) for name, file in files.items()}
        content = json.dumps({"of": sha256(path), "states": states})
        place = path.with_name(f"{path.name}{SEEN}")
        if not place.is_file() or place.read_text(encoding="utf-8") != content:
            with write_aside(place) as aside:
                aside.write_text(content, encoding="utf-8")
    except (OSError, UserError):
        pass  # a folder that can only be read: the files are hashed the next time, too


def _seen(path: Path) -> dict[str, list[int]]:
    """How the files of a receipt looked when they had their hashes; nothing is known of another receipt."""
    try:
        noted = json.loads(read_text(path.with_name(f"{path.name}{SEEN}")))
        return dict(noted["states"]) if noted["of"] == sha256(path) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def file_of(receipt: Path, name: str) -> Path:
    """Where a file lies that a receipt tells of; a folder between the two may be a link to another disk."""
    return Path(os.path.normpath(receipt.parent / name))


def relative(file: Path, folder: Path) -> str:
    """A file as seen from a folder, with `..` where it lies elsewhere."""
    return Path(os.path.relpath(file, folder)).as_posix()


def _differing(found: Any, wanted: Any, key: str = "") -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for inner in sorted(found.keys() | wanted.keys()):
            name = f"{key}.{inner}" if key else inner
            yield from _differing(found.get(inner), wanted.get(inner), name)
    elif found != wanted:
        yield f"{key} {json.dumps(found)}, now {json.dumps(wanted)}"
