"""What is missing before the first job, and what that would stop: said at once, and not hours later one by one."""

import getpass
import re
import subprocess
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from equimodal.study import layout
from equimodal.study.devices import require_device
from equimodal.study.errors import UserError
from equimodal.study.expansion import expand_runs
from equimodal.study.params import Params

FOREVER = 10**9  # minutes
KUBERNETES, SLURM = (f"profiles/{cluster}/config.yaml" for cluster in ("kubernetes", "slurm"))
PLUGIN = "snakemake_executor_plugin_"
STARTS_NOTHING = r"--dry-?run|-\w*n\w*|--unlock"  # options of Snakemake
ASKED = {  # of a job: its unit, and the line of a profile that sets it
    "cores": ("cores", "set-threads: {{{rule}: {limit}}}"),
    "memory_mb": ("MB of memory", "set-resources: {{{rule}: {{mem_mb: {limit}}}}}"),
    "minutes": ("minutes", "set-resources: {{{rule}: {{runtime: {limit}}}}}"),
    "gpus": ("GPUs", "set-resources: {{{rule}: {{gpu: {limit}}}}}"),
}


def missing(settings: Params, device: str, made: Iterable[str]) -> Iterator[str]:
    """Say what is not here, what it stops and what to do: data that only a user has, weights, the device.

    Networks are trained on the `device`, `cpu` if not on this machine. `made` are weights that the workflow fetches or makes.
    """
    asked = {e: expand_runs(settings, e) for e in settings.experiments}

    def stopped(**of: str) -> str:
        """How many networks of each experiment something stops: all, or those whose spec says so."""
        counts = {
            e: sum(all(getattr(s, k) == v for k, v in of.items()) for s in runs.values())
            for e, runs in asked.items()
        }
        each = ", ".join(f"{count} of {e}" for e, count in counts.items() if count)
        return f"It stops {each}." if each else ""

    specs = expand_runs(settings).values()
    for name in sorted({spec.dataset for spec in specs}):
        dataset = settings.datasets[name]
        folder = layout.raw(dataset.raw)
        files = dataset.raw_files(folder, mirror=settings.mirror)
        brought = {folder / file for file in dataset.fetched}
        lacking = [str(f) for f in files if f not in brought and not f.exists()]
        if lacking and not settings.mirror and not layout.prepared(settings.scale, name).exists():
            what = (
                dataset.origin.by_hand or f"run `equimodal fetch {name} --scale {settings.scale}`"
            )
            yield f"{name}: {' and '.join(lacking)}. {stopped(dataset=name)} {what}"
    for weights in sorted({s.pretrained for s in specs if s.pretrained} - set(made)):
        if not Path(weights).exists():
            named = stopped(pretrained=weights)
            yield f"weights to start from: {weights}. {named} See pretrained in config/scales."
    if device != "cpu":
        try:
            require_device(device)
        except UserError as error:
            yield f"{error}. {stopped()}"


def registry(image: str) -> Iterator[str]:
    """Say that the registry of an image, if its name has one, does not answer. Nodes may still reach it."""
    host, slash, _ = image.partition("/")
    if not slash or not re.search(r"[.:]", host):
        return
    try:
        urllib.request.urlopen(f"https://{host}/v2/", timeout=10).close()
    except urllib.error.HTTPError:  # it answers
        return
    except OSError as error:
        yield (
            f"the registry {host} ({error}). It stops every job whose node can not reach it either."
            f" Change container-image in {KUBERNETES}"
        )


def executor(words: Sequence[str]) -> Iterator[str]:
    """Say what is not here of what a profile of a cluster needs, where Snakemake would show its own insides.

    `words` are those of Snakemake's command line.
    """
    options = pairwise(part for word in words for part in word.split("=", 1))
    asked = {Path(v).name for o, v in options if o in ("--profile", "--executor", "-e")}
    for name in sorted(asked & {"kubernetes", "slurm"}):
        if find_spec(f"{PLUGIN}{name}") is None:
            extra = {"slurm": "cluster"}.get(name, name)
            yield (
                f"{name}: its plugin for Snakemake is not installed; where the project lies, run"
                f" `.venv/bin/pip install -c constraints.txt --no-build-isolation -e '.[{extra}]'`"
            )
        elif name == "kubernetes" and not any(re.fullmatch(STARTS_NOTHING, w) for w in words):
            yield from _kubernetes()


def _kubernetes() -> Iterator[str]:
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    try:
        config.load_kube_config()
    except ConfigException as error:
        try:
            config.load_incluster_config()
        except ConfigException:
            yield (
                f"kubernetes: no cluster is known here, and this is no node of one ({error}); name the file that"
                " `kubectl` uses in KUBECONFIG, or start the coordinator in the cluster, with"
                " `kubectl apply -f profiles/kubernetes/coordinator.yaml`"
            )


@dataclass(frozen=True)
class Job:
    """What the jobs of a rule ask a cluster for, at most, in their first attempt."""

    rule: str  # as a profile names it
    cores: int
    memory_mb: int
    minutes: int
    gpus: int = 0
    model: str = ""  # of GPU, if only one will do


@dataclass(frozen=True)
class Nodes:
    """Nodes of a kind in a partition."""

    partition: str
    cores: int
    memory_mb: int
    minutes: int  # that a job may last
    models: frozenset[str] = frozenset()  # of GPUs, as Slurm calls them; "" where it does not


