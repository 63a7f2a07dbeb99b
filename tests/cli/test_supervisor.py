"""`remote-slurm serve` as two processes: sockets and requests outlive the server. No site is needed for that."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_slurm.cli.supervisor import MAX_FAILURES, MAX_REPEATS, MOST_ACCEPTED
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Sidecar

Configured = Callable[..., Path]
Start = Callable[[Path], Sidecar]


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """A configuration whose site is not there; arguments are further keys."""

    def write(**keys: Any) -> Path:
        ssh = {"HostName": "127.0.0.1", "Port": 1, "User": "nobody", "IdentityFile": str(tmp_path / "id")}
        path = tmp_path / "SlurmConfig.yaml"
        path.write_text(yaml.safe_dump({"SSH": ssh, "SidecarPort": 0, "StateFolder": str(tmp_path / "state")} | keys))
        return path

    return write


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sidecar, which is killed at the end of the test."""
    started: list[Sidecar] = []

    def begin(config: Path) -> Sidecar:
        started.append(Sidecar(config))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def kill_server(sidecar: Sidecar) -> None:
    (server,) = children(sidecar.process.pid)
    os.kill(server, signal.SIGKILL)


@pytest.mark.parametrize(("kind", "kills"), [("port", 3), ("ipv6", 1), ("socket", 1)])
def test_connections_wait_while_the_server_is_away(
    configured: Configured, start: Start, tmp_path: Path, kind: str, kills: int
) -> None:
    keys = {"port": {}, "ipv6": {"BindAddress": "::1"}, "socket": {"Socket": f"unix://{tmp_path}/s"}}
    sidecar = start(configured(**keys[kind]))
    for _ in range(kills):
        kill_server(sidecar)
        assert sidecar.client.ping()["resources"]["pods"] == "0"
    assert sidecar.stop() == 0, "the signal reaches the server, and its exit code comes back"
    assert "stopping" in sidecar.log
    assert sidecar.log.count(f" listening url={sidecar.url} ") > 1  # not each: one that is killed at once logs nothing


def test_an_idle_connection_stays_open(configured: Configured, start: Start) -> None:
    sidecar = start(configured())
    host, port = sidecar.url.removeprefix("http://").split(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=PATIENCE)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        sidecar.client.ping()  # so that the server has noted the end of its first answer
        kill_server(sidecar)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"


