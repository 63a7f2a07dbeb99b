"""The chain from the configuration to the site, one link after the other: which one breaks, and what to do about it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from remote_slurm.config import Config, ContainerRuntime, ImagePull
from remote_slurm.errors import (
    AuthenticationRefused,
    HostKeyRefused,
    RemoteFailed,
    RenewalFailed,
    SiteError,
    Unreachable,
)
from remote_slurm.remote.connection import Connection
from remote_slurm.remote.dial import Link
from remote_slurm.remote.probe import LoginShell, greeting, login_shell
from remote_slurm.remote.session import Sessions
from remote_slurm.remote.site import Site
from remote_slurm.remote.threads import in_thread

# What the scripts in remote/sh call
_TOOLS = (
    "awk base64 cat cut date df env find grep gzip head id ln ls mkdir mv printf readlink rm rmdir sed sleep "
    "tail tar timeout uname xargs"
)
_OLDEST_SLURM = (20, 11)
_ROUND_TRIPS = 5
_SHELL_SECONDS = 30.0
# Above these the site works, and somebody should know
_SLOW_LOGIN_SECONDS = 3.0
_LITTLE_SPACE = "there is little space left: a pod whose files do not fit is refused"
_LITTLE_SPACE_KIB = 1 << 20
_CLOCK_SECONDS = 30.0
_ANOTHER_COMMAND = (
    "correct SSH.BeforeConnect: the command runs on this machine, without a shell, as the account that the sidecar has"
)
_ANOTHER_KEY = (
    "set SSH.IdentityFile (and SSH.CertificateFile, where the site signs keys) to a private key without a passphrase "
    "that the site takes as the only factor"
)
_OF_THE_KEY = ("IdentityFile ", "CertificateFile ", "PassphraseFile ")
_ANOTHER_FILE = (
    "set SSH.IdentityFile to a private key, and SSH.CertificateFile and SSH.PassphraseFile, where they are needed, to "
    "what belongs to it: files that this account can read"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One link. `ok` is None where it was not checked; a remedy beside True is a warning."""

    check: str
    ok: bool | None
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Holds:
    """A link holds; what may be better is the remedy."""

    message: str
    remedy: str = ""


