"""The collect verb: from run folders to four tidy tables.

Modalities appear as the paper's m0 and m1 (the first and second branch), so that runs of all data
sets fit one table; the columns `m0` and `m1` say which they are. All accuracies are shares of 1.
"""

import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from equimodal.metrics.calibration import calibration_error
from equimodal.metrics.shapley import shapley_values
from equimodal.metrics.utilization import accuracy, utilization_rate
from equimodal.study.analysis.stored import COLUMNS
from equimodal.study.errors import UserError
from equimodal.study.files import is_there, read_arrays, read_json, reading
from equimodal.study.layout import COLLECTED
from equimodal.study.receipts import OtherSettingsError, Receipt
from equimodal.study.schema import Count, Section, Share
from equimodal.study.spec import HEADLINE_THRESHOLD, RunSpec
from equimodal.study.table_files import read_table

SPARSITY = f"below_{HEADLINE_THRESHOLD}"  # share of parameters
MEASURES = (
    *("validation_accuracy", "accuracy", "accuracy_m0", "accuracy_m1", "m0", "m1"),
    SPARSITY,
    *("u_m1_given_m0", "u_m0_given_m1", "d_util", "s_m1_given_m0", "s_m0_given_m1", "d_speed"),
    *("calibration_error", "accuracy_none"),
    *(f"{x}_{m}" for x in ("accuracy_alone", "shapley") for m in ("m0", "m1")),
    *("u_m1_given_m0_by_label", "u_m0_given_m1_by_label", "d_util_by_label"),
)
TRAIN, EVALUATE = "train the run", "evaluate the run"
HISTORY = ("epoch", "steps", "validation_accuracy", "test_accuracy")  # columns of history.csv
NAMED = 3  # runs without results that are named one by one
Logits = dict[str, np.ndarray]
SETTINGS = ("dataset", "inputs", "policy", "fidelity", "start", "learning_rate", "l1", "seed")


@dataclass(frozen=True)
class Earlier:
    """What was collected before, maybe on another machine."""

    tables: Mapping[str, pd.DataFrame]
    specs: Mapping[str, RunSpec]  # of the runs that had results


def collect(
    specs: Mapping[str, RunSpec],
    folders: Mapping[str, Path],
    banks: Mapping[str, Path],
    check: Callable[[RunSpec], Receipt],
    experiments: Mapping[str, Collection[str]],
    earlier: Earlier | None = None,
) -> dict[str, pd.DataFrame]:
    """Read run folders and logit banks, each by the name of its run, into tables.

    `check` returns the receipt of a run's training, or raises UserError if a file of the run is not what was asked for.
    `experiments`: experiment -> names of the runs that it asks for. `earlier` gives the rows of a run of which not all is
    here, if they are of the spec that is asked for.

    Returns:
        `runs`: a row a run, with its settings, how it ended, the share of parameters below each threshold, the accuracies
        of the chosen epoch with the regular flow (`reported`: as its preset evaluates) and, of two modalities, conditional
        utilization rates (`u_m1_given_m0`, `u_m0_given_m1`), d_util, the same on test examples biased as those for training
        are (`..._by_label`), and the conditional learning speeds (`s_...`), d_speed. Nothing is measured where a run
        failed, nor where a file of it was never made: status `missing`.
        `evaluations`: a row for each run, way of evaluating and output (`m0`, `m1`, `fused`); `left_behind` is the mode
        that the chosen epoch's last training step left behind.
        `histories`: a row for each run and epoch.
        `steps`: a row for each step of the guided runs of Table 1 with seed 0: its epoch, its mode (`regular`,
        `rebalance_m0`, ...) and the learning speeds after it.

    Raises:
        UserError: If no run has results, or one is damaged, or its files are not of one another: a gap would hide it.
    """
    runs, read = [], []
    for name, folder in folders.items():
        asked_by = " ".join(e for e, names in experiments.items() if name in names)
        settings = {"run": name, "experiments": asked_by} | _settings(specs[name])
        kept = _kept(settings, specs[name], earlier)
        run: _Run | None
        # Once there was a bank or its receipt, what is gone of a run was lost, and is no gap.
        if is_there(banks[name]) or is_there(banks[name].with_suffix(".json")):
            try:
                run = _read_run(settings, specs[name], folder, banks[name], check)
            except UserError as error:
                if kept is None and not isinstance(error, OtherSettingsError):
                    raise
                run, reason = kept, str(error)
                if kept is not None:
                    print(f"{error}. Kept what was collected of it before.", file=sys.stderr)
        else:
            run = kept
            reason = f"{EVALUATE if is_there(folder) else TRAIN} first"
        if run is None:
            runs.append(settings | {"status": "missing", "reason": reason})
        else:
            runs.append(settings | run.row)
            read.append(run)
    if not runs:
        raise UserError("the settings ask for no run: `leave_out` names all")
    if not read:
        raise UserError(
            f"results of every run are missing, of {runs[0]['run']} for one: {runs[0]['reason']};"
            " `make reproduce` trains them all, and `dvc pull` fetches those of a remote"
        )
    every = pd.DataFrame(runs)  # with a column for every measure, also if no run has it
    tables = {"runs": every.assign(**{m: np.nan for m in MEASURES if m not in every})}
    for table in ("evaluations", "histories", "steps"):
        parts = [part for run in read if len(part := getattr(run, table))]
        empty = pd.DataFrame(columns=COLUMNS[table])
        tables[table] = pd.concat([empty, *parts], ignore_index=True)
    return tables


