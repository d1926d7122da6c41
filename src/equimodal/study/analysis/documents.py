"""How tables are written: CSV for programs, Markdown and LaTeX for readers.

In the tables for readers an estimate stands in one cell with its SD, interval and verdict, and what is
missing is said in words.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

import pandas as pd

from equimodal.study.analysis import TABLES, AboutTable
from equimodal.study.analysis.collect import failures, of_experiment
from equimodal.study.analysis.names import COLUMNS_OF_TABLE1, DATASETS, METHODS, column_name
from equimodal.study.data.dataset import Dataset
from equimodal.study.markup import for_latex, for_markdown, table_for_markdown
from equimodal.study.params import Analysis

HEADINGS = {
    "fidelity": "preset",
    "evaluation": "evaluated",
    "mean": "ours",
    "published_mean": "published",
    "n": "runs",
    "held": "the other held at",
}
NAMES = {"dataset": DATASETS, "method": METHODS | {"unimodal": "Uni-modal"}}
PERCENT, SIGNED_PERCENT, SIGNED = "{:z.2f}", "{:+z.2f}", "{:+z.3f}"  # z: no minus before 0.00
FORMATS = {
    column: form
    for form, columns in {
        PERCENT: "mean published_mean accuracy accuracy_m0 accuracy_m1 accuracy_m2 validation_accuracy"
        " validation_selected last test_selected until_perfect detectable detectable_uniform detectable_ensemble"
        " mean_absolute_difference variance_0.020 variance_0.030 variance_0.050",
        SIGNED_PERCENT: "difference difference_uniform difference_ensemble optimism",
        SIGNED: "d_util d_util_perfect d_util_by_label d_speed d_speed_first spearman spearman_by_label"
        " sign_balance sign_balance_by_label size_difference"
        " u_side_difference u_other_difference vanilla_lean",
        "{:.0f}": "n n_perfect unfinished epoch epochs first_perfect perfect_epochs seed cap cells equivalent"
        " inconclusive different published_accuracy",
        "{:g}": "l1 value held expected_from expected_to",
        "{:+.1f}": "published_d_util",
        "{:.1f}": "published_abs_d_util",
        "{:.3f}": "train_accuracy",
    }.items()
    for column in columns.split()
}
WORDS = {  # where there is no number
    column: word
    for word, columns in {
        "not published": "published_mean published_accuracy published_d_util published_abs_d_util",
        "not tested": "p p_holm symmetry_p p_uniform p_holm_uniform p_ensemble p_holm_ensemble",
        "not defined": "spearman detectable detectable_uniform detectable_ensemble",
        "not compared": "difference size_difference u_side_difference u_other_difference vanilla_lean"
        " difference_uniform difference_ensemble",
        "not measured": "d_util_by_label spearman_by_label sign_agreement_by_label sign_balance_by_label"
        " greedy_by_label largest_by_label",
        "none": "first_perfect",
        "": "best compared inputs switch output seed expected_from expected_to mean_absolute_difference which_differ",
    }.items()
    for column in columns.split()
}


def render(
    name: str, table: pd.DataFrame, notes: Iterable[str], settings: Analysis
) -> dict[str, str]:
    """Write a table of `TABLES`: file suffix -> text, for `.csv`, `.md` and `.tex`.

    CSV has all columns, numbers to six digits, and nothing where a value is missing. The others are
    written from what it says, as the report is, so that all three round the same numbers.
    """
    about = TABLES[name].of(settings)
    csv = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return {".csv": csv, **documents(name, about, pd.read_csv(StringIO(csv)), list(notes))}


def documents(
    name: str, about: AboutTable, table: pd.DataFrame, notes: Collection[str]
) -> dict[str, str]:
    """Write any table for readers: file suffix -> text, for `.md` and `.tex`."""
    shown = for_readers(table, best_alone=about.best_alone)
    return {
        ".md": _markdown(about, table, shown, notes),
        ".tex": _latex(f"{about.title.rstrip('?')}. {about.caption}", f"tab:{name}", shown, notes),
    }


def _latex(caption: str, label: str, shown: pd.DataFrame, notes: Iterable[str]) -> str:
    """Write a table for LaTeX, with the notes below it."""
    text = shown.to_latex(index=False, escape=True, caption=for_latex(caption), label=label)
    below = "".join(f"\\par\\footnotesize {for_latex(note)}\n" for note in notes)
    body, end, _ = text.rpartition("\\end{table}")
    return f"% \\usepackage{{booktabs}}\n{body}{below}{end}\n"


def for_readers(table: pd.DataFrame, *, best_alone: bool = False) -> pd.DataFrame:
    """Turn a table into text: SD, interval, failures and verdict join the column that they qualify.

    `best_alone`: whether uni-modal rows are of the best modality alone.
    """
    names = NAMES | {"method": METHODS} if best_alone else NAMES
    shown: dict[str, list[str]] = {}
    estimate = ""
    for column in map(str, table):
        values = table[column].tolist()
        if column.endswith("high"):
            continue  # written with `low`
        more = _qualifiers(column, table, FORMATS.get(estimate, "{:z.3f}"))
        if more is not None:
            known = table[estimate].notna()
            shown[estimate] = [
                cell + text if there else cell
                for cell, text, there in zip(shown[estimate], more, known, strict=True)
            ]
        else:
            estimate = column
            shown[column] = [_cell(column, value, names) for value in values]
    return pd.DataFrame({HEADINGS.get(c, c): cells for c, cells in shown.items()}, dtype=object)


def _qualifiers(column: str, table: pd.DataFrame, form: str) -> list[str] | None:
    """Return what a qualifying column adds to each cell of the one before it; None for other columns."""
    values = table[column]
    if column.endswith("sd"):
        plain = form.replace("+", "")
        return [" (no SD)" if pd.isna(sd) else f" ± {plain.format(sd)}" for sd in values]
    if column.endswith("low"):
        ends = zip(values, table[f"{column.removesuffix('low')}high"], strict=True)
        both = f" [{form}, {form}]"
        return [" (no interval)" if pd.isna(a) else both.format(a, b) for a, b in ends]
    if column == "unfinished":
        return [f" of {n + x:.0f}" if x else "" for n, x in zip(table["n"], values, strict=True)]
    if column == "verdict":
        return [f": {'no verdict' if pd.isna(verdict) else verdict}" for verdict in values]
    return None


def _cell(column: str, value: Any, names: Mapping[str, Mapping[str, str]]) -> str:
    if pd.isna(value):
        return WORDS.get(column, "missing")
    if isinstance(value, str):
        shown = value.replace("_", " ") if column in ("evaluation", "way") else value
        return names.get(column, {}).get(value, shown)
    if WORDS.get(column) == "not tested" and value < 0.001:
        return "below 0.001"
    return FORMATS.get(column, "{:z.3f}").format(value)


def _markdown(
    about: AboutTable, table: pd.DataFrame, shown: pd.DataFrame, notes: Iterable[str]
) -> str:
    parts = [f"# {about.title}", about.caption]
    if about.sections and len(table):
        inner = shown.drop(columns=list(about.sections))
        for section, rows in table.groupby(list(about.sections), sort=False):
            parts += [f"## {column_name(*section)}", table_for_markdown(inner.loc[rows.index])]
    else:
        parts.append(table_for_markdown(shown))
    return "\n\n".join([*parts, *map(for_markdown, notes)]) + "\n"


def notes_on(
    name: str, table: pd.DataFrame, runs: pd.DataFrame, datasets: Mapping[str, Dataset]
) -> list[str]:
    """Say in sentences what a table of `TABLES` lacks and why, and what its numbers suffer from."""
    experiments = TABLES[name].experiments
    asked = {experiment: of_experiment(runs, experiment) for experiment in experiments}
    notes = [
        f"No run of the experiment {experiment} is here: the settings of this scale ask for none."
        for experiment, of_it in asked.items()
        if of_it.empty
    ]
    rests_on = pd.concat(asked.values())
    rests_on = rests_on[~rests_on.index.duplicated()]
    if len(rests_on) and (rests_on["status"] != "finished").all():
        notes.append("No run that this table is made of has finished.")
    if len(rests_on) and "dataset" in table:
        notes += _lacking(table, rests_on, "table1" in experiments)
    notes += _branches(rests_on)
    used = {d: data for d, data in datasets.items() if d in set(rests_on["dataset"])}
    if any(source.startswith("published") for source in TABLES[name].inputs):
        notes += [f"{DATASETS.get(d, d)}: {s.caveat}." for d, s in used.items() if s.caveat]
    optimistic = [DATASETS.get(d, d) for d, s in used.items() if s.validation == "test"]
    if "table1" in experiments and optimistic:
        named = " and ".join(optimistic)
        notes.append(
            f"{named}: each network's epoch was chosen by its accuracy on these same test examples, as the"
            " paper's text suggests; the accuracies are optimistic, by how much can not be seen here (validation_examples in"
            " params.yaml)."
        )
    return notes + failures(rests_on)


def _branches(runs: pd.DataFrame) -> Iterator[str]:
    """Say which modalities m0, m1 and so on are of each input of data of one's own; the paper's are known."""
    own = runs[~runs["dataset"].isin(list(DATASETS))]
    outputs = [c for c in runs if re.fullmatch(r"m\d+", str(c))]
    for (dataset, inputs), group in own.groupby(["dataset", "inputs"], sort=False):
        named = group[outputs].dropna(axis="columns", how="all").iloc[0]
        if len(named) > 1:
            branches = " and ".join(f"{o} is {m}" for o, m in named.items())
            yield f"{dataset}, {inputs}: {branches}."


def _lacking(table: pd.DataFrame, runs: pd.DataFrame, by_start: bool) -> list[str]:
    """One sentence for each data set of the paper, or column of its Table 1, without a row, beside others of it."""
    if DATASETS.keys().isdisjoint(runs["dataset"]):
        return []
    keys = ["dataset", "start"] if by_start else ["dataset"]
    expected = COLUMNS_OF_TABLE1 if by_start else {(d,): n for d, n in DATASETS.items()}
    there, asked = (set(t[keys].itertuples(index=False, name=None)) for t in (table, runs))
    why = {True: "no run of it finished", False: "the settings of this scale ask for no run"}
    return [
        f"{title} is missing: {why[key in asked]}."
        for key, title in expected.items()
        if key not in there
    ]
