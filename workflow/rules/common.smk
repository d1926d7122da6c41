# What the rules share: the runs that params.yaml asks for, and the code that each rule runs.
import json
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from equimodal.code import code_hash
from equimodal.data.mnist import FILES, GIVEN, ORIGINS
from equimodal.errors import UserError
from equimodal.files import require_writable
from equimodal.figures import FIGURES
from equimodal.params import expand_runs, load_params

code_hash = cache(code_hash)

# --config takes the scale; every other setting belongs into params.yaml, where all verbs read it.
if unknown := sorted(set(config) - {"scale"}):
    raise WorkflowError(
        f"--config has unknown {unknown}; it takes scale. Other settings belong into params.yaml."
    )

try:
    PARAMS = load_params(scale=config.get("scale"))
    for folder in ("data", "results"):
        require_writable(Path(folder))
except UserError as error:
    raise WorkflowError(str(error))

SCALE = PARAMS.scale
RUNS = expand_runs(PARAMS)
DIGITS = PARAMS.datasets["colored_mnist"].digits
RAW_FILES = collect("data/raw/{digits}/{file}", digits=DIGITS, file=FILES[DIGITS])
GIVEN_FILES = collect("data/raw/{digits}/{file}", digits=DIGITS, file=GIVEN[DIGITS])
if missing := [file for file in GIVEN_FILES if not Path(file).is_file()]:
    raise WorkflowError(f"{missing[0]} is missing: {ORIGINS[DIGITS].by_hand}")
BANKS = collect("results/{scale}/runs/{run}/logits.npz", scale=SCALE, run=RUNS)
TABLES = ["runs.csv", "table1.csv", "table1.md"]
HERE = Path(workflow.basedir)
PUBLISHED = str(HERE / "src/equimodal/analysis/published.csv")
CAPTIONS = sorted(map(str, (HERE / "workflow/report").glob("*.rst")))
PRODUCTS = [
    *collect("results/{scale}/tables/{table}", scale=SCALE, table=TABLES),
    *collect(
        "results/{scale}/figures/{figure}.{suffix}",
        scale=SCALE,
        figure=FIGURES,
        suffix=["svg", "png"],
    ),
]


wildcard_constraints:
    scale=SCALE,
    dataset="|".join(PARAMS.datasets),
    figure="|".join(FIGURES),


def prepared_of_run(wildcards):
    spec = spec_of(wildcards)
    sources = sorted({m.source for m in spec.modalities.values()})
    return collect(
        "data/prepared/{scale}/{dataset}/{split}.{array}.npy",
        scale=SCALE,
        dataset=spec.dataset,
        split=PARAMS.datasets[spec.dataset].splits,
        array=["labels", "ids", *sources],
    )


def prepared_files():
    """What `prepare` makes of each data set: arrays of each split, and examples for Figure 6."""
    return [
        "data/prepared/{scale}/{dataset}/examples.npz",
        *collect(
            "data/prepared/{{scale}}/{{dataset}}/{split}.{array}.npy",
            split=PARAMS.datasets["colored_mnist"].splits,
            array=["color", "gray", "colors", "labels", "ids"],
        ),
    ]


def figure_inputs(wildcards):
    examples = f"data/prepared/{SCALE}/colored_mnist/examples.npz"
    return [
        examples if name == "examples" else f"results/{SCALE}/tables/{name}.csv"
        for name in FIGURES[wildcards.figure]
    ]


def figure_code(wildcards):
    return code_hash(f"equimodal.figures.{wildcards.figure}", "equimodal.figures.style")


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
    """Of the networks, only the run's own kind: another one's code does not touch it."""
    return code_hash("equimodal.training.run", branch_module(wildcards))


def evaluation_code_of_run(wildcards):
    return code_hash("equimodal.training.logit_bank", branch_module(wildcards))


def branch_module(wildcards):
    return f"equimodal.models.{spec_of(wildcards).network.kind}"


def settings_of_dataset(wildcards):
    return json.dumps(PARAMS.datasets[wildcards.dataset].preparation, sort_keys=True)


def experiments():
    """Which runs each experiment asks for, as text."""
    return json.dumps({e: list(expand_runs(PARAMS, e)) for e in PARAMS.experiments})
