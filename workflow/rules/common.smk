# What the rules share: the settings, the runs that they ask for, and how a rule calls a verb.
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod, SharedFSUsage

try:
    from equimodal.study import code, layout, steps
    from equimodal.study.analysis import JUDGED, SUMMARIZED
    from equimodal.study.analysis import TABLES as EVERY_TABLE
    import snakemake_logger_plugin_equimodal as forecast
    from equimodal.study.cells import cell_seconds, cells, memory_mb, minutes_of
    from equimodal.study.code import code_hash
    from equimodal.study.consistency import part_name
    from equimodal.study.data import kinetics
    from equimodal.study import preflight
    from equimodal.study.errors import UserError
    from equimodal.study.expansion import expand_runs
    from equimodal.study.figures import FIGURES as EVERY_FIGURE
    from equimodal.study.files import require_writable
    from equimodal.study.markup import for_rest
    from equimodal.study.paces import paces_known
    from equimodal.study.params import load_params
    from equimodal.study.spec import RunSpec
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{sys.executable} has no {error.name}; `make setup` makes an environment that has all,"
        " with .venv/bin/snakemake"
    )

# A job of a cluster starts Snakemake anew, for the rules that its command line names: the rest is left out.
IN_JOB = not workflow.is_main_process
code.is_asked = not IN_JOB

# Every other setting belongs into params.yaml, where all verbs read it.
if unknown := sorted(set(config) - {"cell_minutes", "device", "params", "scale"}):
    raise WorkflowError(
        f"--config has unknown {unknown}; it takes cell_minutes, device, params and scale. Other settings belong"
        " into params.yaml."
    )


DEVICE = str(config.get("device") or "") or os.environ.get("EQUIMODAL_DEVICE") or "cpu"
if not re.fullmatch(r"[a-z]+(:\d+)?", DEVICE):
    raise WorkflowError(f"device is {DEVICE!r}, expected cpu, cuda, cuda:1 or the like")


def of_profile(*names):
    """What a profile sets for rules that have other names in each study: `set-resources: {cells: ...}`."""
    asked = workflow.resource_settings._parsed_overwrite_resources
    return {key: value for name in names for key, value in asked.get(name, {}).items()}


def knob(name, default=None):
    """A whole number that a profile sets for `cells` and that no scheduler is told."""
    found = of_profile("cells").get(name)
    return default if found is None else found.value


# How long a job may train: more saves starts of Python, less shares work out more evenly.
asked_for = config.get("cell_minutes", knob("minutes", 1))
try:
    CELL_MINUTES = float(asked_for)
except (TypeError, ValueError):
    CELL_MINUTES = float("nan")
if not CELL_MINUTES > 0:
    raise WorkflowError(
        f"cell_minutes (minutes of cells in a profile) is {asked_for!r}, expected a number above 0"
    )
SETTINGS = Path(str(config.get("params") or "params.yaml"))
if not config.get("params") and not SETTINGS.exists():  # those with the Snakefile
    SETTINGS = Path(str(workflow.current_basedir)).parents[1] / SETTINGS
try:
    PARAMS = load_params(SETTINGS, scale=config.get("scale"))
    RUNS = expand_runs(PARAMS)
    # That claims are judged against.
    PAPER = PARAMS if IN_JOB else load_params(SETTINGS, "paper")
    for folder in ("data", "results"):
        require_writable(Path(folder))
except UserError as error:
    raise WorkflowError(str(error))
SCALE = config["scale"] = PARAMS.scale  # which Snakemake's own report names
IN_CONTAINER = (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
)
# A job finds in its environment what says nothing of its result: the Python that runs Snakemake, whatever
# PATH says, where the settings lie, the device, and that what it has finished needs a second name. A network is
# the same run wherever it was trained.
os.environ.update(
    EQUIMODAL_PYTHON="python" if IN_CONTAINER else sys.executable,
    EQUIMODAL_PARAMS=str(SETTINGS.absolute()),
    EQUIMODAL_DEVICE=DEVICE,
    EQUIMODAL_SPARES="1",
)
for name in ("checkpoint_minutes", "side_by_side"):
    if knob(name) is not None:
        os.environ.setdefault(f"EQUIMODAL_{name.upper()}", str(knob(name)))