class _Outcome(Section):
    """How a run ended, as outcome.json says it."""

    status: Literal["finished", "failed"]
    reason: str | None
    steps: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=0)]
    reached_perfect: bool
    trained_on: str | None = None  # processor and torch; older runs do not say
    best_epoch: Count | None
    left_behind: str | None
    parameters_below: dict[str, Share]


@dataclass(frozen=True)
class _Run:
    """What a run adds to the tables."""

    row: dict[str, Any]
    evaluations: pd.DataFrame
    histories: pd.DataFrame
    steps: pd.DataFrame


def _settings(spec: RunSpec) -> dict[str, Any]:
    names = {f"m{i}": modality for i, modality in enumerate(spec.modalities)}
    reported = spec.switches.evaluation_mode if len(names) > 1 else "regular"
    balance = {} if spec.balance is None else asdict(spec.balance)
    return (
        {key: getattr(spec, key) for key in SETTINGS}
        | {key: balance.get(key) for key in ("tolerance", "window")}
        | {"method": spec.method, **names, "reported": reported}
    )


def _read_run(
    settings: Mapping[str, Any],
    wanted: RunSpec,
    folder: Path,
    bank: Path,
    check: Callable[[RunSpec], Receipt],
) -> _Run:
    receipt = check(wanted)
    outcome = read_json(folder / "outcome.json", _Outcome, TRAIN)
    names = {m: f"m{i}" for i, m in enumerate(wanted.modalities)}
    outputs = list(names.values())
    history = _read_history(folder / "history.csv")
    history.columns = [_rename(c, names) for c in history.columns]
    found = accuracies(bank, names)
    if outcome.status == "finished" and ("regular", "fused") not in found:
        raise UserError(f"{bank} is of a run that failed; {EVALUATE} again")
    if outcome.left_behind:
        mode = _rename(outcome.left_behind, names)
        found |= {("left_behind", o): a for (e, o), a in found.items() if e == mode}
    with reading(folder / "history.csv", f"a row of epoch {outcome.best_epoch}", TRAIN):
        chosen = _at_chosen_epoch(history, outcome.best_epoch, outputs)
    ended = outcome.model_dump(exclude={"left_behind", "parameters_below"})
    below = {f"below_{t}": share for t, share in outcome.parameters_below.items()}
    name, asked_by = settings["run"], str(settings["experiments"]).split()
    diagram = wanted.policy == "guided" and wanted.seed == 0 and "table1" in asked_by
    row = ended | {"commit": receipt.commit} | below | chosen
    answers = [(name, e, o, a) for (e, o), a in found.items()]
    return _Run(
        row=row | _utilization(found, outputs) | measures(bank, names),
        evaluations=pd.DataFrame(answers, columns=COLUMNS["evaluations"]),
        histories=history.assign(run=name),
        steps=_steps(name, folder, history, outputs) if diagram else pd.DataFrame(),
    )


