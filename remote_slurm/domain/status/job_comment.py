"""The comment of a job whose node shares no file system with the login node: job/no_shared_fs.sh writes it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from remote_slurm.domain.job_usage import JobUsage, parse_usage
from remote_slurm.domain.records import Record, parse_records

_USAGE = "usage="


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The folder of a job on its node, with the folders of its pods."""

    job_id: str
    folder: str


@dataclass(frozen=True, slots=True)
class CommentReport:
    """What a job's comment reports: its folder on the node, its records, and whether its logs can be fetched.

    `failure` is the reason why the job could not create its folder. `usage` is what the job had used when its last
    container ended.
    """

    folder: str = ""
    records: tuple[Record, ...] = ()
    over: bool = False
    failure: str = ""
    usage: JobUsage | None = None


def parse_comment(pod: str, comment: str) -> CommentReport | None:
    """Return the report, or None if the job has not reported yet. Text that is no record is ignored."""
    ours, found, _ = comment.partition("|")
    first, *items = ours.split(";")
    if found and first.startswith("failed="):
        return CommentReport(failure=first.removeprefix("failed="))
    if not found or not first.startswith("at=/"):
        return None
    lines = (unquote(item, errors="replace") for item in items if item not in {"", "over"})
    records = parse_records("".join(f"v1 {pod} {line}\n" for line in lines))
    usage = next((each.removeprefix(_USAGE) for each in items if each.startswith(_USAGE)), "")
    return CommentReport(first.removeprefix("at="), tuple(records), "over" in items, usage=parse_usage(usage))
