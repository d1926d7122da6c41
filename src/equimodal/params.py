"""From params.yaml and a scale file to the runs that they ask for.

`Params` mirrors the two files, laid over each other, section by section; `expand_runs` turns the
experiments into named `RunSpec`s. Snakemake, the command line and the tests all go through here.
"""

import fnmatch
import json
import math
import os
from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from equimodal.data.dataset import Name
from equimodal.datasets import ColoredMnist, DatasetSettings, NVGesture
from equimodal.errors import UserError
from equimodal.linear.settings import LinearSettings
from equimodal.schema import Section
from equimodal.spec import (
    POLICY_SECTION,
    Augmentation,
    Balance,
    Count,
    Fidelity,
    Modality,
    NetworkSettings,
    NotNegative,
    PolicyName,
    Positive,
    RubiSettings,
    RunSpec,
    Training,
)

MIRROR_VARIABLE = "EQUIMODAL_MIRROR"
BUT = "_but_"  # between the names of a preset's base and of the switch that is flipped


class Sweep(Section):
    """The learning rates of a greediness sweep."""

    low: Positive
    high: Positive
    spacing: Literal["random", "even"]
    count: Count
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low} but high is {self.high}")
        return self

    def rates(self) -> list[float]:
        """Rates between `low` and `high` on a logarithmic scale, to four digits.

        Drawn at random they are the first `count` of one seeded sequence, so that a larger count
        keeps the rates of a smaller one.
        """
        low, high = math.log(self.low), math.log(self.high)
        if self.spacing == "random":
            logs = np.random.default_rng(self.seed).uniform(low, high, self.count)
        else:
            logs = np.linspace(low, high, self.count)
        return [float(f"{math.exp(x):.4g}") for x in logs]


T = TypeVar("T")
Axis = Annotated[tuple[T, ...], Field(min_length=1)]


class Grid(Section):
    """All combinations of the settings listed, as runs of an experiment."""

    dataset: str
    inputs: Axis[str]
    policy: Axis[PolicyName]
    fidelity: tuple[str, ...] | None = None  # the preset of params.yaml if left out
    rates: Literal["table1", "sweep"]
    seeds: Annotated[int, Field(ge=1, le=999)]
    start: Axis[Literal["scratch", "pretrained"]] = ("scratch",)
    l1: Axis[NotNegative] = (0.0,)
    tolerance: Axis[NotNegative] | None = None  # of `balance`, in place of the data set's
    window: Axis[Count] | None = None


class Preset(Fidelity):
    """A reading of the paper or its code: every switch and, for the fidelity study, another network or data."""

    network: dict[str, Any] = Field(default_factory=dict)  # laid over the data set's
    sources: dict[str, str] = Field(default_factory=dict)  # stored array -> what stands in for it

    @property
    def switches(self) -> Fidelity:
        """The switches alone."""
        return Fidelity.model_validate(self.model_dump(exclude={"network", "sources"}))

    def network_of(self, usual: NetworkSettings) -> NetworkSettings:
        """A data set's network with the preset's settings in place of the usual ones.

        Raises:
            ValidationError: If the data set's kind of network has no such setting or value.
        """
        changed = json.dumps(usual.model_dump() | self.network)
        return type(usual).model_validate_json(changed, strict=True)


class Analysis(Section):
    """How tables judge what was measured (equimodal.analysis.statistics)."""

    confidence: Annotated[float, Field(gt=0, lt=1)]  # of every interval
    resamples: Annotated[int, Field(ge=100)]  # of every bootstrap and permutation test
    seed: Annotated[int, Field(ge=0)]  # of the same
    margin: Positive  # percentage points within which two accuracies count as equivalent
    power: Annotated[float, Field(gt=0, lt=1)]  # with which an effect counts as detectable


