"""How a site is reached: host keys, authentication, attempts, and messages."""

import asyncio
import contextlib
import io
import logging
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tenacity import wait_fixed

from remote_slurm.config import SSH
from remote_slurm.errors import AuthenticationRefused, HostKeyRefused, NotSent, RenewalFailed, Unreachable
from remote_slurm.ssh.circuit_breaker import Pace
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.key_renewal import renew
from tests.fault_proxy import FaultProxy
from tests.sites import free_port
from tests.ssh.ssh_server import Sshd, StartSshd, eventually, make_key, ssh_threads

EAGER = Pace(waits=wait_fixed(0), per_minute=1000)


@contextlib.asynccontextmanager
async def connection_to(settings: SSH, pace: Pace = EAGER) -> AsyncIterator[Connection]:
    connection = Connection(settings, pace=pace)
    try:
        yield connection
    finally:
        await connection.close()


# whom we trust


async def test_a_known_host_is_connected_to_once_for_everybody(sshd: Sshd) -> None:
    async with connection_to(sshd.settings()) as connection:
        links = await asyncio.gather(*(connection.link() for _ in range(10)))
        assert len({id(link) for link in links}) == 1
        assert sshd.log.count("Accepted publickey") == 1
        assert connection.state.connected
        assert connection.state.host == "127.0.0.1"


async def test_an_unknown_host_is_refused_before_any_login(sshd: Sshd) -> None:
    (sshd.folder / "known_hosts").write_text("")
    async with connection_to(sshd.settings()) as connection:
        with pytest.raises(HostKeyRefused, match=r"is unknown: .* it offers ssh-ed25519 SHA256:.*ssh-keyscan"):
            await connection.link()
    assert "publickey" not in sshd.log


