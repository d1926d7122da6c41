"""Where things lie: the one place that knows the folders that verbs read and write.

Paths are relative to the folder that the verbs and the workflow work in.
"""

from pathlib import Path

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
RESULTS = Path("results")

OUTCOME, HISTORY, RECEIPT = "outcome.json", "history.csv", "receipt.json"
RUN_FILES = ("spec.json", OUTCOME, HISTORY, "steps.npz")  # of a run folder, beside its receipt
MODEL_SUFFIX = ".pt"
COLLECTED = ("runs", "evaluations", "histories", "steps")  # tables that `collect` writes
COMPRESSED = ("histories", "steps")  # of these, the large ones


def raw(source: str) -> Path:
    """Files of a source as they were fetched."""
    return RAW / source


def prepared(scale: str, dataset: str) -> Path:
    """Arrays of a prepared data set."""
    return PREPARED / scale / dataset


def run(scale: str, name: str) -> Path:
    """Folder of a run: its spec, how it ended, its history and steps."""
    return RESULTS / scale / "runs" / name


def history(scale: str, name: str) -> Path:
    """What a run measured after each epoch, which methods may read of other runs."""
    return run(scale, name) / HISTORY


def model(scale: str, name: str) -> Path:
    """Weights of a run, outside its folder: they are large, and only `evaluate` reads them."""
    return RESULTS / scale / "models" / f"{name}{MODEL_SUFFIX}"


def bank(scale: str, name: str) -> Path:
    """Logit bank of a run, outside its folder: all that tables and figures need beside it."""
    return RESULTS / scale / "banks" / f"{name}.npz"


def training_receipt(scale: str, name: str) -> Path:
    """Receipt of a training: of the run folder and of the weights."""
    return run(scale, name) / RECEIPT


def folder_of(file: Path) -> Path | None:
    """Folder of the run whose weights or history a file is; None if it is none of ours."""
    if file.name == HISTORY:
        return file.parent
    match file.parts:
        case (RESULTS.name, scale, "models", *name):
            return run(scale, Path(*name).with_suffix("").as_posix())
    return None


def bank_receipt(scale: str, name: str) -> Path:
    """Receipt of a logit bank."""
    return bank(scale, name).with_suffix(".json")


def valid(scale: str, step: str, name: str) -> Path:
    """That the workflow has found a product as it should be: `prepare`, `train` or `evaluate` of a name.

    The receipt itself stays with its product, whatever Snakemake takes away before a job.
    """
    return RESULTS / scale / "valid" / step / name


def scratch(scale: str) -> Path:
    """Checkpoints of runs that are not finished."""
    return RESULTS / scale / "scratch"


def checkpoint_in(folder: Path, name: str) -> Path:
    """Checkpoint of a run: where it goes on from if it was stopped."""
    return folder / f"{name}.pt"


def spares(scale: str) -> dict[Path, Path]:
    """Where second names lie of what jobs have finished: folder -> one on its disk, with the same folders in it."""
    return {
        RESULTS / scale: scratch(scale) / "spares",
        PREPARED / scale: PREPARED / scale / ".spares",
    }


def training_lock(scale: str, name: str) -> Path:
    """Held while a run is trained."""
    return scratch(scale) / f"{name}.lease"


def data_lock(folder: Path) -> Path:
    """Held while a folder of raw or of prepared data is filled."""
    return folder.with_name(f".{folder.name}.lease")


def tables(scale: str) -> Path:
    """Tables of a scale."""
    return RESULTS / scale / "tables"


def table(scale: str, name: str) -> Path:
    """A table; those of epochs and of steps are large and so compressed."""
    return tables(scale) / (f"{name}.csv.gz" if name in COMPRESSED else f"{name}.csv")


def table_receipt(scale: str, name: str) -> Path:
    """Receipt of a table; those that are collected together have one."""
    return tables(scale) / f"{'collected' if name in COLLECTED else name}.json"


def specs(scale: str) -> Path:
    """Specs of the collected runs, one a line."""
    return tables(scale) / "specs.jsonl"


def figures(scale: str) -> Path:
    """Figures of a scale."""
    return RESULTS / scale / "figures"


def metrics(scale: str) -> Path:
    """Key numbers of a scale, which `dvc metrics` shows."""
    return RESULTS / scale / "metrics.json"


def summary(scale: str) -> Path:
    """Receipt of the key numbers and of the learning curves."""
    return RESULTS / scale / "summary.json"


def curves(scale: str, dataset: str) -> Path:
    """Learning curves of a data set, which `dvc plots` shows."""
    return RESULTS / scale / "curves" / f"{dataset}.csv"


def benchmarks(scale: str) -> Path:
    """What each job of the workflow cost, and each run of a cell."""
    return RESULTS / scale / "benchmarks"


def paces(device: str) -> Path:
    """How fast runs of each kind are here, as `equimodal estimate --measure` found; of all scales."""
    return RESULTS / f"paces-{device.partition(':')[0]}.json"


def benchmark(scale: str, step: str, name: str) -> Path:
    """What a step of a run cost."""
    return benchmarks(scale) / step / f"{name}.tsv"


def report(scale: str) -> Path:
    """The report of a scale."""
    return RESULTS / scale / "report.html"


def findings() -> Path:
    """The page of all scales that were run on real data."""
    return RESULTS / "findings.html"
