"""Pods as interLink sends them, each with a UID of its own."""

import json
import uuid
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent / "payloads"

Json = dict[str, Any]


def payload(name: str) -> Any:
    """A request body of tests/payloads/, with a fresh UID in place of its pod's."""
    text = (PAYLOADS / name).read_text()
    body = json.loads(text)
    request = body[0] if isinstance(body, list) else body
    return json.loads(text.replace(request["pod"]["metadata"]["uid"], str(uuid.uuid4())))


def sh(name: str, script: str, **keys: Any) -> Json:
    """A container that runs a script of the plainest shell: in the busybox image, or on the node itself."""
    return {"name": name, "image": "busybox", "command": ["/bin/sh", "-c"], "args": [literal(script)], **keys}


def literal(text: str) -> str:
    """An argument that arrives as `text`: Kubernetes makes one `$` of two."""
    return text.replace("$$", "$$$$")


def pod(*containers: Json, name: str = "", flags: str = "", **spec: Any) -> Json:
    """A v1.Pod of these containers; further keys go into its spec."""
    uid = str(uuid.uuid4())
    return {
        "metadata": {
            "name": name or f"pod-{uid[:8]}",
            "namespace": "default",
            "uid": uid,
            "creationTimestamp": "2026-07-14T09:46:00Z",
            "annotations": {"slurm-job.vk.io/flags": f"--mem=10M {flags}"},
        },
        "spec": {"containers": list(containers), "restartPolicy": "Never", "terminationGracePeriodSeconds": 30, **spec},
        "status": {"phase": "Pending"},
    }


def request(a_pod: Json, **data: Any) -> Json:
    """The body of create; `data` (configMaps, secrets, projectedvolumemaps) comes with each container."""
    nothing = {"configMaps": None, "projectedvolumemaps": None, "secrets": None, "emptyDirs": None}
    spec = a_pod["spec"]
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    return {"pod": a_pod, "container": [{"name": each["name"], **nothing, **data} for each in containers]}


def key(a_pod: Json) -> str:
    """The name of the pod's folder at the site."""
    return f"{a_pod['metadata']['namespace']}-{a_pod['metadata']['uid']}"
