"""The templates of Kubernetes: the commands of their containers, run with the variables of their pods."""

from __future__ import annotations

import shutil

import pytest
import yaml
from conftest import ROOT
from schedulers import SHARDS, began, compare_with_one_job, environment_of, run

FOLDER = ROOT / "examples/distributed/kubernetes"


@pytest.fixture
def source(tmp_path, photographs):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs[:20]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(photographs[0].read_bytes()[:500])
    return folder


def job_of(name):
    job = yaml.safe_load((FOLDER / name).read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    return job


def container_of(job):
    """The command of the only container, and the names of the variables that its pod has."""
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert all(isinstance(value, str) for value in variables.values()), "Kubernetes takes text alone"
    return [*container["command"], *container["args"]], variables


def of_pod(environment, variables):
    """Only what the pod has reaches the command."""
    others = {"SOURCE", "MODEL", "OUTPUT", "SHARDS", "EMBED_OPTIONS", "MERGE_OPTIONS"} - set(variables)
    return {name: value for name, value in environment.items() if name not in others}


def test_the_fields_of_the_indexed_job():
    """They are those that Kubernetes asks for where each index has its own count of failures."""
    job = job_of("embed.yaml")
    spec, (command, variables) = job["spec"], container_of(job)
    assert spec["completionMode"] == "Indexed" and spec["backoffLimitPerIndex"] > 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert int(variables["SHARDS"]) == spec["completions"] >= spec["parallelism"]
    names = {
        rule["onExitCodes"]["containerName"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    }
    assert names == {spec["template"]["spec"]["containers"][0]["name"]}
    assert command[:2] == ["sh", "-euc"] and len(command) == 3
    _, merging = container_of(job_of("merge.yaml"))
    assert merging["OUTPUT"] == variables["OUTPUT"]


def test_the_commands_of_the_containers(tmp_path, graph, source):
    """A pod is killed, and the one after it has the same index. A wrong option is the status that ends the Job."""
    embed, variables = container_of(job_of("embed.yaml"))
    environment = environment_of(tmp_path, graph, source)
    pod = of_pod(environment, variables)
    assert run(embed, {**pod, "EMBED_OPTIONS": "--sise 224"}, JOB_COMPLETION_INDEX=0)[0] == 2
    assert run(embed, pod, JOB_COMPLETION_INDEX=2, KILL_AFTER=6)[0] < 0
    for index in range(SHARDS):
        assert run(embed, pod, JOB_COMPLETION_INDEX=index)[0] == 0
    runs = began(tmp_path)
    assert [shard for shard, _ in runs] == [2, 0, 1, 2] and runs[0][1] == 0 < runs[-1][1]
    merge, variables = container_of(job_of("merge.yaml"))
    assert run(merge, of_pod(environment, variables))[0] == 0
    compare_with_one_job(tmp_path, graph, source)
