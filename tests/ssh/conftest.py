"""An OpenSSH server of our own, in each mood that a site may have."""

from collections.abc import Iterator

import pytest

from tests.ssh.ssh_server import Sshd, StartSshd, servers


@pytest.fixture
def start_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartSshd]:
    """Start servers whose sshd_config has these lines in front, which win over the usual ones."""
    with servers(tmp_path_factory.mktemp) as start:
        yield start


@pytest.fixture
def sshd(start_sshd: StartSshd) -> Sshd:
    """A server in good health."""
    return start_sshd()
