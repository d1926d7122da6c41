"""Files of settings: YAML, laid over one another, and checked against a schema, with each fault named."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading
from equimodal.study.schema import reason, why_no_name

# Of a settings file, aliases written out; ours have about 500.
MOST_VALUES, MOST_LEVELS = 100_000, 40

Loc = tuple[int | str, ...]  # of a value in a tree: its keys
Files = Mapping[Path, Mapping[str, Any]]  # what stands in each


def known_scales(folder: Path) -> list[str]:
    """Names of the scales whose files lie in a folder."""
    files = (path for path in folder.glob("*.yaml") if path.is_file())
    return sorted(path.stem for path in files if not why_no_name(path.stem))


def read_scales(path: Path) -> dict[Path, dict[str, Any]]:
    """Read a scale file, the one that it is `like`, and so on: file -> its keys but `like`.

    UserError if a file is like one that is not there, or in the end like itself.
    """
    files = {path: read_yaml(path)}
    # What scales with data of one's own are like is none itself.
    own, known = path.parent.with_name("own.yaml"), known_scales(path.parent)
    places = {name: path.with_name(f"{name}.yaml") for name in known} | {"own": own}
    while "like" in files[path]:
        like = files[path].pop("like")
        read = [p.stem for p in files]
        others = sorted(places.keys() - {*read})
        if not isinstance(like, str) or like not in others:
            circle = ", which is like this one again" if like in read else ""
            raise UserError(f"{path}: like: {like!r}{circle}; it takes one of {others}")
        path = places[like]
        files[path] = read_yaml(path)
    return files


@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    """Read YAML, the same text once: that takes most of the time of loading settings."""
    return YAML(typ="safe").load(text)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of keys and values.

    UserError if it is missing, no YAML, gives a key twice, or stands for more than settings do.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; run from the folder that holds params.yaml")
    with reading(path, "settings in YAML, keys and values", "mend it, run"):
        text = read_text(path)
        if re.search(r"(?m)(^|[{,-])\s*<<\s*:", text):
            raise ValueError("it merges keys (<<); write them out")
        try:
            content = deepcopy(_parsed(text))
        except DuplicateKeyError as error:
            line = error.problem_mark.line + 1
            raise UserError(f"{path}, line {line}: {error.problem}; keep one of them") from None
        except YAMLError as error:
            said = " ".join(str(error).split())
            raise UserError(f"{path} can not be read as YAML: {said}") from None
        if not isinstance(content, dict):
            kind = {type(None): "nothing", list: "a list"}.get(type(content), repr(content)[:40])
            raise UserError(f"{path} holds {kind}, expected keys and values")
        _check_size(content)
    return content


def _check_size(tree: Any) -> None:
    """Raise ValueError if a tree is endless, or as good as that, through aliases of aliases."""
    level, seen = [tree], 0
    for _ in range(MOST_LEVELS):
        if (seen := seen + len(level)) > MOST_VALUES:
            break
        level = [
            inner
            for value in level
            if isinstance(value, Mapping | list)
            for inner in (value.values() if isinstance(value, Mapping) else value)
        ]
    if level:
        raise ValueError(
            f"it stands for more than {MOST_VALUES:,} values or {MOST_LEVELS} levels: look at its aliases"
        )


def leaves(
    tree: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value of a tree after the keys that lead to it."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def overlay(
    below: Mapping[str, Any],
    above: Mapping[str, Any],
    clashes: list[str] | None = None,
    where: str = "",
) -> dict[str, Any]:
    """Return the keys of both; of a value that is in both, the one above, a clash if these are noted."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        pair = below[key], above[key]
        if all(isinstance(value, Mapping) for value in pair):
            merged[key] = overlay(*pair, clashes, f"{where}{key}.")
        elif clashes is not None and isinstance(above[key], Mapping):
            clashes.append(f"{where}{key} holds keys, but it holds {below[key]!r}")
    return merged


