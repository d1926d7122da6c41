"""Reading the settings: params.yaml with a scale file laid over it.

`Params` mirrors the two files, section by section. Snakemake, the command line and the tests all go through here.
"""

import math
import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_origin

import numpy as np
from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator

from equimodal.study.consistency import Broken, faults_between
from equimodal.study.datasets import DatasetSettings
from equimodal.study.errors import UserError, in_words
from equimodal.study.methods import OfDataset
from equimodal.study.own_settings import OWN, names_of_own, of_own
from equimodal.study.schema import (
    Count,
    Few,
    Name,
    NotNegative,
    Positive,
    Section,
    Sentence,
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
    Augmentation,
    NetworkSettings,
    PolicyName,
    RubiSettings,
    Switches,
    TrainingSettings,
)
from equimodal.training.balance import Balance

MIRROR_VARIABLE = "EQUIMODAL_MIRROR"
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
        if faults := list(dict.fromkeys(faults_between(self, ()))):
            raise ValueError("\n".join(faults))
        return self


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
    own = names_of_own(raw)
    is_like_own = isinstance(raw.get("datasets"), Mapping) and OWN in raw["datasets"]
    raw = of_own(raw, scale_path, faults)
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
            between = dict.fromkeys(faults_between(parts, broken))
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
