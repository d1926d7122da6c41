"""From params.yaml and a scale file to the runs that they ask for.

`Params` mirrors the two files, laid over each other, section by section; `expand_runs` turns the
experiments into named `RunSpec`s. Snakemake, the command line and the tests all go through here.
"""

import fnmatch
import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_origin

import numpy as np
from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from equimodal.study import layout
from equimodal.study.datasets import DatasetSettings, NVGesture, Own
from equimodal.study.errors import UserError, in_words
from equimodal.study.methods import METHODS, SETTINGS, OfDataset
from equimodal.study.schema import (
    Count,
    Few,
    Name,
    NotNegative,
    Positive,
    Section,
    Sentence,
    first_reason,
    reason,
    why_no_name,
)
from equimodal.study.settings_files import (
    as_json,
    explain,
    file_with,
    known_scales,
    leaves,
    overlay,
    read_scales,
    read_yaml,
    with_file,
    without_tags,
)
from equimodal.study.spec import (
    POLICY_SECTION,
    Augmentation,
    NetworkSettings,
    PolicyName,
    RubiSettings,
    RunSpec,
    Switches,
    TrainingSettings,
)
from equimodal.training.balance import Balance

MIRROR_VARIABLE = "EQUIMODAL_MIRROR"
OWN = "own"  # kind of data sets of one's own, and under which the settings say what all such have
BUT = "_but_"  # between the names of a preset's base and of the switch that is flipped


class Sweep(Section):
    """The learning rates of a greediness sweep."""

    low: Positive
    high: Positive
    spacing: Literal["random", "even"]
    count: Few  # the rate is in the last three digits of a seed
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
Rates = Annotated[  # a word, or a list: a fault is then of the one that was given
    Annotated[Literal["table1", "sweep"], Tag("word")] | Annotated[Axis[Positive], Tag("list")],
    Discriminator(lambda given: "word" if isinstance(given, str) else "list"),
]


class Grid(Section):
    """All combinations of the settings listed, as runs of an experiment."""

    dataset: str
    inputs: Axis[str]
    policy: Axis[PolicyName]
    fidelity: Axis[str] | None = None  # the preset of params.yaml if left out
    rates: Rates
    seeds: Annotated[int, Field(ge=1, le=999)]
    start: Axis[Literal["scratch", "pretrained"]] = ("scratch",)
    l1: Axis[NotNegative] = (0.0,)
    tolerance: Axis[NotNegative] | None = None  # of `balance`, in place of the data set's
    window: Axis[Count] | None = None
    # Of a method, in place of some of the data set's.
    parameters: Axis[dict[str, Any]] | None = None


class Preset(Switches):
    """A reading of the paper or its code: every switch and, where it is open, another network, training or data."""

    network: dict[str, Any] = Field(default_factory=dict)  # laid over the data set's
    training: dict[str, Any] = Field(default_factory=dict)  # the same
    sources: dict[str, str] = Field(default_factory=dict)  # stored array -> what stands in for it

    @property
    def switches(self) -> Switches:
        """The switches alone."""
        return Switches.model_validate(self.model_dump(include={*Switches.model_fields}))


S = TypeVar("S", bound=BaseModel)


def _laid_over(usual: S, own: dict[str, Any]) -> S:
    """The usual settings with others in place of some of them; ValidationError if these do not fit."""
    return type(usual).model_validate_json(json.dumps(usual.model_dump() | own), strict=True)


class Analysis(Section):
    """How tables judge what was measured (equimodal.study.analysis.statistics)."""

    confidence: Annotated[float, Field(gt=0, lt=1)]  # of every interval
    resamples: Annotated[int, Field(ge=100, le=10**6)]  # of every bootstrap and permutation test
    seed: Annotated[int, Field(ge=0)]  # of the same
    margin: Positive  # percentage points within which two accuracies count as equivalent
    fewest_resampled: Annotated[int, Field(ge=2)]  # values; fewer have Student's interval or none
    greedy_above: Annotated[float, Field(ge=0, lt=1)]  # |d_util| of a greedy model is above it
    power: Annotated[float, Field(gt=0, lt=1)]  # with which an effect counts as detectable