KNOBS = {"minutes", "checkpoint_minutes", "side_by_side", "longest"}
# Jobs of a coordinator that was killed live on at a cluster: those of the next one wait for them.
os.environ.setdefault("EQUIMODAL_WAIT", "1")


def verb(call, scale="{wildcards.scale}", log="> {log:q} 2>&1"):
    """The shell command of a rule. Where its files go is in `params.root`, see `root_of`."""
    call = f"--directory {{params.root:q}} {call} --scale {scale}"
    return f'"$EQUIMODAL_PYTHON" -m equimodal {call} {log}'


def root_of(wildcards, output):
    """The folder that a job's paths are seen from: elsewhere with a `prefix:`, or in a storage."""
    ours = rf"(.*)(?:results/{SCALE}|data/raw|data/prepared/{SCALE})/"
    return re.match(ours, str(output[0]))[1] or "."


def placed(path):
    """Where a path lies for a workflow that uses this one as a module with a `prefix:`."""
    return Path(str(workflow.modifier.path_modifier.modify(str(path))))


def vouched_for(files):
    """What receipts vouch for, for jobs that share no folder and get what they name. Others find it."""
    usage = workflow.storage_settings.shared_fs_usage
    return [] if SharedFSUsage.INPUT_OUTPUT in usage else files


def kept(file):
    """What took long, as an output that stays when its job can not start; a storage keeps it by itself."""
    return file if vouched_for([file]) else update(file)


def prepared(dataset):
    """The receipt and the arrays of a data set, where jobs share no folder."""
    product = steps.preparation(dataset, PARAMS)
    return vouched_for([product.receipt, *product.files, *examples_of(dataset)])


def of_scale(path, **parts):
    """A path of `layout` at this scale, once for each combination of the parts."""
    return collect(str(path), scale=SCALE, **parts)


NOTE = for_rest(PARAMS.note or "")  # as captions of Snakemake's report say it

TABLES, FIGURES = (
    steps.made_at(every, PARAMS) for every in (EVERY_TABLE, EVERY_FIGURE)
)
WITHOUT_RUNS = {*EVERY_TABLE} - {*TABLES}

EXPERIMENTS = {
    e: {run: RUNS[run] for run in expand_runs(PARAMS, e)} for e in PARAMS.experiments
}
USED = sorted({spec.dataset for spec in RUNS.values()})  # data sets
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

# Without Snakemake's own records a changed setting would not be seen, so every product is asked anew.
if not Path(".snakemake/metadata").is_dir():
    shutil.rmtree(placed(layout.valid(SCALE, "", "")), ignore_errors=True)

CELLS = {
    cell: runs
    for cell, runs in cells(PARAMS, minutes=CELL_MINUTES).items()
    if not IN_JOB or any(word.endswith(f"cell_{cell}") for word in sys.argv)
}
forecast.expected.update(
    {f"cell_{c}": s for c, s in cell_seconds(CELLS, PARAMS, DEVICE).items()}
)
VALID = [layout.valid("{scale}", step, "{run}") for step in ("train", "evaluate")]
RECEIPTS = [
    layout.training_receipt("{scale}", "{run}"),
    layout.bank_receipt("{scale}", "{run}"),
]
BANK = layout.bank("{scale}", "{run}")
LONG = [  # what of a run took long
    *(layout.run("{scale}", "{run}") / file for file in layout.RUN_FILES),
    layout.model("{scale}", "{run}"),
    BANK,
]


def of_runs(paths, runs=RUNS):
    """Paths of runs."""
    return [file for path in paths for file in of_scale(path, run=runs)]


def evaluated_later(resource):
    """A resource that a profile gives as an expression or a text, for a rule."""

    def value(wildcards, input, threads, attempt, rulename, async_run):
        known = dict(input=input, threads=threads, attempt=attempt)
        known |= dict(rulename=rulename, async_run=async_run)
        return resource.evaluate(wildcards, **known).value

    return value if resource.is_evaluable() else resource.value


