"""Open the log of one container, at the login node or on the pod's node."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.shell import quote
from remote_slurm.domain.slurm.srun import step_command
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice, Noted, parse_notes
from remote_slurm.domain.status.no_log import NoLogReason
from remote_slurm.errors import RemoteFailed
from remote_slurm.site.operation import Operation, yes
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log from its byte `start` on, with the runner's notes of its length if they were asked for.

    `length` is the size of the log in bytes if the container has ended and the log is followed, else None. `run` names
    the run that wrote the log; empty if there is no record.
    """

    start: int
    notes: list[Noted]
    chunks: AsyncGenerator[bytes, None]
    length: int | None = None
    run: str = ""


@dataclass(frozen=True, slots=True)
class NoLog:
    """There is no log, and why."""

    reason: NoLogReason


# What srun and the node print besides a log: it is shown if the log has not begun, and is never a part of it
_ON_NODE = """\
exec 5>&1
said=$({step} 2>&1 >&5 5>&- </dev/null)
code=$?
case $said in *'>begun'*) exit "$code" ;; esac
printf '%s\\n' "$said"
"""


def script(
    config: Config, what: LogSlice, *, pod_is_over: bool, node: NodeFolder | None, account: Mapping[str, str]
) -> str:
    """The script whose output `opened` reads.

    `pod_is_over`: nothing of the pod starts any more, so that Slurm's output is the log of a container without one.
    `account` is what each script gets (`Operation.script`).
    """
    values = _values(what) | {
        "over": yes(pod_is_over),
        "node_local": yes(file_transfer(config).logs_on_node and node is None),
    }
    log = Operation("log", lambda _: None, values)
    if node is None:
        return log.script(account)
    on_node = f"[ -d {quote(node.folder)} ] || exit 1\n" + log.script({**account, "root": node.folder})
    return _ON_NODE.format(step=f"{step_command(config.srun_path, node.job_id)} {quote(on_node)}")


def _values(what: LogSlice) -> dict[str, str]:
    return {
        "pod": what.pod,
        "container": what.container,
        "lines": "" if what.lines is None else str(what.lines),
        "tail_bytes": "" if what.tail_bytes is None else str(what.tail_bytes),
        "bytes": "" if what.limit_bytes is None else str(what.limit_bytes),
        "since": "" if what.since is None else str(int(what.since)),
        "offset": "" if what.offset is None else str(what.offset),
        "run": what.run,
        "notes": yes(what.timestamps),
        "previous": yes(what.previous),
        "follow": yes(what.follow),
    }


_LOG_BEGINS = re.compile(rb"(?:^|\n)>log ([0-9]+)\n")
_NO_LOG = re.compile(rf"(?:^|\n)>({'|'.join(NoLogReason)})\n".encode())
_UNUSABLE = re.compile(rb"(?:^|\n)>unusable [^\n]*\n")


async def opened(chunks: AsyncGenerator[bytes, None]) -> OpenLog | NoLog:
    """Read the output of `script` up to the first byte of the log. Raises RemoteFailed."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if found := _LOG_BEGINS.search(head):
            reply = Reply.parse("log", head[: found.start()].decode(errors="replace"))
            length, notes = reply.get("ended"), parse_notes(reply.all("noted"))
            following = _with(head[found.end() :], chunks)
            return OpenLog(int(found[1]), notes, following, int(length) if length else None, reply.get("run"))
        if missing := _NO_LOG.search(head):
            await chunks.aclose()
            return NoLog(NoLogReason(missing[1].decode()))
        if _UNUSABLE.search(head):
            break
    Reply.parse("log", head.decode(errors="replace"))  # raises RemoteFailed if DataRootFolder cannot be used
    raise RemoteFailed(f"the log could not be read: {head.decode(errors='replace') or 'the site sent no reply'}")


async def _with(first: bytes, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