class Params(Section):
    """All of params.yaml, with the scale file laid over it."""

    scale: str
    note: str | None  # said wherever a number of the scale is shown
    mirror: str | None
    datasets: dict[Name, DatasetSettings]
    networks: dict[str, NetworkSettings]
    fidelity: str
    presets: dict[Name, Preset]
    training: dict[str, Training]
    augmentation: dict[str, Augmentation]
    balance: dict[str, Balance]
    rubi: dict[str, RubiSettings]
    sweeps: dict[str, Sweep]
    analysis: Analysis
    # Data set -> file of the weights that `start: pretrained` means; {scale} in it is the scale's name.
    pretrained: dict[str, str]
    experiments: dict[Name, tuple[Grid, ...]]
    leave_out: tuple[str, ...]  # patterns of names of runs
    linear: LinearSettings  # the second paper

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sections = ("networks", "training", "augmentation", "balance", "rubi", "sweeps")
        for section in sections:
            given = getattr(self, section).keys()
            if missing := sorted(self.datasets.keys() - given):
                raise ValueError(f"{section} lacks {missing}")
            if unknown := sorted(given - self.datasets.keys()):
                raise ValueError(
                    f"{section} has {unknown}, but datasets has {sorted(self.datasets)}"
                )
        for name, settings in self.rubi.items():
            branches = {b for inputs in self.datasets[name].inputs.values() for b in inputs}
            if settings.modality not in branches:
                raise ValueError(
                    f"rubi.{name}.modality is {settings.modality!r}; inputs of {name} have the"
                    f" branches {sorted(branches)}"
                )
        for name, seen in self.augmentation.items():
            _check_augmentation(name, seen, self.datasets[name])
        if self.fidelity not in self.presets:
            raise ValueError(
                f"fidelity is {self.fidelity!r}; the presets are {sorted(self.presets)}"
            )
        digits = self.linear.noisy_mnist.dataset
        with_digits = sorted(n for n, d in self.datasets.items() if isinstance(d, ColoredMnist))
        if digits not in with_digits:
            raise ValueError(
                f"linear.noisy_mnist.dataset is {digits!r}; there are gray digits in {with_digits}"
            )
        if not any(self.experiments.values()):
            raise ValueError("experiments ask for no run")
        taken = {*self.datasets, "noisy_mnist"}
        if twice := sorted(taken & set(self.experiments)):
            raise ValueError(
                f"experiments has {twice}; other networks are asked for by that name"
                f" (`trained_{twice[0]}`): choose another"
            )
        for name, grids in self.experiments.items():
            for grid in grids:
                if unknown := sorted(set(grid.fidelity or ()) - set(self.presets)):
                    raise ValueError(
                        f"experiments.{name} asks for fidelity {unknown}; the presets are"
                        f" {sorted(self.presets)}"
                    )
                if grid.dataset not in self.datasets:
                    raise ValueError(
                        f"experiments.{name} asks for dataset {grid.dataset!r}; there are"
                        f" {sorted(self.datasets)}"
                    )
                known = self.datasets[grid.dataset].inputs
                if unknown := sorted(set(grid.inputs) - set(known)):
                    raise ValueError(
                        f"experiments.{name} asks for inputs {unknown}; {grid.dataset} has"
                        f" {sorted(known)}"
                    )
                several = [i for i in grid.inputs if len(known[i]) > 1]
                for preset in grid.fidelity or (self.fidelity,):
                    _check_network(preset, self.presets[preset], grid.dataset, self.networks)
                    _check_sources(preset, self.presets[preset], self.datasets[grid.dataset])
                    network = self.presets[preset].network_of(self.networks[grid.dataset])
                    if several and not network.fused_after:
                        raise ValueError(
                            f"networks.{grid.dataset}.fused_after names no place, but"
                            f" experiments.{name} asks for {several}, whose branches have to be joined"
                        )
                if "rubi" in grid.policy:
                    biased = self.rubi[grid.dataset].modality
                    if lacking := [i for i in grid.inputs if biased not in known[i]]:
                        raise ValueError(
                            f"experiments.{name} asks for rubi on {lacking}, which have no branch"
                            f" {biased!r} (rubi.{grid.dataset}.modality)"
                        )
                if "pretrained" in grid.start and grid.dataset not in self.pretrained:
                    raise ValueError(
                        f"experiments.{name} asks for pretrained {grid.dataset}; pretrained names"
                        f" weights for {sorted(self.pretrained)}"
                    )
                if (grid.tolerance or grid.window) and set(grid.policy) != {"guided"}:
                    raise ValueError(
                        f"experiments.{name} sets tolerance or window for policy {list(grid.policy)};"
                        " only guided has them"
                    )
                single = [i for i in grid.inputs if len(known[i]) == 1]
                if single and set(grid.policy) != {"vanilla"}:
                    raise ValueError(
                        f"experiments.{name} asks for policy {list(grid.policy)} on the uni-modal"
                        f" inputs {single}; they take [vanilla]: there is nothing to balance"
                    )
        return self


