"""job.sh and what follows it, as text that people read: golden files, which `GOLDEN=write pytest` writes anew."""

import json
import os
import re
import tarfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from remote_slurm import __version__
from remote_slurm.domain.plan.file_transfer import SHARED_SCRIPTS
from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.script import SOURCES, job_files, payload, render_job
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.job import SCRIPTS
from tests.domain.podspec import ALL_ANNOTATIONS, config, container, plan, pod

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = 'it\'s $HOME `id` "quoted"\n\\ end'

PLAIN = pod(container("main", "echo", "hello world", resources={"limits": {"cpu": "2", "memory": "100Mi"}}))
VOLUMES = pod(
    container(
        "main",
        "/entry",
        args=["--data", "/data"],
        env=[{"name": "GREETING", "value": HOSTILE}, {"name": "discovery.type", "value": "single-node"}],
        workingDir="/work",
        volumeMounts=[
            {"name": "work", "mountPath": "/work", "subPath": "sub folder"},
            {"name": "memory", "mountPath": "/memory"},
            {"name": "host", "mountPath": "/host", "readOnly": True},
            {"name": "claim", "mountPath": "/claim"},
        ],
    ),
    container("side", "sleep", "60"),
    initContainers=[container("first", "sh", "-c", HOSTILE)],
    volumes=[
        {"name": "work", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "host", "hostPath": {"path": "/data/foo", "type": "DirectoryOrCreate"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "results"}},
    ],
    activeDeadlineSeconds=90,
    securityContext={"runAsUser": 1000},
)
ANNOTATED = pod(
    container("main", "./simulate", HOSTILE),
    annotations={
        "slurm-job.vk.io/flags": "--ntasks=4 --nodes=2 -t 60",
        "slurm-job.vk.io/pre-exec": "module load mpi\n",
        "slurm-job.vk.io/mpi-flags": "--bind-to core --mca btl ^openib",
        "slurm-job.vk.io/singularity-commands": "nice -n 5",
        "slurm-job.knoc.io/singularity-options": "--nv --home '/home/it s'",
        "slurm-job.vk.io/singularity-mounts": "--bind /opt:/opt",
        "slurm-job.vk.io/image-root": "/images/",
        "slurm-job.vk.io/job-workdir": "/scratch/project",
        "interlink.eu/pod-ip": "10.7.0.2",
    },
)
GPUS = pod(
    container("nvidia", resources={"limits": {"nvidia.com/gpu": "2"}}),
    container("none", resources={"limits": {"nvidia.com/gpu": 0}}),
    # the image's own entry point, behind a name that no shell can hold
    container("entry", args=["--help"], env=[{"name": "a.b", "value": "c"}]) | {"command": None},
)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "volumes": (VOLUMES, {"PersistentVolumeClaims": {"*": "/claims/{namespace}/{claim}"}, "DefaultMemory": "1Gi"}),
    "gpus": (GPUS, {"DefaultMemory": "none", "ContainerRuntime": "apptainer"}),
    "annotated": (ANNOTATED, {"DefaultMemory": "none", "CommandPrefix": "module load apptainer"}),
    "podman": (VOLUMES, {"PersistentVolumeClaims": {"*": "/claims/{claim}"}, "ContainerRuntime": "podman"}),
    "enroot": (
        VOLUMES,
        {
            "PersistentVolumeClaims": {"*": "/claims/{claim}"},
            "ContainerRuntime": "enroot",
            "ImagePull": "login",
            "ImageCacheFolder": "/scratch/images",
        },
    ),
    "apart": (PLAIN, {"SHARED_FS": False}),
    "on-the-node": (ANNOTATED, {"DefaultMemory": "none", "ContainerRuntime": "none", "BashPath": "/usr/bin/bash"}),
}


def rendered(case: str) -> str:
    body, settings = CASES[case]
    files = job_files(plan(body, settings=settings), SCRIPTS)
    texts = [(file.content or b"").decode() for file in files if file.path in ("job.sh", "containers.sh")]
    text = "\n# --- containers.sh\n".join(texts).replace(f"remote-slurm {__version__}", "remote-slurm")
    return re.sub(r"/[0-9a-f]{64}\n", "/SHA256\n", text)


@pytest.mark.parametrize("case", CASES)
def test_the_scripts_are_these(case: str) -> None:
    golden = GOLDEN / f"{case}.job"
    text = rendered(case)
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize(
    ("runtime", "vendor", "words"),
    [
        ("podman", "nvidia.com", "--device=nvidia.com/gpu=all --env=CUDA_VISIBLE_DEVICES"),
        ("podman-hpc", "nvidia.com", "--gpu --env=CUDA_VISIBLE_DEVICES"),
        ("podman", "amd.com",
         "--device=/dev/kfd --device=/dev/dri --group-add=keep-groups --env=ROCR_VISIBLE_DEVICES"),
    ],
)  # fmt: skip
def test_podman_passes_on_the_variable_of_the_jobs_gpus(runtime: str, vendor: str, words: str) -> None:
    body = pod(container("a", resources={"limits": {f"{vendor}/gpu": 1}}), container("b"))
    text = render_job(plan(body, settings={"ContainerRuntime": runtime})).partition(SOURCES)[2]
    assert text.count(f" {words}") == 1
    assert text.count("_VISIBLE_DEVICES") == 1


