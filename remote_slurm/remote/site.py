"""What the service asks of one account at one site, each as one remote script and so one round trip.

The scripts lie in `sh/`. They get their values as quoted assignments in front, and longer ones as the payload, whose
end tells that it is whole; their answers are the lines that start with `>`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Protocol

from remote_slurm.config import Config, ContainerRuntime
from remote_slurm.domain.logs import LogSlice, Noted, parse_notes
from remote_slurm.domain.partitions import Partition, parse_partitions, partitions_command
from remote_slurm.domain.payload import Payload, together
from remote_slurm.domain.podman import Podman
from remote_slurm.domain.records import Record, parse_records
from remote_slurm.domain.shell import assignments, quote, words
from remote_slurm.domain.slurm import (
    Capacity,
    Job,
    accounting_command,
    active_command,
    nodes_command,
    parse_accounting,
    parse_job,
    parse_nodes,
    queue_command,
    step_command,
)
from remote_slurm.errors import RemoteFailed
from remote_slurm.job import STORAGE
from remote_slurm.remote.answer import Answer
from remote_slurm.remote.convoy import Convoy, SbatchFailed, Submission, Withdrawn, submission, withdrawal
from remote_slurm.remote.observer import Observer
from remote_slurm.remote.session import Line, Result
from remote_slurm.remote.unhurried import unhurried

_SH = files("remote_slurm.remote") / "sh"

# A submission answers within its deadline: pods whose turn comes later than this are told so, sbatch may take a
# quarter of a minute where the site is not well, and an id that somebody else is being told is waited for
_SUBMIT_SECONDS = 30
_TURN_SECONDS = 10
_ID_SECONDS = 3

_KEPT = b"kept"
_OWN_GRACE: Mapping[str, int] = MappingProxyType({})
_GIVEN_UP = "void"  # see void.sh


class Shells(Protocol):
    """What a site needs of `session.Sessions`."""

    @property
    def line(self) -> Line: ...

    async def run(
        self, script: str, payload: bytes = b"", *, deadline: float, heard: Callable[[bytes], None] | None = None
    ) -> Result: ...

    def stream(self, script: str) -> AsyncGenerator[bytes, None]: ...


class Wanted(Enum):
    """Whether somebody asks for the pod of a held job.

    NEVER: in all the time that a file system may take to show what another sidecar has made, nobody has.
    """

    YES = "yes"
    NO = "no"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Released:
    """The ids of those that need not be asked about again while they are wanted as they are; why another stays held."""

    done: frozenset[str]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """One squeue: our jobs, and how far the site's clock is ahead of ours in seconds."""

    jobs: tuple[Job, ...]
    clock_offset: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of deletes: of the `gone` pods there is no job and no folder, and why others' folders are `stuck`."""

    gone: frozenset[str]
    stuck: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settled:
    """The records in some pods' folders; `without_folder` are the pods that have none."""

    records: tuple[Record, ...]
    without_folder: frozenset[str]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the site remembers: pods with a folder, their job ids where known, and all records.

    `unfinished` are pods whose submission has to go on: sbatch was called, or Slurm refused them for the time being.
    `uid` is the account's user id, None where `id` does not tell it. `half_deleted` are pods whose delete was begun and
    did not come to its end; the owner of the folder has to go on with that. `given_up` are pods of which no job was
    ever seen, and none will start anything.
    """

    pods: frozenset[str]
    job_ids: Mapping[str, str]
    deleted: frozenset[str]
    unfinished: frozenset[str]
    records: tuple[Record, ...]
    uid: int | None = None
    half_deleted: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log from its byte `start` on, and what the runner noted of its length, where that was asked for."""

    start: int
    notes: list[Noted]
    chunks: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job that shares no file system with the login node has its folders."""

    job_id: str
    folder: str


@dataclass(frozen=True, slots=True)
class NoLog:
    """There is none: `waiting` to start, `noprevious` run, `nofolder`, or it `stayed` on a node."""

    reason: str


class Site:
    """One account at one site. Every call raises SiteError where it cannot be carried out by its deadline."""

    def __init__(
        self, shells: Shells, config: Config, observer: Observer | None = None, *, owner: bool = False
    ) -> None:
        """The `owner` of DataRootFolder takes it over when it recovers; others, such as a command line, are guests."""
        self.observer = observer or Observer()
        self._shells = shells
        self._config = config
        self._submissions: Convoy[Payload, Submission] = Convoy(self._submit, submission)
        # one is under way while others gather: they come as fast as Slurm refuses
        self._withdrawals: Convoy[bytes, Withdrawn] = Convoy(self._withdraw, withdrawal, runs=1)
        self._owner = owner
        self._name = secrets.token_hex(6)
        self._epoch = ""
        self._has_links = False  # until the site has shown that its file system has hard links
        self._root = ""  # DataRootFolder as the site spells it, once it has
        self._seen: tuple[str, dict[str, Job]] = "", {}  # the root, and squeue's last lines that were read with it
        self._read: list[str] = []
        self._asked: list[str] = []

    @property
    def shared_fs(self) -> bool:
        """Whether nodes see DataRootFolder."""
        return self._config.shared_fs

    @property
    def line(self) -> Line:
        """How the way to the site stands now; never waits."""
        return self._shells.line

    async def submit(self, pod: str, payload: Payload) -> Submission:
        """Create the pod's job, or find out what became of it; can be called again at any time."""
        with self.observer.operation("submit", pod):
            outcome = await self._submissions.ask(pod, payload if self._has_links else payload.whole())
        if isinstance(outcome, SbatchFailed):
            self.observer.slurm_failed("sbatch")
        return outcome

    async def _submit(self, payloads: Mapping[str, Payload], heard: Callable[[bytes], None]) -> None:
        values = {
            "pods": " ".join(payloads),
            "sbatch": self._config.sbatch_path,
            "scancel": self._config.scancel_path,
            "scontrol": "" if self.shared_fs else self._config.scontrol_path,
            "incoming": f".remote-slurm/incoming/{next(iter(payloads))}.{secrets.token_hex(6)}",
            "seconds": str(_TURN_SECONDS),
            "wait_seconds": str(_ID_SECONDS),
        }
        script, payload = self._script("submit", values), together(payloads.values())
        result = await self._shells.run(script, payload, deadline=_SUBMIT_SECONDS, heard=heard)
        Answer.parse("submit", result.output.decode(errors="replace"))

    async def release(self, jobs: Iterable[tuple[str, str, Wanted]]) -> Released:
        """Let the jobs of (pod, id, wanted) start that the pods' claims name, and cancel the others; all are held.

        One that is not wanted is not started.
        """
        values = {"scontrol": self._config.scontrol_path, "scancel": self._config.scancel_path}
        answer = await self._ask(
            "release", values, _lines(f"{pod} {job_id} {wanted.value}" for pod, job_id, wanted in jobs)
        )
        settled = (line for word in ("released", "cancelled", "kept") for line in answer.all(word))
        words = " ".join(answer.messages.split())
        failure = "".join(f"job {job_id}: {words}" for job_id in answer.all("unreleased")[:1])
        return Released(frozenset(line.rpartition(" ")[2] for line in settled), failure)

    async def fetch(self, pod: str, job_id: str, folder: str) -> bool:
        """Bring an ended pod's logs and records from its node. Raises RemoteFailed where they could not be had.

        False where the pod has no folder: it is being deleted, or not in sight of this login node yet.
        """
        values = {
            "pod": pod,
            "incoming": f".remote-slurm/incoming/{pod}.fetch.{secrets.token_hex(6)}",
            "step": step_command(self._config.srun_path, job_id),
            "quoted_at": quote(f"{folder}/{pod}"),
        }
        answer = await self._ask("fetch", values, seconds=700)
        if answer.has("nofolder"):
            return False
        answer.require("fetched")
        return True

    async def withdraw(self, pod: str, *, keep_folder: bool) -> None:
        """Undo the attempt after sbatch said no for certain."""
        with self.observer.operation("withdraw", pod):
            await self._withdrawals.ask(pod, _KEPT if keep_folder else b"")

    async def _withdraw(self, payloads: Mapping[str, bytes], heard: Callable[[bytes], None]) -> None:
        kept = [pod for pod, folder in payloads.items() if folder == _KEPT]
        values = {"kept": " ".join(kept), "dropped": " ".join(payloads.keys() - set(kept))}
        script = self._script("withdraw", values)
        result = await self._shells.run(script, deadline=_SUBMIT_SECONDS, heard=heard)
        Answer.parse("withdraw", result.output.decode(errors="replace"))

    async def void(self, pod: str) -> str:
        """Make sure that no job of the pod will ever start anything; the id of the job that came first, or nothing."""
        answer = await self._ask("void", {"pod": pod})
        if answer.get("submitted"):
            return answer.get("submitted")
        answer.require("void")
        return ""

    async def queue(self) -> Queue:
        """One squeue. Raises RemoteFailed with its words where it failed: that is not an empty queue."""
        comments = not self.shared_fs
        command = queue_command(self._config.squeue_path, comments=comments)
        answer = await self._ask("queue", {"squeue": command, "known": self._root}, seconds=75)
        code, _, clock = answer.require("queue").partition(" ")
        if code != "0":
            raise self._slurm_failed("squeue", f"squeue failed with exit code {code}: {answer.messages}")
        offset = float(clock or 0) - time.time()
        return Queue(await self._jobs(answer.root, answer.others), offset)

    async def _jobs(self, root: str, lines: Iterable[str]) -> tuple[Job, ...]:
        """Few lines of squeue change from one look to the next, and what did not change need not be read again."""
        known = self._seen[1] if self._seen[0] == root else {}
        jobs: dict[str, Job] = {}
        async for line in unhurried(lines):
            if job := known.get(line) or parse_job(line, root):
                jobs[line] = job
        self._seen = root, jobs
        return tuple(jobs.values())

    async def records(self) -> list[Record]:
        """What runners recorded since the last call that came back. Raises Superseded."""
        self._asked.append(f"{time.time_ns():x}-{secrets.token_hex(3)}")
        values = {"token": self._asked[-1], "seen": " ".join(self._read), "owns": "yes" if self._owner else ""}
        answer = await self._ask("records", values)
        answer.require("records")
        # what earlier calls had moved, and whose answer was lost, came with this one
        self._read, self._asked = self._asked, []
        return parse_records(answer.messages)

    async def settle(self, pods: Iterable[str]) -> Settled:
        """The records in the folders of `pods`."""
        answer = await self._ask("settle", {}, _lines(pods))
        answer.require("settled")
        return Settled(tuple(parse_records(answer.messages)), frozenset(answer.all("nofolder")))

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        """What sacct knows. Raises RemoteFailed where the site keeps no accounting."""
        command = accounting_command("sacct", job_ids, comments=not self.shared_fs)
        answer = await self._ask("accounting", {"sacct": command}, seconds=75)
        if answer.require("accounting") != "0":
            raise self._slurm_failed("sacct", f"sacct failed: {answer.messages}")
        return parse_accounting(answer.messages)

    async def recover(self) -> Recovery:
        """Everything that is known at the site, in one command."""
        answer = await self._ask("recover", {"owns": "yes" if self._owner else ""}, seconds=120)
        answer.require("recovered")
        self._epoch = answer.get("epoch")
        self._has_links = answer.has("links")
        claims = dict(map(_claim, answer.all("id")))
        ids = dict(_recorded(answer.messages)) | {pod: owner for pod, owner in claims.items() if owner.isdigit()}
        pods = frozenset(_folder(path) for path in answer.all("pod"))
        deleted = frozenset(name.removesuffix(".deleted") for name in answer.all("deleted"))
        return Recovery(
            pods=pods,
            job_ids=ids,
            deleted=deleted,
            half_deleted=pods & deleted if self._owner else frozenset(),
            given_up=frozenset(pod for pod, owner in claims.items() if owner == _GIVEN_UP),
            unfinished=frozenset(_folder(path) for path in answer.all("again"))
            | frozenset(name.removesuffix(".attempt") for name in answer.all("attempt")),
            records=tuple(parse_records(answer.messages)),
            uid=int(uid) if (uid := answer.get("uid")).isdigit() else None,
        )

    async def cancel(self, pods: Mapping[str, bool], grace: Mapping[str, int] = _OWN_GRACE) -> Cancelled:
        """Carry deletes out as far as they go now: pod -> whether to end its job at once.

        `grace` has the seconds of those that have not the grace period that their runner knows.
        """
        values = {
            "squeue": active_command(self._config.squeue_path),
            "scancel": self._config.scancel_path,
            "podman": _podman(self._config),
        }
        lines = _lines(f"{pod} {_yes(force)} {grace.get(pod, '-')}" for pod, force in pods.items())
        answer = await self._ask("cancel", values, lines, seconds=130)
        if answer.has("queue"):
            raise self._slurm_failed("squeue", f"squeue failed, so nothing was cancelled: {answer.messages}")
        busy = (line.partition(" ") for line in answer.all("busy"))
        return Cancelled(frozenset(answer.all("gone")) & pods.keys(), {pod: why for pod, _, why in busy if why})

    async def capacity(self) -> Capacity:
        """Totals of the nodes that the account may use."""
        answer = await self._ask("nodes", {"sinfo": nodes_command(self._config.sinfo_path)}, seconds=75)
        if answer.require("nodes") != "0":
            raise self._slurm_failed("sinfo", f"sinfo failed: {answer.messages}")
        return parse_nodes(answer.messages)

    async def partitions(self) -> list[Partition]:
        """The partitions that the account may use, with their free CPUs."""
        answer = await self._ask("nodes", {"sinfo": partitions_command(self._config.sinfo_path)}, seconds=75)
        if answer.require("nodes") != "0":
            raise self._slurm_failed("sinfo", f"sinfo failed: {answer.messages}")
        return parse_partitions(answer.messages)

    async def run(self, script: str, *, seconds: float = 30) -> Result:
        """A script that is the caller's own affair, such as the one that ResourceScriptPath names."""
        with self.observer.operation("run"):
            return await self._shells.run(script, deadline=seconds)

    async def look(self, name: str, values: dict[str, str] | None = None, *, seconds: float = 30) -> Answer:
        """What the script `name` finds out at the site, for callers that read its answer themselves."""
        return await self._ask(name, values or {}, seconds=seconds)

    async def open_log(self, what: LogSlice, *, over: bool, at: Place | None = None) -> OpenLog | NoLog:
        """The log and where it begins; `over`: nothing of the pod will start any more, so Slurm's words are its log.

        `at` is where it lies on a node that shares no file system.
        """
        values = {
            "pod": what.pod,
            "container": what.container,
            "lines": "" if what.lines is None else str(what.lines),
            "bytes": "" if what.limit_bytes is None else str(what.limit_bytes),
            "since": "" if what.since is None else str(int(what.since)),
            "offset": "" if what.offset is None else str(what.offset),
            "notes": "yes" if what.timestamps else "",
            "previous": "yes" if what.previous else "",
            "over": "yes" if over else "",
            "apart": "" if self.shared_fs or at else "yes",
            "follow": "yes" if what.follow else "",
        }
        script = self._script("log", values)
        if at is not None:
            there = f"[ -d {quote(at.folder)} ] || exit 1\n"
            on_node = there + self._script("log", values | {"root": at.folder})
            script = f"{step_command(self._config.srun_path, at.job_id)} {quote(on_node)} </dev/null"
        chunks = self._shells.stream(script)
        try:
            with self.observer.operation("log", what.pod):
                return await _opened(chunks)
        except BaseException:
            await chunks.aclose()
            raise

    async def _ask(self, name: str, values: dict[str, str], payload: bytes = b"", seconds: float = 30) -> Answer:
        with self.observer.operation(name, values.get("pod", "")):
            result = await self._shells.run(self._script(name, values), payload, deadline=seconds)
            answer = Answer.parse(name, result.output.decode(errors="replace"))
        self._root = answer.get("root") or self._root
        return answer

    def _slurm_failed(self, command: str, words: str) -> RemoteFailed:
        self.observer.slurm_failed(command)
        return RemoteFailed(words)

    def _script(self, name: str, values: dict[str, str]) -> str:
        own = {"root": self._config.data_root_folder, "sidecar": self._name, "epoch": self._epoch}
        in_front = assignments(own | values)
        storage = STORAGE if values.get("podman") else ""
        return in_front + _text("root") + storage + _text(name)


