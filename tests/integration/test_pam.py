"""Sites whose sshd asks PAM: second factors that ask nothing of a known account, and words for people."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote_slurm.config import SSH
from remote_slurm.errors import SiteError
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.sessions import Request, Sessions
from tests.sites import Site, free_port

_SECOND_FACTOR = (
    "KbdInteractiveAuthentication yes",
    "AuthenticationMethods publickey,keyboard-interactive:pam",
)
_REST = "account required pam_permit.so\nsession required pam_permit.so\n"

StartSshd = Callable[..., SSH]


@pytest.fixture
def pam_sshd(site: Site, tmp_path: Path) -> Iterator[StartSshd]:
    """Start an sshd at the site with a PAM service of its own, since other tests log in there at the same time."""
    port = free_port()
    folder, service = f"/run/pam-{port}", f"remote-slurm-{port}"

    def start(stack: str, *lines: str) -> SSH:
        config = [
            *lines,
            f"ListenAddress 127.0.0.1:{port}",
            "HostKey /etc/ssh/ssh_host_ed25519_key",
            f"PidFile {folder}/pid",
            "UsePAM yes",
            f"PAMServiceName {service}",
            "PasswordAuthentication no",
            "UseDNS no",
        ]
        site.exec(f"mkdir -p {folder} && echo 'Maintenance until Monday 08:00.' >{folder}/nologin")
        site.exec(f"cat >/etc/pam.d/{service} <<'END'\n{stack.replace('FOLDER', folder)}\nEND\n")
        site.exec(f"cat >{folder}/config <<'END'\n{chr(10).join(config)}\nEND\n")
        site.exec(f"/usr/sbin/sshd -E {folder}/log -f {folder}/config")
        known = site.known_hosts_file.read_text().replace(f":{site.port} ", f":{port} ")
        (tmp_path / "known_hosts").write_text(known)
        return SSH.model_validate(
            {
                "HostName": site.host,
                "Port": port,
                "User": site.user,
                "IdentityFile": str(site.identity_file),
                "UserKnownHostsFile": str(tmp_path / "known_hosts"),
            }
        )

    yield start
    site.exec(f"kill $(cat {folder}/pid) && rm -rf {folder} /etc/pam.d/{service}")


async def outcome(settings: SSH) -> str:
    """What a script prints there, or why it cannot run."""
    connection = Connection(settings)
    sessions = Sessions(connection)
    try:
        return (await sessions.run(Request("id -un"), deadline=60)).output.decode()
    except SiteError as error:
        return str(error)
    finally:
        await sessions.close()
        await connection.close()


@pytest.mark.parametrize("words", ["", "auth optional pam_echo.so Welcome\n"], ids=["silent", "words"])
async def test_a_second_factor_that_asks_nothing_is_passed(pam_sshd: StartSshd, site: Site, words: str) -> None:
    """Duo and others let accounts and addresses through that they know."""
    settings = pam_sshd(f"{words}auth required pam_permit.so\n{_REST}", *_SECOND_FACTOR)
    assert await outcome(settings) == f"{site.user}\n"


async def test_a_second_factor_that_asks_is_refused_with_its_question(pam_sshd: StartSshd) -> None:
    said = await outcome(pam_sshd(f"auth required pam_unix.so\n{_REST}", *_SECOND_FACTOR))
    assert "also asks for keyboard-interactive (Password:): a service cannot answer a second factor" in said


async def test_the_words_of_a_maintenance_are_shown(pam_sshd: StartSshd) -> None:
    said = await outcome(pam_sshd(f"account required pam_nologin.so file=FOLDER/nologin\n{_REST}"))
    assert said.endswith("; message of the site: Maintenance until Monday 08:00.")


async def test_the_words_of_a_site_that_closes_an_account_are_shown(pam_sshd: StartSshd) -> None:
    words = "account required pam_exec.so stdout /bin/echo Your project has ended\naccount required pam_deny.so\n"
    assert "; message of the site: Your project has ended" in await outcome(pam_sshd(f"{words}{_REST}"))
