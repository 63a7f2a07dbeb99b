"""The start of the job's shell, which drops the environment that the job was submitted with.

sbatch hands the environment of the login session to the job, and --export changes it. `bash -p` ignores BASH_ENV,
SHELLOPTS and exported functions, but passes them to its children, like variables that loaders and container runtimes
read (LD_*, APPTAINER_*, CONTAINERS_*). So the shell starts itself again with an empty environment, and takes
over the variables that are named here, from a pipe. Measured with Slurm 22.05 and 24.11: Slurm sets SLURM_JOB_ID,
SLURM_SUBMIT_DIR and SLURM_CONF after --export, and neither HOME, TMPDIR, SLURM_NTASKS, SLURM_RESTART_COUNT nor
SLURM_TASK_PROLOG.
"""

from __future__ import annotations

import re
import textwrap
from functools import cache

from remote_slurm.config import TsocksConfig

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

# Variables that Slurm sets in jobs, except variables that srun reads as options (SLURM_TASK_PROLOG, SLURM_EXPORT_ENV)
_OF_SLURM = (
    "SLURM_ARRAY_*", "SLURM_CLUSTER_NAME", "SLURM_CONF", "SLURM_CPUS_*", "SLURM_GPUS*", "SLURM_GTIDS", "SLURM_JOBID",
    "SLURM_JOB_*", "SLURM_LOCALID", "SLURM_MEM_PER_*", "SLURM_NNODES", "SLURM_NODEID", "SLURM_NODELIST", "SLURM_NPROCS",
    "SLURM_NTASKS*", "SLURM_OVERCOMMIT", "SLURM_PROCID", "SLURM_RESTART_COUNT", "SLURM_STEPMGR", "SLURM_SUBMIT_DIR",
    "SLURM_SUBMIT_HOST", "SLURM_TASKS_PER_NODE", "SLURM_TASK_PID", "SLURM_THREADS_PER_CORE", "SLURM_TOPOLOGY_ADDR*",
    "SLURM_TRES_PER_TASK", "SLURMD_NODENAME",
)  # fmt: skip
# Variables of the site: devices of the job, temporary folders, the locale, and proxies
_OF_SITE = (
    "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "HIP_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "TMPDIR", "XDG_RUNTIME_DIR", "KRB5CCNAME", "LANG", "LC_*",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip

_WIDTH = 120
RESTART = """
# This shell starts again without the environment of its submission. environment.sh restores some variables, from file
# descriptor 9.
if [[ ${1-} != clean ]]; then
    exec 9< <(for name in $(compgen -e); do
        # in a name with an index, bash would run a command substitution
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] && printf '%s=%s\\0' "$name" "${!name}"
    done)
    exec -c "$BASH" -p "$0" clean "${SLURM_SUBMIT_DIR-}"
fi
export PATH=@PATH@
""".replace("@PATH@", PATH)
_ENVIRONMENT = """\
# The variables that a job keeps of those that it was submitted with, which job.sh passes by file descriptor 9.
while IFS= read -r -d '' -u 9 variable; do
    case ${{variable%%=*}} in
{names})
            export -- "${{variable?}}" ;;
    esac
done
exec 9<&-
for variable in SLURM_NTASKS SLURM_RESTART_COUNT; do
    [[ ${{!variable-0}} =~ ^[0-9]+$ ]] || unset "$variable"
done
unset variable HOME
export HOME=~ USER="${{SLURM_JOB_USER-}}" LOGNAME="${{SLURM_JOB_USER-}}"
export PATH={path}
"""
_PROFILE = """\
# `module` and the like, from the site's own profile
# shellcheck source=/dev/null
[[ ! -r /etc/profile ]] || . /etc/profile >/dev/null 2>&1
"""


@cache
def environment_script(kept: tuple[str, ...]) -> str:
    """Return the shell that restores the variables. `kept` are the names of further ones, as patterns."""
    names = " | ".join((*_OF_SLURM, *_OF_SITE, *kept))
    indent = " " * 8
    lines = textwrap.wrap(names, _WIDTH - 2, initial_indent=indent, subsequent_indent=indent + "    ")
    return _ENVIRONMENT.format(names=" \\\n".join(lines), path=PATH)


def job_start(enter_folder: str, *, profile: bool) -> str:
    """Return the shell that each batch script begins with.

    `enter_folder` is FileTransfer's, and restores the variables. `profile`: read /etc/profile.
    """
    return RESTART + enter_folder + (_PROFILE if profile else "")


def kept_variables(job_variables: tuple[str, ...], tsocks: TsocksConfig) -> tuple[str, ...]:
    """Return the variables that the configuration lets jobs keep: JobVariables, and the variables in Tsocks keys."""
    named = re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", f"{tsocks.login_node} {tsocks.path}")
    return tuple(dict.fromkeys((*job_variables, *(named if tsocks.enabled else ()))))
