"""An OpenSSH server of our own, in each mood that a site may have."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ssh.ssh_server import Sshd, StartSshd, free_port, make_key


@pytest.fixture
def start_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartSshd]:
    """Start servers whose sshd_config has these lines in front, which win over the usual ones."""
    started: list[Sshd] = []

    def start(*lines: str, host_keys: tuple[str, ...] = ("ed25519",)) -> Sshd:
        server = Sshd(tmp_path_factory.mktemp("sshd"), free_port())
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
        ]
        (server.folder / "sshd_config").write_text("\n".join([*lines, *usual]) + "\n")
        if host_keys[0] == "ed25519":
            server.know(server.port)
        Path("/run/sshd").mkdir(exist_ok=True)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def sshd(start_sshd: StartSshd) -> Sshd:
    """A server in good health."""
    return start_sshd()