class Params(Section):
    """All of params.yaml, with the scale file laid over it."""

    scale: str
    note: Sentence | None  # said wherever a number of the scale is shown
    mirror: str | None
    datasets: dict[Name, DatasetSettings]
    networks: dict[str, NetworkSettings]
    fidelity: str
    presets: dict[Name, Preset]
    training: dict[str, TrainingSettings]
    augmentation: dict[str, Augmentation]
    balance: dict[str, Balance]
    rubi: dict[str, RubiSettings]
    methods: dict[str, OfDataset] = Field(default_factory=dict)  # type: ignore[valid-type]  # of others
    sweeps: dict[str, Sweep]
    analysis: Analysis
    # Data set -> file of the weights that `start: pretrained` means; {scale} in it is the scale's name.
    pretrained: dict[str, str]
    experiments: dict[Name, tuple[Grid, ...]]
    leave_out: tuple[str, ...]  # patterns of names of runs

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if faults := list(dict.fromkeys(_faults_between(self, ()))):
            raise ValueError("\n".join(faults))
        return self


# Sections with an entry for each data set, and whether a grid needs one.
NEEDED = {
    "networks": lambda grid: True,
    "training": lambda grid: True,
    "augmentation": lambda grid: True,
    "balance": lambda grid: {"random", "guided"} & {*grid.policy},
    "rubi": lambda grid: "rubi" in grid.policy,
    "methods": lambda grid: {p for p in grid.policy if POLICY_SECTION[p] == "methods"},
    "sweeps": lambda grid: grid.rates == "sweep",
}
# Section and name of what has a fault of its own and so is not there; no name where it is all of a section.
Broken = Collection[tuple[str, str]]


def _faults_between(params: Params, broken: Broken) -> Iterator[str]:
    """Say what of the settings does not fit together, a line each; nothing more of what is broken."""

    def known(section: str) -> set[str]:
        return {*getattr(params, section), *(n for s, n in broken if s == section)}

    names = known("datasets")
    if "" in names:
        return  # all else is of data sets
    grids = [(name, grid) for name, grids in params.experiments.items() for grid in grids]
    for section in NEEDED:
        if unknown := sorted(known(section) - {*names, ""}):
            yield f"{section} has {unknown}, but datasets has {sorted(names)}"
    for name in sorted(names):
        lacking = [
            section
            for section, is_needed in NEEDED.items()
            if not known(section) & {name, ""}
            and any(grid.dataset == name and is_needed(grid) for _, grid in grids)
        ]
        if lacking:
            yield f"datasets.{name} has nothing in {lacking}, which its experiments need"
    for name in params.rubi.keys() & params.datasets.keys():
        branches = {b for inputs in params.datasets[name].inputs.values() for b in inputs}
        if params.rubi[name].modality not in branches:
            yield (
                f"rubi.{name}.modality is {params.rubi[name].modality!r}; inputs of {name} have the"
                f" branches {sorted(branches)}"
            )
    for name in params.networks.keys() & params.datasets.keys():
        kind, dataset = params.networks[name].kind, params.datasets[name]
        if isinstance(dataset, Own) and kind != "four_layers":
            odd = sorted(m for m, of in dataset.sources.items() if of.axes != 2 or kind == "i3d")
            if odd:
                yield f"networks.{name}.kind is {kind}, which {odd} are not for; four_layers is for all shapes"
    for name in params.augmentation.keys() & params.datasets.keys():
        yield from _faults_of_augmentation(name, params.augmentation[name], params.datasets[name])
    if params.fidelity not in known("presets") and ("fidelity", "") not in broken:
        yield f"fidelity is {params.fidelity!r}; the presets are {sorted(known('presets'))}"
    if not grids and not any(section == "experiments" for section, _ in broken):
        yield "experiments ask for no run"
    yield from _names_twice(params, sorted(names))
    for name, grid in grids:
        if grid.dataset in params.datasets:
            yield from _faults_of_grid(
                f"experiments.{name}", grid, params, known("presets"), broken
            )
        elif grid.dataset not in names:
            yield f"experiments.{name} asks for dataset {grid.dataset!r}; there are {sorted(names)}"
    yield from _means_of_more_than_seeds(params)


