"""Pods as interLink's JSON has them, and configurations, with only what a test is about."""

from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.plan.job_plan import JobPlan, plan_job
from remote_slurm.domain.pod.model import CreateRequest

UID = "6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"
ALL_ANNOTATIONS = {"AllowedAnnotations": ["*"]}
_COMPLETE = {"SSH": {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}}


def config(**keys: Any) -> Config:
    """Keys as SlurmConfig.yaml spells them."""
    return Config.model_validate({**_COMPLETE, "StateFolder": "/var/lib/remote-slurm", **keys})


def container(name: str = "main", *command: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": list(command) or ["true"], **fields}


def pod(*containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "hello", "namespace": "default", "uid": UID, "annotations": annotations},
        "spec": {"containers": list(containers or [container()]), "restartPolicy": "Never", **spec},
    }


def request(body: dict[str, Any], **data: Any) -> CreateRequest:
    """`data` is what the Virtual Kubelet fetched for the pod's containers: configMaps, secrets, ..."""
    return CreateRequest.parse({"pod": body, "container": [{"name": "main", **data}]})


def plan(body: dict[str, Any], *, settings: dict[str, Any] | None = None, **data: Any) -> JobPlan:
    return plan_job(request(body, **data), config(**({"Policy": ALL_ANNOTATIONS} | (settings or {}))))


def flag_lines(body: dict[str, Any], **settings: Any) -> list[str]:
    """The `#SBATCH` lines of a pod's job, without their first word."""
    return [flag.line().removeprefix("#SBATCH ") for flag in plan(body, settings=settings).flags]
