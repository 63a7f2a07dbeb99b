"""`remote-slurm port-forward` at a real site: programs in containers, reached through the sidecar."""

import asyncio
import contextlib
import http.client
import re
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.conftest import Through
from tests.local_ports import echoed
from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Sidecar
from tests.sites import Site, free_port
from tests.vk import Watched

TOKEN = "0123456789abcdef-token"
# A web server with two files, a program that sends back what it reads until its client has ended, and one that sends
# back the short messages of a WebSocket
SERVERS = r"""
mkdir /tmp/www && cd /tmp/www && echo hello >index.html && dd if=/dev/zero of=large bs=1024 count=20480 2>/dev/null
cat >/tmp/websocket <<'END'
while read -r name value; do
    case $name in
    Sec-WebSocket-Key:) key=$(printf %s "$value" | tr -d "\r") ;;
    ?) break ;;
    esac
done
accept=$(printf %s "$key"258EAFA5-E914-47DA-95CA-C5AB0DC85B11 | sha1sum | cut -c1-40 | xxd -r -p | base64)
printf "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
printf "Sec-WebSocket-Accept: %s\r\n\r\n" "$accept"
numbers() { dd bs=1 count="$1" 2>/dev/null | od -An -v -tu1; }
while set -- $(numbers 2) && [ $# = 2 ]; do
    printf "\\$(printf %o "$1")\\$(printf %o $(($2 & 127)))"
    size=$(($2 & 127))
    set -- $(numbers 4)
    for byte in $(numbers "$size"); do
        printf "\\$(printf %o $((byte ^ $1)))"
        set -- "$2" "$3" "$4" "$1"
    done
done
END
nc -ll -p ECHO -e cat &
nc -ll -p WEBSOCKET -e sh /tmp/websocket &
exec httpd -f -p WEB -h /tmp/www
"""


@dataclass
class Forwarded:
    """A pod with servers, and a command that leads to both of them."""

    served: Serving
    watched: Watched
    process: subprocess.Popen[str]
    web: int
    echo: int
    websocket: int

    def get(self, path: str = "/") -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", timeout=PATIENCE) as answer:
            return answer.read()  # type: ignore[no-any-return]

    def echoed(self, data: bytes) -> bytes:
        """What comes back after all of it was sent and ended."""
        with socket.create_connection(("127.0.0.1", self.echo), timeout=PATIENCE) as connection:
            return echoed(connection, data)

    async def messages(self, *texts: str) -> list[str]:
        """What comes back over a WebSocket."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{self.websocket}/") as socket,
        ):
            answers = []
            for text in texts:
                await socket.send_str(text)
                answers.append(await socket.receive_str(timeout=PATIENCE))
        return answers


Forward = Callable[..., Forwarded]


def with_port(folder: Path, **keys: Any) -> Json:
    """The block PortForward."""
    (folder / "forward-tokens").write_text(TOKEN)
    return {"Port": free_port(), "TokenFile": str(folder / "forward-tokens"), **keys}


def listening(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    line = process.stdout.readline()
    found = re.match(r"Forwarding from 127\.0\.0\.1:([0-9]+) -> ", line)
    assert found, (line, process.stderr and process.stderr.read())
    return int(found[1])


@pytest.fixture
def forward() -> Iterator[Forward]:
    """Create a pod with servers, and forward to them."""
    with contextlib.ExitStack() as stack:

        def start(served: Serving) -> Forwarded:
            ports = {"ECHO": free_port(), "WEBSOCKET": free_port(), "WEB": free_port()}
            script = re.sub("ECHO|WEBSOCKET|WEB", lambda name: str(ports[name[0]]), SERVERS)
            watched = served.vk.create(request(pod(sh("c", script), flags="--mem=100M")))
            metadata = watched.pod["metadata"]
            name = f"{metadata['namespace']}/{metadata['name']}"
            wanted = [f":{ports[each]}" for each in ("WEB", "ECHO", "WEBSOCKET")]
            words = [PROGRAM, "port-forward", "--config", served.config, name, *wanted]
            process = subprocess.Popen(
                [*words, "--address", "127.0.0.1"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=ENVIRONMENT,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            found = Forwarded(served, watched, process, *(listening(process) for _ in wanted))
            wait_until(lambda: _answers(found), "the server answers")
            return found

        yield start


def _answers(forwarded: Forwarded) -> bool:
    try:
        return forwarded.get() == b"hello\n"
    except (OSError, http.client.HTTPException):
        return False


def test_servers_in_a_container_are_reached_until_the_pod_ends(
    site: Site, serve: Serve, forward: Forward, tmp_path: Path
) -> None:
    audit = tmp_path / "audit"
    found = forward(serve(site, PortForward=with_port(tmp_path), AuditLog=str(audit)))
    assert found.get("/large") == bytes(20 << 20)
    data = bytes(range(256)) * 20_000
    assert found.echoed(data) == data
    assert asyncio.run(found.messages("hello", "", "x" * 125)) == ["hello", "", "x" * 125]
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: found.get(), range(200)))
    assert answers == [b"hello\n"] * 200
    found.watched.delete()
    assert found.process.wait(PATIENCE) == 1
    assert found.process.stderr
    assert "lost connection to pod" in found.process.stderr.read()
    assert audit.read_text().count('"verb": "forward"') > 200


def test_it_goes_on_after_the_sidecar_was_killed(
    site: Site, serve: Serve, forward: Forward, sidecar: Callable[..., Sidecar], tmp_path: Path
) -> None:
    found = forward(serve(site, PortForward=with_port(tmp_path)))
    found.served.sidecar.kill()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(found.get)
        sidecar(found.served.config)
        assert waiting.result() == b"hello\n"


def test_a_cut_connection_ends_only_what_it_carried(
    site: Site, through: Through, forward: Forward, tmp_path: Path
) -> None:
    proxy, served = through(site, PortForward=with_port(tmp_path))
    found = forward(served)
    with socket.create_connection(("127.0.0.1", found.echo), timeout=PATIENCE) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        proxy.cut()
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
    assert found.get() == b"hello\n"


def test_a_client_that_does_not_read_delays_no_other(
    site: Site, serve: Serve, forward: Forward, tmp_path: Path
) -> None:
    found = forward(serve(site, PortForward=with_port(tmp_path)))
    with socket.create_connection(("127.0.0.1", found.web), timeout=PATIENCE) as slow:
        slow.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        for _ in range(20):
            assert found.get() == b"hello\n"
        assert found.echoed(b"y" * 100_000) == b"y" * 100_000
        received = 0
        while part := slow.recv(65536):
            received += len(part)
        assert received > 20 << 20
