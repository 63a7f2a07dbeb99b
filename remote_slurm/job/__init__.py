"""The shell that runs inside jobs: `runner.sh`, its parts, and `check-node.sh`; and `podman_remove.sh` for deletes.

The `runner.sh` of a job consists of the runner and those parts whose functions it calls (domain/plan/job_parts.py).
Comments stay here, but for the first one of each file, which explains the calls in job.sh.
"""

import re
from importlib.resources import files

from remote_slurm.domain.shell import without_comments

_RUNNER = ("runner", "globals", "cleanup", "stop", "supervise", "start_errors")
# runner.sh has its parts in this order
_PARTS = (
    "paths", "namespaces", "recheck_mounts", "scratch", "volumes", "missing_volumes", "gpus", "hosts", "job_values",
    "hidden_words", "variables", "runtime_environment", "on_node", "ipc", "working_dirs", "annotations",
    "storage", "local_image", "from_image", "images", "apptainer", "podman", "enroot", "image_config", "tsocks",
    "usage", "protect_from_purge", "messages", "restarts", "sidecars", "exec_in_container", "exec", "probe_handlers",
    "hooks", "probes", "no_shared_fs",
)  # fmt: skip
# Programs of their own, which the runner, or the submit script, starts
_PROGRAMS = {"rank": ("rank",), "pull": ("storage", "pull"), "mounts": ("paths", "mounts")}

_DIRECTIVE = re.compile(rb"^# shellcheck .*\n", re.MULTILINE)


def source(name: str) -> bytes:
    """The file with its comments."""
    return (files(__name__) / f"{name}.sh").read_bytes()


def _sent(introduced_by: str, *names: str) -> bytes:
    """Join the files, and remove all comments but the first one of `introduced_by`, which explains calls in job.sh."""
    introduction = _DIRECTIVE.sub(b"", source(introduced_by).partition(b"\n\n")[0])
    return introduction + b"\n" + b"".join(without_comments(source(name).decode()).encode() for name in names)


def whole_text(program: str) -> str:
    """The runner with all its parts, or `mounts.sh`, as one script with comments."""
    names = (*_RUNNER, *_PARTS) if program == "runner" else _PROGRAMS[program]
    text = b"\n".join(source(name) for name in names).decode()
    return "#!/bin/bash\n" + re.sub(r"(?m)^# shellcheck shell=.*\n|^#!.*\n", "", text)


SCRIPTS = {
    "runner.sh": _sent("runner", *_RUNNER),
    **{f"{name}.sh": _sent(name, name) for name in _PARTS},
    **{f"{name}.sh": _sent(name, *names) for name, names in _PROGRAMS.items()},
}
# What forwards connections on a node, in the languages that nodes have. Sent as an argument of srun
RELAYS = {
    name: (files(__name__) / file).read_text(encoding="utf-8")
    for name, file in {"perl": "relay.pl", "python": "relay_on_node.py"}.items()
}
CHECK_NODE = source("check-node").decode()
# What a step of a job runs for a client: an argument of srun
EXEC_STEP = without_comments(source("exec_step").decode())
# Functions of runtimes that a delete uses at the site, by the runtimes' parts
REMOVAL = {"podman": (source("storage") + source("podman_remove")).decode()}