@cache
def _text(name: str) -> str:
    return (_SH / f"{name}.sh").read_text()


def _lines(lines: Iterable[str]) -> bytes:
    """A payload whose end tells that it is whole; see root.sh."""
    return "".join(f"{line}\n" for line in (*lines, ".")).encode()


def _podman(config: Config) -> str:
    """Its words, where containers could have made files of other ids than the account's."""
    return words(Podman(config).program) if config.container_runtime is ContainerRuntime.PODMAN else ""


def _yes(answer: bool) -> str:  # noqa: FBT001 - as the scripts spell it
    return "yes" if answer else "no"


def _folder(path: str) -> str:
    return path.removeprefix("./")


def _claim(line: str) -> tuple[str, str]:
    """`<pod>.job <owner>` -> pod, owner: a job id, or a word where a delete or giving up came before any job."""
    name, _, owner = line.partition(" ")
    return name.removesuffix(".job"), owner


def _recorded(messages: str) -> Iterable[tuple[str, str]]:
    """`./<pod>/job.id:<id>` -> pod, id."""
    for line in messages.split("\n"):
        path, _, job_id = line.rpartition("/job.id:")
        if path.startswith("./") and job_id.isdigit():
            yield path.removeprefix("./"), job_id


_LOG_BEGINS = re.compile(rb"(?:^|\n)>log ([0-9]+)\n")
_NO_LOG = re.compile(rb"(?:^|\n)>(waiting|noprevious|nofolder|stayed|unusable[^\n]*)\n")


async def _opened(chunks: AsyncGenerator[bytes, None]) -> OpenLog | NoLog:
    head = b""
    async for chunk in chunks:
        head += chunk
        if found := _LOG_BEGINS.search(head):
            notes = parse_notes(Answer.parse("log", head[: found.start()].decode(errors="replace")).all("noted"))
            return OpenLog(int(found[1]), notes, _with(head[found.end() :], chunks))
        if missing := _NO_LOG.search(head):
            await chunks.aclose()
            return NoLog(missing[1].decode())
    raise RemoteFailed(f"the log could not be read: {head.decode(errors='replace') or 'the site said nothing'}")


async def _with(first: bytes, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
