"""An OpenSSH server of our own on a free port of 127.0.0.1, in each mood that a site may have."""

import asyncio
import contextlib
import functools
import getpass
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from tenacity import wait_fixed

from remote_slurm.config import SSH
from remote_slurm.ssh.circuit_breaker import Pace
from remote_slurm.ssh.connection import Connection
from tests.sites import free_port

_ACCOUNT = getpass.getuser()


@dataclass
class Sshd:
    """A running sshd; `folder` holds its keys, its configuration and its log."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host_key(self) -> str:
        return (self.folder / "host_ed25519.pub").read_text().strip()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def settings(self, **changes: object) -> SSH:
        """The block SSH of a configuration that reaches this server."""
        values = {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": _ACCOUNT,
            "IdentityFile": str(self.folder / "user_ed25519"),
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "ConnectTimeout": 60,
        }
        return SSH.model_validate(values | changes)

    def behind(self, jump: "Sshd", hops: str = "") -> SSH:
        """Settings that reach this server through `jump`, which then knows the user as well."""
        self.know(jump.port, jump.host_key)
        shutil.copy(self.folder / "authorized_keys", jump.folder / "authorized_keys")
        return self.settings(ProxyJump=hops or f"127.0.0.1:{jump.port}")

    def know(self, port: int, key: str | None = None) -> None:
        """Add a line to the user's known_hosts: this server's key, for another port that leads to it."""
        with (self.folder / "known_hosts").open("a") as file:
            file.write(f"[127.0.0.1]:{port} {key or self.host_key}\n")

    def start(self) -> None:
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert sshd, "openssh-server is not installed"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([sshd, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=log)
        for _ in range(3000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError(f"sshd did not start: {self.log}")

    def stop(self) -> None:
        """End the server; connections that exist live on in processes of their own."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None


def make_key(path: Path, kind: str = "ed25519", *options: str) -> Path:
    if kind == "rsa" and not options:
        for suffix, content in zip(("", ".pub"), _rsa_key(), strict=True):
            path.with_name(path.name + suffix).write_bytes(content)
        path.chmod(0o600)
    else:
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path, *options], check=True)
    return path


@functools.cache
def _rsa_key() -> tuple[bytes, bytes]:
    """One pair for all servers of this process: to find the primes of each takes a quarter of a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", path], check=True)
        return path.read_bytes(), path.with_suffix(".pub").read_bytes()


@contextlib.asynccontextmanager
async def connection_to(settings: SSH) -> AsyncIterator[Connection]:
    """A connection that is tried again at once."""
    connection = Connection(settings, pace=Pace(waits=wait_fixed(0), per_minute=1000))
    try:
        yield connection
    finally:
        await connection.close()


StartSshd = Callable[..., Sshd]


@contextlib.contextmanager
def servers(make_folder: Callable[[str], Path]) -> Iterator[StartSshd]:
    """Start servers whose sshd_config has these lines in front, which win over the usual ones."""
    started: list[Sshd] = []

    def start(*lines: str, host_keys: tuple[str, ...] = ("ed25519",)) -> Sshd:
        server = Sshd(make_folder("sshd"), free_port())
        for kind in host_keys:
            make_key(server.folder / f"host_{kind}", kind)
        make_key(server.folder / "user_ed25519")
        shutil.copy(server.folder / "user_ed25519.pub", server.folder / "authorized_keys")
        (server.folder / "authorized_keys").chmod(0o600)
        usual = [
            f"Port {server.port}",
            "ListenAddress 127.0.0.1",
            *(f"HostKey {server.folder}/host_{kind}" for kind in host_keys),
            f"AuthorizedKeysFile {server.folder}/authorized_keys",
            f"PidFile {server.folder}/pid",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "LogLevel VERBOSE",
            # the developer's own ~/.bashrc takes no part, and costs no time
            f"SetEnv HOME={server.folder}",
        ]
        (server.folder / "sshd_config").write_text("\n".join([*lines, *usual]) + "\n")
        if host_keys[0] == "ed25519":
            server.know(server.port)
        Path("/run/sshd").mkdir(exist_ok=True)
        server.start()
        started.append(server)
        return server

    try:
        yield start
    finally:
        for server in started:
            server.stop()


def ssh_threads() -> list[threading.Thread]:
    """Threads that belong to connections: ours, and Paramiko's; other tests of this process have some, too."""
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("ssh-") or isinstance(thread, paramiko.Transport)
    ]


async def eventually(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until the condition holds; TimeoutError when it does not come to that."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - its condition has no event
            await asyncio.sleep(0.02)