def _check_network(
    name: str, preset: Preset, dataset: str, networks: Mapping[str, NetworkSettings]
) -> None:
    """Raise ValueError if the network of a preset is none for a data set that it is asked for."""
    try:
        preset.network_of(networks[dataset])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"presets.{name}.network.{key}: {first['msg']} ({networks[dataset].kind}, the network of"
            f" {dataset}, takes {sorted(networks[dataset].model_dump())})"
        ) from None


def _check_sources(name: str, preset: Preset, dataset: DatasetSettings) -> None:
    """Raise ValueError if a preset puts a stored array for another that are not both there and alike."""
    for usual, other in preset.sources.items():
        for source in (usual, other):
            if source not in dataset.sources:
                raise ValueError(
                    f"presets.{name}.sources names {source!r}; {dataset.kind} stores"
                    f" {sorted(dataset.sources)}"
                )
        if dataset.sources[usual].channels != dataset.sources[other].channels:
            raise ValueError(
                f"presets.{name}.sources puts {other} for {usual}, which has other channels"
            )


def _check_augmentation(name: str, seen: Augmentation, dataset: DatasetSettings) -> None:
    """Raise ValueError if what is seen of a data set's examples is not in them."""
    where = f"augmentation.{name}"
    if not isinstance(dataset, NVGesture):
        if seen.clip is not None:
            raise ValueError(f"{where}.clip is for clips; {name} has images")
        return
    if seen.clip is None:
        raise ValueError(f"{where}.clip is missing: which frames and square of a clip are seen")
    if seen.clip.frames > dataset.frames or seen.clip.crop > dataset.size:
        raise ValueError(
            f"{where}.clip sees {seen.clip.frames} frames of {seen.clip.crop} pixels; datasets.{name}"
            f" stores {dataset.frames} of {dataset.size}"
        )
    if unknown := [label for pair in seen.flip_swaps for label in pair if label >= dataset.classes]:
        raise ValueError(f"{where}.flip_swaps has {unknown}; labels go to {dataset.classes - 1}")


def load_params(path: Path = Path("params.yaml"), scale: str | None = None) -> Params:
    """Read params.yaml and the scale file that it (or `scale`) names, and check both.

    Raises:
        UserError: If a file is missing or not YAML, a key is unknown, missing, of a wrong value, or
            in params.yaml as well as in a scale file that is like no other. The message names file
            and key.
    """
    shared = _read_yaml(path)
    scale = scale or shared.get("scale")
    scales = path.parent / "config" / "scales"
    scale_path = scales / f"{scale}.yaml"
    if not scale_path.is_file():
        known = sorted(p.stem for p in scales.glob("*.yaml"))
        raise UserError(f"{path}: unknown scale {scale!r}; {scales} has {known}")
    files = _read_scales(scale_path)
    *likenesses, (whole_path, whole) = files.items()
    if twice := sorted(
        ".".join(map(str, leaf)) for leaf in set(_leaves(shared)) & set(_leaves(whole))
    ):
        raise UserError(f"{whole_path}: {twice} stand in {path} as well; keep each in one place")
    try:
        raw = _overlay(shared, whole)
    except _ClashError as error:
        raise UserError(f"{whole_path}: {error} in {path}") from None
    for _, own in reversed(likenesses):
        raw = _overlay(raw, own, replace=True)
    files[path] = shared
    raw |= {"scale": scale, "presets": _resolve_presets(raw.get("presets"), files)}
    try:
        # Through JSON, so that strict types meet what YAML can write: lists for tuples, 1 for 1.0, and
        # for text also 2026-01-01, which YAML takes for a date.
        params = Params.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise UserError(_explain(error, raw, files)) from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} or {scale_path}: {error}") from None
    mirror = os.environ.get(MIRROR_VARIABLE) or params.mirror
    return params.model_copy(update={"mirror": mirror})


def _read_scales(path: Path) -> dict[Path, dict[str, Any]]:
    """Read a scale file, the one that it is `like`, and so on: file -> its keys but `like`.

    Raises:
        UserError: If a file is like one that is not there, or in the end like itself.
    """
    files = {path: _read_yaml(path)}
    while (like := files[path].pop("like", None)) is not None:
        read = [p.stem for p in files]
        others = sorted({p.stem for p in path.parent.glob("*.yaml")} - {*read})
        if like not in others:
            circle = ", which is like this one again" if like in read else ""
            raise UserError(f"{path}: like: {like!r}{circle}; it takes one of {others}")
        other = path.with_name(f"{like}.yaml")
        files[other] = _read_yaml(other)
        path = other
    return files


