"""The forms that a Kubernetes cluster would be given, against its schema. No cluster is asked."""

import json
import os
import sys

import pytest
import yaml

from tests.conftest import ROOT, make_project

validate = pytest.importorskip("kubernetes_validate").validate
PROFILE = ROOT / "profiles/kubernetes"
VERSION = "1.31"


def test_what_the_coordinator_needs_is_of_the_schema():
    forms = list(yaml.safe_load_all((PROFILE / "coordinator.yaml").read_text()))
    for form in forms:
        validate(form, VERSION, strict=True)
    assert [form["kind"] for form in forms][-1] == "Job"


def rendered(folder, *options):
    """The first job that Snakemake would create, and none is created: in a fork, which has Kubernetes's client replaced."""
    import kubernetes
    import snakemake.cli

    form = folder / "job.json"
    if process := os.fork():
        os.waitpid(process, 0)
        return json.loads(form.read_text())

    def create(_, namespace, body):
        form.write_text(json.dumps(kubernetes.client.ApiClient().sanitize_for_serialization(body)))
        os._exit(0)

    try:
        kubernetes.config.load_kube_config = lambda: None
        kubernetes.client.CoreV1Api.create_namespaced_secret = lambda *_, **__: None
        kubernetes.client.BatchV1Api.create_namespaced_job = create
        with (folder / "said").open("w") as sys.stdout:
            sys.stderr = sys.stdout
            os.dup2(sys.stdout.fileno(), 2)
            os.chdir(folder)
            snakemake.cli.main(
                ["--snakefile", str(ROOT / "Snakefile"), "--profile", str(PROFILE), *options]
            )
    finally:
        os._exit(1)


def test_a_job_is_of_the_schema_and_asks_for_what_the_profile_says(tmp_path):
    pytest.importorskip("snakemake_executor_plugin_kubernetes")
    make_project(tmp_path)
    form = rendered(
        tmp_path, "--default-storage-prefix", str(tmp_path / "store"), "--set-threads", "prepare=3",
        "--set-resources", "prepare_nvgesture:gpu=1", "prepare_nvgesture:gpu_manufacturer=nvidia",
        "--until", "prepare_nvgesture", "--config", f"params={tmp_path / 'params.yaml'}",
    )  # fmt: skip
    of_its_address = {"apiVersion": "batch/v1", "kind": "Job"}
    validate(of_its_address | form, VERSION, strict=True)
    (container,) = form["spec"]["template"]["spec"]["containers"]
    asked = container["resources"]["requests"]
    assert (asked["cpu"], asked["memory"], asked["nvidia.com/gpu"]) == ("2849m", "3100M", "1")
    assert {"name": "equimodal", "mountPath": "/store"} in container["volumeMounts"]
