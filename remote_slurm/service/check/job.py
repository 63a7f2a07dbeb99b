"""The last check: a small real job that looks from a compute node, submitted as every pod is."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.domain.shell import assignments
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.job import CHECK_NODE
from remote_slurm.service.check.findings import Finding
from remote_slurm.service.check.ports import PORTS, check_ports
from remote_slurm.service.check.submission import without_rules
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from remote_slurm.site.reply import Reply
from remote_slurm.site.site import Site

JOB = "job"
NODE = ("node: folder", "node: runtime", "node: namespaces", "node: HTTP client", PORTS)

_NEEDS_JOB = f"not checked: needs {JOB}"
_COPY = "; the site's sbatch submits a copy of the script, so that only the job id connects a job to its pod"
_COPY_REMEDY = (
    "set SbatchPath to Slurm's own sbatch if the site allows it: a job whose id is lost cannot be found by its script"
)

_CONTAINER = "check"
_LOOK_SECONDS = 0.2
_CLEAN_UP_SECONDS = 60.0
# For which the job goes on after the check of its node, if ports are forwarded; less than its time limit
_FOR_PORTS_SECONDS = 240


@dataclass(frozen=True, slots=True)
class JobOptions:
    """`flags` are sbatch's; `timeout` is how many seconds the job may take to start and end."""

    flags: str
    timeout: float


@dataclass(frozen=True, slots=True)
class _Outcome:
    seconds: float
    exit_code: int
    message: str
    log: str
    is_copy: bool