def part_name(experiment: str, dataset: str) -> str:
    """By which the runs of an experiment on a data set are asked for, as `evaluated_<name>`."""
    return f"{experiment}_{dataset}"


def _names_twice(params: Params, datasets: Iterable[str]) -> Iterator[str]:
    """Say which names of networks, as the workflow takes them, would mean two things."""
    meant = {"noisy_mnist": "the networks on noisy MNIST", "kinetics": "weights that are fetched"}
    uses = [
        *(("datasets", name, f"the data set {name}") for name in datasets),
        *(("experiments", name, f"the experiment {name}") for name in params.experiments),
        *(
            ("experiments", part_name(name, dataset), f"the runs of {name} on {dataset}")
            for name, grids in params.experiments.items()
            for dataset in sorted({grid.dataset for grid in grids})
        ),
    ]
    for section, name, meaning in uses:
        if meant.setdefault(name, meaning) != meaning:
            yield (
                f"{section} gives the name {name!r} two meanings, {meant[name]} and {meaning}; choose"
                " another name"
            )


# Experiments whose tables are means, and what these tell apart beside seeds; `alone` and `method` follow
# from inputs and policy.
TOLD_APART = {
    "table1": ("dataset", "start", "fidelity", "method", "alone"),
    "sweep": ("dataset", "start", "fidelity", "policy", "inputs", "rates"),
    "sweep_balanced": ("dataset", "start", "fidelity", "policy", "inputs", "rates"),
    "l1": ("fidelity", "l1"),
    "sensitivity": ("fidelity", "method", "tolerance", "window"),
    "fidelity": ("dataset", "fidelity", "method"),
    "calibration": ("fidelity",),
    "three_views": ("fidelity", "method"),
    "methods": ("dataset", "start", "fidelity", "method", "inputs"),
}


def _means_of_more_than_seeds(params: Params) -> Iterator[str]:
    """Say which runs would share a mean in a table although they differ in more than its experiment is about."""
    for experiment, apart in TOLD_APART.items():
        cells: dict[tuple[str, ...], dict[str, set[str]]] = {}
        for grid in params.experiments.get(experiment, ()):
            if grid.dataset not in params.datasets:
                continue
            for inputs, policy in product(grid.inputs, grid.policy):
                values = _values_of_axes(grid, inputs, policy, params)
                for cell in product(*(values[axis] for axis in apart)):
                    found = cells.setdefault(cell, {})
                    for axis in values.keys() - {*apart, "alone", "method"}:
                        found.setdefault(axis, set()).update(values[axis])
        unlike: dict[str, str] = {}  # what differs -> said of the first mean
        for cell, found in cells.items():
            of = ", ".join(
                f"{axis} {value}" for axis, value in zip(apart, cell, strict=True) if value
            )
            for axis in sorted(axis for axis in found if len(found[axis]) > 1):
                unlike.setdefault(axis, f"{axis} {sorted(found[axis])} of {of}")
        for said in unlike.values():
            yield (
                f"experiments.{experiment} asks for {said}, and its tables would be means over them; ask for one of these"
                " there, and for others in an experiment of another name"
            )