async def test_a_changed_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger").with_suffix(".pub").read_text()
    (sshd.folder / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {stranger}")
    async with connection_to(sshd.settings()) as connection:
        with pytest.raises(HostKeyRefused, match="has changed"):
            await connection.link()


async def test_the_system_wide_and_the_personal_known_hosts_count_for_nothing(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    shutil.move(sshd.folder / "known_hosts", tmp_path / ".ssh" / "known_hosts")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with connection_to(sshd.settings()) as connection:
        with pytest.raises(HostKeyRefused, match="known_hosts does not exist"):
            await connection.link()


async def test_of_several_host_keys_the_known_one_is_asked_for(start_sshd: StartSshd) -> None:
    server = start_sshd(host_keys=("ed25519", "ecdsa", "rsa"))
    rsa = (server.folder / "host_rsa.pub").read_text()
    (server.folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {rsa}")
    async with connection_to(server.settings()) as connection:
        await connection.link()


# who we are


async def test_a_key_that_everybody_may_read_is_fine(sshd: Sshd) -> None:
    (sshd.folder / "user_ed25519").chmod(0o644)
    async with connection_to(sshd.settings()) as connection:
        await connection.link()


async def test_a_key_that_the_site_does_not_know_is_refused(sshd: Sshd) -> None:
    (sshd.folder / "authorized_keys").write_text("")
    async with connection_to(sshd.settings()) as connection:
        with pytest.raises(AuthenticationRefused, match=r"user_ed25519.*the site accepts publickey") as refusal:
            await connection.link()
        assert refusal.value.methods == ("publickey",)


async def test_no_other_key_is_tried_with_identities_only(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    shutil.copy(sshd.folder / "user_ed25519", tmp_path / ".ssh" / "id_ed25519")
    monkeypatch.setenv("HOME", str(tmp_path))
    other = make_key(tmp_path / "other")
    async with connection_to(sshd.settings(IdentityFile=str(other))) as connection:
        with pytest.raises(AuthenticationRefused):
            await connection.link()
    lenient = sshd.settings(IdentityFile=str(other), IdentitiesOnly="false")
    async with connection_to(lenient) as connection:
        await connection.link()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """An ssh-agent; call it to add a key."""
    with subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / "agent").exists():
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))

        def add(key: Path) -> None:
            subprocess.run(["ssh-add", "-q", key], check=True)

        yield add
        process.terminate()


async def test_a_key_of_the_agent_is_used_where_that_is_allowed(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    agent(sshd.folder / "user_ed25519")
    (sshd.folder / "user_ed25519").unlink()
    values = {**sshd.settings().model_dump(by_alias=True), "IdentitiesOnly": "false"}
    del values["IdentityFile"]
    async with connection_to(SSH.model_validate(values)) as connection:
        await connection.link()


async def test_too_many_keys_for_the_site_is_a_refusal(start_sshd: StartSshd, tmp_path: Path) -> None:
    server = start_sshd("MaxAuthTries 2")
    (server.folder / "authorized_keys").write_text("")
    _certify(make_key(tmp_path / "authority"), server.folder / "user_ed25519", "somebody", "+1h")
    async with connection_to(server.settings()) as connection:
        with pytest.raises(AuthenticationRefused, match="MaxAuthTries"):
            await connection.link()


async def test_a_second_factor_is_named(start_sshd: StartSshd) -> None:
    server = start_sshd("PasswordAuthentication yes", "AuthenticationMethods publickey,password")
    async with connection_to(server.settings()) as connection:
        with pytest.raises(AuthenticationRefused, match="also asks for password") as refusal:
            await connection.link()
        assert refusal.value.methods == ("password",)


async def test_a_certificate_opens_the_door(start_sshd: StartSshd, tmp_path: Path) -> None:
    authority = make_key(tmp_path / "authority")
    server = start_sshd(f"TrustedUserCAKeys {authority}.pub")
    key = server.folder / "user_ed25519"
    (server.folder / "authorized_keys").write_text("")
    certificate = _certify(authority, key, server.settings().user, "+1h")
    async with connection_to(server.settings(CertificateFile=str(certificate))) as connection:
        await connection.link()


async def test_an_expired_certificate_is_named(start_sshd: StartSshd, tmp_path: Path) -> None:
    authority = make_key(tmp_path / "authority")
    server = start_sshd(f"TrustedUserCAKeys {authority}.pub")
    (server.folder / "authorized_keys").write_text("")
    _certify(authority, server.folder / "user_ed25519", server.settings().user, "20200101:20200102")
    async with connection_to(server.settings()) as connection:
        with pytest.raises(AuthenticationRefused, match=r"cert.pub \(expired 2020-01-02"):
            await connection.link()


def _certify(authority: Path, key: Path, user: str, validity: str) -> Path:
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", user, "-V", validity, f"{key}.pub"]
    subprocess.run(command, check=True)
    return key.with_name(key.name + "-cert.pub")


def _passphrase(folder: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", folder / "key"], check=True)
    return folder / "key"


def _written(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "key").write_text(text)
        return folder / "key"

    return write


def _writable(mode: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        key = make_key(folder / "key")
        key.chmod(mode)
        return key

    return make


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "absent", "absent cannot be read .No such file"),
        (lambda folder: folder, "cannot be read .Is a directory"),
        (_passphrase, "is protected by a passphrase: name the file that holds it as SSH.PassphraseFile"),
        (_writable(0o660), "can be written by others .mode 0660., who could put their own key there: chmod 600"),
        (_writable(0o602), "can be written by others .mode 0602."),
        (lambda folder: make_key(folder / "key").with_suffix(".pub"), "holds the public key"),
        (_written("PuTTY-User-Key-File-3: ssh-ed25519\n"), "is in PuTTY's format"),
        (_written("nonsense"), "is not a private key in OpenSSH, PEM or PKCS#8 format"),
        (_written(""), "is not a private key in OpenSSH, PEM or PKCS#8 format"),
    ],
)
async def test_what_is_wrong_with_the_key_file(
    sshd: Sshd, tmp_path: Path, make: Callable[[Path], Path], sentence: str
) -> None:
    async with connection_to(sshd.settings(IdentityFile=str(make(tmp_path)))) as connection:
        with pytest.raises(AuthenticationRefused, match=sentence):
            await connection.link()


async def test_a_passphrase_is_read_from_its_file(sshd: Sshd, tmp_path: Path) -> None:
    key, passphrase = _passphrase(tmp_path), tmp_path / "passphrase"
    (sshd.folder / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    settings = sshd.settings(IdentityFile=str(key), PassphraseFile=str(passphrase))
    async with connection_to(settings) as connection:
        with pytest.raises(AuthenticationRefused, match=r"PassphraseFile .*passphrase cannot be read"):
            await connection.link()
        passphrase.write_text("wrong\n")
        with pytest.raises(AuthenticationRefused, match=r"PassphraseFile .*passphrase does not open IdentityFile"):
            await connection.link()
        passphrase.write_text("secret\n")
        assert (await connection.link()).alive


async def test_a_passphrase_file_beside_a_key_without_one_does_no_harm(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("secret")
    async with connection_to(sshd.settings(PassphraseFile=str(tmp_path / "passphrase"))) as connection:
        assert (await connection.link()).alive


async def test_a_renewed_certificate_is_used_by_the_next_connection(start_sshd: StartSshd, tmp_path: Path) -> None:
    """As sites with certificates of a day have it: what is on disk at the time of the login is used."""
    authority = make_key(tmp_path / "authority")
    server = start_sshd(f"TrustedUserCAKeys {authority}.pub")
    (server.folder / "authorized_keys").write_text("")
    key, user = make_key(tmp_path / "key"), server.settings().user
    _certify(authority, key, user, "20200101:20200102")
    async with connection_to(server.settings(IdentityFile=str(key)), Pace()) as connection:
        with pytest.raises(AuthenticationRefused, match=r"expired 2020-01-02"):
            await connection.link()
        _certify(authority, key, user, "+1h")
        assert (await connection.link()).alive


async def test_before_connect_renews_what_the_login_needs(sshd: Sshd, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh key"
    command = f"cp -p {sshd.folder}/user_ed25519 '{fresh}'"
    async with connection_to(sshd.settings(IdentityFile=str(fresh), BeforeConnect=command)) as connection:
        link = await connection.link()
        fresh.unlink()
        connection.drop(link, "the test wants another one")
        assert (await connection.link()).alive
        assert fresh.exists()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("sh -c 'echo no ticket >&2; exit 3'", "BeforeConnect .sh. ended with exit code 3: no ticket$"),
        ("/no/such/command", "BeforeConnect ./no/such/command. cannot be run: No such file or directory"),
    ],
)
async def test_before_connect_that_fails_says_why(sshd: Sshd, command: str, sentence: str) -> None:
    async with connection_to(sshd.settings(BeforeConnect=command)) as connection:
        with pytest.raises(RenewalFailed, match=sentence):
            await connection.link()


async def test_before_connect_that_hangs_is_ended() -> None:
    with pytest.raises(RenewalFailed, match=r"did not end within 0\.2 s"):
        await renew("sleep 60", 0.2)


@pytest.mark.parametrize(("text", "sentence"), [(None, "cannot be read"), ("nonsense", "is not a certificate")])
async def test_what_is_wrong_with_the_certificate(sshd: Sshd, tmp_path: Path, text: str | None, sentence: str) -> None:
    if text:
        (tmp_path / "cert").write_text(text)
    async with connection_to(sshd.settings(CertificateFile=str(tmp_path / "cert"))) as connection:
        with pytest.raises(AuthenticationRefused, match=sentence):
            await connection.link()


# what is tried


async def test_the_next_host_is_used_when_one_cannot_be_reached(sshd: Sshd) -> None:
    async with connection_to(sshd.settings(HostName=["nowhere.invalid", "127.0.0.1"])) as connection:
        assert (await connection.link()).host == "127.0.0.1"


async def test_the_next_host_is_not_asked_when_one_refuses(start_sshd: StartSshd) -> None:
    server = start_sshd()
    (server.folder / "authorized_keys").write_text("")
    async with connection_to(server.settings(HostName=["127.0.0.1", "localhost"])) as connection:
        with pytest.raises(AuthenticationRefused):
            await connection.link()
    assert server.log.count("Failed publickey") == 1


async def test_a_host_that_worked_is_tried_first(sshd: Sshd) -> None:
    settings = sshd.settings(HostName=["nowhere.invalid", "127.0.0.1"])
    async with connection_to(settings) as connection:
        first = await connection.link()
        connection.drop(first, "a test")
        assert (await connection.link()) is not first
        assert connection._hosts[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("nowhere.invalid", "nowhere.invalid port [0-9]+: the name does not resolve"),
        ("127.0.0.1", "127.0.0.1 port [0-9]+: the connection was refused"),
    ],
)
async def test_why_a_host_cannot_be_reached(sshd: Sshd, host: str, sentence: str) -> None:
    async with connection_to(sshd.settings(HostName=host, Port=free_port())) as connection:
        with pytest.raises(Unreachable, match=sentence):
            await connection.link()
        assert "cannot reach" in connection.state.last_error


async def test_connect_timeout_covers_a_server_that_says_nothing(sshd: Sshd) -> None:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        proxy.freeze()
        settings = sshd.settings(Port=proxy.port, ConnectTimeout=1)
        async with connection_to(settings) as connection:
            with pytest.raises(Unreachable, match="within 1 s"):
                await asyncio.wait_for(connection.link(), 120)
        await eventually(lambda: not ssh_threads())


@pytest.mark.parametrize("size", [10, 500, 1200, 1500])
async def test_connect_timeout_covers_a_server_that_stops_anywhere(sshd: Sshd, size: int) -> None:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        sshd.know(proxy.port)
        proxy.freeze_after(size, "down")
        settings = sshd.settings(Port=proxy.port, ConnectTimeout=1)
        async with connection_to(settings) as connection:
            with pytest.raises(Unreachable, match="within 1 s"):
                await asyncio.wait_for(connection.link(), 120)
        await eventually(lambda: not ssh_threads())


@pytest.mark.parametrize("size", [10, 500, 1200, 1500])
async def test_a_connection_cut_during_the_login_is_unreachable_and_not_refused(sshd: Sshd, size: int) -> None:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        sshd.know(proxy.port)
        proxy.cut_after(size, "down")
        async with connection_to(sshd.settings(Port=proxy.port)) as connection:
            with pytest.raises(Unreachable, match="cannot reach"):
                await connection.link()
            assert (await connection.link()).alive


# jump hosts


async def test_through_a_jump_host(start_sshd: StartSshd) -> None:
    jump, target = start_sshd(), start_sshd()
    settings = target.behind(jump)
    async with connection_to(settings) as connection:
        link = await connection.link()
        assert link.alive
    assert "Accepted publickey" in jump.log
    assert "Accepted publickey" in target.log


async def test_through_two_jump_hosts(start_sshd: StartSshd) -> None:
    first, second, target = start_sshd(), start_sshd(), start_sshd()
    target.know(first.port, first.host_key)
    shutil.copy(target.folder / "authorized_keys", first.folder / "authorized_keys")
    settings = target.behind(second, f"127.0.0.1:{first.port},127.0.0.1:{second.port}")
    async with connection_to(settings) as connection:
        assert (await connection.link()).alive
    assert "Accepted publickey" in first.log


async def test_the_host_key_of_a_jump_host_is_verified(start_sshd: StartSshd, tmp_path: Path) -> None:
    jump, target = start_sshd(), start_sshd()
    settings = target.behind(jump)
    stranger = make_key(tmp_path / "stranger").with_suffix(".pub").read_text()
    known = f"[127.0.0.1]:{target.port} {target.host_key}\n[127.0.0.1]:{jump.port} {stranger}"
    (target.folder / "known_hosts").write_text(known)
    async with connection_to(settings) as connection:
        with pytest.raises(HostKeyRefused, match=rf"\[127.0.0.1\]:{jump.port} has changed"):
            await connection.link()
    assert "publickey" not in jump.log + target.log


async def test_a_target_that_the_jump_host_cannot_reach(start_sshd: StartSshd) -> None:
    jump, target = start_sshd(), start_sshd()
    target.stop()
    async with connection_to(target.behind(jump)) as connection:
        with pytest.raises(Unreachable, match=r"the jump host 127.0.0.1 reports: "):
            await connection.link()


# an ssh_config


async def test_no_ssh_config_is_read_unless_asked(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  HostName nowhere.invalid\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with connection_to(sshd.settings()) as connection:
        await connection.link()


async def test_an_ssh_config_gives_name_port_and_jump_hosts(start_sshd: StartSshd, tmp_path: Path) -> None:
    jump, target = start_sshd(), start_sshd()
    target.behind(jump)
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host site\n  HostName 127.0.0.1\n  Port {target.port}\n  ProxyJump 127.0.0.1:{jump.port}\n"
        "  StrictHostKeyChecking no\n"
    )
    values = target.settings().model_dump(by_alias=True) | {"HostName": "site", "ConfigFile": str(config)}
    del values["Port"]
    async with connection_to(SSH.model_validate(values)) as connection:
        assert (await connection.link()).host == "127.0.0.1"
    assert "Accepted publickey" in jump.log


async def test_a_proxy_command_is_named_and_not_run(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "ssh_config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/ran\n")
    async with connection_to(sshd.settings(ConfigFile=str(tmp_path / "ssh_config"))) as connection:
        with pytest.raises(Unreachable, match=r"ProxyCommand .* is not supported: ProxyJump does the same"):
            await connection.link()
    assert not (tmp_path / "ran").exists()


# how it ends


async def test_a_link_that_died_is_replaced(sshd: Sshd) -> None:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        sshd.know(proxy.port)
        async with connection_to(sshd.settings(Port=proxy.port, ServerAliveInterval=1000)) as connection:
            first = await connection.link()
            proxy.cut()
            await eventually(lambda: not connection.state.connected)
            assert "was closed by the site or the network" in connection.state.last_error
            assert not first.alive
            second = await connection.link()
            assert connection.state.last_error == ""
            assert second.alive
            assert proxy.connections == 2
            await eventually(lambda: [each.get_name() for each in asyncio.all_tasks()].count("ssh-heartbeat") == 1)


async def test_a_frozen_peer_is_noticed_without_anybody_asking(sshd: Sshd) -> None:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        sshd.know(proxy.port)
        async with connection_to(sshd.settings(Port=proxy.port, ServerAliveInterval=2)) as connection:
            link = await connection.link()
            await asyncio.sleep(3)
            assert link.alive
            proxy.freeze()
            await eventually(lambda: not link.alive)
            assert "silent" in connection.state.last_error
            assert not connection.state.connected
        await eventually(lambda: not ssh_threads())


async def test_after_close_nothing_is_left_and_nothing_is_sent(sshd: Sshd) -> None:
    connection = Connection(sshd.settings())
    await connection.link()
    await connection.close()
    with pytest.raises(NotSent, match="shutting down"):
        await connection.link()
    await eventually(lambda: not ssh_threads())


async def test_close_during_an_attempt_leaves_nothing(sshd: Sshd) -> None:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        proxy.freeze()
        connection = Connection(sshd.settings(Port=proxy.port))
        attempt = asyncio.create_task(connection.link())
        await eventually(lambda: proxy.open_connections == 1)
        await connection.close()
        with pytest.raises((asyncio.CancelledError, NotSent)):
            await attempt
        await eventually(lambda: not ssh_threads())


async def test_paramikos_tracebacks_stay_out_of_the_log(sshd: Sshd) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        sshd.know(proxy.port)
        proxy.cut_after(500, "down")
        async with connection_to(sshd.settings(Port=proxy.port)) as connection:
            with pytest.raises(Unreachable):
                await connection.link()
    logging.getLogger().removeHandler(handler)
    assert log.getvalue() == "cannot connect to the site\n"