def _kept(settings: Mapping[str, Any], wanted: RunSpec, earlier: Earlier | None) -> _Run | None:
    """What was collected of a run of the same spec before."""
    if earlier is None or earlier.specs.get(wanted.name) != wanted:
        return None
    name, tables = settings["run"], earlier.tables
    rows = {table: tables[table][tables[table]["run"] == name] for table in COLLECTED}
    row = rows.pop("runs").drop(columns=list(settings), errors="ignore").to_dict("records")
    if len(row) != 1:
        raise UserError(f"{name} has {len(row)} rows in the earlier runs.csv, expected one")
    return _Run(row[0], **{t: r.dropna(axis="columns", how="all") for t, r in rows.items()})


def _steps(run: str, folder: Path, history: pd.DataFrame, outputs: list[str]) -> pd.DataFrame:
    names = np.array([*(f"rebalance_{m}" for m in outputs), "regular"])  # -1 is the last
    path = folder / "steps.npz"
    with reading(path, "the mode and the learning speeds of each step", TRAIN):
        arrays = read_arrays(path)
        modes, speeds = names[arrays["modes"]], arrays["speeds"].astype(float)
        if modes.ndim != 1 or speeds.shape != (len(modes), len(outputs)):
            raise ValueError(f"{modes.shape} modes and {speeds.shape} speeds of {len(outputs)}")
        step = np.arange(1, len(modes) + 1)
        ends = history["steps"].to_numpy() if len(history) else []  # none: failed at once
        table = pd.DataFrame(
            {"run": run, "step": step, "epoch": np.searchsorted(ends, step) + 1, "mode": modes}
        )
    return table.assign(**{f"speed_{m}": speeds[:, i].round(5) for i, m in enumerate(outputs)})


def _rename(column: str, names: Mapping[str, str]) -> str:
    """Put m0 and m1 for the modality in a column's or an evaluation's name."""
    modality = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    # A modality may be called accuracy, steps or mean, as other columns end.
    pattern = rf"((?:\w+_)?accuracy_|speed_|cosine_|rebalance_)({modality})(_steps)?"
    found = re.fullmatch(pattern, column)
    return f"{found[1]}{names[found[2]]}{found[3] or ''}" if found else column


def _answers(path: Path, names: Mapping[str, str]) -> tuple[np.ndarray, dict[str, Logits]]:
    """The labels of a logit bank, and the logits of each way of evaluating: output -> logits."""
    with reading(path, "the logits of a run and the labels of its test examples", EVALUATE):
        arrays, ways = read_arrays(path), {}
        labels = arrays["labels"]
        for way in dict.fromkeys(key.split("/")[0] for key in arrays if "/" in key):
            logits = {o: arrays[f"{way}/{m}"].astype(np.float64) for m, o in names.items()}
            _check_logits(way, logits, labels)
            ways[way] = logits | {"fused": np.mean(list(logits.values()), axis=0)}
    return labels, ways