def _values_of_axes(grid: Grid, inputs: str, policy: str, params: Params) -> dict[str, list[str]]:
    """What the runs of a grid are of, as texts: of one of its inputs and policies."""
    dataset, sweep = params.datasets[grid.dataset], params.sweeps.get(grid.dataset)
    drawn = {"table1": [dataset.table1_rate], "sweep": sweep.rates() if sweep else []}
    is_alone = len(dataset.inputs.get(inputs, ())) == 1
    values: dict[str, Iterable[Any]] = {
        "dataset": [grid.dataset],
        "inputs": [inputs],
        "alone": [inputs if is_alone else ""],
        "policy": [policy],
        "method": ["unimodal" if is_alone else policy],
        "fidelity": grid.fidelity or (params.fidelity,),
        "rates": drawn[grid.rates] if isinstance(grid.rates, str) else grid.rates,
    }
    values |= {axis: getattr(grid, axis) for axis in ("start", "l1")}
    usual = ("tolerance", "window", "parameters")
    values |= {axis: getattr(grid, axis) or ["usual"] for axis in usual}
    return {axis: [str(value) for value in of] for axis, of in values.items()}


def _faults_of_grid(
    where: str, grid: Grid, params: Params, presets: Collection[str], broken: Broken
) -> Iterator[str]:
    """Say what a grid asks for that the settings do not have."""
    if unknown := sorted({*(grid.fidelity or ())} - {*presets}):
        yield f"{where} asks for fidelity {unknown}; the presets are {sorted(presets)}"
    known = params.datasets[grid.dataset].inputs
    if unknown := sorted({*grid.inputs} - {*known}):
        yield f"{where} asks for inputs {unknown}; {grid.dataset} has {sorted(known)}"
    single = [i for i in grid.inputs if len(known.get(i, ())) == 1]
    for preset in grid.fidelity or (params.fidelity,):
        if preset in params.presets:
            yield from _faults_of_preset(where, preset, grid.dataset, params)
    if "rubi" in grid.policy and grid.dataset in params.rubi:
        biased = params.rubi[grid.dataset].modality
        if lacking := [i for i in grid.inputs if i in known and biased not in known[i]]:
            yield (
                f"{where} asks for rubi on {lacking}, which have no branch {biased!r}"
                f" (rubi.{grid.dataset}.modality)"
            )
    weights = {*params.pretrained, *(name for section, name in broken if section == "pretrained")}
    if "pretrained" in grid.start and not weights & {grid.dataset, ""}:
        yield (
            f"{where} asks for pretrained {grid.dataset}; pretrained names weights for"
            f" {sorted(params.pretrained)}"
        )
    if (grid.tolerance or grid.window) and {*grid.policy} != {"guided"}:
        yield (
            f"{where} sets tolerance or window for policy {list(grid.policy)}; only guided has them"
        )
    yield from _faults_of_methods(where, grid, params)
    if single and {*grid.policy} != {"vanilla"}:
        yield (
            f"{where} asks for policy {list(grid.policy)} on the uni-modal inputs {single}; they take"
            " [vanilla]: there is nothing to balance"
        )


def _faults_of_methods(where: str, grid: Grid, params: Params) -> Iterator[str]:
    """Say what a grid asks of methods that the settings do not have."""
    dataset = params.datasets[grid.dataset]
    methods = [p for p in grid.policy if p in METHODS]
    for policy in methods:
        try:
            for change in grid.parameters or ({},):
                _parameters(policy, grid.dataset, change, params)
        except ValidationError as error:
            yield (
                f"{where}: settings of {policy}: {first_reason(error)}; it takes"
                f" {sorted(METHODS[policy].settings)}, and methods.{grid.dataset} has the usual ones"
            )
        if METHODS[policy].validates and dataset.validation == "test":
            yield (
                f"{where} asks for {policy}, which looks at a validation split, but {grid.dataset} has none"
                " beside its test set"
            )
        named = grid.fidelity or (params.fidelity,)
        presets = [params.presets[p] for p in named if p in params.presets]
        usual = params.networks.get(grid.dataset)
        networks = [{**usual.model_dump(), **p.network} for p in presets] if usual else []
        joined = any(n["fused_after"] or n.get("classifier") == "shared" for n in networks)
        if METHODS[policy].members == "weights" and joined:
            yield f"{where} asks for {policy}, which is of networks with fused_after: [] and classifier: own"
    if grid.parameters and len(methods) < len(grid.policy):
        yield f"{where} sets parameters for policy {list(grid.policy)}; only {sorted(METHODS)} have them"


