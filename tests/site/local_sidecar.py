"""The whole service in front of an account that is played by a local folder, whose jobs really run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_slurm.domain.pod.model import CreateRequest, Pod, parse_pod
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from remote_slurm.service.submitter import SubmissionTimeouts
from tests import pods as kubernetes
from tests.site.account import Account

PATIENCE = SubmissionTimeouts(create=110, search=2, refused_for_now=0.5, not_sent=0.5)


@dataclass
class Counted:
    """A pod that adds a line to a file whenever it runs."""

    body: kubernetes.Json
    file: Path

    @classmethod
    def at(cls, account: Account, name: str = "runs", **annotations: str) -> "Counted":
        file = account.home / name
        pod = kubernetes.pod(kubernetes.sh("c", f"echo ran >>{file}"))
        pod["metadata"]["annotations"] |= annotations
        return cls(pod, file)

    @property
    def pod(self) -> Pod:
        return parse_pod(self.body, "a test")

    @property
    def request(self) -> CreateRequest:
        return CreateRequest.parse(kubernetes.request(self.body))

    @property
    def runs(self) -> int:
        return len(self.file.read_text().splitlines()) if self.file.exists() else 0


@asynccontextmanager
async def sidecar(account: Account, state: Path, timeouts: SubmissionTimeouts = PATIENCE) -> AsyncIterator[Pods]:
    """One that serves the account, for as long as the context lasts."""
    pods = Pods(account.owner(), account.config, Journal(state), timeouts)
    pods.start()
    try:
        yield pods
    finally:
        await pods.stop()


@asynccontextmanager
async def nodes(account: Account) -> AsyncIterator[None]:
    """Start the account's jobs as they come."""

    async def run() -> None:
        while True:
            await asyncio.to_thread(account.run_jobs)
            await asyncio.sleep(0.05)

    running = asyncio.create_task(run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def created(pods: Pods, pod: Counted) -> str | RemoteSlurmError:
    """The job that create answers, or why there is none."""
    try:
        return (await pods.create(pod.request)).job_id
    except RemoteSlurmError as error:
        return error


async def ended(pods: Pods, pod: Counted) -> dict[str, Any]:
    """The pod's status once its container is terminated."""
    async with asyncio.timeout(240):
        while True:
            for status in pods.status([pod.pod]):
                if "terminated" in status["containers"][0]["state"]:
                    return status
            await asyncio.sleep(0.05)