def _resolve_presets(presets: Any, files: Mapping[Path, Mapping[str, Any]]) -> Any:
    """Fill presets that name a `base` with the switches of that preset."""
    if not isinstance(presets, Mapping):
        return presets  # the schema says what is wrong
    full = sorted(p for p, own in presets.items() if isinstance(own, Mapping) and "base" not in own)
    resolved = {}
    for name, preset in presets.items():
        base = preset.get("base") if isinstance(preset, Mapping) else None
        compared_with, but, switch = str(name).partition(BUT)
        if base is None:
            resolved[name] = preset
        elif base not in full:
            file = _file_with(("presets", name, "base"), files)
            raise UserError(f"{file}: presets.{name}.base is {base!r}; it takes one of {full}")
        elif but and compared_with != base:
            file = _file_with(("presets", name, "base"), files)
            raise UserError(
                f"{file}: presets.{name}.base is {base!r}, but by its name it is compared with"
                f" {compared_with!r}: call it {base}{but}{switch}"
            )
        else:
            own = {key: value for key, value in preset.items() if key != "base"}
            resolved[name] = {**presets[base], **own}
    return resolved


def expand_runs(params: Params, experiment: str | None = None) -> dict[str, RunSpec]:
    """List the runs that an experiment asks for (all experiments if None), by name.

    A run that several experiments ask for appears once: its name is made of its settings. Runs
    whose name fits a pattern of `leave_out` are left out.
    """
    grids = (
        [g for gs in params.experiments.values() for g in gs]
        if experiment is None
        else params.experiments[experiment]
    )
    specs = {spec.name: spec for grid in grids for spec in _runs_of(grid, params)}
    left_out = {n for pattern in params.leave_out for n in fnmatch.filter(specs, pattern)}
    return {name: spec for name, spec in specs.items() if name not in left_out}


def _runs_of(grid: Grid, params: Params) -> Iterator[RunSpec]:
    dataset = params.datasets[grid.dataset]
    presets = grid.fidelity or (params.fidelity,)
    choices = product(
        *(grid.start, grid.inputs, grid.policy, presets, grid.l1),
        *(grid.tolerance or (None,), grid.window or (None,)),
        _draws(grid, params),
    )
    for start, inputs, policy, fidelity, l1, tolerance, window, (rate, seed) in choices:
        preset = params.presets[fidelity]
        needs = POLICY_SECTION[policy]
        stored = {b: preset.sources.get(s, s) for b, s in dataset.inputs[inputs].items()}
        changes = {"tolerance": tolerance, "window": window} if policy == "guided" else {}
        balance, variant = _balance(params.balance[grid.dataset], changes)
        weights = params.pretrained.get(grid.dataset, "").replace("{scale}", params.scale)
        yield RunSpec(
            dataset=grid.dataset,
            inputs=inputs,
            modalities={
                branch: Modality(source=source, **dict(dataset.sources[source]))
                for branch, source in stored.items()
            },
            data=dataset.preparation_of(stored.values()),
            classes=dataset.classes,
            validation=dataset.validation,
            policy=policy,
            fidelity=fidelity,
            pretrained=weights if start == "pretrained" else None,
            variant=variant,
            learning_rate=rate,
            l1=l1,
            seed=seed,
            network=preset.network_of(params.networks[grid.dataset]),
            switches=preset.switches,
            training=params.training[grid.dataset],
            augmentation=params.augmentation[grid.dataset],
            balance=balance if needs == "balance" else None,
            rubi=params.rubi[grid.dataset] if needs == "rubi" else None,
        )


def _balance(balance: Balance, changes: Mapping[str, Any]) -> tuple[Balance, str]:
    """The balance with some settings changed, and a name for those that differ from before."""
    differing = {k: v for k, v in changes.items() if v not in (None, getattr(balance, k))}
    variant = "-".join(f"{k}_{v:g}" for k, v in differing.items())
    return balance.model_copy(update=differing), variant


