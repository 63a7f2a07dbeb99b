"""The sidecar in this process, in front of a site that the test makes up; commands in pods are local processes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes import client as kubernetes
from kubernetes.stream import stream

from remote_slurm.api.app import build_app, serving
from remote_slurm.config import load_config
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from tests.fake_site import FakeSite, SlurmJob, instant_site
from tests.forwarding import POD, TOKEN, UPGRADE
from tests.local_command import LocalCommand


@dataclass
class Server:
    """The sidecar, and the site behind it with the job of one pod, team/web, which has the containers a and b."""

    url: str
    site: FakeSite
    pods: Pods
    audit_file: Path

    @property
    def command(self) -> LocalCommand:
        """The last one that was started."""
        return self.site.account.commands[-1]

    @contextlib.asynccontextmanager
    async def connected(
        self, *words: str, path: str = "/exec/team/web/a", protocol: str = "v5.channel.k8s.io", **query: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        pairs = [("command", word) for word in words] + list(query.items())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(self.url, headers=headers) as session,
            session.ws_connect(path, params=pairs, protocols=[protocol]) as socket,
        ):
            yield socket

    async def refusal(self, path: str, token: str = TOKEN, **headers: str) -> tuple[int, str]:
        own = {"Sec-WebSocket-Protocol": "v5.channel.k8s.io", "Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.get(path, headers=UPGRADE | own | headers) as answer,
        ):
            return answer.status, await answer.text()

    @property
    def audited(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.audit_file.read_text().splitlines()[-1])
        return line

    async def kubernetes(self, *words: str, **options: Any) -> Any:
        """What the stream client of the Kubernetes package returns, in a thread."""
        configuration = kubernetes.Configuration(host=self.url)
        configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
        api = kubernetes.CoreV1Api(kubernetes.ApiClient(configuration))
        call = partial(
            stream,
            api.connect_get_namespaced_pod_exec,
            "web",
            "team",
            command=list(words),
            stdout=True,
            stderr=True,
            **options,
        )
        return await asyncio.to_thread(call)


@contextlib.asynccontextmanager
async def serve(folder: Path, state: JobState = JobState.RUNNING, **keys: Any) -> AsyncIterator[Server]:
    tokens = folder / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    ssh = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}
    path = folder / "SlurmConfig.yaml"
    values = {"SSH": ssh, "StateFolder": str(folder), "TokenFile": str(tokens), "SidecarPort": 0, "EnableExec": True}
    path.write_text(yaml.safe_dump(values | keys))
    config = load_config(path, {"HOME": "/home/me"})
    site = instant_site(SlurmJob("101", POD, state, node="n1"))
    audit = AuditLog(folder / "audit.json")
    pods = Pods(site, config, Journal(config.state_folder))
    await pods.recovery.run()
    tracked = pods.pod_store.add(POD, "team/web")
    tracked.container_names = ("a", "b")
    await pods.poller.poll()
    async with serving(build_app(Accounts({"": pods}, config), config, audit=audit), config) as url:
        yield Server(url, site, pods, folder / "audit.json")
    await pods.stop()
    audit.close()