class Breaks(Exception):
    """A link does not hold."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


Step = Callable[[], Awaitable[Holds]]

CONFIGURATION = "configuration"
# Each needs the one before it ...
WAY = ("address", "host key", "login", "shell")
# ... and each of these needs all of those
SITE = ("Slurm", "container runtime", "DataRootFolder", "clock", "round trip")


class Chain:
    """`findings` in order; `site` can be asked for more afterwards, until `close`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._connection = Connection(config.ssh)
        self._sessions = Sessions(self._connection)
        self._refused: AuthenticationRefused | None = None
        self.site = Site(self._sessions, config)

    async def close(self) -> None:
        await self._sessions.close()
        await self._connection.close()

    async def findings(self) -> AsyncIterator[Finding]:
        """One for each name in WAY and SITE."""
        way: list[Step] = [self._address, self._host_key, self._login, self._shell]
        site: list[Step] = [self._slurm, self._runtime, self._folder, self._clock, self._round_trip]
        broken = ""
        for name, step in zip(WAY + SITE, way + site, strict=True):
            finding = await _found(name, step) if not broken else Finding(name, None, f"not checked: needs {broken}")
            yield finding
            if name in WAY and finding.ok is False:
                broken = name

    # --- the way there ---

    async def _address(self) -> Holds:
        ssh = self._config.ssh
        if ssh.config_file:
            await self._reach()
            return Holds(f"as {ssh.config_file} says")
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
            raise Breaks("; ".join(failures), self._another_way)
        await self._reach()
        return Holds("; ".join(answers + failures), self._another_way if failures else "")

    @property
    def _another_way(self) -> str:
        keys = (
            "SSH.ProxyJump, SSH.HostName and SSH.Port" if self._config.ssh.proxy_jump else "SSH.HostName and SSH.Port"
        )
        return (
            f"correct {keys}, or ask the site whether its firewall lets this machine in, or whether the way is through "
            "another host (SSH.ProxyJump)"
        )

    async def _reach(self) -> None:
        """The whole way, through jump hosts too; what is refused at its end is for the links that follow."""
        try:
            await self._connection.link()
        except RenewalFailed as error:
            raise Breaks(str(error), _ANOTHER_COMMAND) from error
        except Unreachable as error:
            raise Breaks(str(error), self._another_way) from error
        except (HostKeyRefused, AuthenticationRefused):
            pass

    async def _host_key(self) -> Holds:
        file = self._config.ssh.user_known_hosts_file
        try:
            link = await self._connection.link()
        except HostKeyRefused as error:
            message, _, remedy = str(error).partition(". ")
            raise Breaks(message, remedy[:1].lower() + remedy[1:]) from error
        except AuthenticationRefused as error:
            self._refused = error  # comes after the host key
            return Holds(f"{file} knows it")
        key = link.transport.get_remote_server_key()
        return Holds(f"{file} knows it: {key.get_name()} {key.fingerprint}")

    async def _login(self) -> Holds:
        ssh = self._config.ssh
        if self._refused is None:
            return Holds(f"{ssh.user} at {(await self._link()).host} with {ssh.identity_file or 'a key of the agent'}")
        message, _, advice = str(self._refused).partition(": is the public key")
        methods = self._refused.methods
        if not advice:  # the key was not tried, or a second factor is asked for
            raise Breaks(*_key_advice(message))
        if methods and "publickey" not in methods:
            raise Breaks(
                f"{message}: the site accepts {', '.join(methods)}, and no keys",
                "ask the site how a service may log in; a password or a second factor cannot be entered by one",
            )
        account = "SSH.User or SSH.ProxyJump" if ssh.proxy_jump else "SSH.User"
        raise Breaks(
            f"{message}; the site accepts {', '.join(methods) or 'nothing that it would name'}",
            f"correct {account}, or put what `ssh-keygen -y -f {ssh.identity_file}` prints into ~/.ssh/authorized_keys "
            "of that account, or ask the site whether the account is open",
        )

    async def _link(self) -> Link:
        return await self._connection.link()

    async def _shell(self) -> Holds:
        started: LoginShell = await in_thread("check-shell", login_shell, await self._link(), _SHELL_SECONDS)
        answer = await self.site.look("check-shell", {"bash": self._config.bash_path, "tools": _TOOLS})
        missing = answer.all("missing")
        if not answer.has("posix"):
            raise Breaks("/bin/sh is not a POSIX shell", "ask the site for an account with an ordinary /bin/sh")
        if missing:
            raise Breaks(
                f"commands are missing at the site: {', '.join(missing)}",
                "ask the site to install them on its login nodes",
            )
        milliseconds = round(started.seconds * 1000)
        return Holds(
            f"{answer.get('loginshell')} gives way to a POSIX /bin/sh in {milliseconds} ms, "
            f"as {answer.get('account')} on {answer.get('host')}",
            "; ".join(_shell_warnings(started, answer.get("nobash"))),
        )

    # --- the site ---

    async def _slurm(self) -> Holds:
        config = self._config
        paths = {"sbatch": config.sbatch_path, "scancel": config.scancel_path}
        paths |= {"squeue": config.squeue_path, "sinfo": config.sinfo_path}
        if not config.shared_fs:
            paths |= {"scontrol": config.scontrol_path, "srun": config.srun_path}
        answer = await self.site.look("check-slurm", {"scontrol": "", "srun": ""} | paths, seconds=120)
        absent = answer.all("absent")
        if absent:
            keys = [f"{name.capitalize()}Path" for name, path in paths.items() if path in absent]
            raise Breaks(
                f"{', '.join(absent)} cannot be found at the site",
                f"set {', '.join(keys)} to what `command -v {absent[0].rpartition('/')[2]}` prints once you are logged "
                "in there: sessions of a service may see less than yours, such as no modules",
            )
        # `slurm 22.05.8`, and Debian's `slurm-wlm 24.11.5`
        version = answer.require("version").rpartition(" ")[2]
        if _slurm_version(version) < _OLDEST_SLURM:
            raise Breaks(f"this is Slurm {version}", "Slurm 20.11 or later is needed: ask the site for an upgrade")
        code, _, jobs = answer.require("controller").partition(" ")
        if code != "0":
            raise Breaks(
                f"Slurm {version} is there, but squeue fails: {_one_line(answer.messages)}",
                "wait until the site's slurmctld is back, or ask the site whether the account may use Slurm",
            )
        accounting = "sacct answers" if answer.get("sacct") == "yes" else "no accounting (sacct does not answer)"
        return Holds(f"Slurm {version}; squeue answers, with {jobs} jobs of this account; {accounting}")

    async def _runtime(self) -> Holds:
        if self._config.container_runtime is ContainerRuntime.NONE:
            return Holds("ContainerRuntime is none: commands run on the nodes themselves")
        answer = await self.site.look("check-runtime", {"runtime": self._config.runtime_path})
        if answer.has("absent") and self._config.image_pull is ImagePull.LOGIN:
            raise Breaks(
                f"{answer.get('absent')} is not on the login node, and ImagePull is login",
                f"set {self._config.runtime_key} to its full path there: CommandPrefix is for jobs only",
            )
        if answer.has("absent"):
            return Holds(
                f"{answer.get('absent')} is not on the login node",
                "it may be on compute nodes only: `remote-slurm check --job` looks there. If it is not there, set "
                f"{self._config.runtime_key} to its full path, or CommandPrefix to what makes it available, such as "
                f"`module load {self._config.container_runtime}`",
            )
        return Holds(f"{answer.get('version')} as {answer.require('found')}")

    async def _folder(self) -> Holds:
        remedy = "set DataRootFolder to a path that the account can create and write, and that compute nodes see too"
        try:
            answer = await self.site.look("check-folder", seconds=60)
        except RemoteFailed as error:
            raise Breaks(_one_line(str(error)), remedy) from error
        free = answer.require("free")
        if not answer.has("written"):
            raise Breaks(f"{answer.root} cannot be written: {_one_line(answer.messages)}", remedy)
        if answer.has("open"):
            raise Breaks(f"{answer.root}: what is made in it is open to others", _one_line(answer.messages))
        space = f"{_size(int(free))} free" if free.isdigit() else "free space unknown"
        quota = [" ".join(line.split()) for line in answer.all("quota")]
        return Holds(
            "; ".join([f"{answer.root} can be written", space, *(f"quota: {line}" for line in quota)]),
            _LITTLE_SPACE if free.isdigit() and int(free) < _LITTLE_SPACE_KIB else "",
        )

    async def _clock(self) -> Holds:
        before = time.time()
        answer = await self.site.look("check-clock")
        now = (before + time.time()) / 2
        found = re.match(r"\d+(\.\d+)?", answer.require("clock"))
        if not found:
            raise Breaks(
                f"`date` at the site says '{answer.get('clock')}'", "ask the site for a date command that knows %s"
            )
        offset = float(found[0]) - now
        if abs(offset) < _CLOCK_SECONDS:
            return Holds(f"the site's clock differs from this one by {abs(offset):.1f} s")
        return Holds(
            f"the site's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this one",
            "the times of containers are the site's: set this machine's clock by NTP, or tell the site",
        )

    async def _round_trip(self) -> Holds:
        times = []
        for _ in range(_ROUND_TRIPS):
            began = time.monotonic()
            await self.site.run(":")
            times.append(time.monotonic() - began)
        return Holds(f"{statistics.median(times) * 1000:.0f} ms for one operation (median of {_ROUND_TRIPS})")


