"""From experiments to runs: each grid of a scale asks for all combinations of what it lists."""

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from equimodal.study import layout
from equimodal.study.errors import UserError
from equimodal.study.methods import METHODS, parameters_of
from equimodal.study.params import Grid, Params
from equimodal.study.schema import laid_over
from equimodal.study.spec import POLICY_SECTION, RunSpec


def expand_runs(params: Params, experiment: str | None = None) -> dict[str, RunSpec]:
    """List the runs that an experiment asks for (all experiments if None), by name.

    A run that several experiments ask for appears once: its name is made of its settings. Runs whose name fits a pattern
    of `leave_out` are left out. UserError if two runs that differ have one name, if one network has two names, if a run
    starts from its own weights, or if a run of all experiments reads one that none asks for.
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
    _require_one_name(specs.values())
    left_out = {n for pattern in params.leave_out for n in fnmatch.filter(specs, pattern)}
    asked = {name: spec for name, spec in specs.items() if name not in left_out}
    if experiment is None and (reading := [s for s in asked.values() if s.members]):
        _require_members(reading, asked, params.scale)
    return asked


def _require_one_name(specs: Iterable[RunSpec]) -> None:
    """UserError if a network by a method of others has two names, as a grid gives what is usual anyway."""
    names: dict[str, str] = {}
    for spec in specs:
        if spec.parameters is not None:
            same = spec.model_copy(update={"variant": ""}).model_dump_json()
            if names.setdefault(same, spec.name) != spec.name:
                raise UserError(
                    f"{names[same]} and {spec.name} are the same network; name in `parameters` what differs"
                    " from `methods`, always in the same order"
                )


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
            parameters = parameters_of(policy, params.methods.get(grid.dataset), own) or None
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
            network=laid_over(params.networks[grid.dataset], preset.network),
            switches=preset.switches,
            training=laid_over(params.training[grid.dataset], preset.training),
            augmentation=params.augmentation[grid.dataset],
            balance=balance,
            rubi=params.rubi[grid.dataset] if needs == "rubi" else None,
            parameters=parameters,
        )
        yield spec.model_copy(update={"members": _members(spec, params)})


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
        wanted = {m: known[spec.inputs][m]}
        inputs = next((name for name, branches in known.items() if branches == wanted), None)
        if inputs is None:
            raise UserError(
                f"{spec.policy} on {spec.dataset}, inputs {spec.inputs}, reads runs of each modality alone, and"
                f" datasets.{spec.dataset}.inputs has no entry {wanted}"
            )
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
