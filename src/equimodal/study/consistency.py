"""Whether the settings fit together: what one section asks of another."""

from collections.abc import Collection, Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from equimodal.study.datasets import DatasetSettings, NVGesture, Own
from equimodal.study.methods import FOLDER, METHODS, parameters_of
from equimodal.study.schema import first_reason, laid_over, reason
from equimodal.study.spec import POLICY_SECTION, Augmentation

if TYPE_CHECKING:
    from equimodal.study.params import Grid, Params

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


def faults_between(params: "Params", broken: Broken) -> Iterator[str]:
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


def _names_twice(params: "Params", datasets: Iterable[str]) -> Iterator[str]:
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


def _means_of_more_than_seeds(params: "Params") -> Iterator[str]:
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


def _values_of_axes(
    grid: "Grid", inputs: str, policy: str, params: "Params"
) -> dict[str, list[str]]:
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
    where: str, grid: "Grid", params: "Params", presets: Collection[str], broken: Broken
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


def _faults_of_methods(where: str, grid: "Grid", params: "Params") -> Iterator[str]:
    """Say what a grid asks of methods that the settings do not have."""
    dataset = params.datasets[grid.dataset]
    methods = [p for p in grid.policy if p in METHODS]
    for policy in methods:
        try:
            for change in grid.parameters or ({},):
                parameters_of(policy, params.methods.get(grid.dataset), change)
        except ValidationError as error:
            yield (
                f"{where}: settings of {policy}: {first_reason(error)}; it takes"
                f" {sorted(METHODS[policy].settings)}, and methods.{grid.dataset} has the usual ones"
            )
        method, rule = METHODS[policy], FOLDER / f"{policy}.py"
        if not rule.exists():
            yield f"{where} asks for {policy}, which has an entry in METHODS but no file {rule}"
        for inputs in grid.inputs:
            count = len(dataset.inputs.get(inputs, ()))
            if method.modalities not in (None, count):
                yield (
                    f"{where} asks for {policy} on {inputs}, which has {count} modalities; it is defined for"
                    f" {method.modalities}"
                )
        if method.members == "histories" and any(grid.l1):
            yield f"{where} asks for {policy} with an L1 penalty, which the losses that it reads would hold"
        if method.validates and dataset.validation == "test":
            yield (
                f"{where} asks for {policy}, which looks at a validation split, but {grid.dataset} has none"
                " beside its test set"
            )
        named = grid.fidelity or (params.fidelity,)
        presets = [params.presets[p] for p in named if p in params.presets]
        usual = params.networks.get(grid.dataset)
        networks = [{**usual.model_dump(), **p.network} for p in presets] if usual else []
        joined = any(n["fused_after"] or n.get("classifier") == "shared" for n in networks)
        if method.members == "weights" and joined:
            yield f"{where} asks for {policy}, which is of networks with fused_after: [] and classifier: own"
    if grid.parameters and len(methods) < len(grid.policy):
        yield f"{where} sets parameters for policy {list(grid.policy)}; only {sorted(METHODS)} have them"


def _faults_of_preset(where: str, name: str, dataset: str, params: "Params") -> Iterator[str]:
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
            laid_over(usual, own)
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
