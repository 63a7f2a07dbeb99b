"""PortForward.Port in this process, in front of a site that the test makes up; ports of its nodes are local servers."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from remote_slurm.api.app import build_forward_app, serving_forwards
from remote_slurm.api.forward_protocol import PROTOCOL
from remote_slurm.config import load_config
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.journal import Journal
from remote_slurm.service.kubernetes_api import Cluster
from remote_slurm.service.pods import Pods
from remote_slurm.service.port_forwards import PortForwards
from tests.fake_site import FakeSite, SlurmJob, instant_site
from tests.local_ports import Handler, listening

TOKEN = "0123456789abcdef-token"
UID = "11111111-2222-3333-4444-555555555555"
POD = f"team-{UID}"
PORT = 8888
# Headers that ask for a WebSocket
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@dataclass
class Forwarding:
    """The port, and the site behind it with the job of one pod, team/web."""

    url: str
    site: FakeSite
    pods: Pods
    forwards: PortForwards
    token_file: Path
    audit_file: Path

    @property
    def job(self) -> SlurmJob:
        return self.site.account.jobs["101"]

    async def polled(self) -> None:
        """What has changed at the site is known now."""
        await self.pods.poller.poll()

    @contextlib.asynccontextmanager
    async def listening(self, handle: Handler, node: str = "n1", port: int = PORT) -> AsyncIterator[None]:
        """A program listens on a port of a node."""
        async with listening(handle) as local:
            self.site.account.ports[node, port] = local
            try:
                yield
            finally:
                del self.site.account.ports[node, port]

    @contextlib.asynccontextmanager
    async def session(self, token: str = TOKEN, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
        async with aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {token}", **headers}) as session:
            yield session

    @contextlib.asynccontextmanager
    async def connected(self, path: str = f"team/web/{PORT}") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.session() as session, session.ws_connect(f"/forward/{path}", protocols=[PROTOCOL]) as socket:
            yield socket

    async def refusal(self, path: str = f"team/web/{PORT}", token: str = TOKEN, **headers: str) -> tuple[int, str]:
        """The status and the sentence of a connection that is refused."""
        headers = UPGRADE | headers
        async with self.session(token) as session, session.get(f"/forward/{path}", headers=headers) as answer:
            return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def forwarding(folder: Path, state: JobState = JobState.RUNNING, **keys: Any) -> AsyncIterator[Forwarding]:
    """Further keys are those of PortForward."""
    token_file = folder / "tokens"
    token_file.write_text(f"{TOKEN}\n")
    ssh = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}
    block = {"Port": 0, "TokenFile": str(token_file), **keys}
    above = {key: block.pop(key) for key in ("Access", "CUSTOMKUBECONF") if key in block}
    path = folder / "SlurmConfig.yaml"
    path.write_text(yaml.safe_dump({"SSH": ssh, "StateFolder": str(folder), "PortForward": block, **above}))
    config = load_config(path, {"HOME": "/home/me"})
    site = instant_site(SlurmJob("101", POD, state, node="n1"))
    audit = AuditLog(folder / "audit.json")
    pods = Pods(site, config, Journal(config.state_folder))
    await pods.recovery.run()
    pods.pod_store.add(POD, "team/web")
    await pods.poller.poll()
    forwards = PortForwards(Accounts({"": pods}, config), config.port_forward)
    forwards.start()
    reviewer = Cluster(config.custom_kubeconf) if config.custom_kubeconf else None
    app = build_forward_app(forwards, config, audit, reviewer)
    async with serving_forwards(app, config.port_forward) as url:
        yield Forwarding(url, site, pods, forwards, token_file, folder / "audit.json")
    await pods.stop()
    audit.close()
