"""What a pod asks of Slurm, as Slurm has understood it."""

import re
from collections.abc import Iterator

import pytest

from tests.pods import Json, pod, request, sh
from tests.serving import Serving
from tests.sidecar import Sidecar
from tests.sites import Site
from tests.vk import Watched

pytestmark = pytest.mark.xdist_group("resources")  # its pods run once, side by side

FLAGS = "slurm-job.vk.io/flags"
KEYS: Json = {
    "Flavors": {
        "small": {"CPUDefault": 3, "MemoryDefault": "300Mi", "SlurmFlags": ["--time=7", "--comment=small"]},
        "one-gpu": {"SlurmFlags": ["--gres=gpu:1 --time=8"]},
        "two-gpus": {"SlurmFlags": ["--gres=gpu:2", "--time=9", "--comment=two"]},
    },
    "DefaultFlavor": "small",
    "ResourceFlags": {"ephemeral-storage": "--tmp={mib}", "example.com/licence": "--comment=licences-{count}"},
}


def asking(limits: Json, annotations: dict[str, str] | None = None, **keys: object) -> Json:
    """A pod whose only container has these limits."""
    a_pod = pod(sh("c", "true", resources={"limits": limits}), **keys)
    a_pod["metadata"]["annotations"] = annotations or {}
    return a_pod


PODS = {
    # the first example of the reference plugin's README, and the limits of the second
    "reference": asking(
        {"memory": "100Mi", "cpu": 2},
        {"slurm-job.knoc.io/flags": "--job-name=test-pod-cfg -t 2800  --ntasks=8 --nodes=1 --mem-per-cpu=2000"},
    ),
    "reference-host-path": asking(
        {"memory": "8G", "cpu": "2"}, {"slurm-job.knoc.io/flags": "--job-name=test-pod", FLAGS: ""}
    ),
    "nothing": asking({}),
    "named": asking({"cpu": "1500m"}, {"slurm-job.vk.io/flavor": "two-gpus", FLAGS: "--time=6"}),
    "gpus": asking({"nvidia.com/gpu": "2", "memory": "50Mi"}),
    "storage": asking({"ephemeral-storage": "10Mi", "memory": "50Mi"}),
    "licence": asking({"example.com/licence": "2", "memory": "50Mi"}),
    "deadline": asking({"memory": "50Mi"}, activeDeadlineSeconds=61),
    "init": pod(
        sh("a", "true", resources={"limits": {"cpu": "1"}, "requests": {"memory": "20Mi"}}),
        sh("b", "true", resources={"limits": {"cpu": "1", "memory": "30Mi"}}),
        initContainers=[sh("i", "true", resources={"limits": {"cpu": "5", "memory": "10Mi"}})],
    ),
}


@pytest.fixture(scope="module")
def jobs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """Pod -> what `scontrol show job` says of its job."""
    config = site.config(tmp_path_factory.mktemp("resources"), **KEYS)
    served = Serving(site, config, Sidecar(config))
    running = {name: served.vk.create(request(body)) for name, body in PODS.items()}
    yield {name: shown(site, watched) for name, watched in running.items()}
    for watched in running.values():
        watched.delete()
    assert served.sidecar.stop() == 0
    assert "Traceback" not in served.sidecar.log


def shown(site: Site, watched: Watched) -> dict[str, str]:
    return dict(re.findall(r"(\S+?)=(\S+)", site.exec(f"scontrol show job {watched.job}")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "reference",
            {"JobName": "test-pod-cfg", "TimeLimit": "1-22:40:00", "NumTasks": "8", "CPUs/Task": "2"}
            | {"MinMemoryNode": "100M"},
        ),
        ("reference-host-path", {"JobName": "test-pod", "CPUs/Task": "2", "MinMemoryNode": "7630M"}),
        ("nothing", {"CPUs/Task": "3", "MinMemoryNode": "300M", "TimeLimit": "00:07:00", "Comment": "small"}),
        ("named", {"CPUs/Task": "2", "TimeLimit": "00:06:00", "TresPerNode": "gres/gpu:2", "Comment": "two"}),
        ("gpus", {"TresPerNode": "gres/gpu:2", "TimeLimit": "00:09:00", "MinMemoryNode": "50M"}),
        ("storage", {"MinTmpDiskNode": "10M", "MinMemoryNode": "50M"}),
        ("licence", {"Comment": "licences-2"}),
        ("deadline", {"TimeLimit": "00:02:00"}),
        ("init", {"CPUs/Task": "5", "MinMemoryNode": "50M", "Requeue": "0"}),
    ],
)
def test_slurm_has_understood(jobs: dict[str, dict[str, str]], name: str, expected: dict[str, str]) -> None:
    assert {key: jobs[name].get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [("--bogus", "unrecognized option '--bogus'"), ("--time=soon", "Invalid --time specification")],
)
def test_a_flag_that_sbatch_cannot_take_is_refused_in_its_words(served: Serving, flags: str, words: str) -> None:
    refused = served.vk.refused(request(pod(sh("c", "true"), flags=flags)))
    assert (refused.status, words in refused.text) == (422, True)
