"""One client holds up no other: connections, bodies, and the work that a request makes."""

import asyncio
import json
import resource
import socket
import threading
import time
import zlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from remote_slurm.api.bodies import count_values
from remote_slurm.api.limits import Limits
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.errors import InvalidRequest
from remote_slurm.service.process_tuning import raise_descriptor_limit
from remote_slurm.service.rendering import LARGE_BYTES, LargerThanItsRequestError, Rendering, TookTooLong
from remote_slurm.site.operations.log import OpenLog
from remote_slurm.site.operations.sinfo import SinfoOutput
from tests import pods as kubernetes
from tests.api.api_client import Api, until
from tests.api.certificates import Authority
from tests.fake_site import FakeSite

OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Client:
    """A connection that sends bytes, and reads nothing by itself."""

    def __init__(self, api: Api) -> None:
        parts = urlsplit(api.url)
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.settimeout(0)
        OPEN.append(self.socket)

    def send(self, text: bytes) -> None:
        self.socket.settimeout(60)
        self.socket.sendall(text)
        self.socket.settimeout(0)

    async def said(self) -> bytes:
        """All until the server closes the connection."""
        loop, said = asyncio.get_running_loop(), b""
        async with asyncio.timeout(60):
            try:
                while data := await loop.sock_recv(self.socket, 65536):
                    said += data
            except ConnectionResetError:
                pass
        return said

    async def first_line(self) -> bytes:
        """The first line of the answer. Then the connection is closed, since aiohttp waits ten seconds for the body."""
        loop, said = asyncio.get_running_loop(), b""
        async with asyncio.timeout(60):
            while b"\r\n" not in said:
                said += await loop.sock_recv(self.socket, 1000)
        self.socket.close()
        return said.partition(b"\r\n")[0]


async def test_idle_connections_make_room_for_those_that_ask(serve: Any) -> None:
    api: Api = await serve(limits=Limits(connections=20))
    clients = [Client(api) for _ in range(60)]
    for _ in range(5):
        assert (await api.get("/healthz")).status == 200
    assert await clients[0].said() == b""  # it was closed; the latest are still there
    clients[-1].send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in await clients[-1].said()


