"""All pods at the site, as `remote-slurm status` shows them: also those that another sidecar has submitted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm import Job, JobState, Phase
from remote_slurm.errors import RemoteFailed
from remote_slurm.remote.listing import Listed
from remote_slurm.service.entries import Entry
from remote_slurm.service.poller import NOT_YET, Poller

FIRST_LOOK_SECONDS = 80  # squeue has 75
_LOOK_AGAIN = 0.05


def address(config: Config) -> str:
    """Which account and folder the pods are of: tells sidecars of different sites apart."""
    ssh = config.ssh
    return f"{ssh.user}@{','.join(ssh.host_names)}:{ssh.port}/{config.data_root_folder.lstrip('/')}"


async def looked(poller: Poller) -> None:
    """Return once the queue has been seen. Raises RemoteFailed with the reason where it cannot be."""
    until = time.monotonic() + FIRST_LOOK_SECONDS
    while poller.last_success is None:
        if poller.error != NOT_YET or time.monotonic() > until:
            raise RemoteFailed(poller.error)
        await asyncio.sleep(_LOOK_AGAIN)


def by_pod(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Usually one each; the fence ends the others."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.pod, []).append(job)
    return groups


def summary(listed: Listed, entry: Entry | None, jobs: list[Job]) -> dict[str, Any]:
    """One pod as JSON: folder, name, job, state and reason, age, and how each container stands.

    `jobs` are those of the last squeue that have the pod's script.
    """
    job = _job(listed, entry, jobs)
    records = {record.container: record for record in listed.records}
    containers = listed.containers
    if entry is not None and entry.standing is not None:  # the job's comment knows more than the folder
        records |= entry.records
        if not containers:  # none are listed where the script is packed
            containers = tuple(records)
    names = (*listed.init_containers, *containers)
    state, reason = state_and_reason(job, entry, [records.get(name) for name in names])
    return {
        "pod": listed.pod,
        "name": listed.name,
        "jobId": job.id if job else listed.job_id,
        "state": state,
        "reason": reason,
        "ageSeconds": listed.age,
        "graceSeconds": listed.grace_seconds,
        "initContainers": [container_state(name, records.get(name)) for name in listed.init_containers],
        "containers": [container_state(name, records.get(name)) for name in containers],
    }


def _job(listed: Listed, entry: Entry | None, jobs: list[Job]) -> Job | None:
    recorded = [job for job in jobs if job.id == listed.job_id]
    alive = [job for job in jobs if job.state.phase is not Phase.ENDED]
    submitted_since = [entry.job] if entry and entry.job and entry.missing_since is None else []
    return next(iter([*recorded, *alive, *submitted_since, *jobs]), None)


def state_and_reason(job: Job | None, entry: Entry | None, records: list[Record | None]) -> tuple[str, str]:
    """One of Slurm's states, or SUBMITTING, or ENDED where the records alone say that it is over; and why."""
    if entry is not None and entry.failure:
        return JobState.FAILED.value, entry.failure
    if job is not None and job.state is not JobState.UNKNOWN:
        return job.state.value, "" if job.reason == "None" else job.reason
    if records and all(record and record.phase is ContainerPhase.TERMINATED for record in records):
        return "ENDED", ""
    if entry is not None and not entry.job_id:
        return "SUBMITTING", entry.waiting
    return JobState.UNKNOWN.value, "squeue does not list its job"


def container_state(name: str, record: Record | None) -> dict[str, Any]:
    """As JSON, times in seconds since 1970."""
    if record is None:
        return {"name": name, "state": "waiting"}
    state: dict[str, Any] = {"name": name, "state": record.phase.value, "startedAt": record.started}
    if record.restarts:
        state["restarts"] = record.restarts
    if record.phase is ContainerPhase.WAITING:
        state |= {"reason": record.reason, "message": record.message}
    if record.phase is ContainerPhase.TERMINATED:
        state |= {"exitCode": record.exit_code, "finishedAt": record.finished, "message": record.message}
    return state