class _Failed(Exception):
    def __init__(self, message: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(message)


async def check_from_a_node(site: Site, config: Config, options: JobOptions) -> AsyncGenerator[Finding, None]:
    """JOB, then each of NODE. The job and its folder are gone afterwards, whatever happens."""
    pods = Pods(site, without_rules(config), Journal(config.state_folder))
    request = _request(config, options)
    pods.start()
    try:
        outcome = await _outcome(pods, request, options, config)
    except _Failed as error:
        yield Finding(JOB, ok=False, message=str(error), remedy=error.remedy)
        for name in NODE:
            yield Finding(name, None, _NEEDS_JOB)
    else:
        findings = _findings(outcome, config)
        for finding in findings:
            yield finding
        yield await _ports(pods, request, config) if findings[0].ok else Finding(PORTS, None, _NEEDS_JOB)
    finally:
        await _clean_up(pods, request)
        await pods.stop()


async def _outcome(pods: Pods, request: CreateRequest, options: JobOptions, config: Config) -> _Outcome:
    began = time.monotonic()
    flags = "give what the site wants by --flags, such as --flags='--partition=NAME --account=NAME'"
    try:
        await pods.create(request)
        ended = await _end(pods, request, began + options.timeout)
    except RemoteSlurmError as error:
        raise _Failed(" ".join(str(error).split()), flags) from error
    except TimeoutError as error:
        raise _Failed(
            f"the job has not ended within {options.timeout:g} s: {error}", f"wait longer by --timeout, or {flags}"
        ) from error
    log = await _log(pods, request, config)
    return _Outcome(
        time.monotonic() - began,
        int(ended["exitCode"]),
        str(ended.get("message", "")),
        log,
        await _runs_copy(pods, request, began + options.timeout),
    )


async def _runs_copy(pods: Pods, request: CreateRequest, until: float) -> bool:
    """Wait for the first squeue that lists the job: a short job has records before."""
    while time.monotonic() < until:
        tracked = pods.pod_store.get(request.pod.key)
        if tracked is None or tracked.is_over or tracked.runs_copy is not None:
            return tracked is not None and tracked.runs_copy is True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _end(pods: Pods, request: CreateRequest, until: float) -> dict[str, Any]:
    """The state of the container once it has ended. Raises TimeoutError, which names what it has waited for."""
    waited_for = "it has not been seen"
    while time.monotonic() < until:
        for status in pods.status([request.pod]):
            state = status["containers"][0]["state"]
            if "terminated" in state:
                ended: dict[str, Any] = state["terminated"]
                return ended
            waited_for = state["waiting"]["message"] if "waiting" in state else "it is running"
        await asyncio.sleep(_LOOK_SECONDS)
    raise TimeoutError(waited_for)


async def _log(pods: Pods, request: CreateRequest, config: Config) -> str:
    try:
        async with aclosing(pods.log(LogSlice(request.pod.key, _CONTAINER))) as chunks:
            return b"".join([chunk async for chunk in chunks]).decode(errors="replace")
    except RemoteSlurmError as error:
        raise _Failed(" ".join(str(error).split()), file_transfer(config).log_remedy) from error


async def _clean_up(pods: Pods, request: CreateRequest) -> None:
    pods.delete(request.pod)
    until = time.monotonic() + _CLEAN_UP_SECONDS
    while request.pod.key in pods.deletes and not pods.poller.error:
        if time.monotonic() > until:
            return  # it is in the journal
        await asyncio.sleep(_LOOK_SECONDS)


def _findings(outcome: _Outcome, config: Config) -> list[Finding]:
    answer = Reply.parse("check-node", outcome.log)
    if not answer.has("checked"):
        return [_silent(outcome, config), *(Finding(name, None, _NEEDS_JOB) for name in NODE if name != PORTS)]
    ran = Finding(
        JOB,
        ok=True,
        message=f"ran on node {answer.get('node')}, in {outcome.seconds:.0f} s from start to end"
        + (_COPY if outcome.is_copy else ""),
        remedy=_COPY_REMEDY if outcome.is_copy else "",
    )
    return [
        ran,
        _folder(answer, config),
        _runtime(answer, config),
        _user_namespaces(answer, config),
        _http_client(answer),
    ]


def _silent(outcome: _Outcome, config: Config) -> Finding:
    words = " ".join(f"{outcome.message} {outcome.log[-300:]}".split())
    return Finding(
        JOB,
        ok=False,
        message=f"the job ended with exit code {outcome.exit_code} and printed no result: {words}",
        remedy=file_transfer(config).node_remedy,
    )


def _folder(answer: Reply, config: Config) -> Finding:
    name = NODE[0]
    if not file_transfer(config).needs_folder_on_nodes:
        return Finding(name, ok=True, message="it sees no DataRootFolder, and need not: SHARED_FS is false")
    if answer.has("folder"):
        return Finding(name, ok=True, message="the node sees DataRootFolder, and can write there")
    return Finding(
        name,
        ok=False,
        message="the node cannot write below DataRootFolder",
        remedy="set DataRootFolder to a path on a file system that login and compute nodes share",
    )


def _runtime(answer: Reply, config: Config) -> Finding:
    name = NODE[1]
    runtime = RUNTIMES.configure(config)
    if not runtime.starts_containers:
        return Finding(name, ok=True, message="ContainerRuntime is none")
    if answer.has("runtime"):
        path, _, version = answer.get("runtime").partition(" ")
        return Finding(name, ok=True, message=f"{version} as {path}")
    return Finding(
        name,
        ok=False,
        message=f"{runtime.config.path} is not on the node: PATH is {answer.get('noruntime')}",
        remedy=f"set {runtime.config.path_key} to its full path there, or CommandPrefix to what makes it available, "
        f"such as `module load {config.container_runtime}`",
    )


def _user_namespaces(answer: Reply, config: Config) -> Finding:
    name = NODE[2]
    word, _, reason = answer.get("userns").partition(" ")
    if word == "yes":
        return Finding(name, ok=True, message="the account can create user namespaces on the node")
    message = f"the account cannot create user namespaces on the node: {reason}"
    return Finding(name, ok=True, message=message, remedy=RUNTIMES.configure(config).user_namespaces_hint)


def _http_client(answer: Reply) -> Finding:
    """A node without one fails pods whose probes or hooks have httpGet: job/probe_handlers.sh."""
    name = NODE[3]
    if path := answer.get("httpclient").strip():
        return Finding(name, ok=True, message=f"{path} for the httpGet of probes and hooks")
    message = "the node has neither curl nor wget: pods whose probes or hooks use httpGet fail"
    return Finding(name, ok=True, message=message, remedy="ask the site to install curl on its nodes")


async def _ports(pods: Pods, request: CreateRequest, config: Config) -> Finding:
    """The job runs as long as the second container."""
    if config.port_forward.port is None:
        return Finding(PORTS, ok=True, message="not forwarded: PortForward.Port is not set")
    tracked = pods.pod_store.get(request.pod.key)
    return await check_ports(pods.site, tracked.job_id if tracked else "", config.port_forward.via)


def _request(config: Config, options: JobOptions) -> CreateRequest:
    script = assignments({"runtime": RUNTIMES.configure(config).config.path}) + CHECK_NODE
    metadata = {
        "name": "remote-slurm-check",
        "namespace": config.namespace or "default",
        "uid": str(uuid.uuid4()),
        "annotations": {"slurm-job.vk.io/flags": f"--time=5 {options.flags}"},
    }
    commands = {_CONTAINER: script}
    if config.port_forward.port is not None:
        commands["ports"] = f"exec sleep {_FOR_PORTS_SECONDS}"
    containers = [
        {
            "name": name,
            "command": ["/bin/sh", "-c", command],
            "resources": {"limits": {"cpu": f"{1000 // len(commands)}m", "memory": "100Mi"}},
        }
        for name, command in commands.items()
    ]
    spec = {"restartPolicy": "Never", "containers": containers}
    return CreateRequest.parse({"pod": {"metadata": metadata, "spec": spec}})
