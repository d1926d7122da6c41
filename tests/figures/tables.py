"""The tables that figures are drawn from, summed up from the made-up study in a few lines each."""

import numpy as np
import pandas as pd

from equimodal.analysis import by_cap, table1_evaluations
from equimodal.analysis.collect import of_experiment
from equimodal.analysis.published import read_published
from tests.analysis.conftest import SETTINGS
from tests.study import M0_M1, THRESHOLDS, study

SIGNED = {  # the paper's E[d_util]; that of Colored-and-gray-MNIST without its sign
    ("modelnet40", "distinct", "vanilla"): -0.1,
    ("modelnet40", "distinct", "random"): -0.0,
    ("modelnet40", "distinct", "guided"): -0.0,
    ("nvgesture", "distinct", "vanilla"): 0.4,
    ("nvgesture", "distinct", "random"): 0.1,
    ("nvgesture", "distinct", "guided"): 0.3,
}
SIZES = {("colored_mnist", "distinct", "vanilla"): 0.3}


def make_tables(runs=None):
    """Return every table that a figure may ask for; `runs` in place of the study's, if given."""
    tables = study()
    if runs is not None:
        tables["runs"] = runs
    runs = tables["runs"]
    return tables | {
        "table1_evaluations": table1_evaluations.build(
            runs,
            tables["evaluations"],
            tables["histories"],
            read_published("published"),
            SETTINGS,
        ),
        "by_cap": by_cap.build(
            runs[runs["dataset"] == "colored_mnist"],
            tables["histories"],
            read_published("published"),
            SETTINGS,
        ),
        "greediness": greediness(runs),
        "l1_study": of_paper(l1_study(of_experiment(runs, "l1"))),
        "l1_trends": of_paper(l1_trends(of_experiment(runs, "l1"))),
        "sensitivity": of_paper(sensitivity(of_experiment(runs, "sensitivity"))),
        "fidelity_study": fidelity_study(of_experiment(runs, "fidelity")),
        "prediction": of_paper(prediction(of_experiment(runs, "sweep"))),
        "prediction_by_epoch": of_paper(
            by_epoch(of_experiment(runs, "sweep"), tables["histories"])
        ),
    }


def of_paper(table):
    """The table with the preset that all of the study is of but for its experiment `fidelity`."""
    return table.assign(fidelity="paper")


def mean_and_interval(column, name):
    """Mean, and mean ± 2 SE; no interval for one value."""
    mean, error = column.mean(), 2 * column.sem()
    return {name: mean, f"{name}_low": mean - error, f"{name}_high": mean + error}


def counts(runs):
    failed = int((runs["status"] != "finished").sum())
    return {"n": len(runs) - failed, "unfinished": failed}


def greediness(runs):
    sweeps = pd.concat([of_experiment(runs, e) for e in ("sweep", "sweep_balanced")])
    rows = []
    for key, group in sweeps.groupby(["dataset", "inputs", "policy"], sort=False):
        row = dict(zip(("dataset", "inputs", "policy"), key, strict=True))
        row |= {"start": "scratch", "fidelity": "paper"} | counts(group)
        for measure in ("d_util", "d_util_by_label", "d_speed"):
            row |= mean_and_interval(group[measure], measure)
        row |= {"abs_d_util": abs(row["d_util"]), "symmetry_p": np.nan}
        signed = SIGNED.get(key, np.nan)
        size = 0.0 if key[1] == "identical" else SIZES.get(key, abs(signed))
        rows.append(row | {"published_d_util": signed, "published_abs_d_util": size})
    columns = "dataset start inputs policy fidelity n unfinished"
    for measure in ("d_util", "d_util_by_label", "d_speed"):
        columns += f" {measure} {measure}_low {measure}_high"
    columns += " published_d_util published_abs_d_util"
    return pd.DataFrame(rows, columns=columns.split())


def l1_study(runs):
    rows = []
    for l1, group in runs.groupby("l1"):
        row = {"l1": l1} | counts(group)
        row |= {f"below_{t}": group[f"below_{t}"].mean() for t in THRESHOLDS}
        row |= {"accuracy": 100 * group["accuracy"].mean()}
        row |= mean_and_interval(group["d_util"], "d_util")
        rows.append(row | mean_and_interval(group["d_speed"], "d_speed"))
    columns = [*("l1", "n", "unfinished"), *(f"below_{t}" for t in THRESHOLDS), "accuracy"]
    columns += [f"{m}{end}" for m in ("d_util", "d_speed") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns)