LARGEST = {}  # what nodes of the cluster give at most, once it was asked


def at_most(what, asked, limit=None):
    """What a job asks for, no more than the profile says and than any node gives: more would wait for ever."""
    return min(n for n in (asked, limit, LARGEST.get(what)) if n is not None)


def resources_of(*names, **own):
    """What jobs ask for: their own, or what a profile sets for these names."""
    asked = of_profile(*names)
    return own | {
        key: evaluated_later(resource)
        for key, resource in asked.items()
        if key not in KNOBS
    }


def resources_of_cell(dataset, runs):
    """Memory, time and device of a cell, by what runs of its kinds were measured to take."""
    names = ("cells", f"cells_{dataset}")
    gpu = of_profile(*names).get("gpu")
    device = "cuda" if gpu is not None and gpu.value > 0 and DEVICE == "cpu" else DEVICE
    specs = [RUNS[run] for run in runs]
    about = (specs, PARAMS, PACES[device.partition(":")[0]])

    def mem_mb(wildcards, attempt):
        asked = memory_mb(*about, device=device, attempt=attempt)
        return at_most("memory_mb", asked)

    def runtime(wildcards, attempt):
        asked = minutes_of(*about, attempt=attempt)
        return at_most("minutes", asked, knob("longest"))

    return resources_of(*names, mem_mb=mem_mb, runtime=runtime, device=device)


def memory_of_preparation(wildcards, threads, attempt):
    asked = (1000 + 700 * threads) * attempt  # ASSUME, of a video or a mesh a process
    return at_most("memory_mb", asked)


def four_hours(wildcards, attempt):
    return at_most("minutes", 240 * attempt)  # ASSUME; what takes longer goes on


PACES = {
    device: paces_known(device) for device in {"cpu", "cuda", DEVICE.partition(":")[0]}
}

KINETICS = str(layout.raw("kinetics") / kinetics.FILE)


def tables(names):
    """Files of those tables that this scale has, as a pattern over scales."""
    return [
        str(layout.table("{scale}", name)) for name in names if name not in WITHOUT_RUNS
    ]


DOCUMENTS = str(layout.tables("{scale}") / "{table}.{suffix}")  # for readers
DRAWN = str(layout.figures("{scale}") / "{figure}.{suffix}")
CURVES = sorted({spec.dataset for spec in EXPERIMENTS.get("table1", {}).values()})
PRODUCTS = [
    *of_scale(layout.metrics("{scale}")),
    *of_scale(layout.curves("{scale}", "{dataset}"), dataset=CURVES),
    *collect(tables(["runs", "claims"]), scale=SCALE),
    *of_scale(DOCUMENTS, table=TABLES, suffix=["csv", "md", "tex"]),
    *of_scale(DRAWN, figure=FIGURES, suffix=["svg", "png", "pdf"]),
]


wildcard_constraints:
    scale=re.escape(SCALE),


def examples_of(dataset):
    """Examples are shown around, so there are none of data that may not be."""
    shown = PARAMS.datasets[dataset].has_examples
    return [str(layout.prepared(SCALE, dataset) / "examples.npz")] if shown else []


def drawn_from(figures):
    """The tables and examples that figures show, as inputs of the rule that draws them."""
    inputs = {name for about in figures.values() for name in about.inputs}
    shown = [f for d in USED for f in examples_of(d)] if "examples" in inputs else []
    names = sorted(inputs - {"examples"})
    return collect(tables(names), scale=SCALE) + shown


def drawn(figures, *suffixes):
    """Files of figures, as patterns over scales."""
    return collect(DRAWN, figure=figures, suffix=suffixes, allow_missing=True)


def shown_table(file, title):
    """A table, as Snakemake's own report shows it."""
    caption, labels = "../report/table.rst", {"table": title}
    return report(file, category="Tables", caption=caption, labels=labels)


def shown_figure(name):
    """The SVG of a figure, as Snakemake's own report shows it."""
    caption, command = "../report/figure.rst", f"equimodal draw {name}"
    labels = {"figure": name, "command": command}
    (svg,) = drawn([name], "svg")
    return report(svg, category="Figures", caption=caption, labels=labels)


