"""Ports of pods in the protocol of Kubernetes: driven by the Kubernetes client's own `portforward`."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes import client as kubernetes
from kubernetes.stream import portforward

from remote_slurm.domain.slurm.job_states import JobState
from tests.api.api_client import until
from tests.fake_site import SlurmJob
from tests.forwarding import POD, PORT, TOKEN, UID, UPGRADE, Forwarding, forwarding
from tests.local_ports import echo, pour, received, silent

CHANNELS = "v4.channel.k8s.io"
API = f"/api/v1/namespaces/team/pods/web/portforward?ports={PORT}"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Forwarding]:
    async with forwarding(tmp_path) as server:
        yield server


@contextlib.contextmanager
def opened(server: Forwarding, *ports: int) -> Iterator[tuple[Any, list[socket.socket]]]:
    """What the Kubernetes client returns, and its sockets, which block: for a thread."""
    configuration = kubernetes.Configuration(host=server.url)
    configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
    api = kubernetes.CoreV1Api(kubernetes.ApiClient(configuration))
    names = ",".join(map(str, ports))
    forwarded = portforward(api.connect_get_namespaced_pod_portforward, "web", "team", ports=names)
    sockets = [forwarded.socket(port) for port in ports]
    for each in sockets:
        each.settimeout(60)
    try:
        yield forwarded, sockets
    finally:
        forwarded.close()
        for thread in threading.enumerate():
            if thread.name == f"Kubernetes port forward proxy: {', '.join(map(str, ports))}":
                thread.join(60)
        forwarded.websocket.shutdown()


async def refusal(server: Forwarding, path: str, **headers: str) -> tuple[int, str]:
    own = {"Sec-WebSocket-Protocol": CHANNELS, **headers}
    async with server.session() as session, session.get(path, headers=UPGRADE | own) as answer:
        return answer.status, await answer.text()


async def test_the_kubernetes_client_exchanges_bytes_with_two_ports(server: Forwarding) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())

    data = bytes(range(256)) * 1000

    def talk() -> tuple[bytes, bytes]:
        with opened(server, PORT, 9999) as (forwarded, (first, second)):
            first.sendall(data)
            second.sendall(b"hello")
            found = received(first, len(data)), received(second, 5)
            assert (forwarded.error(PORT), forwarded.error(9999)) == (None, None)
        return found

    async with server.listening(echo), server.listening(shout, port=9999):
        found = await asyncio.to_thread(talk)
    assert found == (data, b"HELLO")
    await until(lambda: server.audit_file.read_text().endswith("\n"))
    assert not server.forwards._open
    line = json.loads(server.audit_file.read_text().splitlines()[-1])
    assert (line["verb"], line["ports"], line["node"]) == ("forward", [PORT, 9999], "n1")
    assert (line["sent"], line["received"]) == (len(data) + 5, len(data) + 5)


async def test_the_kubernetes_client_reads_to_the_end_that_the_program_makes(server: Forwarding) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)

    def get() -> bytes:
        with opened(server, PORT) as (_, (stream,)):
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return received(stream, 1 << 20)

    async with server.listening(page):
        assert (await asyncio.to_thread(get)).endswith(b"x" * 100_000)


async def test_a_port_where_nothing_listens_is_an_error_of_that_port(server: Forwarding) -> None:
    def talk() -> tuple[bytes, bytes, str]:
        with opened(server, PORT, 9999) as (forwarded, (first, second)):
            first.sendall(b"hello")
            return received(first, 5), received(second, 1), forwarded.error(9999)

    async with server.listening(echo):
        answered, nothing, error = await asyncio.to_thread(talk)
    assert (answered, nothing) == (b"hello", b"")
    assert error == "error forwarding port 9999 to pod team/web: nothing listens on port 9999 of n1"


async def test_a_pod_that_ends_is_named_and_ends_the_connection(server: Forwarding) -> None:
    async with server.listening(silent), Connected(server) as socket:
        server.site.account.end(server.job, JobState.COMPLETED)
        await server.polled()
        message = await socket.receive()
        assert message.data[0] == 1
        assert b"team/web" in message.data
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


class Connected:
    """A WebSocket after the numbers of its ports."""

    def __init__(self, server: Forwarding, path: str = API) -> None:
        self._path = path
        self._session = aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {TOKEN}"})

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        self._socket = await self._session.ws_connect(self._path, protocols=[CHANNELS])
        for channel in (0, 1):
            assert (await self._socket.receive()).data == bytes([channel]) + PORT.to_bytes(2, "little")
        return self._socket

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._session.close()


@pytest.mark.parametrize(
    "path", [API, f"/portForward/team/web?port={PORT}", f"/portForward/team/web/{UID}?port={PORT}"]
)
async def test_the_paths_of_a_kubelet_and_of_the_api_server_are_served(server: Forwarding, path: str) -> None:
    async with server.listening(echo), Connected(server, path) as socket:
        await socket.send_bytes(b"\0hello")
        assert (await socket.receive()).data == b"\0hello"


async def test_a_client_may_ask_for_no_subprotocol(server: Forwarding) -> None:
    """fabric8io/kubernetes-client 5033."""
    async with server.listening(echo), server.session() as session, session.ws_connect(API) as socket:
        await socket.send_bytes(b"\0hello")
        assert [(await socket.receive()).data for _ in range(3)][-1] == b"\0hello"


@pytest.mark.parametrize("wrong", [b"", b"\1error", b"\7hello", b"\xff"])
async def test_messages_of_other_channels_are_ignored(server: Forwarding, wrong: bytes) -> None:
    async with server.listening(echo), Connected(server) as socket:
        await socket.send_bytes(wrong)
        await socket.send_bytes(b"\0hello")
        assert (await socket.receive()).data == b"\0hello"


async def test_a_client_that_breaks_off_leaves_no_connection(server: Forwarding) -> None:
    async with server.listening(pour):
        session = aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {TOKEN}"})
        socket = await session.ws_connect(API, protocols=[CHANNELS])
        await socket.receive()
        await session.close()
        await until(lambda: not server.forwards._open)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "no port is given"),
        ("?ports=0", "must be a number from 1 to 65535"),
        ("?ports=http", "must be a number from 1 to 65535"),
        ("?ports=1&ports=1", "a port is given twice"),
        ("?ports=" + ",".join(map(str, range(1, 129))), "128 ports are given: at most 127"),
    ],
)
async def test_wrong_ports_are_refused_before_anything_is_connected(server: Forwarding, query: str, words: str) -> None:
    status, sentence = await refusal(server, f"/api/v1/namespaces/team/pods/web/portforward{query}")
    assert (status, words in sentence) == (400, True), sentence
    assert server.site.asked["port"] == 0


async def test_what_cannot_be_forwarded_is_refused_with_a_status(tmp_path: Path) -> None:
    async with forwarding(tmp_path, AllowedPorts=["8888"]) as server, server.listening(echo):
        assert (await refusal(server, API, Authorization="Bearer wrong-0123456789abcdef"))[0] == 401
        assert (await refusal(server, f"/portForward/team/nobody?port={PORT}"))[0] == 404
        assert (await refusal(server, f"/portForward/team/web/{UID.replace('1', '2')}?port={PORT}"))[0] == 404
        assert (await refusal(server, "/portForward/team/web?port=8888,22"))[0] == 403
        assert (await refusal(server, API, Origin="https://example.org", Authorization=""))[0] == 403
        assert (await refusal(server, API, **{"Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io"}))[0] == 426
        server.site.account.jobs["101"] = SlurmJob("101", POD, JobState.PENDING)
        await server.polled()
        assert (await refusal(server, API))[0] == 409
        assert server.forwards._open == set()
