"""What the settings say of all data of one's own, and of each such data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equimodal.study.consistency import NEEDED
from equimodal.study.errors import UserError
from equimodal.study.schema import why_no_name
from equimodal.study.settings_files import overlay

OWN = "own"  # kind of data sets of one's own, and under which the settings say what all such have


def of_own(raw: Mapping[str, Any], path: Path, faults: list[str]) -> dict[str, Any]:
    """Lay what data sets of one's own say over what `own` in config/own.yaml says of all such, grids included."""
    named = {s: raw.get(s) for s in ("datasets", *NEEDED)}
    sections = {s: dict(of) for s, of in named.items() if isinstance(of, Mapping)}
    usual = {section: of.pop(OWN) for section, of in sections.items() if OWN in of}
    for section, of in usual.items():
        if not isinstance(of, Mapping):
            raise UserError(f"{path}: {section}.{OWN}: expected keys and values, given {of!r}")
    if not usual:
        return dict(raw)
    names = names_of_own(raw)
    if not names:
        faults.append(
            f"{path}: datasets has none of kind: {OWN} and another name than that; docs/own-data.md says what it needs"
        )
    alone: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        given = sections["datasets"][name]
        sources = given.get("sources")
        modalities = sources if isinstance(sources, Mapping) else ()
        inputs = {m: {m: m} for m in modalities if not why_no_name(m)}  # else it is said of sources
        inputs["distinct"] = {m: m for m in inputs}
        if isinstance(more := given.get("inputs", {}), Mapping):
            inputs |= more
            given = given | {"inputs": inputs}
            alone[name] = [
                i for i, of in inputs.items() if isinstance(of, Mapping) and len(of) == 1
            ]
        sections["datasets"][name] = usual.get("datasets", {}) | {"folder": name} | given
        for section in usual.keys() - {"datasets"}:
            own = sections[section].get(name, {})
            if isinstance(own, Mapping) and own.get("kind") in (None, usual[section].get("kind")):
                sections[section][name] = overlay(usual[section], own)
    if isinstance(experiments := raw.get("experiments"), Mapping):
        sections["experiments"] = {
            name: [one for grid in grids for one in _grids_of_own(grid, alone)]
            if isinstance(grids, list)
            else grids
            for name, grids in experiments.items()
        }
    return {**raw, **sections}


def names_of_own(raw: Mapping[str, Any]) -> list[str]:
    """Data sets of one's own."""
    datasets = raw.get("datasets")
    return [
        name
        for name, of in (datasets.items() if isinstance(datasets, Mapping) else ())
        if isinstance(of, Mapping) and of.get("kind") == OWN and name != OWN
    ]


def _grids_of_own(grid: Any, alone: Mapping[str, list[str]]) -> list[Any]:
    """A grid of `own` for each data set of one's own; `inputs: alone` of one are those of one modality."""
    asked = grid.get("dataset") if isinstance(grid, Mapping) else None
    if not isinstance(asked, str) or (asked != OWN and asked not in alone):
        return [grid]
    inputs = grid.get("inputs")
    return [
        # Of a data set whose modalities have a fault nothing is known: the word stays, and nothing follows.
        {**grid, "dataset": name, "inputs": (named or ["alone"]) if inputs == "alone" else inputs}
        for name, named in alone.items()
        if asked in (OWN, name)
    ]
