"""Nothing that a flag, or the session that submits, can set reaches the job's shell and what it starts."""

import pytest

from tests.pods import pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site

pytestmark = pytest.mark.xdist_group("job-environment")  # it writes into the site's /etc/profile.d

SHARE = "/home/hpcuser/share"
# Every one of these ran on the node, or showed the account's files, in a pod that could only set flags
ATTACK = ",".join([
    "ALL",
    f"BASH_ENV={SHARE}/env.sh",
    f"ENV={SHARE}/env.sh",
    f"PATH={SHARE}/bin:/usr/bin:/bin",
    "APPTAINER_BIND=/home/hpcuser:/mnt",
    "SINGULARITY_BIND=/home/hpcuser:/mnt",
    "APPTAINERENV_FROM_FLAG=yes",
    f"BASH_FUNC_umask%%=() {{ builtin umask $@; : >{SHARE}/ran-function; }}",
    f"BASH_FUNC_mkdir%%=() {{ : >{SHARE}/ran-function; }}",
    "SHELLOPTS=xtrace",
    f"CDPATH={SHARE}",
    f"HOME={SHARE}",
    "USER=root",
    "SLURM_RESTART_COUNT=7 x",
    "SLURM_NTASKS=1 x",
    "SLURM_JOB_ID=1",
    "SLURM_SUBMIT_DIR=/tmp",
    f"SLURM_TASK_PROLOG={SHARE}/env.sh",
    f"SLURM_JOB_x[$(: >{SHARE}/ran-index)]=1",
    "OMPI_MCA_plm_rsh_agent=/x",
    "KEPT_BY_NAME=yes",
])  # fmt: skip
PROGRAMS = ("apptainer", "singularity", "mkdir", "tar", "mpiexec")
# The job's own environment, as `none` shows it, and as a process of the runtime has it
LOOK = "tr '\\0' '\\n' <\"/proc/$PPID/environ\" | sort; echo home=$HOME path=$PATH user=$USER"


@pytest.fixture
def attacked(each_site: Site) -> Site:
    each_site.exec(f"rm -rf {SHARE}")
    each_site.write(f"{SHARE}/env.sh", f": >{SHARE}/ran-bash-env\n", "755")
    for name in PROGRAMS:
        each_site.write(f"{SHARE}/bin/{name}", f"#!/bin/sh\n: >{SHARE}/ran-path\n", "755")
    each_site.write("/home/hpcuser/private", "of the account\n", "600")
    return each_site


def attacking(served: Serving, script: str, **annotations: str) -> str:
    """The log of a pod whose flags carry all of it, since this operator lets pods set --export."""
    a_pod = pod(sh("c", script), flags=f"'--export={ATTACK}'")
    a_pod["metadata"]["annotations"] |= {f"slurm-job.vk.io/{name}": text for name, text in annotations.items()}
    shown = served.vk.create(request(a_pod)).until_over()
    log = shown.log("c")
    assert shown.phase == "Succeeded", log
    return log


GONE = ("BASH_ENV", "APPTAINER", "SINGULARITY", "BASH_FUNC", "CDPATH", "TASK_PROLOG", "OMPI", "ENV=", "EXPORT")
AS_IT_IS = "home=/home/hpcuser path=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin user=hpcuser\n"


def test_the_jobs_shell_has_nothing_of_what_flags_carry(attacked: Site, serve: Serve) -> None:
    """Nor has that of a job that Slurm has requeued, which starts in the same way."""
    served = serve(attacked, Policy={"AllowedFlags": ["export"]}, JobVariables=["KEPT_BY_*"], ContainerRuntime="none")
    second = f"[ ! -e {SHARE}/first ] || exit 0; : >{SHARE}/first; sleep 600"
    a_pod = pod(
        sh("c", f"{LOOK}; echo kept=$KEPT_BY_NAME run=$SLURM_RESTART_COUNT.; {second}"),
        flags=f"'--export={ATTACK}' --requeue",
    )
    shown = served.vk.create(request(a_pod))
    wait_until(lambda: "first" in attacked.exec(f"ls {SHARE}"), "it has begun")
    first = shown.log("c")
    attacked.exec(f"scontrol requeue {shown.job}")
    wait_until(lambda: "PENDING" in served.jobs_of(a_pod), "the first run is over")
    attacked.start_requeued(shown.job)
    shown.until_over()
    assert shown.phase == "Succeeded"
    for each, run in ((first, "run=."), (shown.log("c"), "run=1.")):
        assert not [name for name in GONE if name in each], each
        assert AS_IT_IS in each
        assert f"kept=yes {run}" in each
    assert "ran-" not in attacked.exec(f"ls {SHARE}")


def test_nor_has_it_where_no_file_system_is_shared(apart_site: Site, serve: Serve) -> None:
    served = serve(apart_site, SHARED_FS=False, Policy={"AllowedFlags": ["export"]}, ContainerRuntime="none")
    log = attacking(served, LOOK)
    assert not [name for name in GONE if name in log], log
    assert AS_IT_IS in log


def test_nor_have_the_runtime_and_what_follows_the_pods_own_shell(attacked: Site, serve: Serve) -> None:
    if attacked.runtime == "none":
        pytest.skip("no container runtime at this site")
    served = serve(attacked, Policy={"AllowedFlags": ["export"], "AllowedAnnotations": ["*"]})
    for annotations in ({}, {"pre-exec": "true"}):
        log = attacking(served, "ls -A /mnt; cat /mnt/private; echo from=$FROM_FLAG", **annotations)
        assert "from=\n" in log
        assert "of the account" not in log
    assert "ran-" not in attacked.exec(f"ls {SHARE}")


# Of site profiles: what security guides ask for, and what brings `module` to shells that are no login shells
PROFILE = """TMOUT=1
readonly TMOUT
export TMOUT BASH_ENV=/etc/profile.d/modules.sh
umask 027
module() { PATH=/opt/runtime:$PATH; }
export -f module
"""


def test_a_module_of_the_sites_profile_brings_the_runtime(site: Site, serve: Serve) -> None:
    """`module` was a function in the environment of the login session; now it comes from /etc/profile."""
    site.exec(
        "mkdir -p /opt/runtime && printf '#!/bin/sh\\nAPPTAINERENV_BY_MODULE=yes exec /usr/bin/apptainer \"$@\"\\n' "
        ">/opt/runtime/apptainer && chmod 755 /opt/runtime/apptainer && "
        f"cat >/etc/profile.d/modules.sh <<'END'\n{PROFILE}END"
    )
    try:
        policy = {"AllowedAnnotations": ["*"], "ForcedFlags": ["--export=NIL"]}
        served = serve(site, CommandPrefix="module load apptainer", Policy=policy)
        a_pod = pod(sh("c", "sleep 2; echo $BY_MODULE"))
        a_pod["metadata"]["annotations"]["slurm-job.vk.io/pre-exec"] = "module load mpi"
        shown = served.vk.create(request(a_pod)).until_over()
        assert shown.log("c") == "yes\n"
        assert shown.phase == "Succeeded"
    finally:
        site.exec("rm -rf /etc/profile.d/modules.sh /opt/runtime")
