"""Keys for the Slurm commands and the environment of jobs."""

from typing import ClassVar

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.path_types import Command, Shebang
from remote_slurm.config.scalar_types import Arrays, JobArrays, Text, VariablePattern


class SlurmKeys(KeyGroup):
    """Paths of commands at the site, and how batch scripts begin."""

    title: ClassVar[str] = "Slurm commands and job environment"

    sbatch_path: Command = setting(
        "sbatch", "sbatch at the site. A bare name is searched in the PATH there.", environment="SBATCHPATH"
    )
    scancel_path: Command = setting("scancel", "scancel at the site.", environment="SCANCELPATH")
    squeue_path: Command = setting("squeue", "squeue at the site.", environment="SQUEUEPATH")
    sinfo_path: Command = setting("sinfo", "sinfo at the site.", environment="SINFOPATH")
    scontrol_path: Command = setting("scontrol", "scontrol at the site, for SHARED_FS: false.")
    srun_path: Command = setting("srun", "srun at the site, for SHARED_FS: false and PortForward.Via.")
    job_arrays: Arrays = setting(
        JobArrays.AUTO,
        "auto: pods that arrive together with the same sbatch options are submitted as one job array, unless "
        "ContainerRuntime is none. always: also then, though a program of such a pod can end its whole array. off: "
        "each pod is a job of its own.",
    )
    bash_path: Shebang = setting("/bin/bash", "bash on the compute nodes: the first line of each batch script.")
    command_prefix: Text = setting(
        "",
        "Shell commands at the beginning of each batch script, such as `module load apptainer`. The job reads the "
        "node's /etc/profile first.",
    )
    job_variables: tuple[VariablePattern, ...] = setting(
        (),
        "Variables that jobs keep from the submitting environment or from the site's TaskProlog: [WORK, "
        "SCRATCH_*]. Jobs always keep TMPDIR, KRB5CCNAME, XDG_RUNTIME_DIR, the locale, proxies, GPUs and Slurm's "
        "own variables. All others are dropped.",
    )