def _faults_of_preset(where: str, name: str, dataset: str, params: Params) -> Iterator[str]:
    """Say what of a preset a data set that it is asked for can not have."""
    preset, sources = params.presets[name], params.datasets[dataset].sources
    laid: dict[str, tuple[BaseModel | None, dict[str, Any]]] = {
        "network": (params.networks.get(dataset), preset.network),
        "training": (params.training.get(dataset), preset.training),
    }
    for section, (usual, own) in laid.items():
        if usual is None:
            continue
        try:
            _laid_over(usual, own)
        except ValidationError as error:
            first = error.errors()[0]
            kind = getattr(usual, "kind", section)
            yield (
                f"presets.{name}.{section}.{'.'.join(map(str, first['loc']))}: {reason(first)}"
                f" ({kind} of {dataset} takes {sorted(usual.model_dump())})"
            )
    for pair in preset.sources.items():
        if unknown := [source for source in pair if source not in sources]:
            yield (
                f"presets.{name}.sources names {unknown[0]!r}; {params.datasets[dataset].kind} stores"
                f" {sorted(sources)}"
            )
        elif sources[pair[0]].channels != sources[pair[1]].channels:
            yield f"presets.{name}.sources puts {pair[1]} for {pair[0]}, which has other channels"


def _faults_of_augmentation(
    name: str, seen: Augmentation, dataset: DatasetSettings
) -> Iterator[str]:
    """Say what is to be seen of a data set's examples that is not in them."""
    where = f"augmentation.{name}"
    if (
        seen.flip
        and isinstance(dataset, Own)
        and any(of.axes != 2 for of in dataset.sources.values())
    ):
        yield f"{where}.flip is {seen.flip}, but a mirror is for images; 0.0 fits all modalities of {name}"
    if not isinstance(dataset, NVGesture):
        if seen.clip is not None:
            yield f"{where}.clip is for clips; {name} has images"
        return
    if seen.clip is None:
        yield f"{where}.clip is missing: which frames and square of a clip are seen"
    elif seen.clip.frames > dataset.stored_frames or seen.clip.crop > dataset.size:
        yield (
            f"{where}.clip sees {seen.clip.frames} frames of {seen.clip.crop} pixels; datasets.{name}"
            f" stores {dataset.stored_frames} of {dataset.size}"
        )
    if unknown := [
        label for pair in seen.flip_swaps for label in pair if label >= dataset.class_count
    ]:
        yield f"{where}.flip_swaps has {unknown}; labels go to {dataset.class_count - 1}"


def load_params(path: Path = Path("params.yaml"), scale: str | None = None) -> Params:
    """Read params.yaml and the scale file that it (or `scale`) names, and check both.

    Raises:
        UserError: With file and key, if a file is missing or not YAML, a key is unknown, missing, of a wrong value, or
            in params.yaml as well as in a scale file that is like no other.
    """
    shared = read_yaml(path)
    scale = shared.get("scale") if scale is None else scale
    scales = path.parent / "config" / "scales"
    scale_path = scales / f"{scale}.yaml"
    if why_no_name(scale) or not scale_path.is_file():
        raise UserError(f"{path}: unknown scale {scale!r}; {scales} has {known_scales(scales)}")
    files = read_scales(scale_path)
    *likenesses, (whole_path, whole) = files.items()
    faults: list[str] = []
    in_both = dict(leaves(shared)).keys() & dict(leaves(whole))
    if twice := sorted(".".join(map(str, leaf)) for leaf in in_both):
        faults.append(f"{whole_path}: {twice} stand in {path} as well; keep each in one place")
    clashes: list[str] = []
    raw = overlay(shared, whole, clashes)
    for _, own in reversed(likenesses):
        raw = overlay(raw, own)
    faults += [f"{whole_path}: {clash} in {path}" for clash in clashes]
    # Laid over one another they would be passed over without a word.
    faults += [
        f"{file}: a scale's name is that of its file; remove scale"
        for file, own in likenesses
        if "scale" in own
    ]
    files[path] = shared
    own = _names_of_own(raw)
    is_like_own = isinstance(raw.get("datasets"), Mapping) and OWN in raw["datasets"]
    raw = _of_own(raw, scale_path, faults)
    raw |= {"scale": scale, "presets": _resolve_presets(raw.get("presets"), files, faults)}
    params = _validated(raw, files, faults)
    if params is None and own and not is_like_own:
        faults.append(
            f"{scale_path}: a scale with data of one's own, {own}, is `like: own`, which has the rest"
        )
    if faults or params is None:
        raise UserError("\n".join(dict.fromkeys(faults)))
    mirror = os.environ.get(MIRROR_VARIABLE) or params.mirror
    return params.model_copy(update={"mirror": mirror})


