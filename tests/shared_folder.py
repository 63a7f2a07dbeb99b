"""Pods whose containers share a folder of the node, which outlives them, at the same path at both kinds of sites."""

from typing import Any

from tests.pods import Json, pod, sh
from tests.serving import Serving, wait_until
from tests.vk import Watched


def with_folder(*containers: Json, init: tuple[Json, ...] = (), **spec: Any) -> Json:
    """Each container finds the folder in $DIR; what it is to the node, `folder_of` says."""
    a_pod = pod(*containers, **spec)
    folder = folder_of(a_pod)
    a_pod["spec"]["volumes"] = [{"name": "dir", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}}]
    if init:
        a_pod["spec"]["initContainers"] = list(init)
    for each in (*init, *containers):
        each["env"] = [*each.get("env", []), {"name": "DIR", "value": folder}]
        each["volumeMounts"] = [{"name": "dir", "mountPath": folder}]
    return a_pod


def folder_of(a_pod: Json) -> str:
    return f"/tmp/{a_pod['metadata']['uid']}"


def in_folder(served: Serving, a_pod: Json, name: str) -> str:
    """A file's content; empty where it is not there."""
    return served.site.exec(f"cat {folder_of(a_pod)}/{name} 2>/dev/null || true")


def until_in_folder(served: Serving, a_pod: Json, name: str) -> None:
    wait_until(lambda: served.site.exec(f"ls {folder_of(a_pod)}/{name} 2>/dev/null || true"), f"{name} is there")


# What a container waits for that ends, or goes on, when its test says so with `go_on`
TOLD = "until [ -e $DIR/go ]; do sleep 0.1; done"


def held(script: str, **spec: Any) -> Json:
    """A pod of one container that runs until `go_on`, and then this."""
    return with_folder(sh("c", f"touch $DIR/up; {TOLD}; {script}"), **spec)


def until_up(served: Serving, held: Watched) -> Watched:
    """Wait until its container runs: a running pod's runtime may still be starting it, for which it writes files."""
    until_in_folder(served, held.pod, "up")
    return held.until_running("c")


def go_on(served: Serving, *pods: Json) -> None:
    served.site.exec("touch " + " ".join(f"{folder_of(each)}/go" for each in pods))


def execute(script: str) -> Json:
    """The exec action of a probe or a hook."""
    return {"exec": {"command": ["/bin/sh", "-c", script]}}
