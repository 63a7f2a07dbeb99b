"""A sidecar in this process, at a site that the test makes up, and the program as its client."""

import asyncio
import contextlib
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from remote_slurm.api.app import build_app, serving
from remote_slurm.cli.main import main
from remote_slurm.config import load_config
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from remote_slurm.site.operations.list import Listed
from tests.fake_site import CONTAINER, FakeAccount, FakeSite, SlurmJob, instant_site

Done = subprocess.CompletedProcess[str]


@dataclass
class Served:
    """`await served("status")` is `remote-slurm status --url ...`."""

    url: str
    site: FakeSite
    pods: Pods
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> FakeAccount:
        return self.site.account

    async def __call__(self, command: str, *words: object, stdin: str = "") -> Done:
        return await self.run(command, "--url", self.url, *words, stdin=stdin)

    async def run(self, *words: object, stdin: str = "") -> Done:
        """The words as they are."""
        return await asyncio.to_thread(self._run, [str(word) for word in words], stdin)

    def _run(self, words: list[str], stdin: str) -> Done:
        out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            mock.patch.dict("os.environ", self.environment),
        ):
            try:
                code = main(words)
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
        assert "unexpected" not in texts[1], texts[1]
        return subprocess.CompletedProcess(words, code, *texts)

    def add(self, number: int, name: str, state: JobState = JobState.RUNNING, **listed: Any) -> SlurmJob:
        """A pod of the folder `NAMESPACE-number`, whose job is in this state, as if another sidecar had created it."""
        namespace = name.partition("/")[0]
        job = SlurmJob(str(number), f"{namespace}-{number}", JobState.PENDING)
        self.account.add(job)
        facts = {"grace_seconds": 30, "init_containers": (), "containers": (CONTAINER,), "age": 60, **listed}
        self.account.listed[job.pod] = Listed(pod=job.pod, name=name, job_id=job.id, records=(), **facts)
        if state is JobState.RUNNING:
            self.account.start(job)
        else:
            job.state = state
        return job

    async def polled(self) -> None:
        """Begin to poll the site, and return after the first poll."""
        self.pods.start()
        async with asyncio.timeout(60):
            while self.pods.poller.last_success is None:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(folder: Path, **keys: Any) -> AsyncIterator[Served]:
    """Serve until the context ends; `keys` are of the configuration."""
    ssh = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}
    path = folder / "SlurmConfig.yaml"
    path.write_text(
        yaml.safe_dump({"SSH": ssh, "SidecarPort": 0, "StateFolder": str(folder), "PollInterval": 1, **keys})
    )
    config = load_config(path, {"HOME": "/home/me"})
    site = instant_site()
    pods = Pods(site, config, Journal(config.state_folder))
    accounts = Accounts({"": pods}, config)
    try:
        async with serving(build_app(accounts, config), config) as url:
            yield Served(url, site, pods)
    finally:
        await pods.stop()