@pytest.mark.parametrize("vendor", ["nvidia.com", "amd.com"])
def test_enroot_gets_the_jobs_gpus(vendor: str) -> None:
    body = pod(container("a", resources={"limits": {f"{vendor}/gpu": 1}}), container("b"))
    text = render_job(plan(body, settings={"ContainerRuntime": "enroot"}))
    assert text.count('"${gpu_words[@]}"') == 1
    assert text.index("\ngpus\n") < text.index("gpu_words")


def test_a_container_gets_the_gpus_of_the_vendor_that_it_asks_for() -> None:
    text = render_job(plan(pod(container("a", resources={"limits": {"amd.com/gpu": 1}}), container("b"))))
    assert text.count("--rocm") == 1
    assert "--nv" not in text
    assert "#SBATCH --gres=gpu:1\n" in text


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("plain", ["job.sh", "runtime.sh", "images"]),
        ("apart", ["job.sh", "runner.sh", "pull.sh", "runtime.sh", "images"]),
        ("enroot", ["job.sh", "runtime.sh", "images", "images.first"]),
        ("annotated", ["job.sh", "containers.sh"]),
    ],
)
def test_what_travels_with_them(case: str, names: list[str]) -> None:
    body, settings = CASES[case]
    files = job_files(plan(body, settings=settings), SCRIPTS)
    assert {file.path for file in files if "/" not in file.path} == {*names}


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("plain", ["environment", "runner", "pull"]),
        ("apart", []),
        ("enroot", ["environment", "runner", "pull", "mounts"]),
        ("annotated", ["environment", "runner", "rank"]),
    ],
)
def test_what_a_pod_shares_with_others_has_its_sum_as_its_name(case: str, names: list[str]) -> None:
    body, settings = CASES[case]
    sent = payload(plan(body, settings=settings), SCRIPTS)
    assert [*sent.scripts] == [f"{name}.sh" for name in names]
    with tarfile.open(fileobj=BytesIO(sent.archive), mode="r:gz", ignore_zeros=True) as tar:
        job = tar.extractfile(f"{sent.pod}/job.sh")
        assert job
        text = job.read().decode()
    texts = b"".join(text for _, text in sorted(sent.scripts.items()))
    assert sent.library == (sha256(texts).hexdigest() if names else "")
    assert text.count(f"\nlib=../.remote-slurm/lib/{sent.library}\n") == bool(names)
    assert SHARED_SCRIPTS not in text


def test_a_script_in_the_request_takes_the_place_of_all_containers() -> None:
    volumes = {"PersistentVolumeClaims": {"*": "/claims/{claim}"}}
    asked = CreateRequest.parse({"pod": VOLUMES, "container": [], "jobScript": "#!/bin/sh\nexit 3\n"})
    planned = plan_job(asked, config(Policy=ALL_ANNOTATIONS, **volumes))
    text = render_job(planned)
    assert "apptainer" not in text
    assert "singularity" not in text
    assert "init_container first \\\n    true\n" in text
    assert "container main \\\n    job_script main side\n" in text
    assert "container side \\\n    with_job_script side\n" in text
    script = next(file for file in planned.files if file.path == "secret/job-script.sh")
    assert (script.content, script.mode) == (b"#!/bin/sh\nexit 3\n", 0o700)


def test_the_description_of_a_pod_is_one_comment_line_without_its_values() -> None:
    body = pod(
        container(
            "main", "sh", "-c", HOSTILE + "\r\n#SBATCH --exclusive\u2028", env=[{"name": "TOKEN", "value": "s3cret"}]
        ),
        annotations={
            "interlink.eu/wstunnel-client-commands": "wstunnel --token t0ken",
            "slurm-job.vk.io/flags": "-t 5",
        },
    )
    body["metadata"]["labels"] = {"app": "train", "evil": "x" * 64, "line": "a\n#SBATCH -H"}
    text = render_job(plan(body, settings={"DefaultMemory": "none"}))
    (labels,) = [line for line in text.splitlines() if line.startswith("# Labels: ")]
    (spec,) = [line for line in text.splitlines() if line.startswith("# Spec: ")]
    assert json.loads(labels.removeprefix("# Labels: ")) == {"app": "train", "line": "a\n#SBATCH -H"}
    described = json.loads(spec.removeprefix("# Spec: "))
    assert described["containers"][0]["env"] == ["TOKEN"]
    assert described["annotations"]["slurm-job.vk.io/flags"] == "-t 5"
    assert not any(secret in spec for secret in ("s3cret", "t0ken"))
    assert "#SBATCH --exclusive" not in text.partition("\n\n")[0].splitlines()


def test_a_long_description_is_cut() -> None:
    containers = [container(f"c{number}", "sh", "-c", "x" * 5000, *["y"] * 200) for number in range(100)]
    text = render_job(plan(pod(*containers), settings={"DefaultMemory": "none"}))
    (spec,) = [line for line in text.splitlines() if line.startswith("# Spec: ")]
    assert len(spec) < 17000
    assert json.loads(spec.removeprefix("# Spec: "))["containers"][0]["name"] == "c0"


@pytest.mark.parametrize(("flags", "sets_chdir"), [("--time=60", False), ("--time=60 -D /scratch", True)])
def test_the_payload_says_whether_flags_set_the_working_folder(flags: str, *, sets_chdir: bool) -> None:
    with_flags = pod(container("main", "true"), annotations={"slurm-job.vk.io/flags": flags})
    assert payload(plan(with_flags), SCRIPTS).sets_chdir is sets_chdir
