"""SHARED_FS: false. The batch script carries the pod's files to the node, and the job reports in its comment.

sbatch copies the script to the node, whatever file systems there are. A job may change its own comment by scontrol, and
one squeue reads the comments of all jobs (job_comment in scontrol(1); measured with Slurm 22.05 and 24.11).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from remote_slurm.config import Config, TransferConfig
from remote_slurm.domain.plan.file_transfer import FileTransfer, SharedFiles, digests
from remote_slurm.domain.plan.job_start import environment_script
from remote_slurm.domain.plan.payload import Payload, archive, script_files
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.shell import Call, quote
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.errors import InvalidRequest

FILES = "# --- files of the pod's folder, as base64 -d and tar -xz read them ---\n"
# Slurm accepts comments of up to 1024 characters, and a record without a message has about this many beside the name
_COMMENT = 700
_RECORD = 70

_START = """\
cd / || exit 1
"""
# `$0` is the copy of the script that Slurm keeps on the node as long as the job lives. The files are what follows its
# last line with a `#` in front, since what a container runs may hold lines like that one, and base64 has none. A TMPDIR
# with odd characters could be passed neither in a comment nor to --bind.
_BEGIN = """
# Login and compute nodes share no file system (SHARED_FS: false): the pod's folder is at the end of this script, and
# is made anew on the node, for as long as the job lasts. Its logs and records come back when the containers have ended.
umask 077
export REMOTE_SLURM_SHELL=$$
place=${{TMPDIR-}}
[[ $place =~ ^/[A-Za-z0-9/._@=+-]+$ && -d $place && -w $place ]] || place=/tmp
folder=$(mktemp -du "$place/remote-slurm-$SLURM_JOB_ID-XXXXXX")
unpack() {{
    last=$(grep -an '^#' "$0" | tail -n 1)
    mkdir "$folder" && cd "$folder" && mkdir -p .remote-slurm/claims .remote-slurm/spool &&
        tail -n "+$((${{last%%:*}} + 1))" "$0" | base64 -d | tar -xpzf -
}}
if ! {{ said=$(unpack 2>&1) && cd "$folder"/{pod}; }}; then
    said="no folder can be made in $place on node $(hostname): ${{said%%$'\\n'*}}"
    {scontrol} update "JobId=$SLURM_JOB_ID" "Comment=failed=${{said:0:500}}|"
    rm -rf "$folder"
    exit 1
fi
exec >"job-$SLURM_JOB_ID.out" 2>&1
trap 'rm -rf "$folder"' EXIT  # until the runner takes over
{sources}pod {pod} grace={grace}
owns "$folder"
{calls}"""


@dataclass(frozen=True, slots=True)
class NodeLocalFiles(FileTransfer):
    """The pod's folder exists on the node only, as long as the job runs."""

    config: TransferConfig
    reports_in_comment: ClassVar[bool] = True
    logs_on_node: ClassVar[bool] = True
    needs_folder_on_nodes: ClassVar[bool] = False
    node_remedy: ClassVar[str] = (
        "with SHARED_FS: false, scontrol must work on the nodes by the same path (ScontrolPath), and srun from the "
        "login node into a running job (SrunPath; a firewall between them may want SrunPortRange)"
    )
    log_remedy: ClassVar[str] = node_remedy
    # the folder of the login node does not exist on the node
    default_flags: ClassVar[tuple[Flag, ...]] = (Flag("chdir", "/"),)

    def check_pod(self, pod: Pod, flags: Iterable[Flag]) -> None:
        if any(flag.name == "hold" for flag in flags):
            raise InvalidRequest(
                "the flag --hold cannot be used with SHARED_FS: false: the sidecar submits each job held, and "
                "releases it"
            )
        names = [container.name for container in pod.spec.all_containers]
        if sum(len(name) + _RECORD for name in names) > _COMMENT:
            raise InvalidRequest(
                f"pod {pod.full_name} has too many containers ({len(names)}) for SHARED_FS: false: the job's "
                "comment has "
                f"{_COMMENT} characters, and each container needs {_RECORD} and the length of its name"
            )
        for container in pod.spec.all_containers:
            for variable in container.env:
                # the Virtual Kubelet usually removes secretKeyRef when it inserts the value
                source = variable.value_from
                if variable.value and source is not None and source.secret_key_ref is not None:
                    what = f"environment variable '{variable.name}' of container '{container.name}'"
                    self.check_secret(f"{what} has the value of a Secret")

    def check_secret(self, what: str) -> None:
        if not self.allows_secrets:
            raise InvalidRequest(
                f"{what}, and with SHARED_FS: false it would be in the batch script, which Slurm stores: to allow "
                "that, set "
                "SecretsInScript: true in the sidecar's configuration"
            )

    @property
    def release_command(self) -> str:
        return self.config.scontrol_path

    @property
    def further_commands(self) -> Mapping[str, str]:
        return {"scontrol": self.config.scontrol_path, "srun": self.config.srun_path}

    @property
    def allows_secrets(self) -> bool:
        return self.config.secrets_in_script

    def report_flags(self, flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
        """Put a mark in front of the pod's own comment, so that it cannot be mistaken for a report."""
        return tuple(Flag("comment", f"|{flag.value or ''}") if flag.name == "comment" else flag for flag in flags)

    def report_calls(self, flags: tuple[Flag, ...]) -> tuple[Call, ...]:
        comment = next((flag.value or "" for flag in flags if flag.name == "comment"), "")
        return (("no_shared_fs", self.config.scontrol_path, f"fetch_timeout={self.config.fetch_seconds}", comment),)

    def enter_folder(self, pod: str, kept: tuple[str, ...]) -> str:
        return environment_script(kept) + _START

    def begin_job(self, pod: str, grace: int, sources: str, calls: str) -> str:
        scontrol = quote(self.config.scontrol_path)
        return _BEGIN.format(pod=quote(pod), grace=grace, sources=sources, calls=calls, scontrol=scontrol)

    def files_of_pod(self, files: Sequence[File], shared: Mapping[str, bytes]) -> list[File]:
        return [*files, *script_files(shared)]

    def payload(self, pod: str, files: Sequence[File], shared: Mapping[str, bytes]) -> Payload:
        script, *others = self.files_of_pod(files, shared)
        carried = archive(pod, others)
        script = replace(script, content=self.carry((script.content or b"").decode(), carried))
        return Payload(pod, archive(pod, [script]), digests=digests([script]))

    def carry(self, script: str, files: bytes) -> bytes:
        """Return the batch script with all other files after it. Raises InvalidRequest if Slurm would reject it."""
        text = f"{script}{FILES}".encode() + base64.encodebytes(files)
        if len(text) > self.config.max_script_size:
            raise InvalidRequest(
                f"the batch script has {len(text)} bytes with the pod's files, more than MaxScriptSize "
                f"({self.config.max_script_size}; max_script_size in slurm.conf): use smaller ConfigMaps, or a hostPath"
            )
        return text


def file_transfer(config: Config) -> FileTransfer:
    """Return the strategy that SHARED_FS selects."""
    return (
        SharedFiles(config.data_root_folder) if config.shared_fs else NodeLocalFiles(TransferConfig.from_config(config))
    )