def _of_own(raw: Mapping[str, Any], path: Path, faults: list[str]) -> dict[str, Any]:
    """Lay what data sets of one's own say over what `own` in config/own.yaml says of all such, grids included."""
    named = {s: raw.get(s) for s in ("datasets", *NEEDED)}
    sections = {s: dict(of) for s, of in named.items() if isinstance(of, Mapping)}
    usual = {section: of.pop(OWN) for section, of in sections.items() if OWN in of}
    for section, of in usual.items():
        if not isinstance(of, Mapping):
            raise UserError(f"{path}: {section}.{OWN}: expected keys and values, given {of!r}")
    if not usual:
        return dict(raw)
    names = _names_of_own(raw)
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


def _names_of_own(raw: Mapping[str, Any]) -> list[str]:
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
    if asked != OWN and asked not in alone:
        return [grid]
    inputs = grid.get("inputs")
    return [
        # Of a data set whose modalities have a fault nothing is known: the word stays, and nothing follows.
        {**grid, "dataset": name, "inputs": (named or ["alone"]) if inputs == "alone" else inputs}
        for name, named in alone.items()
        if asked in (OWN, name)
    ]


def _validated(
    raw: Mapping[str, Any], files: Mapping[Path, Mapping[str, Any]], faults: list[str]
) -> Params | None:
    """Check settings against the schema, and those parts that pass against one another; add the faults.

    Faults of the schema would otherwise hide those between parts, which would come in a second round.
    """
    try:
        return Params.model_validate_json(as_json(raw), strict=True)
    except ValidationError as error:
        faults += explain(error.errors(), raw, files, Params)
        if any(e["loc"] for e in error.errors()):
            parts, broken = _parts_that_pass(raw, error)
            between = dict.fromkeys(_faults_between(parts, broken))
            faults += [with_file(message, raw, files) for message in between]
    except (TypeError, ValueError) as error:
        faults.append(f"{' or '.join(map(str, files))}: {in_words(error)}")
    return None


def _parts_that_pass(raw: Mapping[str, Any], error: ValidationError) -> tuple[Params, Broken]:
    """Take the settings without what has a fault: an entry of a section, a grid of an experiment."""
    pruned, broken, grids = deepcopy(dict(raw)), set(), set()
    for loc in (without_tags(e["loc"], raw) for e in error.errors()):
        section, name, *inner = (*loc, "") if len(loc) == 1 else loc
        broken.add((str(section), str(name)))
        if section == "experiments" and inner and isinstance(inner[0], int):
            grids.add((name, inner[0]))
        elif isinstance(entries := pruned.get(str(section)), Mapping):
            pruned[str(section)] = {k: v for k, v in entries.items() if str(k) != str(name)}
    for name, index in sorted(grids, reverse=True, key=str):
        if name in pruned["experiments"]:
            pruned["experiments"][name][index] = None
    experiments = pruned.get("experiments")
    for grids_of in experiments.values() if isinstance(experiments, Mapping) else ():
        if isinstance(grids_of, list):
            grids_of[:] = [grid for grid in grids_of if grid is not None]
    parts: dict[str, Any] = {}
    for section, field in Params.model_fields.items():
        try:
            annotation: Any = field.annotation
            parts[section] = TypeAdapter(annotation).validate_json(
                as_json(pruned.get(section)), strict=True
            )
        except ValidationError:
            parts[section] = {} if get_origin(annotation) is dict else None
            broken.add((section, ""))
    return Params.model_construct(**parts), broken