class SlowSite(FakeSite):
    """Replies to sinfo once the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_reply = asyncio.Event()

    async def sinfo(self) -> SinfoOutput:
        output = await super().sinfo()
        await self.may_reply.wait()
        return output


async def test_connections_that_are_all_in_use_leave_room_for_no_other(serve: Any) -> None:
    site = SlowSite()
    api: Api = await serve(site, limits=Limits(connections=4))
    busy = [Client(api) for _ in range(4)]
    for each in busy:
        each.send(b"GET /system-info HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: site.asked["sinfo"])
    for _ in range(20):
        await asyncio.sleep(0.01)  # the others wait for the same answer
    said = await Client(api).said()
    site.may_reply.set()
    assert said.startswith(b"HTTP/1.1 503 ")
    assert said.endswith(b"\r\n\r\nthe sidecar has too many connections in use: try again later\n")


async def test_each_client_of_a_burst_beyond_the_limit_is_answered(serve: Any) -> None:
    """A connection whose request has come, and was not read yet, is not idle; a refused one is not reset."""
    api: Api = await serve(limits=Limits(connections=20))
    clients = [Client(api) for _ in range(60)]
    for each in clients:
        each.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    said = [await each.said() for each in clients]
    assert {each.split(b"\r\n")[0] for each in said} == {b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Service Unavailable"}
    assert all(b"\r\nRetry-After: 1\r\n" in each for each in said if b" 503 " in each[:20])
    assert (await api.get("/healthz")).status == 200


async def test_headers_that_do_not_end_end_the_connection(serve: Any) -> None:
    api: Api = await serve(limits=Limits(header_seconds=0.2, idle_seconds=60))
    client = Client(api)
    client.send(b"GET /healthz HTTP/1.1\r\nHost: ")
    assert await client.said() == b""


async def test_a_connection_that_is_idle_ends(serve: Any) -> None:
    api: Api = await serve(limits=Limits(idle_seconds=0.2))
    client, silent = Client(api), Client(api)
    client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await client.said()
    assert await silent.said() == b""


async def test_a_connection_counts_before_its_tls_handshake(serve: Any, tmp_path: Any) -> None:
    """A client without a certificate or a token could hold any number of connections during their handshakes."""
    authority = Authority(tmp_path)
    pair = authority.pair("sidecar")
    api: Api = await serve(
        TLS={"CertFile": str(pair.cert), "KeyFile": str(pair.key)}, limits=Limits(connections=4, header_seconds=60)
    )
    silent = [Client(api) for _ in range(8)]
    begun = Client(api)
    begun.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the beginning of a ClientHello
    for each in silent[:5]:
        assert await each.said() == b""  # it was closed
    assert (await api.get("/healthz", tls=authority.trusting())).status == 200


async def test_a_tls_handshake_that_does_not_end_ends_the_connection(serve: Any, tmp_path: Any) -> None:
    pair = Authority(tmp_path).pair("sidecar")
    api: Api = await serve(
        TLS={"CertFile": str(pair.cert), "KeyFile": str(pair.key)}, limits=Limits(header_seconds=0.2)
    )
    assert await Client(api).said() == b""


def test_interlink_closes_idle_connections_before_the_sidecar_does() -> None:
    assert Limits().idle_seconds > 90  # IdleConnTimeout of Go's http.DefaultTransport


def test_the_descriptor_limit_is_raised_as_far_as_it_goes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        assert raise_descriptor_limit() == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_nothing_is_inflated(serve: Any, tmp_path: Any) -> None:
    """Neither before a token was shown, nor after."""
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef\n")
    api: Api = await serve(TokenFile=str(tokens))
    bomb = zlib.compress(b" " * 50_000_000)
    before = memory()
    for encoding in ("deflate", "gzip", "br", "zstd"):
        assert (await api.send("POST", "/create", bomb, **{"Content-Encoding": encoding})).status == 401
        shown = {"Content-Encoding": encoding, "Authorization": "Bearer 0123456789abcdef"}
        assert (await api.send("POST", "/create", bomb, **shown)).status == 415
    assert memory() - before < 30_000_000


def memory() -> int:
    """The most that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_body_of_empty_objects_is_refused_before_it_is_parsed(serve: Any) -> None:
    api: Api = await serve()
    before = memory()
    for body in (b"[" + b"{}," * 10_000_000 + b"{}]", b"[" * 10_000_000):
        for method, path in (("POST", "/create"), ("GET", "/status"), ("POST", "/delete"), ("GET", "/getLogs")):
            reply = await api.send(method, path, body)
            assert (reply.status, "has more than" in reply.text or "nested" in reply.text) == (400, True), (path, reply)
    assert memory() - before < 300_000_000  # parsed, each of them has over a gigabyte


@pytest.mark.parametrize(("text", "values"), [
    (b'{"a": [1, 2, {"b": "c,,,,[[[["}]}', 10),
    (b"[]", 1),
    (b'["a\\",,,"]', 2),
    (b'"unfinished ,,,,', 1),
    (b'"\\",\\",\\",', 1),
    (b'"\\', 1),
    (b",,,,", 4),
])  # fmt: skip
def test_values_are_counted_where_they_are_no_text(text: bytes, values: int) -> None:
    marks = b"," * 1000  # fewer are not counted one by one
    assert count_values(marks + text, 1100) == 1000 + values


@pytest.mark.parametrize("text", [b'"', b'"\\', b'\\"', b'",', b"{}", b"\\", b'"a'])
def test_counting_takes_a_time_in_proportion(text: bytes) -> None:
    def seconds(times: int) -> float:
        begun = time.thread_time()
        count_values(b"," * 70_000 + text * times, 100_000)
        return time.thread_time() - begun

    seconds(10)
    assert min(seconds(100_000) for _ in range(3)) < max(0.05, 30 * min(seconds(10_000) for _ in range(3)))


def test_a_config_map_full_of_json_counts_as_one_value() -> None:
    body = json.dumps({"data": {"k": json.dumps([{"a": 1}] * 100_000)}}).encode()
    assert count_values(body, 100_000) < 20


async def test_large_bodies_wait_for_room_and_small_ones_do_not(serve: Any) -> None:
    api: Api = await serve(MaxRequestSize="1Mi", limits=Limits(memory_seconds=0.2))
    await api.looked()
    stalled = [Client(api) for _ in range(2)]
    for each in stalled:
        each.send(b"POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n{")
    await asyncio.sleep(0.1)
    third = await api.send("POST", "/create", b" " * 1_000_000)
    assert (third.status, "too many large requests" in third.text) == (503, True)
    assert (
        await api.ask("POST", "/create", json=kubernetes.request(kubernetes.pod(kubernetes.sh("c", "true"))))
    ).status == 200
    for each in stalled:
        each.socket.close()
    async with asyncio.timeout(60):
        while (later := await api.send("POST", "/create", b" " * 1_000_000)).status == 503:
            pass  # the server has not noticed yet that they are closed
    assert later.status == 400


