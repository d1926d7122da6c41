"""The page of the real runs: which claims hold, at which scale, and the numbers behind it. Never loads torch."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd
from markupsafe import Markup

from equimodal.study import layout
from equimodal.study.analysis.claims import (
    CANNOT_SAY,
    FAILS,
    HOLDS,
    NOT_RUN,
    UNDECIDED,
    Region,
    data_name,
    read_claims,
    told_in,
)
from equimodal.study.analysis.names import COLUMNS_OF_TABLE1, DATASETS, EVERY, METHODS, stand_ins
from equimodal.study.analysis.stored import read_stored
from equimodal.study.expansion import expand_runs
from equimodal.study.files import is_there
from equimodal.study.paces import kind_of, paces_with_the_code
from equimodal.study.params import Params, load_params
from equimodal.study.report import pictures
from equimodal.study.report.page import DEPENDS, Shown, TextTable, as_grid, render
from equimodal.study.settings_files import leaves
from equimodal.study.spec import RunSpec, read_specs

OUTCOMES = (HOLDS, FAILS, DEPENDS, UNDECIDED, CANNOT_SAY, NOT_RUN)
SHOWN = ("accuracy", "d_util", "d_speed")  # of a run
READINGS = {"paper": "as the text says", "official": "as the authors' code does"}


@dataclass(frozen=True)
class Scale:
    """What a scale left: its settings, and the tables that the page reads."""

    settings: Params
    runs: pd.DataFrame  # that finished
    specs: Mapping[str, RunSpec]
    claims: pd.DataFrame | None
    table1: pd.DataFrame | None
    expectations: pd.DataFrame | None  # that were written down before
    figures: Sequence[Shown]

    @property
    def name(self) -> str:
        """As in config/scales."""
        return self.settings.scale

    @property
    def hours(self) -> float:
        """Of its training steps, one process after the other, by the paces that come with the code."""
        paces, kinds = paces_with_the_code(), expand_runs(self.settings)
        known = {run: paces.get(kind_of(spec, self.settings)) for run, spec in kinds.items()}
        steps = zip(self.runs["run"], self.runs["steps"], strict=True)
        return sum(n * pace.step for run, n in steps if (pace := known.get(run))) / 3600


@dataclass(frozen=True)
class Claim:
    """A claim with all that is known of it."""

    id: str
    claim: str
    paper: str
    measure: str
    lies: Region
    judgments: Sequence[Any]  # rows of claims.csv, each with its scale and what it `says` here
    not_run: Sequence[str]  # data

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`: what the numbers that decide agree on."""
        verdicts = {judgment.says for judgment in self.judgments}
        decided = verdicts - {UNDECIDED, CANNOT_SAY}
        if len(decided) > 1:
            return DEPENDS
        return next(iter(decided or verdicts - {CANNOT_SAY} or verdicts), NOT_RUN)

    @property
    def datasets(self) -> list[str]:
        """Data sets that it is about, for the filter."""
        data = [*(judgment.dataset for judgment in self.judgments), *self.not_run]
        return list(dict.fromkeys(of.split()[0] for of in data))


def as_html(scales: Sequence[Scale]) -> str:
    """Write the page. The same tables give the same bytes."""
    claims, runs = claims_of(scales), rows_of_runs(scales)
    counts = Counter(claim.outcome for claim in claims)
    every, script = methods(runs), files("equimodal.study.report").joinpath("findings.js")
    datasets = dict.fromkeys(run["dataset"] for run in runs)
    picture = pictures.accuracies(runs, every, [scale.name for scale in scales])
    expected = [s for s in scales if s.expectations is not None and len(s.expectations)]
    return render(
        "findings.html",
        scales=scales,
        claims=claims,
        counts={outcome: counts[outcome] for outcome in OUTCOMES},
        columns=dict(columns_of(scales)),
        expectations=[(s, as_grid(s.expectations)) for s in expected],
        runs=runs,
        methods=every,
        datasets={dataset: DATASETS.get(dataset, dataset) for dataset in datasets},
        picture=Markup(picture),
        specs=Markup(spec_texts(runs)),
        script=Markup(script.read_text(encoding="utf-8")),
        intervals=lambda evidence, lies: Markup(
            pictures.intervals(told_in(evidence), lies.above, lies.below)
        ),
        named=lambda data: "all data sets" if data == EVERY else data_name(data),
    )


def collected_scales(params: Any) -> dict[str, Params]:
    """Return the scales that have collected tables here, of real data alone."""
    names = sorted(path.parts[-3] for path in layout.RESULTS.glob("*/tables/runs.csv"))
    found = {name: load_params(params, name) for name in names}
    return {name: settings for name, settings in found.items() if not stand_ins(settings)}