def asked_of_cell(runs):
    """A hash of all that the runs of a cell are asked for."""
    asked = (RunSpec.model_dump_json, steps.training_code, steps.evaluation_code)
    texts = [text(RUNS[run]) for run in runs for text in asked]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def files_of_other_runs(runs):
    """What the runs of a cell read of others, with that which says how those ended."""
    read = {Path(path) for run in runs for path in RUNS[run].reads}
    folders = {layout.folder_of(path) for path in read} & {
        layout.run(SCALE, run) for run in RUNS
    }
    beside = {
        folder / name for folder in folders for name in (layout.OUTCOME, layout.RECEIPT)
    }
    return sorted(path.as_posix() for path in read | beside)


def prepared_by(dataset):
    """The command that prepares a data set."""
    call = "prepare {params.dataset} --processes {threads}"
    if vouched_for([dataset]) and PARAMS.datasets[dataset].is_stand_in:
        # A rule does not name all of its files. Where jobs share no folder, the job that reads them makes them.
        made = verb("fetch {params.dataset}", SCALE)
        return f"{made} && {verb(call, SCALE, log='>> {log:q} 2>&1')}"
    return verb(call, SCALE)


def contents(folder, pattern):
    """Texts that products depend on and that are no code; with the code, wherever that lies."""
    files = sorted(Path(layout.__file__).with_name(folder).glob(pattern))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def how_many():
    """How many runs each experiment asks for, as text; one may belong to several."""
    each = ", ".join(f"{len(runs)} for {e}" for e, runs in EXPERIMENTS.items())
    return f"{len(RUNS)} networks: {each}"


def look_ahead():
    """Say in one message what is missing and what it stops; refuse what a cluster would never start."""
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_group()]
    devices = {DEVICE, *(job.resources.get("device", "cpu") for job in jobs)}
    # Other machines may have the device that this one lacks.
    device = max(devices) if workflow.local_exec else "cpu"
    made = {KINETICS, *of_runs([layout.model("{scale}", "{run}")])}
    lacking = list(preflight.missing(PARAMS, device, made))
    if workflow.executor_plugin.name == "kubernetes":
        image = workflow.remote_execution_settings.container_image
        lacking += preflight.registry(image)
    if lacking:
        print("Missing:", *lacking, sep="\n  ", file=sys.stderr, flush=True)
    if workflow.executor_plugin.name == "slurm":
        chosen = slurm_options()
        lacking = list(preflight.slurm(map(asked_of_cluster, jobs), **chosen))
        if lacking:
            raise WorkflowError("Slurm would not run this:\n  " + "\n  ".join(lacking))
        # A job that is started again asks for more, and never for what no node has.
        nodes = preflight.in_partition(preflight.nodes_there(), chosen["partition"])
        LARGEST.update(preflight.most_of(nodes))
    elif any("can not be used here" in sentence for sentence in lacking):
        raise WorkflowError("Every network needs the device.")


def asked_of_cluster(job):
    """What a job asks for, under the name that a profile has for its rule."""
    named = re.sub(r"^cell_(.+)_\d+$", r"cells_\1", job.rule.name)
    asked = {name: job.resources.get(name, 0) for name in ("mem_mb", "runtime", "gpu")}
    if workflow.is_local(job.rule) or not all(
        isinstance(n, int) for n in asked.values()
    ):
        return preflight.Job(named, 0, 0, 0)
    model = str(job.resources.get("gpu_model", ""))
    return preflight.Job(named, job.threads, *asked.values(), model)


def slurm_options():
    """What the profile and the command line tell Slurm's plugin."""

    def named(resource):
        found = workflow.resource_settings._parsed_default_resources.get(resource)
        text = getattr(found, "raw", found)
        return None if text is None else str(text).strip("'\"")

    chosen = workflow.executor_settings
    return dict(
        partition=named("slurm_partition"),
        account=named("slurm_account"),
        no_account=chosen.no_account,
        status_command=chosen.status_command,
    )
