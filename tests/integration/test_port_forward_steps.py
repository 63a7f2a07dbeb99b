"""Ports of pods through a step of their job: the login node forwards nothing, or does not reach the program."""

import contextlib
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import Through
from tests.integration.test_port_forward import listening, with_port
from tests.local_ports import echoed, received
from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Sidecar
from tests.sites import Site, free_port
from tests.vk import Watched

# Sends a word, then what it reads, and ends when its client has ended. It listens on ::1 only, to which the name of the
# node does not lead
ECHO = """exec perl -e '
my ($port, $word) = @ARGV;
$SIG{{CHLD}} = "IGNORE";
socket(S, 10, 1, 0) && setsockopt(S, 1, 2, pack("i", 1)) &&
    bind(S, pack("S n N a16 N", 10, $port, 0, "\\0" x 15 . "\\1", 0)) && listen(S, 100) or die $!;
while (1) {{
    accept(C, S) or next;
    if (fork) {{ close C; next }}
    syswrite(C, "$word\\n");
    while (sysread(C, my $data, 65536)) {{
        while (length $data) {{ substr($data, 0, syswrite(C, $data) || exit, "") }}
    }}
    exit;
}}' {port} {word}"""


@dataclass
class Forwarded:
    """A pod with such a program, and a command that leads to it."""

    site: Site
    watched: Watched
    word: str
    process: subprocess.Popen[str]
    port: int
    closed: int  # a local port for a port where nothing listens

    def connected(self) -> socket.socket:
        """A connection on which the word has come."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        expected = f"{self.word}\n".encode()
        try:
            assert received(connection, len(expected)) == expected
        except BaseException:
            connection.close()
            raise
        return connection

    def answers(self) -> bool:
        try:
            self.connected().close()
        except (OSError, AssertionError):
            return False
        return True

    def echoed(self, data: bytes) -> bytes:
        """What comes back after all of it was sent and ended."""
        with self.connected() as connection:
            return echoed(connection, data)

    @property
    def steps(self) -> list[str]:
        """The steps of the job, besides its script."""
        found = self.site.exec("squeue --steps --noheader --format=%i").split()
        return [each for each in found if re.fullmatch(rf"{self.watched.job}\.[0-9]+", each)]


def is_lost(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


def send_unread(connection: socket.socket, data: bytes) -> None:
    """Send what comes back and is not read: that ends with the connection."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


# Threads and descriptors of the sidecar itself come and go; 80 connections would leave 80
A_FEW = 8


def usage(sidecar: Sidecar) -> tuple[int, int]:
    """Its descriptors and threads."""
    process = Path(f"/proc/{sidecar.process.pid}")
    return len([*(process / "fd").iterdir()]), len([*(process / "task").iterdir()])


@pytest.fixture
def key_without_forwarding(tmp_path: Path) -> Callable[[Site], Json]:
    """The block SSH for a key that authorized_keys restricts."""

    def restricted(site: Site) -> Json:
        key = tmp_path / f"restricted-{site.name}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        line = f"restrict {(tmp_path / f'{key.name}.pub').read_text().strip()}"
        site.exec(f"echo '{line}' >>.ssh/authorized_keys")
        return {"IdentityFile": str(key)}

    return restricted


Forward = Callable[..., Forwarded]


@pytest.fixture
def forward() -> Iterator[Forward]:
    with contextlib.ExitStack() as stack:

        def start(served: Serving, word: str = "hello", flags: str = "") -> Forwarded:
            port = free_port()
            a_pod = pod(sh("c", ECHO.format(port=port, word=word)), flags=f"--mem=200M {flags}")
            watched = served.vk.create(request(a_pod))
            name = f"default/{watched.pod['metadata']['name']}"
            words = [PROGRAM, "port-forward", "--config", served.config, name, f":{port}", f":{free_port()}"]
            process = subprocess.Popen(
                [*words, "--address", "127.0.0.1"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=ENVIRONMENT,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            found = Forwarded(served.site, watched, word, process, listening(process), listening(process))
            wait_until(found.answers, "the program answers")
            return found

        yield start


def test_one_step_of_each_job_carries_all_connections_to_its_pod(
    each_site: Site,
    serve: Serve,
    forward: Forward,
    key_without_forwarding: Callable[[Site], Json],
    tmp_path: Path,
) -> None:
    # at the other site, the login node forwards, and cannot reach the program
    ssh = key_without_forwarding(each_site) if each_site.suite == "trixie" else {}
    served = serve(each_site, PortForward=with_port(tmp_path), SSH=ssh, ContainerRuntime="none")
    first, second = forward(served, "first"), forward(served, "second")
    data = bytes(range(256)) * 10_000
    assert (first.echoed(data), second.echoed(data)) == (data, data)
    slow = first.connected()
    sending = threading.Thread(target=send_unread, args=(slow, data * 10), daemon=True)
    sending.start()
    before = [each + A_FEW for each in usage(served.sidecar)]
    for _ in range(40):
        first.connected().close()
        second.connected().close()
    wait_until(
        lambda: all(now <= then for now, then in zip(usage(served.sidecar), before, strict=True)),
        "nothing is left of the connections",
    )
    slow.shutdown(socket.SHUT_RDWR)
    sending.join()
    slow.close()
    assert [len(each.steps) for each in (first, second)] == [1, 1]
    with socket.create_connection(("127.0.0.1", first.closed), timeout=PATIENCE) as connection:
        assert is_lost(connection)
    first.watched.delete()
    assert first.process.wait(PATIENCE) == 1
    assert first.process.stderr
    complaints = first.process.stderr.read()
    assert re.search("nothing listens on port [0-9]+ of [a-z0-9-]+: Connection refused", complaints)
    assert "lost connection to pod" in complaints
    wait_until(lambda: not first.steps, "the step has ended with its job")
    assert second.answers()
    served.sidecar.kill()
    wait_until(lambda: not second.steps, "the step has ended with its sidecar")
    wait_until(lambda: "relay" not in each_site.arguments(), "no process is left")


def test_it_goes_on_after_a_cut_a_freeze_a_requeue_and_a_restart(
    site: Site,
    through: Through,
    forward: Forward,
    sidecar: Callable[..., Sidecar],
    key_without_forwarding: Callable[[Site], Json],
    tmp_path: Path,
) -> None:
    ssh = key_without_forwarding(site) | {"ServerAliveInterval": 1}
    proxy, served = through(site, PortForward=with_port(tmp_path, Via="srun"), SSH=ssh, ContainerRuntime="none")
    found = forward(served, flags="--requeue")
    with found.connected() as connection:
        proxy.cut()
        assert is_lost(connection)
    assert found.answers()
    with found.connected() as connection:
        proxy.freeze()
        assert is_lost(connection)
        proxy.thaw()
    wait_until(found.answers, "it is connected again")
    with found.connected() as connection:
        site.exec(f"scontrol requeue {found.watched.job}")
        assert is_lost(connection)
    wait_until(lambda: "PENDING" in served.jobs_of(found.watched.pod), "the last run is cleaned up")
    site.start_requeued(found.watched.job)
    wait_until(found.answers, "it is connected to the next run")
    with found.connected() as connection:
        served.sidecar.kill()
        assert is_lost(connection)
    sidecar(served.config)
    wait_until(found.answers, "it is connected by the next sidecar")
    wait_until(lambda: len(found.steps) == 1, "the other steps have ended")
