# What the rules share: the runs that params.yaml asks for, and the code that each rule runs.
import json
import os
import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

from snakemake.exceptions import WorkflowError

from equimodal import layout
from equimodal.analysis import COLLECTED, GIVEN, JUDGED, SUMMARIZED, TABLES
from equimodal.data import kinetics
from equimodal.devices import require_device
from equimodal.errors import UserError
from equimodal.files import require_writable
from equimodal.figures import ALL_FIGURES as FIGURES
from equimodal.figures import LINEAR_FIGURES, LINEAR_TABLES
from equimodal.markup import for_rest
from equimodal.params import expand_runs, load_params, part_name
from equimodal.receipts import NAME
from equimodal.steps import (
    asked_of_simulations,
    code_hash,
    evaluation_arrays,
    evaluation_code,
    preparation_code,
    training_arrays,
    training_code,
)

# --config takes the scale and the device; every other setting belongs into params.yaml, where all verbs read it.
if unknown := sorted(set(config) - {"scale", "device"}):
    raise WorkflowError(
        f"--config has unknown {unknown}; it takes device and scale. Other settings belong into params.yaml."
    )

# Where networks are trained and evaluated. It reaches the verbs through the environment, not the command
# line of a rule: a network is the same run wherever it was trained.
DEVICE = config.get("device") or os.environ.get("EQUIMODAL_DEVICE") or "cpu"
if not re.fullmatch(r"[a-z]+(:\d+)?", DEVICE):
    raise WorkflowError(f"device is {DEVICE!r}, expected cpu, cuda, cuda:1 or the like")
# Jobs find the verbs of the environment that this Snakemake runs in, whatever PATH says.
shell.prefix(
    f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH EQUIMODAL_DEVICE={DEVICE}; "
)

try:
    PARAMS = load_params(scale=config.get("scale"))
    for folder in ("data", "results"):
        require_writable(Path(folder))
except UserError as error:
    raise WorkflowError(str(error))

SCALE = PARAMS.scale
# As captions of Snakemake's report say it.
NOTE, LINEAR_NOTE = (for_rest(note or "") for note in (PARAMS.note, PARAMS.linear.note))

RUNS = expand_runs(PARAMS)

# Without Snakemake's own records a changed setting would not be seen, so every product is asked anew.
if not Path(".snakemake/metadata").is_dir():
    shutil.rmtree(f"results/{SCALE}/valid", ignore_errors=True)

BANKS = collect("results/{scale}/banks/{run}.npz", scale=SCALE, run=RUNS)
VALID_RUNS = collect(
    "results/{scale}/valid/{step}/{run}",
    scale=SCALE,
    step=["train", "evaluate"],
    run=RUNS,
)
VALID = [
    *VALID_RUNS,
    f"results/{SCALE}/valid/linear/networks",
    *collect(
        "results/{scale}/valid/noisy_mnist/L_f{layer}",
        scale=SCALE,
        layer=range(1, PARAMS.linear.noisy_mnist.depth + 1),
    ),
]
USED = sorted({spec.dataset for spec in RUNS.values()})  # data sets

EXPERIMENTS = {name: expand_runs(PARAMS, name) for name in PARAMS.experiments}
PARTS = {  # of the runs, by name
    **{e: list(runs) for e, runs in EXPERIMENTS.items() if runs},
    **{
        part_name(e, d): of_both
        for e, runs in EXPERIMENTS.items()
        for d in USED
        if (of_both := [r for r, spec in runs.items() if spec.dataset == d])
    },
    **{d: [r for r, spec in RUNS.items() if spec.dataset == d] for d in USED},
}
DATA_MODULES = {
    name: import_module(f"equimodal.data.{dataset.kind}")
    for name, dataset in PARAMS.datasets.items()
}
# Decoding and drawing is shared by all cores there are, up to this; digits are done in seconds.
PROCESSES = {
    name: 1 if dataset.kind == "colored_mnist" else 16
    for name, dataset in PARAMS.datasets.items()
}
FETCHED, RAW_FILES = {}, {}
for name, module in DATA_MODULES.items():
    folder, wanted = (
        layout.raw(PARAMS.datasets[name].raw),
        PARAMS.datasets[name].preparation,
    )
    fetched = {folder / file for file in module.fetched(wanted)}
    RAW_FILES[name] = module.raw_files(folder, wanted, mirror=PARAMS.mirror)
    # What only a user can give is an output while it is missing: the job says what to do. Once it
    # is there it is nobody's output, since Snakemake removes outputs.
    missing = [f for f in RAW_FILES[name] if f in fetched or not f.exists()]
    FETCHED[name] = [f if f.suffix else directory(f) for f in missing]
KINETICS = str(layout.raw("kinetics") / kinetics.FILE)


def table_files(names):
    """Files of tables, as a pattern over scales."""
    return [str(layout.table("{scale}", name)) for name in names]