def _key_advice(message: str) -> tuple[str, str]:
    """What is wrong with the key, and the remedy: that stands in the sentence where a file is wrong in itself."""
    if not message.startswith(_OF_THE_KEY):
        return message, _ANOTHER_KEY
    cause, _, remedy = message.partition(": ")
    return cause, remedy or _ANOTHER_FILE


async def _found(name: str, step: Step) -> Finding:
    try:
        holds = await step()
    except Breaks as error:
        return Finding(name, ok=False, message=str(error), remedy=error.remedy)
    except SiteError as error:
        return Finding(name, ok=False, message=_one_line(str(error)))
    return Finding(name, ok=True, message=holds.message, remedy=holds.remedy)


def _one_line(text: str) -> str:
    """What commands said, each sentence once."""
    return "; ".join(dict.fromkeys(" ".join(line.split()) for line in text.splitlines() if line.strip()))


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
        warnings.append(f"{no_bash} is not on the login node: BashPath must be right on compute nodes at least")
    return warnings


def _slurm_version(text: str) -> tuple[int, int]:
    """`24.11.5` -> (24, 11); what is no version is taken for a new one."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else _OLDEST_SLURM


def _size(kib: int) -> str:
    for unit in ("KiB", "MiB", "GiB"):
        if kib < 1024:  # noqa: PLR2004 - a KiB is what it is
            return f"{kib} {unit}"
        kib //= 1024
    return f"{kib} TiB"
