"""The checks from the configuration to the site, in order: which one fails, and what to do about it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from remote_slurm.config import Config, ImagePull
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.errors import Code, RemoteFailed
from remote_slurm.service.check.arrays import check_arrays
from remote_slurm.service.check.connection import ConnectionChecks
from remote_slurm.service.check.findings import CheckFailed, Finding, Passed, Step, one_line, run_check
from remote_slurm.service.check.submission import SubmissionChecks
from remote_slurm.site.operations import check_clock, check_folder, check_round_trip, check_runtime, check_slurm
from remote_slurm.site.operations.check_folder import FolderCheck
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.port_channels import PortChannels
from remote_slurm.ssh.sessions import Sessions

_OLDEST_SLURM = (20, 11)
_ROUND_TRIPS = 5
# With less space the site works, but a pod with many files may be refused
_LITTLE_SPACE = "there is little space left: a pod whose files do not fit is refused"
_LITTLE_SPACE_KIB = 1 << 20
_ANOTHER_FILE_SYSTEM = "set DataRootFolder to a folder on a file system with symbolic links"
# What `check-folder` finds out about names of files -> what it means
_CASELESS = "names that differ in case only are one file there: a ConfigMap or Secret must not have two such keys"
_SHORT_NAMES = "a name of 255 bytes is too long there: long keys of a ConfigMap or Secret cannot be written"
_MAKE_ROOM = (
    "remove files there, ask the site for a larger quota (bytes and inodes), or set DataRootFolder to a file system "
    "with more room"
)
_NO_CAPACITY = (
    "the capacity of the site is unknown, so that the virtual node keeps the capacity that it has in Kubernetes: set "
    "Resources, and ask the site whether the account may see nodes and partitions (PrivateData)"
)
_CLOCK_SECONDS = 30.0


CONFIGURATION = "configuration"
# Each needs the one before it ...
CONNECTION_CHECKS = ("address", "host key", "login", "shell")
# ... and each of these needs all of them
SUBMISSION = "submission"
ARRAYS = "job arrays"
SITE_CHECKS = ("Slurm", SUBMISSION, "memory", ARRAYS, "container runtime", "DataRootFolder", "clock", "round trip")


class SiteCheck:
    """`findings` in order; `site` can be asked for more afterwards, until `close`."""

    def __init__(self, config: Config, flags: str = "") -> None:
        """`flags` are further sbatch options of pods."""
        self._config = config
        self._connection = Connection(config.ssh)
        self._sessions = Sessions(self._connection)
        self._ports = PortChannels(self._connection.sibling()) if config.port_forward.port is not None else None
        self.site = RemoteSite(self._sessions, config, ports=self._ports)
        self._submission = SubmissionChecks(config, self.site, flags)
        self._check_arrays = partial(check_arrays, config, self.site, flags)

    async def close(self) -> None:
        if self._ports:
            await self._ports.close()
        await self._sessions.close()
        await self._connection.close()

    async def findings(self) -> AsyncGenerator[Finding, None]:
        """One for each name in CONNECTION_CHECKS and SITE_CHECKS."""
        way = ConnectionChecks(self._config, self._connection, self.site).steps
        slurm: list[Step] = [self._slurm, self._submission.submission, self._submission.memory, self._check_arrays]
        site: list[Step] = [*slurm, self._runtime, self._folder, self._clock, self._round_trip]
        needed = {SUBMISSION: SITE_CHECKS[0], "memory": SITE_CHECKS[0], ARRAYS: SITE_CHECKS[0]}
        broken: dict[str, str] = {}
        for name, step in zip(CONNECTION_CHECKS + SITE_CHECKS, [*way.values(), *site], strict=True):
            missing = broken.get("way") or broken.get(needed.get(name, ""))
            found = await run_check(name, step) if not missing else Finding(name, None, f"not checked: needs {missing}")
            yield found
            if found.ok is False:
                broken["way" if name in CONNECTION_CHECKS else name] = name

    async def _slurm(self) -> Passed:
        answer = await self.site.ask(check_slurm.operation(self._config))
        if absent := answer.absent:
            paths = check_slurm.command_paths(self._config)
            keys = [f"{name.capitalize()}Path" for name, path in paths.items() if path in absent]
            raise CheckFailed(
                f"{', '.join(absent)} cannot be found at the site",
                f"set {', '.join(keys)} to what `command -v {_names(paths, absent)}` prints once you are logged in "
                "there: the PATH of a service can be shorter than yours, as without modules",
            )
        version = newest_version(answer.versions)
        if _slurm_version(version) < _OLDEST_SLURM:
            raise CheckFailed(f"this is Slurm {version}", "Slurm 20.11 or later is needed: ask the site for an upgrade")
        if answer.squeue_failed is not None:
            raise CheckFailed(
                f"Slurm {version} is there, but squeue fails: {one_line(answer.squeue_failed)}",
                "wait until the site's slurmctld is back, or ask the site whether the account may use Slurm",
            )
        facts = [
            f"Slurm {version}",
            f"squeue answers, with {answer.jobs} {'job' if answer.jobs == '1' else 'jobs'} of this account",
            "sacct answers" if answer.has_accounting else "no accounting (sacct does not answer)",
        ]
        if answer.sinfo_failed is None:
            return Passed("; ".join(facts))
        return Passed("; ".join([*facts, f"sinfo failed with {answer.sinfo_failed}"]), _NO_CAPACITY)

    async def _runtime(self) -> Passed:
        runtime = RUNTIMES.configure(self._config)
        if not runtime.starts_containers:
            return Passed("ContainerRuntime is none: commands run on the nodes themselves")
        answer = await self.site.ask(check_runtime.operation(runtime.config.path))
        if not answer.path and self._config.image_pull is ImagePull.LOGIN:
            raise CheckFailed(
                f"{runtime.config.path} is not on the login node, and ImagePull is login",
                f"set {runtime.config.path_key} to its full path there: CommandPrefix is for jobs only",
            )
        if not answer.path:
            return Passed(
                f"{runtime.config.path} is not on the login node",
                "it may be on compute nodes only: `remote-slurm check --job` looks there. If it is not there, set "
                f"{runtime.config.path_key} to its full path, or CommandPrefix to what makes it available, such as "
                f"`module load {self._config.container_runtime}`",
                needs_node=True,
            )
        return Passed(f"{answer.version} as {answer.path}")

    async def _folder(self) -> Passed:
        remedy = "set DataRootFolder to a path that the account can create and write, and that compute nodes see too"
        try:
            answer = await self.site.ask(check_folder.operation())
        except RemoteFailed as error:
            is_full = error.code is Code.NO_SPACE
            raise CheckFailed(one_line(str(error)), _MAKE_ROOM if is_full else remedy) from error
        if not answer.is_written:
            raise CheckFailed(*_unwritten(answer, remedy))
        if not answer.has_symlinks:
            raise CheckFailed(f"{answer.root}: {one_line(answer.messages)}", _ANOTHER_FILE_SYSTEM)
        if answer.is_open:
            raise CheckFailed(f"{answer.root} is not safe from other accounts", one_line(answer.messages))
        quota = [f"quota: {line}" for line in answer.quota]
        return Passed("; ".join([f"{answer.root} can be written", _space(answer), *quota]), "; ".join(_remarks(answer)))

    async def _clock(self) -> Passed:
        before = time.time()
        shown = await self.site.ask(check_clock.operation())
        now = (before + time.time()) / 2
        found = re.match(r"\d+(\.\d+)?", shown)
        if not found:
            raise CheckFailed(f"`date` at the site prints '{shown}'", "ask the site for a date command that knows %s")
        offset = float(found[0]) - now
        if abs(offset) < _CLOCK_SECONDS:
            return Passed(f"the site's clock differs from this one by {abs(offset):.1f} s")
        return Passed(
            f"the site's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this one",
            "the times of containers are the site's: set this machine's clock by NTP, or report it to the site",
        )

    async def _round_trip(self) -> Passed:
        times = []
        for _ in range(_ROUND_TRIPS):
            began = time.monotonic()
            await self.site.ask(check_round_trip.operation())
            times.append(time.monotonic() - began)
        return Passed(f"{statistics.median(times) * 1000:.0f} ms for one operation (median of {_ROUND_TRIPS})")


def _names(paths: dict[str, str], absent: Sequence[str]) -> str:
    """The commands as Slurm calls them, since what a path ends in may be the mistake."""
    return " ".join(name for name, path in paths.items() if path in absent)


def newest_version(lines: Sequence[str]) -> str:
    """The version in what `sbatch --version` prints: `slurm 22.05.8`, Debian's `slurm-wlm 24.11.5`, and notices."""
    found = [match for line in lines if (match := re.fullmatch(r"\s*slurm\S*\s+(\S+)\s*", line, re.IGNORECASE))]
    return found[-1][1] if found else f"unknown, since `sbatch --version` prints {'; '.join(lines)[:200] or 'nothing'}"


def _space(folder: FolderCheck) -> str:
    return "free space unknown" if folder.free_kib is None else f"{_size(folder.free_kib)} free"


def _remarks(folder: FolderCheck) -> list[str]:
    is_small = folder.free_kib is not None and folder.free_kib < _LITTLE_SPACE_KIB
    found = ((is_small, _LITTLE_SPACE), (folder.is_caseless, _CASELESS), (folder.has_short_names, _SHORT_NAMES))
    return [sentence for applies, sentence in found if applies]


def _unwritten(folder: FolderCheck, remedy: str) -> tuple[str, str]:
    """Why nothing could be written, and the remedy: a full disk or quota needs another one than missing rights."""
    messages = one_line(folder.messages)
    if folder.is_out_of_space:
        words = messages or "a file could not be written whole"
        return f"{folder.root} is full ({_space(folder)}): {words}", _MAKE_ROOM
    return f"{folder.root} cannot be written: {messages}", remedy


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
