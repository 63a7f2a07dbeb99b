"""JobPlan -> job.sh, and all that lies beside it in the pod's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from remote_slurm import __version__
from remote_slurm.config import Config
from remote_slurm.domain.apart import carry
from remote_slurm.domain.payload import Payload, archive, script_files
from remote_slurm.domain.plan import ContainerPlan, JobPlan
from remote_slurm.domain.projections import File
from remote_slurm.domain.shell import quote, words
from remote_slurm.domain.volumes import Call

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

_BEGIN = """
cd "$SLURM_SUBMIT_DIR" || exit 1
# shellcheck source=/dev/null
. ./runner.sh
pod {pod} {grace}
{calls}"""

# `$0` is the copy of the script that Slurm keeps on the node as long as the job lives. The files are what follows its
# last line with a `#` in front, since what a container runs may hold lines like that one, and base64 has none. A TMPDIR
# with odd characters could be told neither in a comment nor to --bind.
_BEGIN_APART = """
# Login and compute nodes share no file system (SHARED_FS: false): the pod's folder lies at the end of this script, and
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
# shellcheck source=/dev/null
. ./runner.sh
# shellcheck source=/dev/null
. ./apart.sh
pod {pod} {grace}
leftovers+=("$folder")
{calls}"""

_RESUME = """\
#!{bash}
# The containers of pod {pod}: job.sh goes on here once the pod's own shell, of its annotations, has run.

# shellcheck source=/dev/null
. ./runner.sh
{apart}resume {key} {grace}
"""

_CONTAINERS = """\
log_limit={log_limit}
{calls}{containers}
finish
"""

CONTAINERS = "containers.sh"
# Twice a day: purges count in weeks, and most jobs are over before the first time
_FRESH_SECONDS = "43200"
_OF_THE_RUNNER = {"runner.sh"}
_OF_MPI = {"rank.sh"}
_OF_IMAGES = {"pull.sh"}
_OF_NODES_APART = {"apart.sh"}


def render_job(plan: JobPlan) -> str:
    """The batch script, short enough to be read by whoever finds it in the folder."""
    header = _HEADER.format(
        bash=plan.bash_path,
        pod=plan.full_name,
        version=__version__,
        flags="\n".join(flag.line() for flag in plan.flags),
    )
    prefix = _PREFIX.format(prefix=plan.command_prefix.rstrip("\n")) if plan.command_prefix.strip() else ""
    begin = (_BEGIN_APART if plan.apart else _BEGIN).format(
        pod=quote(plan.pod),
        grace=plan.grace_seconds,
        calls=_lines(_first_calls(plan)),
        scontrol=quote(plan.apart.scontrol) if plan.apart else "",
    )
    return header + prefix + begin + ("" if plan.annotations.pre_exec else _containers(plan))


def render_containers(plan: JobPlan) -> str:
    """What follows the pod's own shell, in a script of its own."""
    head = _RESUME.format(
        bash=plan.bash_path,
        pod=plan.full_name,
        key=quote(plan.pod),
        grace=plan.grace_seconds,
        apart="# shellcheck source=/dev/null\n. ./apart.sh\n" if plan.apart else "",
    )
    return head + _containers(plan)


def _first_calls(plan: JobPlan) -> Iterator[Call]:
    """What comes before anything of the pod runs."""
    annotations = plan.annotations
    if annotations.pod_ip:
        yield "export", f"POD_IP={annotations.pod_ip}"
    if annotations.pre_exec:
        yield "pre_exec", *(["mesh"] if annotations.mesh else [])


def _containers(plan: JobPlan) -> str:
    apart = (plan.apart.call(),) if plan.apart else ()
    deadline = () if plan.deadline_seconds is None else (("deadline", str(plan.deadline_seconds)),)
    return _CONTAINERS.format(
        log_limit=plan.log_limit,
        calls=_lines((*apart, ("keep_fresh", _FRESH_SECONDS), *deadline, *plan.calls)),
        containers="".join(_call(container) for container in plan.containers),
    )


def _lines(calls: Iterable[Call]) -> str:
    return "".join(f"{words(call)}\n" for call in calls)


def _call(container: ContainerPlan) -> str:
    lines = [f"{container.verb} {quote(container.name)}", *(f"    {words(line)}" for line in container.lines)]
    return "\n" + _lines(container.calls) + " \\\n".join(lines) + "\n"


def job_files(plan: JobPlan, scripts: Mapping[str, bytes]) -> list[File]:
    """All files of the pod's folder, job.sh first; `scripts` are those that are the same for every pod, by name."""
    own = [File("job.sh", render_job(plan).encode(), 0o700)]
    if plan.annotations.pre_exec:
        own.append(File(CONTAINERS, render_containers(plan).encode(), 0o700))
    return [*own, *script_files(_used(plan, scripts)), *plan.files]


def _used(plan: JobPlan, scripts: Mapping[str, bytes]) -> dict[str, bytes]:
    used = _OF_THE_RUNNER | (_OF_IMAGES if plan.pulls else set()) | (_OF_NODES_APART if plan.apart else set())
    if plan.annotations.mpi_flags is not None:
        used |= _OF_MPI
    return {name: text for name, text in scripts.items() if name in used}


def payload(plan: JobPlan, scripts: Mapping[str, bytes], config: Config) -> Payload:
    """What travels to the site: the pod's folder. Raises Rejected where it is too much for the job.

    Where no file system is shared, the batch script is all of it, and carries the others to the node.
    """
    files = job_files(plan, scripts)
    if plan.apart:
        script, *others = files
        carried = carry((script.content or b"").decode(), archive(plan.pod, others), config)
        return Payload(plan.pod, archive(plan.pod, [replace(script, content=carried)]))
    shared = _used(plan, scripts)
    return Payload(plan.pod, archive(plan.pod, (file for file in files if file.path not in shared)), shared)
