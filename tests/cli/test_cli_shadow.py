"""`remote-slurm port-forward --shadow`, as a process: what a shadow pod runs."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from remote_slurm.domain.slurm.job_states import JobState
from tests.forwarding import PORT, Forwarding, forwarding
from tests.kube_api import KubeApi, kube_api
from tests.local_ports import digest, echo
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM
from tests.sites import free_port


@dataclass
class Shadow:
    """The process, its port, and the file of its token."""

    process: asyncio.subprocess.Process
    port: int
    health: int
    token: Path

    async def ready(self) -> tuple[int, str]:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.health}/readyz") as reply,
            ):
                return reply.status, await reply.text()
        except aiohttp.ClientConnectionError as error:
            return 0, str(error)

    async def until_ready(self, said: str = "ready") -> None:
        async with asyncio.timeout(PATIENCE):
            while said not in (await self.ready())[1]:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)

    async def echoed(self, data: bytes = b"hello") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            with contextlib.suppress(OSError):  # "not connected", where it has been refused already
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), PATIENCE)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def line(self) -> str:
        assert self.process.stderr
        return (await asyncio.wait_for(self.process.stderr.readline(), PATIENCE)).decode().strip()


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as api:
        yield api


@contextlib.asynccontextmanager
async def served(folder: Path, api: KubeApi, state: JobState = JobState.RUNNING) -> AsyncIterator[Forwarding]:
    review = {"Audiences": ["remote-slurm"], "ShadowNamespaces": True}
    async with forwarding(folder, state, CUSTOMKUBECONF=str(api.kubeconfig(folder)), TokenReview=review) as server:
        yield server


@contextlib.asynccontextmanager
async def shadow(
    server: Forwarding, folder: Path, token: str, name: str = "web-team", ports: list[str] | None = None
) -> AsyncIterator[Shadow]:
    file, port, health = folder / "token", free_port(), free_port()
    file.write_text(token)
    words = ["--url", server.url, "--token-file", str(file), "-n", "team-wstunnel", name]
    words += [f"{port}:{PORT}"] if ports is None else ports
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "port-forward", "--shadow", *words, "--health-port", str(health), stderr=-1, stdin=-3, env=ENVIRONMENT
    )
    try:
        yield Shadow(process, port, health, file)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_it_forwards_once_the_pod_runs_and_its_port_answers(api: KubeApi, tmp_path: Path) -> None:
    async with (
        served(tmp_path, api, JobState.PENDING) as server,
        shadow(server, tmp_path, api.token("team-wstunnel")) as found,
    ):
        await found.until_ready("pod team/web does not run (waiting)")
        assert (await found.ready())[0] == 503
        server.job.state = JobState.RUNNING
        await server.polled()
        await found.until_ready("no port of pod team/web answers")
        assert await found.echoed() == b""
        async with server.listening(digest):
            await found.until_ready()
            assert (await found.ready())[0] == 200
            assert len(await found.echoed()) == 64
        assert await found.echoed() == b""
        await found.until_ready("no port of pod team/web answers")
        found.process.terminate()
        assert await asyncio.wait_for(found.process.wait(), PATIENCE) == 0


async def test_it_waits_for_a_pod_that_the_sidecar_does_not_know_yet(api: KubeApi, tmp_path: Path) -> None:
    """interLink creates it before it sends the pod."""
    async with served(tmp_path, api) as server, server.listening(echo):
        server.pods.pod_store.forget(server.pods.pod_store.add("team-x", "team/x").key)
        async with shadow(server, tmp_path, api.token("team-wstunnel"), "new-team") as found:
            await found.until_ready(
                "no pod of the namespace team-wstunnel or team has the shadow team-wstunnel/new-team"
            )
            next(iter(server.pods.pod_store)).name = "team/new"
            await found.until_ready("ready")
            assert await found.echoed() == b"hello"


async def test_the_token_is_read_again_for_each_connection(api: KubeApi, tmp_path: Path) -> None:
    async with (
        served(tmp_path, api) as server,
        server.listening(echo),
        shadow(server, tmp_path, "not-a-token-of-kubernetes") as found,
    ):
        await found.until_ready("the token is not that of a service account")
        assert await found.echoed() == b""
        found.token.write_text(api.token("team-wstunnel"))
        assert await found.echoed() == b"hello"
        found.token.write_text(api.token("other-wstunnel"))
        assert await found.echoed() == b""
        found.token.unlink()
        await found.until_ready("the token is not that of a service account")


async def test_a_pod_of_another_namespace_is_refused(api: KubeApi, tmp_path: Path) -> None:
    async with (
        served(tmp_path, api) as server,
        server.listening(echo),
        shadow(server, tmp_path, api.token("other-wstunnel")) as found,
    ):
        await found.until_ready("it reaches pods of the namespace other-wstunnel or other only")
        assert await found.echoed() == b""


async def test_nothing_is_forwarded_while_the_kubernetes_api_is_away(api: KubeApi, tmp_path: Path) -> None:
    api.forbidden.add("tokenreviews")
    async with (
        served(tmp_path, api) as server,
        server.listening(echo),
        shadow(server, tmp_path, api.token("team-wstunnel")) as found,
    ):
        await found.until_ready("the Kubernetes API did not review the token")
        api.forbidden.clear()
        assert await found.echoed() == b"hello"


async def test_a_pod_without_a_tcp_port_has_a_shadow_that_does_nothing(api: KubeApi, tmp_path: Path) -> None:
    async with served(tmp_path, api) as server, shadow(server, tmp_path, api.token("team-wstunnel"), ports=[]) as found:
        await found.until_ready("pod team/web declares no TCP port")


def test_a_pod_that_is_forwarded_for_a_person_needs_a_port() -> None:
    assert "no port is given: name at least one port of the pod" in refused("--url", "http://127.0.0.1:1", "team/web")


def refused(*words: str) -> str:
    done = subprocess.run(
        [PROGRAM, "port-forward", *words], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 1
    return done.stderr


async def test_ports_that_cannot_be_listened_on(api: KubeApi, tmp_path: Path) -> None:
    async with served(tmp_path, api) as server:
        taken = server.url.rpartition(":")[2]
        async with shadow(server, tmp_path, "t", "web-team", [f"{taken}:{PORT}"]) as found:
            assert await asyncio.wait_for(found.process.wait(), PATIENCE) == 1
            assert f"unable to listen on port {taken} of all addresses: Address already in use" in await found.line()


def test_the_port_for_probes_is_none_of_the_pod() -> None:
    words = ["--shadow", "--url", "http://127.0.0.1:1", "web-team", "9440"]
    assert "port 9440 of the pod is the one for readiness probes: choose another --health-port" in refused(*words)


def test_it_loads_little_since_there_is_one_for_each_pod() -> None:
    """78 MB with the modules of the sidecar, 38 MB without: the pod has 64 MiB."""
    script = (
        "import sys; sys.argv = ['remote-slurm', 'port-forward', '--shadow']\n"
        "import remote_slurm.cli.shadow, remote_slurm.cli.port_forward\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert "aiohttp" in loaded.stdout.split()
    assert not {"pydantic", "paramiko", "fabric", "kubernetes", "yaml"} & set(loaded.stdout.split())
