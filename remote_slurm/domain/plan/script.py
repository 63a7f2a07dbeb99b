"""JobPlan -> job.sh, and the other files of the pod's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from remote_slurm import __version__
from remote_slurm.domain.plan.containers import ContainerPlan
from remote_slurm.domain.plan.file_transfer import SCRIPTS_OF_POD, SHARED_SCRIPTS
from remote_slurm.domain.plan.job_array import ArrayTask, array_task
from remote_slurm.domain.plan.job_parts import RUNNER, runner_with_parts
from remote_slurm.domain.plan.job_plan import JobPlan
from remote_slurm.domain.plan.job_start import job_start
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.shell import Call, quote, words

# The options come first, and an empty line after them: submit.sh reads no further where it has to look for one of them,
# since a shell reads each byte by a system call of its own. The description is next: version 0.2.0 looks for it in the
# first nine lines
_HEADER = """\
#!{bash} -p
# Pod {pod} as a Slurm job, written by remote-slurm {version} for Kubernetes. To stop it: scancel.
{flags}

{description}
# Who knows about it: the users of the Kubernetes namespace {namespace}, and who runs the sidecar with this account.
# Files: logs/ has the output of each container, records/ their states and exit codes, volumes/ what they mount,
# job-ID.out messages of the runner and of Slurm; secret/ is removed at the end of the job.
# The functions that are called below are in runner.sh, here or in the folder `lib`, which explains them.
"""

_PREFIX = """
# CommandPrefix, from the sidecar's configuration
{prefix}
"""

_RESUME = """\
#!{bash} -p
# The containers of pod {pod}: job.sh goes on here once the pod's own shell, of its annotations, has run.

{shared}{sources}resume {key} grace={grace}
"""

SOURCES = """\
# shellcheck source=/dev/null
. "${lib:-.}/runner.sh" || { echo "remote-slurm: the runner cannot be read, so no container starts"; exit 1; }
"""

_CONTAINERS = """\
log_limit={log_limit}
{hidden}{calls}{containers}
finish
"""

JOB, CONTAINERS = SCRIPTS_OF_POD
_CONTAINERS_FOLLOW = f"# The containers are in {CONTAINERS}, which runs after the pod's own shell.\n"
# Twice a day: purges count in weeks, and most jobs are over before the first time
_TOUCH_SECONDS = 43200


def render_job(plan: JobPlan) -> str:
    """Return the batch script without the names of shared scripts. It is short enough for an operator to read."""
    header = _HEADER.format(
        bash=plan.script.bash_path,
        pod=plan.full_name,
        namespace=plan.full_name.partition("/")[0],
        version=__version__,
        description="\n".join(plan.description),
        flags="\n".join(flag.line() for flag in plan.flags),
    )
    prefix = (
        _PREFIX.format(prefix=plan.script.command_prefix.rstrip("\n")) if plan.script.command_prefix.strip() else ""
    )
    enter_folder = plan.transfer.enter_folder(plan.pod, plan.job_variables)
    start = job_start(enter_folder, profile=bool(prefix or plan.annotations.pre_exec))
    begin = plan.transfer.begin_job(plan.pod, plan.grace_seconds, SOURCES, _lines(_first_calls(plan)))
    return header + start + prefix + begin + (_CONTAINERS_FOLLOW if plan.annotations.pre_exec else _containers(plan))


def render_containers(plan: JobPlan) -> str:
    """Return the script that runs the containers after the pod's own shell."""
    head = _RESUME.format(
        bash=plan.script.bash_path,
        pod=plan.full_name,
        key=quote(plan.pod),
        grace=plan.grace_seconds,
        shared=SHARED_SCRIPTS,
        sources=SOURCES,
    )
    return head + _containers(plan)


def _first_calls(plan: JobPlan) -> Iterator[Call]:
    """Return the calls before the pod's own shell."""
    annotations = plan.annotations
    if annotations.pod_ip:
        yield "export", f"POD_IP={annotations.pod_ip}"
    if annotations.pre_exec:
        yield "pre_exec", *(["mesh"] if annotations.mesh else [])


def _containers(plan: JobPlan) -> str:
    deadline = () if plan.deadline_seconds is None else (("deadline", f"seconds={plan.deadline_seconds}"),)
    return _CONTAINERS.format(
        log_limit=plan.script.max_log_size,
        hidden="# values of Secrets are words of the file secret/words: ${hidden[0]} is the first one\nhidden=()\n"
        if plan.hides_words
        else "",
        calls=_lines(
            (
                *plan.report_calls,
                ("record_usage",),
                ("protect_from_purge", f"every={_TOUCH_SECONDS}"),
                *deadline,
                *plan.calls,
            )
        ),
        containers="".join(_call(container) for container in plan.containers),
    )


def _lines(calls: Iterable[Call]) -> str:
    return "".join(f"{words(call)}\n" for call in calls)


def _call(container: ContainerPlan) -> str:
    lines = [f"{container.verb} {quote(container.name)}", *(f"    {words(line)}" for line in container.lines)]
    return "\n" + _lines(container.calls) + " \\\n".join(lines) + "\n"


def job_files(plan: JobPlan, scripts: Mapping[str, bytes]) -> list[File]:
    """Return all files of the pod's folder, job.sh first; `scripts` are those of job/ by their names."""
    own, shared = _scripts(plan, scripts)
    return plan.transfer.files_of_pod([*own, *plan.files], shared)


def payload(plan: JobPlan, scripts: Mapping[str, bytes]) -> Payload:
    """Return what travels to the site. Raises InvalidRequest if it is too large for the job."""
    own, shared = _scripts(plan, scripts)
    packed = plan.transfer.payload(plan.pod, [*own, *plan.files], shared)
    return replace(packed, task=_task(plan), sets_chdir=any(flag.name == "chdir" for flag in plan.flags))


def _task(plan: JobPlan) -> ArrayTask | None:
    """Return the pod as a task of an array. A script that carries the files of one pod is no script for others."""
    if plan.transfer.reports_in_comment or not plan.may_be_task:
        return None
    return array_task(plan.flags, plan.full_name.partition("/")[2], plan.annotations.array_throttle)


def _scripts(plan: JobPlan, scripts: Mapping[str, bytes]) -> tuple[list[File], dict[str, bytes]]:
    """Return the pod's own scripts, job.sh first, and by their names the scripts that other pods need as well.

    The second of its own is containers.sh, if the pod has shell of its own.
    """
    texts = {JOB: render_job(plan)}
    if plan.annotations.pre_exec:
        texts[CONTAINERS] = render_containers(plan)
    calls = "".join(text.partition(SOURCES)[2] for text in texts.values())
    programs = {name: text for name, text in scripts.items() if name in plan.programs}
    further = plan.transfer.further_scripts(plan.job_variables)
    shared = {**further, RUNNER: runner_with_parts(calls, scripts), **programs}
    own = (plan.transfer.with_scripts(text, shared).encode() for text in texts.values())
    return [File(name, text, 0o700) for name, text in zip(texts, own, strict=True)], shared