def explain(
    faults: Iterable[Any], raw: Mapping[str, Any], files: Files, schema: type[BaseModel]
) -> Iterator[str]:
    """Yield one line a fault, with the file that it stands in."""
    faults = list(faults)
    inside = {e["loc"][:i] for e in faults for i in range(len(e["loc"]))}
    for e in faults:
        if e["type"] == "too_short" and e["loc"] in inside:
            continue  # only for want of the items that have faults of their own
        loc = tuple(key for key in without_tags(e["loc"], raw) if key != "[key]")
        where = ".".join(map(str, loc))
        message = reason(e)
        if e["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = f"unknown key {where}; {_known_keys(e['loc'], schema)}"
        elif e["type"] == "missing":
            message, loc = f"{where} is missing", loc[:-1]
        elif where:
            given = "" if isinstance(e["input"], dict) else f", given {e['input']!r}"
            message = f"{where}: {message}{given}"
        if not loc:
            yield from (with_file(line, raw, files) for line in message.splitlines())
        else:
            named = _named_in(reason(e), loc, raw)
            yield f"{file_with(named, files)}: {message}"


def with_file(message: str, raw: Mapping[str, Any], files: Files) -> str:
    """Put before a message the file in which the value stands that it is about."""
    return f"{file_with(_named_in(message, (), raw), files)}: {message}"


def _named_in(message: str, loc: Loc, raw: Any) -> Loc:
    """The key that a message about the section `loc` starts with; the section if it is none."""
    key = (*loc, *message.split()[0].rstrip(":").split("."))
    return key if _holds(raw, key) else loc


def file_with(key: Loc, files: Files) -> str:
    """Name the file that a value is of, or all that hold some of a section's keys; all if none does."""
    holding = {file: _at(tree, key) for file, tree in files.items() if _holds(tree, key)}
    if holding and not isinstance(next(iter(holding.values())), Mapping):
        return str(next(iter(holding)))
    return " or ".join(map(str, [*(holding or files)][::-1]))


def without_tags(loc: Loc, raw: Any) -> Loc:
    """Drop the names of union members, which pydantic puts between the keys of the file."""
    kept = []
    for i, key in enumerate(loc):
        if isinstance(raw, Mapping | list) and (
            key in raw if isinstance(raw, Mapping) else isinstance(key, int)
        ):
            raw = raw[key]  # type: ignore[index]
            kept.append(key)
        elif i == len(loc) - 1 and isinstance(raw, Mapping) and raw.get("kind") != key:
            kept.append(key)  # the missing key itself
    return tuple(kept)


def _at(tree: Any, loc: Loc) -> Any:
    return reduce(lambda t, key: t[key], loc, tree)


def _holds(tree: Any, loc: Loc) -> bool:
    try:
        _at(tree, loc)
    except (KeyError, IndexError, TypeError):
        return False
    return bool(loc)


def _known_keys(loc: Loc, model: type[BaseModel]) -> str:
    """The keys that the section around `loc` takes, read off the schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for key in loc[:-1]:
        if "discriminator" in node:  # the name of a union's member, between the keys of the file
            node = {"$ref": node["discriminator"]["mapping"][key]}
        elif isinstance(key, int):
            node = node.get("items", {})
        else:
            named = node.get("patternProperties", {})  # of names that the file chooses
            others = next(iter(named.values()), None) or node.get("additionalProperties", {})
            node = node.get("properties", {}).get(key) or others
        options = [o for o in node.get("anyOf", []) if "$ref" in o]
        node = options[0] if options else node
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    # The study's params.yaml takes what the schema does not know.
    more = ["base"] if loc[0] == "presets" and len(loc) == 3 else []
    return f"it takes {sorted([*node.get('properties', {}), *more])}"


def as_json(settings: Any) -> str:
    """Write settings so that strict types meet what YAML can write: lists for tuples, 1 for 1.0, and 2026-01-01 for text."""
    return json.dumps(settings, default=str)