def _resolve_presets(
    presets: Any, files: Mapping[Path, Mapping[str, Any]], faults: list[str]
) -> Any:
    """Fill presets that name a `base` with the switches of that preset; add what is wrong with a base."""
    if not isinstance(presets, Mapping):
        return presets  # the schema says what is wrong
    full = sorted(
        str(p) for p, own in presets.items() if isinstance(own, Mapping) and "base" not in own
    )
    resolved = {}
    for name, preset in presets.items():
        base = preset.get("base") if isinstance(preset, Mapping) else None
        compared_with, but, switch = str(name).partition(BUT)
        file = file_with(("presets", name, "base"), files)
        if base is None:
            resolved[name] = preset
            continue
        if base not in full:
            faults.append(f"{file}: presets.{name}.base is {base!r}; it takes one of {full}")
            if not full:
                continue
            base = full[0]  # any, to look for further faults
        elif but and compared_with != base:
            faults.append(
                f"{file}: presets.{name}.base is {base!r}, but by its name it is compared with"
                f" {compared_with!r}: call it {base}{but}{switch}"
            )
        resolved[name] = {**presets[base], **{k: v for k, v in preset.items() if k != "base"}}
    return resolved


def expand_runs(params: Params, experiment: str | None = None) -> dict[str, RunSpec]:
    """List the runs that an experiment asks for (all experiments if None), by name.

    A run that several experiments ask for appears once: its name is made of its settings. Runs whose name fits a pattern
    of `leave_out` are left out. UserError if two runs that differ have one name, if a run starts from its own weights, or
    if a run of all experiments reads one that none asks for.
    """
    grids = (
        [g for gs in params.experiments.values() for g in gs]
        if experiment is None
        else params.experiments[experiment]
    )
    specs: dict[str, RunSpec] = {}
    for spec in (spec for grid in grids for spec in _runs_of(grid, params)):
        if specs.setdefault(spec.name, spec) != spec:
            raise UserError(
                f"two runs of the {params.scale} scale have the name {spec.name}, as names hold a few digits"
                " of a number; give numbers that differ in these"
            )
        if spec.pretrained == layout.model(params.scale, spec.name).as_posix():
            raise UserError(
                f"pretrained.{spec.dataset} is {spec.pretrained}, the weights of {spec.name}, which starts from them itself;"
                " name those of a run from scratch"
            )
    left_out = {n for pattern in params.leave_out for n in fnmatch.filter(specs, pattern)}
    asked = {name: spec for name, spec in specs.items() if name not in left_out}
    if experiment is None and (reading := [s for s in asked.values() if s.members]):
        _require_members(reading, asked, params.scale)
    return asked


def _require_members(reading: Iterable[RunSpec], asked: Collection[str], scale: str) -> None:
    files = {
        file.as_posix()
        for name in asked
        for file in (layout.model(scale, name), layout.history(scale, name))
    }
    for spec in reading:
        if lacking := sorted({*(spec.members or {}).values()} - files):
            raise UserError(
                f"{spec.name} reads {lacking[0]}, and no experiment asks for that run; ask for the runs of its"
                " modalities alone and of joint training, at the same rate, seed and preset"
            )


