"""How a pod's files reach its node, and how its job reports: the key SHARED_FS selects one of two strategies.

::

    SharedFiles      nodes see DataRootFolder: the job enters the pod's folder there, and its records and logs are in it
    NodeLocalFiles   nodes do not see it: the batch script carries the files, and the comment of the job the records
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from remote_slurm.domain.plan.job_start import environment_script
from remote_slurm.domain.plan.payload import Payload, archive, library_name
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.shell import Call, quote
from remote_slurm.domain.slurm.flags import Flag

SCRIPTS_OF_POD = ("job.sh", "containers.sh")
# Marks the folder of a pod whose images are pulled before its job is submitted
IMAGES_FIRST = "images.first"
# render_job has this line in place of _SHARED_SCRIPTS
SHARED_SCRIPTS = "# (scripts that pods share)\n"
_SHARED_START = f"""\
# the path in the configuration: Slurm has resolved symbolic links on the login node, which may differ here
cd {{folder}} 2>/dev/null || cd "$2" || {{{{
    echo "remote-slurm: node $HOSTNAME does not see the pod's folder, so no container starts"
    exit 1
}}}}

{SHARED_SCRIPTS}# shellcheck source=/dev/null
. "$lib/environment.sh"
export SLURM_SUBMIT_DIR=$PWD
"""
# A library is back within 30 s if it was replaced, or if it was removed as unused right before it was needed again. If
# the node has no sha256sum, bash prints that, and the job goes on.
_SHARED_SCRIPTS = """\
# Scripts that pods share. The folder is named by their SHA-256 sum, which shows whether a file was purged or edited.
lib=../.remote-slurm/lib/{library}
while sum=$(cat "$lib"/*.sh 2>/dev/null | sha256sum) && [[ $lib != */${{sum%% *}} ]]; do
    ((SECONDS < 30)) || {{
        echo "remote-slurm: $PWD/$lib is missing or was changed, so no container starts: create the pod again"
        exit 1
    }}
    sleep 3
done
"""
ENVIRONMENT = "environment.sh"
_SHARED_BEGIN = """
cd "$SLURM_SUBMIT_DIR" || exit 1
{sources}pod {pod} grace={grace}
{calls}"""


class FileTransfer(ABC):
    """The strategy of one site. Methods that check a pod raise InvalidRequest."""

    default_flags: ClassVar[tuple[Flag, ...]] = ()
    """Flags that pods and the configuration may override."""
    reports_in_comment: ClassVar[bool] = False
    """Whether the records of a pod are in the comment of its job."""
    logs_on_node: ClassVar[bool] = False
    """Whether the logs of a pod are on its node until they have been fetched."""
    needs_folder_on_nodes: ClassVar[bool] = True
    """Whether compute nodes must see DataRootFolder."""
    node_remedy: ClassVar[str]
    """What the site must have, if a job ends without a reply."""
    log_remedy: ClassVar[str]
    """What to check if the log of a job cannot be read."""

    @abstractmethod
    def check_pod(self, pod: Pod, flags: Iterable[Flag]) -> None:
        """Reject a pod whose job could not start or report."""

    @abstractmethod
    def check_secret(self, what: str) -> None:
        """Reject a pod that needs a Secret, if the site must not have it. `what` begins the message."""

    @property
    def release_command(self) -> str:
        """Path of scontrol, if jobs are submitted held and released once their id is stored; else empty."""
        return ""

    @property
    def further_commands(self) -> Mapping[str, str]:
        """The Slurm commands that the site must have in addition, by name."""
        return {}

    @property
    def allows_secrets(self) -> bool:
        """Whether files of a pod may hold Secrets."""
        return True

    def report_flags(self, flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
        """Return the flags of the job, changed so that the job can report."""
        return flags

    def report_calls(self, flags: tuple[Flag, ...]) -> tuple[Call, ...]:
        """Return the runner's calls that prepare how the job reports. `flags` are as the pod has them."""
        return ()

    @abstractmethod
    def enter_folder(self, pod: str, kept: tuple[str, ...]) -> str:
        """Return the shell with which the batch script leaves the folder that Slurm starts it in.

        It also restores variables, and those whose names match `kept` (job_start.py).
        """

    @abstractmethod
    def begin_job(self, pod: str, grace: int, sources: str, calls: str) -> str:
        """Return the shell that enters the pod's folder, loads the runner by `sources` and names the pod."""

    def further_scripts(self, kept: tuple[str, ...]) -> Mapping[str, bytes]:
        """Return scripts that the batch script reads besides those of job/, by their names."""
        return {}

    def with_scripts(self, script: str, shared: Mapping[str, bytes]) -> str:
        """Return the script of a pod with the paths of the scripts that other pods need as well."""
        return script

    @abstractmethod
    def files_of_pod(self, files: Sequence[File], shared: Mapping[str, bytes]) -> list[File]:
        """Return the files in the folder of a pod, job.sh first."""

    @abstractmethod
    def payload(self, pod: str, files: Sequence[File], shared: Mapping[str, bytes]) -> Payload:
        """Pack the files of a pod, job.sh first. `shared` are its scripts that other pods need as well."""


@dataclass(frozen=True, slots=True)
class SharedFiles(FileTransfer):
    """The pod's folder is at the same path on login and compute nodes."""

    data_root_folder: str
    node_remedy: ClassVar[str] = (
        "compute nodes must see DataRootFolder (a shared file system), and have bash as BashPath names it"
    )
    log_remedy: ClassVar[str] = "look whether DataRootFolder can be read at the site"

    def check_pod(self, pod: Pod, flags: Iterable[Flag]) -> None:
        """Accept all pods."""

    def check_secret(self, what: str) -> None:
        """Accept all Secrets: their files are readable for the account only."""

    def enter_folder(self, pod: str, kept: tuple[str, ...]) -> str:
        path = f"{self.data_root_folder}/{pod}"
        return _SHARED_START.format(folder=quote(path) if path.startswith("/") else f"~/{quote(path)}")

    def begin_job(self, pod: str, grace: int, sources: str, calls: str) -> str:
        return _SHARED_BEGIN.format(pod=quote(pod), grace=grace, sources=sources, calls=calls)

    def further_scripts(self, kept: tuple[str, ...]) -> Mapping[str, bytes]:
        return {ENVIRONMENT: environment_script(kept).encode()}

    def with_scripts(self, script: str, shared: Mapping[str, bytes]) -> str:
        return script.replace(SHARED_SCRIPTS, _SHARED_SCRIPTS.format(library=library_name(shared)))

    def files_of_pod(self, files: Sequence[File], shared: Mapping[str, bytes]) -> list[File]:
        return list(files)

    def payload(self, pod: str, files: Sequence[File], shared: Mapping[str, bytes]) -> Payload:
        pulls = any(file.path == IMAGES_FIRST for file in files)
        return Payload(pod, archive(pod, files), shared, digests(files), pulls=pulls)


def digests(files: Iterable[File]) -> dict[str, str]:
    """Return the SHA-256 sums of the pod's own scripts by their names."""
    return {file.path: sha256(file.content or b"").hexdigest() for file in files if file.path in SCRIPTS_OF_POD}