def most_of(nodes: Sequence[Nodes]) -> dict[str, int]:
    """The most that a node gives, of each of `ASKED`."""
    return {
        "cores": max(n.cores for n in nodes),
        "memory_mb": max(n.memory_mb for n in nodes),
        "minutes": max(n.minutes for n in nodes),
        "gpus": int(any(n.models for n in nodes)),
    }


def too_large(jobs: Iterable[Job], nodes: Sequence[Nodes]) -> Iterator[str]:
    """Say which jobs no node would ever take, with the line of the profile that changes it."""
    rules = defaultdict[str, list[Job]](list)
    for job in jobs:
        rules[job.rule].append(job)
    limits = most_of(nodes)
    models = {model for n in nodes for model in n.models}
    where = " and ".join(sorted({n.partition.rstrip("*") for n in nodes}))
    for rule, of_rule in rules.items():
        for what, limit in limits.items():
            if (wanted := max(getattr(job, what) for job in of_rule)) > limit:
                unit, line = ASKED[what]
                yield (
                    f"{rule} asks for {wanted} {unit}, and no node of the partition {where} gives more than"
                    f" {limit}: {SLURM} needs `{line.format(rule=rule, limit=limit)}` or another slurm_partition"
                )
        wanted_models = {job.model for job in of_rule if job.gpus}
        for model in sorted(wanted_models - models - {""}) if models else ():
            yield (
                f"{rule} asks for a GPU {model}, and the partition {where} has {sorted(models - {''}) or 'none with a name'}:"
                f" change `set-resources: {{{rule}: {{gpu_model: {model}}}}}` in {SLURM}, or take another slurm_partition"
            )


def slurm(
    jobs: Iterable[Job],
    partition: str | None,
    account: str | None,
    *,
    no_account: bool,
    status_command: str,
) -> Iterator[str]:
    """Say why jobs, by the options of the profile, would wait at this Slurm for ever, or not be taken.

    Without a partition they go to the cluster's own default. `no_account` has them name none. The command, `sacct` or
    `squeue`, is to tell what became of them.
    """
    try:
        nodes = nodes_there()
        accounts = "accounting_storage/none" not in _called("scontrol", "show", "config")
    except OSError as error:
        yield f"{error.filename} can not be called: take {SLURM} on a node that can submit jobs"
        return
    except subprocess.CalledProcessError as error:
        yield f"{error.cmd[0]} failed ({error.stderr.strip()}): Slurm does not answer; ask its administrators"
        return
    chosen = in_partition(nodes, partition)
    names = sorted({n.partition.rstrip("*") for n in nodes})
    if not chosen:
        which = f"no partition {partition}" if partition else "no default partition"
        yield f"there is {which}: slurm_partition in {SLURM} has to be one of {names}"
    else:
        yield from too_large(jobs, chosen)
    if not accounts and status_command == "sacct":
        yield f"this cluster keeps no accounts: {SLURM} needs `slurm-status-command: squeue`"
    if not accounts and not (account or no_account):
        yield f"this cluster keeps no accounts: {SLURM} needs `slurm-no-account: true`"
    if accounts and not no_account:
        ask = ["sacctmgr", "-n", "-P", "show", "assoc", "format=account", "where"]
        yours = sorted({*_called(*ask, f"user={getpass.getuser()}").split()})
        if not yours:
            yield f"Slurm knows no account of yours: slurm_account in {SLURM} has to name one"
        elif account and account.lower() not in yours:
            yield f"{account} is no account of yours: slurm_account in {SLURM} has to be one of {yours}"


def nodes_there() -> list[Nodes]:
    """Ask Slurm for its nodes."""
    return nodes_of(_called("sinfo", "-h", "-e", "-o", "%P|%c|%m|%l|%G"))


def in_partition(nodes: Iterable[Nodes], partition: str | None) -> list[Nodes]:
    """Those of a partition, or of the cluster's own default."""
    if partition is None:
        return [n for n in nodes if n.partition.endswith("*")]
    return [n for n in nodes if n.partition.rstrip("*") == partition]


def nodes_of(said: str) -> list[Nodes]:
    """Read what `sinfo` says of partitions."""
    found = []
    for line in said.splitlines():
        partition, *numbers, limit, gres = line.split("|")
        cores, memory_mb = (int(number.rstrip("+")) for number in numbers)
        # `gpu:a100:4(S:0-1)`, or `gpu:4` where they have no name
        models = frozenset(re.findall(r"(?:^|,)gpu(?::(?!\d+\b)([\w.]+))?", gres))
        found.append(Nodes(partition, cores, memory_mb, minutes_of(limit), models))
    return found


def minutes_of(limit: str) -> int:
    """Read a time limit of Slurm, `days-hours:minutes:seconds` or `infinite`, in minutes."""
    if not re.fullmatch(r"(\d+-)?\d+(:\d+)*", limit):
        return FOREVER
    days, _, rest = limit.rpartition("-")
    hours, minutes, _ = ([0, 0, 0] + [int(n) for n in rest.split(":")])[-3:]
    return 1440 * int(days or 0) + 60 * hours + minutes


def _called(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