def read_scale(settings: Params, figures: Sequence[Shown]) -> Scale:
    """Read what a scale left; a table that is not there is None, and a damaged one is refused."""

    def maybe(name: str) -> pd.DataFrame | None:
        there = is_there(layout.table(settings.scale, name))
        return read_stored(name, settings.scale) if there else None

    runs = read_stored("runs", settings.scale)
    return Scale(
        settings=settings,
        runs=runs[runs["status"] == "finished"],
        specs=read_specs(layout.specs(settings.scale), "run `equimodal collect`"),
        claims=maybe("claims"),
        table1=maybe("table1"),
        expectations=maybe("preregistration"),
        figures=figures,
    )


def claims_of(scales: Iterable[Scale]) -> list[Claim]:
    """Return each claim with its judgments at every scale that has numbers for it."""
    judged = [scale.claims.assign(scale=scale.name) for scale in scales if scale.claims is not None]
    if not judged:
        return []
    every = pd.concat(judged, ignore_index=True).fillna("")
    ledger = read_claims().claims
    return [
        _claim(rows, ledger[name].lies, printed=ledger[name].printed)
        for name, rows in every.groupby("id", sort=False)
    ]


def _claim(rows: pd.DataFrame, lies: Region, *, printed: bool) -> Claim:
    """The numbers alone decide, but on what the paper prints only those of its protocol."""
    known = rows[rows["measured"] != NOT_RUN]
    known = known.assign(says=known["verdict" if printed else "measured"])
    not_run = [data for data in dict.fromkeys(rows["dataset"]) if data not in set(known["dataset"])]
    of_claim = rows.iloc[0][["id", "claim", "paper", "measure"]].to_dict()
    return Claim(**of_claim, lies=lies, judgments=[*known.itertuples()], not_run=not_run)


def columns_of(scales: Iterable[Scale]) -> Iterator[tuple[str, list[tuple[str, str, TextTable]]]]:
    """Yield each column of Table 1, and of every scale that has some of it the name, the status and the rows."""
    tables = {s.name: s.table1 for s in scales if s.table1 is not None}
    for (dataset, start), name in COLUMNS_OF_TABLE1.items():
        parts = []
        for scale, table in tables.items():
            of_column = table[(table["dataset"] == dataset) & (table["start"] == start)]
            trained = of_column[of_column["mean"].notna()].drop(columns=["dataset", "start"])
            if len(trained):
                parts.append((scale, _status(of_column), as_grid(trained)))
        yield name, parts


def _status(table: pd.DataFrame) -> str:
    words = []
    for preset, rows in table.groupby("fidelity", sort=False):
        trained, reading = rows[rows["mean"].notna()], READINGS.get(preset, f"preset {preset}")
        differ = f"{(trained['verdict'] == 'different').sum()} of {len(trained)} rows differ"
        lacking = len(rows) - len(trained)
        more = f", {lacking} not trained" if lacking else ""
        words.append(f"{reading}: {differ} from the published number{more}")
    return "; ".join(words)


def rows_of_runs(scales: Iterable[Scale]) -> list[dict[str, Any]]:
    """Return what the page shows of each run, for its list, its picture and its filters."""
    return [
        {
            "scale": scale.name,
            "run": run.run,
            "dataset": run.dataset,
            "method": "unimodal" if run.method == "unimodal" else run.policy,
            "spec": scale.specs[run.run],
            **{name: getattr(run, name) for name in SHOWN},
        }
        for scale in scales
        for run in scale.runs.itertuples()
    ]


def spec_texts(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the specs of runs as JSON for a script, each setting that they share once.

    `</` could end the script, so it is written in another way.
    """
    flat = {
        f"{row['scale']}/{row['run']}": [
            f"{'.'.join(keys)}: {json.dumps(value)}"
            for keys, value in leaves(row["spec"].model_dump(mode="json"))
        ]
        for row in rows
    }
    texts = list(dict.fromkeys(text for lines in flat.values() for text in lines))
    number = {text: i for i, text in enumerate(texts)}
    runs = {run: [number[text] for text in lines] for run, lines in flat.items()}
    return json.dumps({"lines": texts, "runs": runs}, ensure_ascii=False).replace("</", "<\\/")


def methods(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Methods of runs, in the order of the paper."""
    there = {row["method"] for row in rows}
    usual = [m for m in METHODS if m in there]
    return usual + sorted(there.difference(usual))