async def test_a_body_that_does_not_come_gives_its_room_back(serve: Any) -> None:
    api: Api = await serve(limits=Limits(body_seconds=0.2, body_bytes_per_second=10**9))
    client = Client(api)
    client.send(b"POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert b" 408 " in await client.first_line()


async def test_a_request_that_says_it_is_too_large_is_not_read(serve: Any) -> None:
    api: Api = await serve(MaxRequestSize="1Mi")
    client = Client(api)
    client.send(b"POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\n\r\n")
    assert b" 413 " in await client.first_line()


async def test_a_reader_that_takes_nothing_of_a_log_is_dropped(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x" * 1_000_000
        finally:
            ended.append("the log")

    class EndlessLog(FakeSite):
        async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog:
            del what, over, at
            return OpenLog(0, [], endless())

    api: Api = await serve(EndlessLog(), limits=Limits(reader_seconds=0.3))
    await api.looked()
    client = Client(api)
    asked = json.dumps({"PodUID": "1", "ContainerName": "c", "Opts": {"Follow": False}}).encode()
    client.send(b"GET /getLogs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(asked), asked))
    await until(lambda: ended)
    await until(lambda: "closed the connection of a log reader that does not read" in caplog.text)


async def test_a_small_pod_is_created_while_a_large_one_is_prepared(serve: Any) -> None:
    """The large one is as large as the limits allow."""
    api: Api = await serve()
    await api.looked()
    items = [{"key": "k", "path": f"f{number}"} for number in range(9_900)]
    volumes = [{"name": "v", "configMap": {"name": "m", "items": items}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    body = kubernetes.pod(kubernetes.sh("c", "true", volumeMounts=mounts), volumes=volumes)
    config_maps = [{"metadata": {"name": "m"}, "data": {"k": "x" * 6_000}}]
    large = asyncio.create_task(api.ask("POST", "/create", json=kubernetes.request(body, configMaps=config_maps)))
    answered = []
    while not large.done():
        small = kubernetes.request(kubernetes.pod(kubernetes.sh("c", "true")))
        answered.append((await api.ask("POST", "/create", json=small)).status)
        await asyncio.sleep(0.01)
    assert (await large).status == 200, await large
    assert len(answered) > 1
    assert set(answered) == {200}


async def test_work_that_takes_too_long_ends() -> None:
    ended: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                pass
        except BaseException as error:
            ended.append(error)
            raise

    with pytest.raises(InvalidRequest, match=r"takes more than 0.1 s of processor time"):
        await Rendering(seconds=0.1).run(work)
    await until(lambda: ended)
    assert isinstance(ended[0], TookTooLong)


async def test_the_loop_goes_on_while_a_pod_is_prepared() -> None:
    rendering, ticks = Rendering(), 0
    begun = asyncio.Event()

    def work() -> int:
        loop.call_soon_threadsafe(begun.set)
        count = 0
        while ticks < 5:
            count += 1
        return count

    loop = asyncio.get_running_loop()
    working = asyncio.create_task(rendering.run(work))
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)
        ticks += 1
    assert await working >= 0


async def test_pods_of_usual_size_do_not_wait_for_a_large_one() -> None:
    """However short its request is."""
    rendering, begun, end = Rendering(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(size: int, most_bytes: float) -> int:
        if size > most_bytes:
            raise LargerThanItsRequestError
        if size > LARGE_BYTES:
            loop.call_soon_threadsafe(begun.set)
            end.wait(60)
        return size

    large = [asyncio.create_task(rendering.rendered(request, work, 10_000_000)) for request in (1_000, 2_000_000)]
    await begun.wait()
    assert await rendering.rendered(1_000, work, 10_000) == 10_000
    end.set()
    assert await asyncio.gather(*large) == [10_000_000, 10_000_000]


async def test_a_pod_is_not_refused_because_the_machine_is_busy() -> None:
    """What counts is processor time."""

    def wait() -> str:
        time.sleep(0.5)
        return "done"

    begun = time.monotonic()
    assert await Rendering(seconds=0.1).run(wait) == "done"
    assert time.monotonic() - begun >= 0.5