# Relative paths, so that a folder that moves has nothing to make again.
PUBLISHED = collect(
    "src/equimodal/analysis/{table}.csv",
    table=GIVEN,
)
ON_TABLE1 = {spec.dataset for spec in EXPERIMENTS.get("table1", {}).values()}
NOISY_MNIST = PARAMS.linear.noisy_mnist
DIGITS = collect(
    "data/prepared/{scale}/{dataset}/{split}.{array}.npy",
    scale=SCALE,
    dataset=NOISY_MNIST.dataset,
    split=["train", "test"],
    array=["gray", "labels", "ids"],
)
MNIST_RECORDS = collect(
    "results/{scale}/noisy_mnist/L_f{layer}.csv",
    scale=SCALE,
    layer=range(1, NOISY_MNIST.depth + 1),
)
CAPTIONS = sorted(map(str, Path("workflow/report").glob("*.rst")))
PRODUCTS = [
    f"results/{SCALE}/metrics.json",
    *collect(
        "results/{scale}/curves/{dataset}.csv", scale=SCALE, dataset=sorted(ON_TABLE1)
    ),
    *collect(
        "results/{scale}/tables/{table}",
        scale=SCALE,
        table=["runs.csv", "claims.csv", "claims.md"],
    ),
    *collect(
        "results/{scale}/tables/{table}.{suffix}",
        scale=SCALE,
        table=TABLES,
        suffix=["csv", "md", "tex"],
    ),
    *collect(
        "results/{scale}/figures/{figure}.{suffix}",
        scale=SCALE,
        figure=FIGURES,
        suffix=["svg", "png", "pdf"],
    ),
]
# Figures that are drawn from tables alone, and not of data or of the linear networks.
OF_RUNS = [
    name
    for name, figure in FIGURES.items()
    if set(figure.inputs) <= {*COLLECTED, *TABLES}
]


wildcard_constraints:
    scale=re.escape(SCALE),
    figure="|".join(FIGURES),
    layer=r"\d+",


def prepared_of_run(wildcards):
    """The arrays that a run is trained on, and the receipt that tells whether they are whole."""
    spec = spec_of(wildcards)
    folder = layout.prepared(SCALE, spec.dataset)
    return [str(folder / name) for name in (NAME, *training_arrays(spec, PARAMS))]


def evaluated_on(wildcards):
    """The same, and those that only evaluation sees."""
    spec = spec_of(wildcards)
    folder = layout.prepared(SCALE, spec.dataset)
    return [str(folder / name) for name in (NAME, *evaluation_arrays(spec, PARAMS))]


def prepared_files(dataset):
    """What `prepare` makes of a data set: arrays of each split, and examples for a figure."""
    settings = PARAMS.datasets[dataset]
    return [
        str(layout.prepared(SCALE, dataset) / NAME),
        *examples_of(dataset),
        *(
            str(layout.prepared(SCALE, dataset) / f"{split}.{array}.npy")
            for split in settings.splits
            for array in settings.arrays(split)
        ),
    ]


def weights_of_run(wildcards):
    """The file of weights that a run starts from, if it does; another run of ours may make it."""
    return spec_of(wildcards).pretrained or []


def examples_of(dataset):
    """Examples are shown around, so there are none of data that may not be."""
    shown = PARAMS.datasets[dataset].has_examples
    return [f"data/prepared/{SCALE}/{dataset}/examples.npz"] if shown else []


def stand_in_code(dataset):
    settings = PARAMS.datasets[dataset]
    entry = f"equimodal.data.{settings.kind}_standin"
    return code_hash(entry) if settings.is_stand_in else None


def figure_inputs(wildcards):
    inputs = FIGURES[wildcards.figure].inputs
    tables = [name for name in inputs if name not in ("examples", "labels")]
    shown = [examples_of(dataset) for dataset in USED] if "examples" in inputs else []
    return [
        *collect(table_files(tables), scale=SCALE),
        *(file for files in shown for file in files),
    ]


def figure_note(wildcards):
    return LINEAR_NOTE if wildcards.figure in LINEAR_FIGURES else NOTE


def figure_caption(wildcards):
    return for_rest(FIGURES[wildcards.figure].caption)


def figure_code(wildcards):
    return code_hash(f"equimodal.figures.{wildcards.figure}", "equimodal.figures.style")


def report_looks():
    """Contents of the report's template and style."""
    files = sorted(Path("src/equimodal/report").glob("*.[hc]*"))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def spec_of(wildcards):
    if wildcards.run not in RUNS:
        raise WorkflowError(
            f"no experiment of {SCALE} asks for the run {wildcards.run}; `equimodal runs` lists them"
        )
    return RUNS[wildcards.run]


def settings_of_run(wildcards):
    """As text, so that Snakemake sees a changed setting and nothing else."""
    return spec_of(wildcards).model_dump_json()


def training_code_of_run(wildcards):
    return training_code(spec_of(wildcards))


def evaluation_code_of_run(wildcards):
    return evaluation_code(spec_of(wildcards))


def settings_of_dataset(dataset):
    return json.dumps(PARAMS.datasets[dataset].preparation, sort_keys=True)


def settings_of_noisy_mnist():
    digits = PARAMS.datasets[NOISY_MNIST.dataset].sources["gray"]
    return NOISY_MNIST.model_dump_json() + digits.model_dump_json()


def settings_of_raw(dataset):
    """What decides which raw files are fetched or made."""
    wanted = PARAMS.datasets[dataset].preparation
    keys = ("digits", "source", "classes", "stand_in", "list_version")
    return json.dumps(
        {key: wanted[key] for key in keys if key in wanted}, sort_keys=True
    )


def how_many():
    """How many runs each experiment asks for, as text; one may belong to several."""
    each = ", ".join(f"{len(runs)} for {e}" for e, runs in EXPERIMENTS.items())
    return f"{len(RUNS)} networks: {each}"


def experiments():
    """Which runs each experiment asks for, as text."""
    return json.dumps({e: list(runs) for e, runs in EXPERIMENTS.items()})
