"""The real program, `remote-slurm serve`, and a plain HTTP client that asks it what interLink asks."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.forked_program import Preloaded

# How long tests wait, in seconds, for what takes one or two where nothing else runs: only a failure takes so long
PATIENCE = 240

# The pause between two looks at what a test waits for, in seconds: each look is a request or processes at the site, so
# that tests that wait long look less often, and notice it later by at most a tenth of the time that it took
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 0.5

PROGRAM = Path(sys.executable).parent / "remote-slurm"
# Only what any process has: nothing of the developer's own settings takes part
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def looks(seconds: float = PATIENCE) -> Iterator[None]:
    """When to look at what is waited for: now, and then until so many seconds are over."""
    began = time.monotonic()
    yield
    while (waited := time.monotonic() - began) < seconds:
        time.sleep(min(max(waited / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE))
        yield


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def json(self) -> Any:
        assert self.status == 200, f"{self.status}: {self.text}"
        return json.loads(self.text)


class Client:
    """GET requests have a body, as interLink's have."""

    def __init__(self, url: str, timeout: float = PATIENCE, token: str = "") -> None:
        self._url = url
        self._timeout = timeout
        self._token = token

    def create(self, body: Any, session: str = "") -> Answer:
        return self.ask("POST", "/create", body, session)

    def status(self, *pods: Any, session: str = "") -> Answer:
        return self.ask("GET", "/status", list(pods), session)

    def delete(self, pod: Any, method: str = "POST") -> Answer:
        return self.ask(method, "/delete", pod)

    def ping(self) -> Any:
        return self.ask("GET", "/status", []).json

    def logs(self, pod: Any, container: str, **options: Any) -> Answer:
        return self.ask("GET", "/getLogs", log_request(pod, container, **options))

    def system_info(self) -> Any:
        return self.ask("GET", "/system-info", None).json

    def ask(self, method: str, path: str, body: Any, session: str = "", traceparent: str = "") -> Answer:
        """`body` is sent as JSON, or as it is where it is bytes."""
        with self._asked(method, path, body, session, traceparent) as response:
            return Answer(response.status, response.read().decode())

    @contextmanager
    def follow(self, pod: Any, container: str, **options: Any) -> Iterator["Follower"]:
        """The lines of a log as they come."""
        body = log_request(pod, container, Follow=True, **options)
        with self._asked("GET", "/getLogs", body) as response:
            yield Follower(response)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Any, session: str = "", traceparent: str = ""
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _connection(self._url, self._timeout)
        headers = {"Content-Type": "application/json"}
        if traceparent:
            headers["traceparent"] = traceparent
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if session:
            headers["InterLink-Http-Session"] = session
        try:
            connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), headers)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()


class Follower:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self._response = response

    def line(self) -> str:
        """The next line; empty at the end."""
        return self._response.readline().decode()

    def rest(self) -> str:
        return self._response.read().decode()


def log_request(pod: Any, container: str, **options: Any) -> dict[str, Any]:
    """interLink's LogStruct."""
    zero = {"Tail": 0, "Bytes": 0, "Timestamps": False, "Follow": False, "Previous": False, "SinceSeconds": 0}
    return {
        "Namespace": pod["metadata"]["namespace"],
        "PodUID": pod["metadata"]["uid"],
        "PodName": pod["metadata"]["name"],
        "ContainerName": container,
        "Opts": zero | {"SinceTime": "0001-01-01T00:00:00Z"} | options,
    }


class Sidecar:
    """`remote-slurm serve` as a process of its own; it is listening once this exists.

    `supervised`: the program itself is started, with its supervisor, and not a preloaded server.
    """

    def __init__(
        self,
        config: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        token: str = "",
        supervised: bool = True,
    ) -> None:
        self._log = config.with_name(f"{config.stem}-{time.monotonic_ns()}.log")
        words = ["serve", "--config", str(config), *options]
        env = ENVIRONMENT | (environment or {})
        with self._log.open("wb") as log, Path(os.devnull).open() as nothing:
            self.process: subprocess.Popen[bytes] | Preloaded = (
                subprocess.Popen([PROGRAM, *words], stdin=nothing, stdout=log, stderr=log, env=env)
                if supervised
                else Preloaded(words, nothing, log, log, env)
            )
        try:
            self.url = self._wait_until_listening()
        except BaseException:
            self.kill()
            raise
        self.client = Client(self.url, token=token)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL: no last words."""
        self.process.kill()
        self.process.wait()

    def _wait_until_listening(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := re.search(r" listening url=(\S+)", self.log):
                return found[1]
            self._check_that_it_runs()
            time.sleep(0.02)
        raise AssertionError(f"the sidecar does not listen: {self.log}")

    def _check_that_it_runs(self) -> None:
        if self.process.poll() is not None:
            raise AssertionError(f"the sidecar ended with {self.process.returncode}: {self.log}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path, timeout)
    assert parts.hostname
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