def accuracies(path: Path, names: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """Return the accuracies that a logit bank stands for: (evaluation, output) -> share of 1.

    `names`: modality -> what it is called. UserError if the bank is missing or damaged.
    """
    labels, ways = _answers(path, names)
    return {
        (_rename(way, names), output): accuracy(z, labels)
        for way, logits in ways.items()
        for output, z in logits.items()
    }


def measures(path: Path, names: Mapping[str, str]) -> dict[str, float]:
    """Return what a logit bank says beside the accuracy of its answers.

    `calibration_error` of the network's answer; of several modalities the accuracy of each alone,
    `accuracy_alone_<m>`, without any, `accuracy_none`, and their Shapley values in the accuracy,
    `shapley_<m>`, which add up to `accuracy` less `accuracy_none`.

    Alone is isolated. Of some of three or more it is the mean of their isolated logits, as the branches that
    are left would else see one another in no pass of the bank. Without any the commonest class is answered.
    """
    labels, ways = _answers(path, names)
    if "regular" not in ways:  # it failed
        return {}
    answer = ways["regular"]["fused"]
    found = {"calibration_error": calibration_error(answer, labels)}
    if "isolated" not in ways:
        return found
    none = float(np.bincount(labels).max() / len(labels))
    worth: dict[frozenset[str], float] = {frozenset(): none}
    for size in range(1, len(names)):
        for some in combinations(names.values(), size):
            alone = np.mean([ways["isolated"][o] for o in some], axis=0)
            worth[frozenset(some)] = accuracy(alone, labels)
    worth[frozenset(names.values())] = accuracy(answer, labels)
    found |= {f"accuracy_alone_{o}": worth[frozenset([o])] for o in names.values()}
    shares = {f"shapley_{o}": x for o, x in shapley_values(worth).items()}
    return found | {"accuracy_none": none} | shares


def _check_logits(evaluation: str, logits: Mapping[str, np.ndarray], labels: np.ndarray) -> None:
    """Raise ValueError if an accuracy of the logits would mean nothing."""
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}, no class indices")
    for output, z in logits.items():
        if z.ndim != 2 or len(z) != len(labels) or z.shape[1] < 2:
            raise ValueError(f"{evaluation}/{output} has shape {z.shape} for {len(labels)} labels")
        if not np.isfinite(z).all():
            raise ValueError(f"{evaluation}/{output} has logits that are not finite")
        if labels.min() < 0 or labels.max() >= z.shape[1]:
            raise ValueError(
                f"labels from {labels.min()} to {labels.max()} for {z.shape[1]} classes"
            )


def _utilization(found: Mapping[tuple[str, str], float], outputs: list[str]) -> dict[str, Any]:
    """Accuracies with the regular flow and, for two modalities, the utilization rates."""
    row: dict[str, Any] = {
        "accuracy" if o == "fused" else f"accuracy_{o}": found.get(("regular", o))
        for o in ["fused", *outputs]
    }
    for held_out in ("", "_by_label"):
        regular, isolated = f"regular{held_out}", f"isolated{held_out}"
        if (isolated, "m1") in found and len(outputs) == 2:
            u = {o: utilization_rate(found[regular, o], found[isolated, o]) for o in outputs}
            names = ("u_m1_given_m0", "u_m0_given_m1", "d_util")
            values = (u["m0"], u["m1"], u["m0"] - u["m1"])
            row |= {f"{n}{held_out}": v for n, v in zip(names, values, strict=True)}
    return row


def _at_chosen_epoch(
    history: pd.DataFrame, epoch: int | None, outputs: list[str]
) -> dict[str, Any]:
    """Validation accuracy and, for two modalities, the conditional learning speeds."""
    if epoch is None:
        return {}
    row = history.set_index("epoch").loc[epoch]
    chosen: dict[str, Any] = {"validation_accuracy": row["validation_accuracy"]}
    if "speed_m1" in row and len(outputs) == 2:
        chosen |= {
            "s_m1_given_m0": row["speed_m0"],
            "s_m0_given_m1": row["speed_m1"],
            "d_speed": row["speed_m0"] - row["speed_m1"],
        }
    return chosen


def _read_history(path: Path) -> pd.DataFrame:
    history = read_table(path, TRAIN)
    if not len(history.columns):
        return pd.DataFrame({"epoch": []})  # the run failed in its first epoch
    return read_table(path, TRAIN, HISTORY, filled=HISTORY)


def of_experiment(runs: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """Return the rows of the `runs` table that an experiment asks for."""
    asked = [experiment in names.split() for names in runs["experiments"]]
    return runs.loc[np.array(asked, dtype=bool)]


def failures(runs: pd.DataFrame) -> list[str]:
    """One sentence for each run that failed or has no results; one for all of these if they are many.

    What is there in part or damaged comes before what was never trained.
    """
    failed, missing = (runs[runs["status"] == status] for status in ("failed", "missing"))
    missing = missing.sort_values(
        "reason", key=lambda of: of.map(lambda reason: reason.startswith("train ")), kind="stable"
    )
    sentences = [f"{row.run} failed: {row.reason}." for row in failed.itertuples()]
    if len(missing) > NAMED:
        first = missing.iloc[0]
        sentences.append(
            f"{len(missing)} of {len(runs)} runs have no results, {first['run']} for one: {first['reason']}."
        )
    else:
        sentences += [f"{row.run} has no results: {row.reason}." for row in missing.itertuples()]
    return sentences