def _draws(grid: Grid, params: Params) -> list[tuple[float, int]]:
    """Pairs of learning rate and seed.

    In a sweep no two models share a seed. Seeds count the initialization in thousands and the rate
    in ones, so that one more of either leaves the other runs as they are.
    """
    if grid.rates == "table1":
        return [(params.datasets[grid.dataset].table1_rate, seed) for seed in range(grid.seeds)]
    rates = params.sweeps[grid.dataset].rates()
    return [(rate, 1000 * j + i) for j in range(grid.seeds) for i, rate in enumerate(rates)]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run from the folder that holds params.yaml") from None
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        raise UserError(f"{path}, line {line}: {error.problem}; keep one of them") from None
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"{path} can not be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, expected keys and values")
    return content


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)


class _ClashError(Exception):
    """A key holds keys in one file and a value in the other."""


def _overlay(
    below: Mapping[str, Any], above: Mapping[str, Any], where: str = "", replace: bool = False
) -> dict[str, Any]:
    """The keys of both; of a value that is in both, an error, or the one above if `replace`."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        pair = below[key], above[key]
        if all(isinstance(value, Mapping) for value in pair):
            merged[key] = _overlay(*pair, f"{where}{key}.", replace)
        elif not replace:
            kinds = ["keys" if isinstance(v, Mapping) else repr(v) for v in pair]
            raise _ClashError(f"{where}{key} holds {kinds[1]}, but it holds {kinds[0]}")
    return merged


def _explain(
    error: ValidationError, raw: Mapping[str, Any], files: Mapping[Path, Mapping[str, Any]]
) -> str:
    """One line a fault, with the file that it stands in."""
    faults = error.errors()
    inside = {e["loc"][:i] for e in faults for i in range(len(e["loc"]))}
    lines = []
    for e in faults:
        if e["type"] == "too_short" and e["loc"] in inside:
            continue  # only for want of the items that have faults of their own
        loc = _without_tags(e["loc"], raw)
        message = e["msg"].removeprefix("Value error, ")
        if e["type"] == "string_pattern_mismatch" and loc[-1] == "[key]":
            loc, message = loc[:-1], "names are made of letters, digits and _"
        where = ".".join(map(str, loc))
        file = _file_with(_named_in(message, loc, raw), files)
        if e["type"] == "extra_forbidden":
            lines.append(f"{file}: unknown key {where}; {_known_keys(e['loc'])}")
        elif e["type"] == "missing":
            lines.append(f"{file}: {where} is missing")
        else:
            given = "" if isinstance(e["input"], dict) else f", given {e['input']!r}"
            lines.append(": ".join([file, *filter(None, [where]), message]) + given)
    return "\n".join(lines)


def _named_in(message: str, loc: tuple[int | str, ...], raw: Any) -> tuple[int | str, ...]:
    """The key that a message about the section `loc` starts with; the section if it is none."""
    key = (*loc, *message.split()[0].rstrip(":").split("."))
    return key if _holds(raw, key) else loc


def _file_with(key: tuple[int | str, ...], files: Mapping[Path, Mapping[str, Any]]) -> str:
    """Name the file that a value is of, or all that hold some of a section's keys; all if none does."""
    holding = {file: _at(tree, key) for file, tree in files.items() if _holds(tree, key)}
    if holding and not isinstance(next(iter(holding.values())), Mapping):
        return str(next(iter(holding)))
    return " or ".join(map(str, [*(holding or files)][::-1]))


def _without_tags(loc: tuple[int | str, ...], raw: Any) -> tuple[int | str, ...]:
    """Drop the names of union members, which pydantic puts between the keys of the file."""
    kept = []
    for i, key in enumerate(loc):
        if isinstance(raw, Mapping | list) and (
            key in raw if isinstance(raw, Mapping) else isinstance(key, int)
        ):
            raw = raw[key]  # type: ignore[index]
            kept.append(key)
        elif i == len(loc) - 1 and not (isinstance(raw, Mapping) and raw.get("kind") == key):
            kept.append(key)  # the missing key itself
    return tuple(kept)


def _at(tree: Any, loc: tuple[int | str, ...]) -> Any:
    return reduce(lambda t, key: t[key], loc, tree)


def _holds(tree: Any, loc: tuple[int | str, ...]) -> bool:
    try:
        _at(tree, loc)
    except (KeyError, IndexError, TypeError):
        return False
    return bool(loc)


def _known_keys(loc: tuple[int | str, ...]) -> str:
    """The keys that the section around `loc` takes, read off the schema."""
    schema = Params.model_json_schema()
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
    # `_resolve_presets` takes what the schema does not know.
    more = ["base"] if loc[0] == "presets" and len(loc) == 3 else []
    return f"it takes {sorted([*node.get('properties', {}), *more])}"
