"""Where login and compute nodes share no file system: what travels in the batch script, and what the comment tells.

sbatch copies the script to the node, whatever file systems there are; a job may change its own comment by scontrol, and
one squeue reads those of all jobs (job_comment in scontrol(1); measured with Slurm 22.05 and 24.11).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from remote_slurm.config import Config
from remote_slurm.domain.flags import Flag
from remote_slurm.domain.pod import Pod
from remote_slurm.domain.projections import File
from remote_slurm.domain.records import Record, parse_records
from remote_slurm.errors import Rejected

FILES = "# --- files of the pod's folder, as base64 -d and tar -xz read them ---\n"
# Slurm takes comments of up to 1024 characters, and a record without any message has about this many beside the name
_COMMENT = 700
_RECORD = 70


@dataclass(frozen=True, slots=True)
class Apart:
    """How a job that sees nothing of the login node reports; `comment` is the pod's own."""

    scontrol: str
    squeue: str
    patience: int
    comment: str

    def call(self) -> tuple[str, ...]:
        """The runner's."""
        return "apart", self.scontrol, self.squeue, str(self.patience), self.comment


def plan_apart(pod: Pod, flags: Iterable[Flag], config: Config) -> Apart | None:
    """None where a file system is shared. Raises Rejected for a pod that could not report, or would not start."""
    if config.shared_fs:
        return None
    given = {flag.name: flag.value or "" for flag in flags}
    if "hold" in given:
        raise Rejected(
            "the flag --hold cannot be kept with SHARED_FS: false, where each job is submitted held, and released once "
            "its id is safe"
        )
    names = [container.name for container in pod.spec.all_containers]
    if sum(len(name) + _RECORD for name in names) > _COMMENT:
        raise Rejected(
            f"pod {pod.full_name} has {len(names)} containers, and with SHARED_FS: false their states must fit into "
            f"the job's comment, {_COMMENT} characters, at {_RECORD} and its name for each"
        )
    return Apart(config.scontrol_path, config.squeue_path, int(config.fetch_seconds), given.get("comment", ""))


def own_comment(flags: tuple[Flag, ...], apart: Apart | None) -> tuple[Flag, ...]:
    """As the runner writes it later, behind ours: what the pod says there must not be taken for a report."""
    if apart is None:
        return flags
    return tuple(Flag("comment", f"|{apart.comment}") if flag.name == "comment" else flag for flag in flags)


def refuse_logins(files: Iterable[File], config: Config) -> None:
    """The passwords of imagePullSecrets must not lie in scripts, unless the configuration allows that."""
    if config.shared_fs or config.secrets_in_script:
        return
    if any(file.path.startswith("secret/pull/") for file in files):
        raise Rejected(
            "the logins of imagePullSecrets would travel in the batch script, which lies in Slurm's own state "
            "(SHARED_FS: false): SecretsInScript: true in the sidecar's configuration allows that"
        )


def carry(script: str, archive: bytes, config: Config) -> bytes:
    """The batch script with all other files behind it. Raises Rejected where Slurm would not take it."""
    text = f"{script}{FILES}".encode() + base64.encodebytes(archive)
    if len(text) > config.max_script_size:
        raise Rejected(
            f"the pod's files come to a batch script of {len(text)} bytes, and MaxScriptSize is "
            f"{config.max_script_size} (max_script_size in slurm.conf): with SHARED_FS: false they travel in it; give "
            "the pod less in ConfigMaps, or a hostPath"
        )
    return text


@dataclass(frozen=True, slots=True)
class Standing:
    """What a job's comment tells: its folder on the node, its records, and whether its logs can be fetched.

    `failure` says why the job could not even begin.
    """

    folder: str = ""
    records: tuple[Record, ...] = ()
    over: bool = False
    failure: str = ""


def parse_comment(pod: str, comment: str) -> Standing | None:
    """None where the job has not reported yet. What is no record is left out."""
    ours, found, _ = comment.partition("|")
    first, *items = ours.split(";")
    if found and first.startswith("failed="):
        return Standing(failure=first.removeprefix("failed="))
    if not found or not first.startswith("at=/"):
        return None
    lines = (unquote(item, errors="replace") for item in items if item not in {"", "over"})
    records = parse_records("".join(f"v1 {pod} {line}\n" for line in lines))
    return Standing(first.removeprefix("at="), tuple(records), "over" in items)
