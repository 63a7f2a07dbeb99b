"""JobPlan -> job.sh, and the archive that travels to the site."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from remote_slurm import __version__
from remote_slurm.domain.plan import ContainerPlan, JobPlan
from remote_slurm.domain.projections import File
from remote_slurm.domain.shell import quote, words

_HEADER = """\
#!{bash}
# Pod {pod} as a Slurm job, written by remote-slurm {version}.
# This folder is the pod's: logs/ has what its containers print, records/ how they stand, volumes/ what they mount.
{flags}
"""

_PREFIX = """
# CommandPrefix, from the sidecar's configuration
{prefix}
"""

_BODY = """
cd "$SLURM_SUBMIT_DIR" || exit 1
# shellcheck source=/dev/null
. ./runner.sh
log_limit={log_limit}
pod {pod} {grace}
{calls}{containers}
finish
"""


def render_job(plan: JobPlan) -> str:
    """The batch script, short enough to be read by whoever finds it in the folder."""
    header = _HEADER.format(
        bash=plan.bash_path,
        pod=plan.full_name,
        version=__version__,
        flags="\n".join(flag.line() for flag in plan.flags),
    )
    prefix = _PREFIX.format(prefix=plan.command_prefix.rstrip("\n")) if plan.command_prefix.strip() else ""
    body = _BODY.format(
        pod=quote(plan.pod),
        grace=plan.grace_seconds,
        log_limit=plan.log_limit,
        calls="".join(f"{words(call)}\n" for call in plan.calls),
        containers="".join(_call(container) for container in plan.containers),
    )
    return header + prefix + body


def _call(container: ContainerPlan) -> str:
    verb = "init_container" if container.init else "container"
    lines = [f"{verb} {quote(container.name)}", *(f"    {words(line)}" for line in container.lines)]
    calls = "".join(f"{words(call)}\n" for call in container.calls)
    return "\n" + calls + " \\\n".join(lines) + "\n"


def job_files(plan: JobPlan, runner: bytes) -> list[File]:
    """All files of the pod's folder, job.sh first."""
    return [
        File("job.sh", render_job(plan).encode(), 0o700),
        File("runner.sh", runner, 0o600),
        *plan.files,
    ]


def archive(pod: str, files: Iterable[File]) -> bytes:
    """A gzipped tar of the pod's folder, with private folders; the same files give the same bytes.

    Several such archives, one after another, are one: `tar -xzi`.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in _with_folders(replace(file, path=f"{pod}/{file.path}") for file in files):
            tar.addfile(_member(file), io.BytesIO(file.content or b""))
    return gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0)


def _with_folders(files: Iterable[File]) -> Iterator[File]:
    known: set[str] = set()
    for file in files:
        above = (str(parent) for parent in reversed(PurePosixPath(file.path).parents[:-1]))
        for folder in (*above, *([file.path] if file.content is None else [])):
            if folder not in known:
                known.add(folder)
                yield File(folder, None, 0o700)
        if file.content is not None:
            yield file


def _member(file: File) -> tarfile.TarInfo:
    member = tarfile.TarInfo(file.path)
    member.mode = file.mode
    member.type = tarfile.DIRTYPE if file.content is None else tarfile.REGTYPE
    member.size = len(file.content or b"")
    return member