def test_half_a_request_is_completed_by_the_next_server(configured: Configured, start: Start) -> None:
    sidecar = start(configured())
    host, port = sidecar.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[")
        time.sleep(0.2)  # the server reads it
        kill_server(sidecar)
        client.sendall(b"]")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_wrong_configuration_ends_the_start_at_once(configured: Configured) -> None:
    done = subprocess.run(
        [PROGRAM, "serve", "--config", configured(PollIntervall=3)],
        capture_output=True, text=True, check=False, timeout=PATIENCE, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("PollIntervall") == 1


def test_no_module_of_the_current_folder_is_run(configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit(3)")
    config = configured(CUSTOMKUBECONF=str(tmp_path / "absent"))
    done = subprocess.run(
        [PROGRAM, "serve", "--config", config],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1
    assert "CUSTOMKUBECONF" in done.stderr


def test_systemd_passes_the_socket_and_learns_when_requests_are_answered(
    configured: Configured, tmp_path: Path
) -> None:
    with socket.socket() as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        config = configured(SidecarPort=port)
        process = activated(listener, config, NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            assert notified.recv(100) == b"READY=1"
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
                connection.request("GET", "/healthz")
                assert connection.getresponse().read() == b"ok\n"
            process.terminate()
            assert notified.recv(100) == b"STOPPING=1"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_a_socket_of_systemd_on_another_address_is_refused(configured: Configured) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = activated(listener, configured(SidecarPort=1))
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"systemd's socket listens on 127.0.0.1 port {port}, but the configuration has 127.0.0.1 port 1: " in log


def activated(listener: socket.socket, config: Path, **environment: str) -> "subprocess.Popen[str]":
    """As systemd starts a service with a socket: descriptor 3, and the process's own id in LISTEN_PID."""
    script = f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=sidecar; exec "$@"'
    return subprocess.Popen(
        ["/bin/bash", "-c", script, "bash", PROGRAM, "serve", "--config", config],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT | environment, pass_fds=[listener.fileno()],
    )  # fmt: skip


# --- with a server of the test's own ---------------------------------------------------------------------------------

# Listens, says so, and dies of each request
_DIES_OF_REQUESTS = """
import os, signal, socket, sys
from remote_slurm.api.handover import VARIABLE, Channel, RequestRecord
channel = Channel.inherited(int(os.environ[VARIABLE]))
listener, repeated = None, False
while (message := channel.receive()).kind != "begin":
    if message.kind == "listen":
        listener = socket.socket(fileno=message.fds[0])
    else:
        repeated = True
if repeated:
    if %(listens_first)s:
        channel.send("ready", "text")
    os.kill(os.getpid(), signal.SIGKILL)
if listener is None:
    listener = socket.create_server(("127.0.0.1", 0))
    channel.send("listen", "sidecar", listener.fileno())
print(listener.getsockname()[1], flush=True)
channel.send("ready", "text")
connection, _ = listener.accept()
record = RequestRecord.new()
channel.send("open", "1", connection.fileno(), record.fd)
count = connection.recv_into(record.room())
if %(counts)s:
    record.arrived(count)
os.kill(os.getpid(), signal.SIGKILL)
"""

# Listens and dies, as often as it is started
_DIES_ALWAYS = """
import os, signal, socket
from remote_slurm.api.handover import VARIABLE, Channel
channel = Channel.inherited(int(os.environ[VARIABLE]))
if channel.receive().kind == "begin":
    listener = socket.create_server(("127.0.0.1", 0))
    channel.send("listen", "sidecar", listener.fileno())
else:
    channel.receive()  # "begin": the supervisor would count a server that ends before it as one that did not listen
print("started", flush=True)
channel.send("ready", "text")
os.kill(os.getpid(), signal.SIGKILL)
"""

# The first one dies between asking for a connection and getting it, the second one answers
_DIES_BEFORE_IT_HAS_THE_CONNECTION = """
import os, select, signal, socket
from remote_slurm.api.handover import VARIABLE, Channel
channel = Channel.inherited(int(os.environ[VARIABLE]))
listener = None
while (message := channel.receive()).kind != "begin":
    if message.kind == "listen":
        listener = socket.socket(fileno=message.fds[0])
    else:
        connection = socket.socket(fileno=message.fds[0])
first = listener is None
if first:
    listener = socket.create_server(("127.0.0.1", 0))
    channel.send("listen", "sidecar", listener.fileno())
    print(listener.getsockname()[1], flush=True)
channel.send("ready", "text")
if first:
    select.select([listener], [], [])
    channel.send("accept", "listen sidecar")
    os.kill(os.getpid(), signal.SIGKILL)
connection.sendall(b"answered")
connection.shutdown(socket.SHUT_RDWR)
channel.receive()  # until the supervisor is gone
"""

# Asks for connections, and prints the kinds of the answers: so many for each time
_ASKS_FOR_CONNECTIONS = """
import os, socket, sys
from remote_slurm.api.handover import VARIABLE, Channel
channel = Channel.inherited(int(os.environ[VARIABLE]))
channel.receive()
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
channel.send("listen", "sidecar", listener.fileno())
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
for answers in map(int, sys.argv[1:]):
    channel.send("accept", "listen sidecar")
    print(*(channel.receive().kind for _ in range(answers)), flush=True)
"""

# Listens once, and never again
_CANNOT_START_AGAIN = """
import os, socket, sys
from remote_slurm.api.handover import VARIABLE, Channel
channel = Channel.inherited(int(os.environ[VARIABLE]))
print("started", flush=True)
if channel.receive().kind == "begin":
    listener = socket.create_server(("127.0.0.1", 0))
    channel.send("listen", "sidecar", listener.fileno())
    channel.send("ready", "text")
sys.exit(7)
"""


def supervised(script: str, *arguments: str, longest_pause: float = 2) -> "subprocess.Popen[str]":
    """A supervisor whose server is this script, with these arguments."""
    code = "import os, sys; from remote_slurm.cli import supervisor; "
    code += f"supervisor.MAX_PAUSE_SECONDS = {longest_pause}; "
    code += "sys.exit(supervisor.Supervisor([sys.executable, '-c', *sys.argv[1:]], os.environ).run())"
    return subprocess.Popen(
        [sys.executable, "-c", code, script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("listens_first", "counts"), [(True, True), (False, True), (True, False)])
def test_a_request_that_every_server_dies_of_is_answered_at_last(*, listens_first: bool, counts: bool) -> None:
    """Also if the first one dies right after the kernel has given it the request."""
    process = supervised(_DIES_OF_REQUESTS % {"listens_first": listens_first, "counts": counts}, longest_pause=0)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
    finally:
        process.kill()
        _, log = process.communicate()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"ended several times while it handled this request" in answer
    repeats = log.count("repeating requests that the ended server process had not answered")
    assert repeats == MAX_REPEATS if listens_first else repeats < MAX_FAILURES


def test_a_connection_is_known_before_a_server_has_it() -> None:
    process = supervised(_DIES_BEFORE_IT_HAS_THE_CONNECTION)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            assert b"".join(iter(lambda: client.recv(65536), b"")) == b"answered"
    finally:
        process.kill()
        process.communicate()


def test_connections_of_a_burst_are_accepted_together() -> None:
    process = supervised(_ASKS_FOR_CONNECTIONS, str(MOST_ACCEPTED), "1", "1")
    with contextlib.ExitStack() as stack:
        stack.callback(process.communicate)
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        for _ in range(MOST_ACCEPTED + 1):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        process.stdin.write("all are connected\n")
        process.stdin.flush()
        assert process.stdout.readline().split() == ["open"] * MOST_ACCEPTED
        assert process.stdout.readline().split() == ["open"]
        assert process.stdout.readline().split() == ["none"]


def test_the_supervisor_gives_up_when_no_server_can_be_started() -> None:
    process = supervised(_CANNOT_START_AGAIN)
    out, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 7
    assert out.count("started") == 1 + MAX_FAILURES + 1
    assert "giving up" in log


def test_a_server_that_listens_is_started_again_however_often_it_dies() -> None:
    process = supervised(_DIES_ALWAYS, longest_pause=0)
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2 * MAX_FAILURES)] == ["started\n"] * 2 * MAX_FAILURES
    finally:
        process.kill()
        process.communicate()


def test_the_supervisor_stops_between_two_servers() -> None:
    process = supervised(_CANNOT_START_AGAIN)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    timer = threading.Timer(0.1, process.terminate)
    timer.start()
    out, _ = process.communicate(timeout=PATIENCE)
    timer.join()
    assert process.returncode in (0, 7, 128 + signal.SIGTERM)
    assert out.count("started") < MAX_FAILURES - 4