def l1_trends(runs):
    pairs = [("l1", "sparsity"), ("sparsity", "d_util"), ("sparsity", "d_speed")]
    columns = {"l1": "l1", "sparsity": "below_0.001", "d_util": "d_util", "d_speed": "d_speed"}
    rows = []
    for x, y in pairs:
        if len(runs.dropna(subset=["d_util"])) > 2:
            rho = runs[columns[x]].corr(runs[columns[y]], method="spearman")
            rows.append({"x": x, "y": y, "n": len(runs), "spearman": rho, "low": rho, "high": rho})
    return pd.DataFrame(rows, columns=["x", "y", "n", "spearman", "low", "high", "p"])


def sensitivity(runs):
    rows = []
    for setting, other, default in (("tolerance", "window", 5), ("window", "tolerance", 0.1)):
        for value, group in runs[runs[other] == default].groupby(setting):
            row = {"setting": setting, "held": default, "value": value} | counts(group)
            row |= mean_and_interval(100 * group["accuracy"], "accuracy")
            row |= {"low": row["accuracy_low"], "high": row["accuracy_high"]}
            rows.append(row | mean_and_interval(group["d_util"], "d_util"))
    columns = "setting held value n unfinished accuracy low high d_util d_util_low d_util_high"
    return pd.DataFrame(rows, columns=columns.split())


def fidelity_study(runs):
    means = 100 * runs.groupby("fidelity")["accuracy"].mean()
    rows = []
    for preset, mean in means.items():
        base, _, switch = preset.partition("_but_")
        row = {"dataset": "colored_mnist", "method": "guided", "base": base, "switch": switch}
        row |= {"n": 2, "unfinished": 0, "accuracy": mean}
        if switch:
            difference = mean - means[base]
            row |= {"difference": difference, "difference_low": difference - 2}
            row |= {"difference_high": difference + 2}
        rows.append(row)
    columns = (
        "dataset method base switch n unfinished accuracy difference difference_low difference_high"
    )
    return pd.DataFrame(rows, columns=columns.split())


def prediction(runs):
    rows = []
    for dataset in (*M0_M1, "all"):
        chosen = runs if dataset == "all" else runs[runs["dataset"] == dataset]
        chosen = chosen.dropna(subset=["d_util"])
        if len(chosen) > 2:
            rho = chosen["d_speed"].corr(chosen["d_util"], method="spearman")
            row = {"dataset": dataset, "inputs": "both", "n": len(chosen), "spearman": rho}
            rows.append(row | {"low": rho - 0.1, "high": min(1, rho + 0.1)})
    return pd.DataFrame(rows, columns=["dataset", "inputs", "n", "spearman", "low", "high", "p"])


def by_epoch(runs, histories):
    distinct = runs[(runs["inputs"] == "distinct") & (runs["status"] == "finished")]
    epochs = distinct[["run", "dataset", "d_util"]].merge(histories, on="run")
    epochs["same"] = (epochs["speed_m0"] > epochs["speed_m1"]) == (epochs["d_util"] > 0)
    rows = epochs.groupby(["dataset", "epoch"])["same"].agg(["mean", "count"]).reset_index()
    rows = rows.rename(columns={"mean": "sign_agreement", "count": "n"})
    low, high = rows["sign_agreement"] - 0.2, rows["sign_agreement"] + 0.2
    return rows.assign(low=low.clip(0, 1), high=high.clip(0, 1))


def make_examples():
    """A few images of each data set, and what is said of them."""
    rng = np.random.default_rng(0)
    examples = {"colored_mnist": {}, "modelnet40": {}, "nvgesture": {}}
    for split in ("train", "test"):
        examples["colored_mnist"] |= {
            f"{split}.color": rng.integers(0, 255, (10, 8, 8, 3), np.uint8),
            f"{split}.gray": rng.integers(0, 255, (10, 8, 8, 1), np.uint8),
            f"{split}.labels": np.arange(10),
        }
        for view in ("view0", "view4", "view6", "view8"):
            images = rng.integers(0, 255, (8, 8, 8, 1), np.uint8)
            examples["modelnet40"][f"{split}.{view}"] = images
        examples["modelnet40"][f"{split}.labels"] = np.arange(8)
        for sensor, channels in (("color", 3), ("depth", 1)):
            frames = rng.integers(0, 255, (6, 3, 8, 8, channels), np.uint8)
            examples["nvgesture"][f"{split}.{sensor}"] = frames
        examples["nvgesture"][f"{split}.labels"] = np.arange(6)
    return {
        "examples": examples,
        "labels": {"modelnet40": "stand-in", "nvgesture": "stand-in"},
    }