def _runs_of(grid: Grid, params: Params) -> Iterator[RunSpec]:
    dataset = params.datasets[grid.dataset]
    preparation = cache(dataset.preparation_of)  # thousands of runs share what they are of
    presets = grid.fidelity or (params.fidelity,)
    choices = product(
        *(grid.start, grid.inputs, grid.policy, presets, grid.l1),
        *(grid.tolerance or (None,), grid.window or (None,), grid.parameters or ({},)),
        _draws(grid, params),
    )
    for start, inputs, policy, fidelity, l1, tolerance, window, own, (rate, seed) in choices:
        preset = params.presets[fidelity]
        needs = POLICY_SECTION[policy]
        stored = {b: preset.sources.get(s, s) for b, s in dataset.inputs[inputs].items()}
        balance, variant, parameters = None, "", None
        if needs == "balance":
            usual = params.balance[grid.dataset]
            changes = {"tolerance": tolerance, "window": window}
            changed = {k: v for k, v in changes.items() if v not in (None, getattr(usual, k))}
            balance, variant = replace(usual, **changed), _named(changed)
        if policy in METHODS:
            parameters = _parameters(policy, grid.dataset, own, params) or None
            variant = _named(own)
        weights = params.pretrained.get(grid.dataset, "").replace("{scale}", params.scale)
        spec = RunSpec(
            dataset=grid.dataset,
            inputs=inputs,
            modalities={branch: dataset.modality(source) for branch, source in stored.items()},
            data=preparation(tuple(stored.values())),
            classes=dataset.class_count,
            validation=dataset.validation,
            policy=policy,
            fidelity=fidelity,
            pretrained=weights if start == "pretrained" else None,
            variant=variant,
            learning_rate=rate,
            l1=l1,
            seed=seed,
            network=_laid_over(params.networks[grid.dataset], preset.network),
            switches=preset.switches,
            training=_laid_over(params.training[grid.dataset], preset.training),
            augmentation=params.augmentation[grid.dataset],
            balance=balance,
            rubi=params.rubi[grid.dataset] if needs == "rubi" else None,
            parameters=parameters,
        )
        yield spec.model_copy(update={"members": _members(spec, params)})


def _parameters(
    policy: str, dataset: str, changes: Mapping[str, Any], params: Params
) -> dict[str, Any]:
    """The hyper-parameters of a method, some of them changed; raises ValidationError if they do not fit."""
    usual = getattr(params.methods.get(dataset), policy, None)
    known = {} if usual is None else usual.model_dump()
    return SETTINGS[policy].model_validate(known | dict(changes), strict=True).model_dump()


def _named(settings: Mapping[str, Any]) -> str:
    """Name settings that differ from the usual ones, as part of the name of a run."""
    return "-".join(
        f"{k}_{v:g}" if type(v) in (int, float) else f"{k}_{v}" for k, v in settings.items()
    )


def _members(spec: RunSpec, params: Params) -> dict[str, str] | None:
    """Files that a run reads of others that differ in the policy, or see one modality alone."""
    kind = METHODS[spec.policy].members if spec.policy in METHODS else None
    if kind is None:
        return None
    plain = {"parameters": None, "variant": ""}
    names = {}
    known = params.datasets[spec.dataset].inputs
    for m in spec.modalities:
        inputs = next((name for name, branches in known.items() if [*branches] == [m]), m)
        alone = spec.model_copy(update=plain | {"inputs": inputs, "policy": "vanilla"})
        names[m] = alone.name
    if kind == "weights":
        return {m: layout.model(params.scale, n).as_posix() for m, n in names.items()}
    names["joint"] = spec.model_copy(update=plain | {"policy": "joint"}).name
    return {k: layout.history(params.scale, n).as_posix() for k, n in names.items()}


def _draws(grid: Grid, params: Params) -> list[tuple[float, int]]:
    """Pairs of learning rate and seed. In a sweep no two models share a seed.

    Seeds count the initialization in thousands and the rate in ones, so that one more of either leaves the other runs
    as they are.
    """
    if grid.rates != "sweep":
        usual = (params.datasets[grid.dataset].table1_rate,)
        tried = usual if grid.rates == "table1" else grid.rates
        return [(rate, seed) for rate in tried for seed in range(grid.seeds)]
    rates = params.sweeps[grid.dataset].rates()
    return [(rate, 1000 * j + i) for j in range(grid.seeds) for i, rate in enumerate(rates)]
