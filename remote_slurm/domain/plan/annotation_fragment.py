"""What the annotations of a pod add to its job besides flags, mounts and options."""

from __future__ import annotations

from collections.abc import Iterator

from remote_slurm.domain.plan.annotations import Annotations
from remote_slurm.domain.plan.fragment import PlanFragment
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.volumes import Volumes
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call


def annotation_fragment(annotations: Annotations, job_script: str, volumes: Volumes, runtime: Runtime) -> PlanFragment:
    return PlanFragment(
        files=tuple(_scripts(annotations, job_script)),
        calls=_workdir_calls(annotations, volumes),
        warnings=(*annotations.warnings, *(() if runtime.starts_containers else _without_effect(annotations, volumes))),
    )


def _scripts(annotations: Annotations, job_script: str) -> Iterator[File]:
    """The pod's own shell. It may contain keys, as the Virtual Kubelet's mesh script does."""
    texts = {
        "secret/pre-exec.sh": annotations.pre_exec,
        "secret/wireguard.conf": annotations.wireguard,
        "secret/job-script.sh": job_script,
    }
    return (File(path, text.encode(), 0o700) for path, text in texts.items() if text)


def _workdir_calls(annotations: Annotations, volumes: Volumes) -> tuple[Call, ...]:
    if not annotations.workdir:
        return ()
    return (("job_workdir", annotations.workdir, "keep" if annotations.keep_workdir else "", *volumes.on_disk),)


def _without_effect(annotations: Annotations, volumes: Volumes) -> Iterator[str]:
    for name in annotations.for_runtimes:
        yield f"annotation {name} has no effect with ContainerRuntime: none"
    if volumes.collected:
        yield ("ContainerRuntime: none mounts nothing: volumes are in the folder of the job, not at their mountPath")
