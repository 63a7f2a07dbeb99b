"""Ports of pods beside OpenSSH's own `ssh -L`: small requests, a large one, many at once, and what else goes on."""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from figures import Measured, median_ms, quantile, seconds
from place import Place, Serving, held_pod, place

from tests.pods import pod, request, sh
from tests.serving import wait_until
from tests.sidecar import ENVIRONMENT, PROGRAM
from tests.sites import free_port

RTT_MS = 50
GIB = 1024 * 1024 * 1024
SMALL = 60
LARGE = 2
AT_ONCE = 200
STATUS_EVERY = 0.02
STATUSES = 20
CREATES = 10
MEMORY_MIB = 64
ANSWER = len(b"HTTP/1.0 200 OK\r\n\r\nhello")
TOKEN = "0123456789abcdef-token"  # noqa: S105 - of a site that exists for minutes
# A word on /, and as many zeros as the path says; a process for each connection
SERVER = """exec perl -e '
$SIG{{CHLD}} = "IGNORE";
socket(S, 2, 1, 0) && setsockopt(S, 1, 2, pack("i", 1)) && bind(S, pack("S n a4 x8", 2, {port}, "\\0" x 4))
    && listen(S, 500) or die $!;
my $zeros = "\\0" x 65536;
while (1) {{
    accept(C, S) or next;
    if (fork) {{ close C; next }}
    sysread(C, my $asked, 65536);
    my ($left) = $asked =~ m,^GET /([0-9]+) ,;
    syswrite(C, "HTTP/1.0 200 OK\\r\\n\\r\\n" . ($left ? "" : "hello"));
    while ($left > 0) {{ $left -= syswrite(C, $zeros, $left) || exit }}
    exit;
}}'"""


@dataclass(frozen=True)
class Way:
    """A local port that leads to a port of the node, and the sidecar behind it, if any."""

    name: str
    port: int
    remote: int
    serving: Serving | None = None

    def get(self, size: int = 0) -> int:
        """Ask for a word, or for so many bytes, and return how many have come."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=600) as connection:
            connection.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % size)
            received = 0
            while data := connection.recv(256 * 1024):
                received += len(data)
        return received

    def small(self) -> None:
        assert self.get() == ANSWER

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get() == ANSWER
        return False


def measure() -> Measured:
    measured = Measured(
        "Ports of pods",
        f"Over {RTT_MS} ms, each connection new, beside `ssh -L` to the same server, in turn. With `Via: srun`, the "
        "step of the job has been started before. While status and creates are measured, the sidecar's event loop and "
        "its client have priority over all else that runs.",
    )
    with place("--rtt", str(RTT_MS)) as here, contextlib.ExitStack() as stack:
        direct, step = (stack.enter_context(_forwarded(here, via)) for via in ("ssh", "srun"))
        ways = (stack.enter_context(_ssh(here, direct.remote)), direct, step)
        for way in ways:
            wait_until(way.answers, f"{way.name} leads to the server")
        _small(measured, ways)
        _at_once(measured, ways)
        _large(measured, ways)
        _beside(measured, direct)
    return measured


@contextlib.contextmanager
def _forwarded(here: Place, via: str) -> Iterator[Way]:
    """A sidecar with a pod of its own, and the command that leads to the pod's port."""
    (here.folder / "tokens").write_text(TOKEN)
    forward = {
        "Port": free_port(),
        "TokenFile": str(here.folder / "tokens"),
        "Via": via,
        "MaxConnections": 500,
        "MaxConnectionsPerPod": 500,
    }
    remote, local = free_port(), free_port()
    with here.sidecar(PortForward=forward, PollInterval=10) as serving:
        body = request(pod(sh("c", SERVER.format(port=remote)), flags="--mem=500M"))
        serving.client.create(body)
        name = f"default/{body['pod']['metadata']['name']}"
        words = [PROGRAM, "port-forward", "--config", serving.config, name, f"{local}:{remote}"]
        with subprocess.Popen(
            [*words, "--address", "127.0.0.1"], env=ENVIRONMENT, stdout=subprocess.DEVNULL
        ) as command:
            try:
                yield Way(f"Via: {via}", local, remote, serving)
            finally:
                command.kill()


@contextlib.contextmanager
def _ssh(here: Place, remote: int) -> Iterator[Way]:
    site, local = here.site, free_port()
    node = here.account("hostname").strip()
    words = ["ssh", "-N", "-L", f"127.0.0.1:{local}:{node}:{remote}", "-o", "ExitOnForwardFailure=yes"]
    words += ["-o", f"UserKnownHostsFile={site.known_hosts_file}", "-i", str(site.identity_file), "-p", str(site.port)]
    with subprocess.Popen([*words, f"{site.user}@{site.host}"]) as ssh:
        try:
            yield Way("ssh -L", local, remote)
        finally:
            ssh.kill()


