"""The first checks: address, host key, login and shell."""

from __future__ import annotations

from collections.abc import Mapping

from remote_slurm.config import Config
from remote_slurm.config.strict_modes import readable_key
from remote_slurm.errors import (
    AuthenticationRefused,
    Code,
    HostKeyRefused,
    NoCommonAlgorithm,
    RemoteFailed,
    RenewalFailed,
    Unreachable,
)
from remote_slurm.service.check.findings import CheckFailed, Passed, Step
from remote_slurm.site.operations import check_shell
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.connect import Transport
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.reachability import LoginShell, greeting, login_shell
from remote_slurm.ssh.remote_shell import ANOTHER_SHELL
from remote_slurm.ssh.threads import in_thread

_SHELL_SECONDS = 30.0
# A slower login works, but each new session waits for it
_SLOW_LOGIN_SECONDS = 3.0
_ANOTHER_COMMAND = (
    "correct SSH.BeforeConnect: the command runs on this machine, without a shell, as the account that the sidecar has"
)
_OTHER_ALGORITHMS = (
    "ask the site to accept an algorithm that the sidecar offers, or add one of the site's to the key of that name in "
    "the block SSH (`+NAME` adds one). ssh may still reach the site, since it has algorithms that Paramiko lacks"
)


class ConnectionChecks:
    """Each check needs the one before it. `names` has what remedies call keys of the block SSH instead of `SSH.KEY`."""

    def __init__(
        self, config: Config, connection: Connection, site: RemoteSite, names: Mapping[str, str] | None = None
    ) -> None:
        self._config = config
        self._connection = connection
        self._site = site
        self._names = names or {}
        self._refused: AuthenticationRefused | None = None

    @property
    def steps(self) -> dict[str, Step]:
        """In order, by name."""
        return {"address": self.address, "host key": self.host_key, "login": self.login, "shell": self.shell}

    async def address(self) -> Passed:
        ssh = self._config.ssh
        if ssh.config_file:
            remarks = await self._reach()
            return Passed(f"as in {ssh.config_file}", "; ".join(remarks))
        first = ssh.proxy_jump[:1]
        places = [(first[0].host, first[0].port)] if first else [(name, ssh.port) for name in ssh.host_names]
        answers, failures = [], []
        for host, port in places:
            try:
                heard = await in_thread("check-address", greeting, host, port, ssh.connect_timeout)
                answers.append(f"{host} port {port} answers as {heard}{' (ProxyJump)' if first else ''}")
            except Unreachable as error:
                failures.append(f"{error}{' (ProxyJump)' if first else ''}")
        if not answers:
            raise CheckFailed("; ".join(failures), self._address_remedy)
        await self._reach()
        return Passed("; ".join(answers + failures), self._address_remedy if failures else "")

    @property
    def _address_remedy(self) -> str:
        host, port, jump = map(self._name, ("HostName", "Port", "ProxyJump"))
        keys = f"{jump}, {host} and {port}" if self._config.ssh.proxy_jump else f"{host} and {port}"
        return (
            f"correct {keys}, or ask the site whether its firewall lets this machine in, or whether the way is through "
            f"another host ({jump})"
        )

    def _name(self, key: str) -> str:
        return self._names.get(key, f"SSH.{key}")

    @property
    def _key_remedy(self) -> str:
        return (
            f"set {self._name('IdentityFile')} (and {self._name('CertificateFile')}, where the site signs keys) to a "
            "private key without a passphrase that the site takes as the only factor"
        )

    @property
    def _known_hosts_remedy(self) -> str:
        return (
            f"set {self._name('IdentityFile')} to a private key, and {self._name('CertificateFile')} and "
            f"{self._name('PassphraseFile')}, where they are needed, to what belongs to it: files that this account "
            "can read"
        )

    async def _reach(self) -> tuple[str, ...]:
        """Go the whole way, through jump hosts too, and return remarks on the configuration.

        What is refused at its end is for the checks that follow.
        """
        try:
            return (await self._connection.link()).remarks
        except RenewalFailed as error:
            raise CheckFailed(str(error), _ANOTHER_COMMAND) from error
        except NoCommonAlgorithm as error:
            raise CheckFailed(str(error), _OTHER_ALGORITHMS) from error
        except Unreachable as error:
            raise CheckFailed(str(error), self._address_remedy) from error
        except (HostKeyRefused, AuthenticationRefused):
            return ()

    async def host_key(self) -> Passed:
        file = self._config.ssh.user_known_hosts_file
        try:
            link = await self._connection.link()
        except HostKeyRefused as error:
            raise CheckFailed(error.message, error.remedy) from error
        except AuthenticationRefused as error:
            self._refused = error  # comes after the host key
            return Passed(f"it is in {file}")
        key = link.transport.get_remote_server_key()
        return Passed(f"it is in {file}: {key.get_name()} {key.fingerprint}")

    async def login(self) -> Passed:
        ssh = self._config.ssh
        if self._refused is None:
            return Passed(
                f"{ssh.user} at {(await self._link()).host} with {ssh.identity_file or 'a key of the agent'}",
                readable_key(ssh.identity_file) if ssh.identity_file else "",
            )
        message, code, methods = self._refused.message, self._refused.code, self._refused.methods
        if code is Code.KEY_FILE:
            raise CheckFailed(message, self._refused.remedy or self._known_hosts_remedy)
        if code is not Code.KEY_REFUSED:  # a second factor is asked for, or the site has cut the login off
            raise CheckFailed(message, self._refused.remedy or self._key_remedy)
        if methods and "publickey" not in methods:
            raise CheckFailed(
                f"{message}: the site accepts no keys",
                "ask the site how a service may log in; a password or a second factor cannot be entered by one",
            )
        user = self._name("User")
        account = f"{user} or {self._name('ProxyJump')}" if ssh.proxy_jump else user
        raise CheckFailed(
            message,
            f"correct {account}, or put what `ssh-keygen -y -f {ssh.identity_file}` prints into ~/.ssh/authorized_keys "
            "of that account, or ask the site whether the account is open",
        )

    async def _link(self) -> Transport:
        return await self._connection.link()

    async def shell(self) -> Passed:
        try:
            started: LoginShell = await in_thread("check-shell", login_shell, await self._link(), _SHELL_SECONDS)
        except RemoteFailed as error:
            raise CheckFailed(str(error), ANOTHER_SHELL) from error
        answer = await self._site.ask(check_shell.operation(self._config))
        if not answer.is_posix:
            raise CheckFailed("/bin/sh is not a POSIX shell", "ask the site for an account with an ordinary /bin/sh")
        if answer.missing:
            raise CheckFailed(
                f"commands are missing at the site: {', '.join(answer.missing)}",
                "ask the site to install them on its login nodes",
            )
        milliseconds = round(started.seconds * 1000)
        return Passed(
            f"{answer.login_shell} starts a POSIX /bin/sh in {milliseconds} ms, as {answer.account} on {answer.host}",
            "; ".join(_shell_warnings(started, answer.missing_bash)),
        )


def _shell_warnings(started: LoginShell, no_bash: str) -> list[str]:
    warnings = []
    noise = " ".join(started.noise.split())
    if noise:
        warnings.append(
            f"the account's profile prints {len(started.noise)} characters to sessions that are not interactive "
            f"({noise[:40]!r}), which does no harm here, and breaks scp and others"
        )
    if started.seconds > _SLOW_LOGIN_SECONDS:
        warnings.append("the account's profile is slow: each new session waits for it")
    if no_bash:
        warnings.append(
            f"{no_bash} is not on the login node, so that BashPath is not checked: it must be right on compute nodes"
        )
    return warnings
