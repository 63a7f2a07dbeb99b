"""How a person names a pod at the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from remote_slurm.domain.pod.folder_name import namespace_of, split_key
from remote_slurm.errors import InvalidRequest

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

POD = """\
POD is a file, NAMESPACE/NAME, NAMESPACE/UID, the name of one pod only, or the name of its folder as printed by
`remote-slurm status`."""


def the_pod(overview: Json, named: str, namespace: str = "") -> Json:
    """The one pod that is meant. Raises InvalidRequest where there is none, or more than one."""
    found = matching(overview, named, namespace)
    if not found:
        raise InvalidRequest(f"{absent(overview, named, namespace)}: `remote-slurm status` lists the pods")
    if len(found) > 1:
        folders = ", ".join(each["pod"] for each in found)
        raise InvalidRequest(
            f"'{named}' is the name of {len(found)} pods: use --namespace, or the folder of one of them: {folders}"
        )
    return found[0]


def absent(overview: Json, named: str, namespace: str = "") -> str:
    """That there is no such pod."""
    where = f"in namespace '{namespace}' " if namespace and "/" not in named else ""
    return f"there is no pod '{named}' {where}at {overview['site']}"


def matching(overview: Json, named: str, namespace: str = "") -> list[Json]:
    """Folder and UID name one pod at most; a name may be that of several. `namespace` is for names without one."""
    pods: list[Json] = overview["pods"]
    if namespace and "/" not in named:
        pods = [each for each in pods if namespace_of(each["pod"]) == namespace]
    exactly = [each for each in pods if named in (each["pod"], uid(each), f"{namespace_of(each['pod'])}/{uid(each)}")]
    return exactly or [each for each in pods if named in (each["name"], each["name"].partition("/")[2])]


def uid(pod: Json) -> str:
    found = split_key(pod["pod"])
    return found[1] if found else ""


def as_kubernetes(pod: Json, grace_period: int | None = None) -> Json:
    """As much of a v1.Pod as delete and getLogs want; `grace_period` in seconds is the delete's own."""
    metadata: Json = {"name": pod["name"].partition("/")[2], "namespace": namespace_of(pod["pod"]), "uid": uid(pod)}
    if grace_period is not None:
        metadata["deletionGracePeriodSeconds"] = grace_period
    return {"metadata": metadata, "spec": {"terminationGracePeriodSeconds": pod["graceSeconds"]}}


def named_in(argument: str, namespace: str = "") -> str:
    """A file's pod by its namespace and name, or by its UID where the file has one; else the argument itself.

    `namespace` is that of a file that has none. Raises InvalidRequest if the file has another one, as kubectl does.
    """
    path = Path(argument)
    if path.suffix not in {".yaml", ".yml", ".json"}:
        return argument
    from remote_slurm.cli.documents import read_documents  # not above: a shadow pod has little memory

    metadata = read_documents(path, namespace).pod.get("metadata") or {}
    own = metadata.get("namespace", "default")
    return f"{own}/{metadata.get('uid') or metadata.get('name')}"