def _small(measured: Measured, ways: tuple[Way, ...]) -> None:
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(SMALL):
        for way in ways:
            taken[way.name].append(seconds(way.small))
    ssh = taken[ways[0].name]
    measured.row("A small HTTP request, ssh -L", f"{median_ms(ssh):.0f} ms")
    for way, most in zip(ways[1:], (1.15, 1.5), strict=True):
        times = median_ms(taken[way.name]) / median_ms(ssh)
        measured.row(
            f"The same, {way.name}",
            f"{median_ms(taken[way.name]):.0f} ms, {times:.2f} times (quickest {min(taken[way.name]) / min(ssh):.2f})",
            f"at most {most} times",
            met=times <= most,
        )


def _at_once(measured: Measured, ways: tuple[Way, ...]) -> None:
    for way in ways:
        connections: list[socket.socket] = []

        def connect(way: Way = way, connections: list[socket.socket] = connections) -> bool:
            connection = socket.create_connection(("127.0.0.1", way.port), timeout=600)
            connections.append(connection)
            connection.sendall(b"GET /1 HTTP/1.0\r\n\r\n")
            return bool(connection.recv(100))

        begun = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            answered = sum(threads.map(lambda _, connect=connect: connect(), range(AT_ONCE)))
        for connection in connections:
            connection.close()
        took = time.monotonic() - begun
        measured.row(
            f"{AT_ONCE} connections at once, {way.name}",
            f"{answered} answered in {took:.1f} s",
            "all" if way.serving else "",
            met=answered == AT_ONCE if way.serving else None,
        )


def _large(measured: Measured, ways: tuple[Way, ...]) -> None:
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(LARGE):
        for way in ways:
            taken[way.name].append(seconds(lambda way=way: _until_all(_gib(way))))
    speeds = {name: 1024 / statistics.median(each) for name, each in taken.items()}
    measured.row("1 GiB, ssh -L", f"{speeds['ssh -L']:.0f} MiB/s")
    for way in ways[1:]:
        share = speeds[way.name] / speeds["ssh -L"]
        is_direct = way is ways[1]
        measured.row(
            f"1 GiB, {way.name}",
            f"{speeds[way.name]:.0f} MiB/s: {share:.0%}",
            "80% of ssh -L" if is_direct else "",
            met=share >= 0.8 if is_direct else None,
        )


def _gib(way: Way) -> subprocess.Popen[str]:
    """A process of its own takes it, so that it delays no measurement here."""
    words = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{size_download}"]
    return subprocess.Popen([*words, f"http://127.0.0.1:{way.port}/{GIB}"], stdout=subprocess.PIPE, text=True)


def _until_all(transfer: subprocess.Popen[str]) -> None:
    assert transfer.communicate()[0] == str(GIB)


def _beside(measured: Measured, way: Way) -> None:
    """Status, creates and memory of a sidecar that forwards 1 GiB meanwhile, and of the same one before."""
    serving = way.serving
    assert serving
    with serving.first():
        quiet = _others(serving, lambda: False)
    before = serving.memory_mib()
    flowing = _gib(way)
    with serving.first():
        busy = _others(serving, lambda: flowing.poll() is None)
    _until_all(flowing)
    memory = serving.memory_mib("VmHWM") - before
    for number, (what, share) in enumerate((("Status, p99", 0.99), ("A create, median", 0.5))):
        values = [f"{quantile(each[number], share) * 1000:.1f} ms" for each in (quiet, busy)]
        measured.row(f"{what}, while 1 GiB flows", f"{values[1]} (without: {values[0]})")
    measured.row(
        "The sidecar's memory for all that", f"{memory:.0f} MiB", f"below {MEMORY_MIB} MiB", met=memory < MEMORY_MIB
    )


def _others(serving: Serving, is_needed: Callable[[], bool]) -> tuple[list[float], list[float]]:
    """Seconds of requests for the status, and of creates; as many as usual, and as long as `is_needed`."""
    statuses, creates = [], []
    while len(creates) < CREATES or is_needed():
        for _ in range(STATUSES):
            statuses.append(seconds(serving.client.status))
            time.sleep(STATUS_EVERY)
        creates.append(seconds(lambda: serving.client.create(held_pod())))
    return statuses, creates
