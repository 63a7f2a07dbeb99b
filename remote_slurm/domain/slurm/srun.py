"""srun: the command line of a step in a job that runs."""

from __future__ import annotations

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.job_ids import is_task


def step_command(srun: str, job_id: str, *, squeue: str = "squeue", unbuffered: bool = False) -> str:
    """What runs a line of shell, which is to follow as one word, beside what runs in the job (--overlap: 20.11).

    On the batch host, where its folder is, with nothing of its own. What it prints comes line by line. `unbuffered`:
    byte by byte; its output is a terminal in raw mode then, which changes nothing.
    """
    options = ["--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--relative=0", "--mem=0"]
    if unbuffered:
        options.append("--unbuffered")
    return f"{_srun(srun, job_id, squeue)} {words([*options, '--gres=none', '--chdir=/', 'sh', '-c'])}"


def _srun(srun: str, job_id: str, squeue: str) -> str:
    """srun with its job. Of a task it needs the id that the task has beside its array's (22.05; 24.11 takes both)."""
    if not is_task(job_id):
        return words([srun, f"--jobid={job_id}"])
    own_id = words([squeue, "--noheader", f"--jobs={job_id}", "--format=%A"])
    return f'{words([srun])} "--jobid=$({own_id} </dev/null)"'


# The variables of job/exec_step.sh
COMMAND, STEP_ID, TTY = "REMOTE_SLURM_EXEC", "REMOTE_SLURM_EXEC_ID", "REMOTE_SLURM_EXEC_TTY"


def exec_command(srun: str, job_id: str, name: str, *, squeue: str = "squeue", terminal: bool) -> str:
    """What runs a program, whose words are to follow, as a step with all that the job has: memory, CPUs and GPUs.

    One SIGINT ends the step (--quit-on-interrupt). Without a terminal, --unbuffered passes on what has no end of line
    yet: standard output becomes a terminal on the node, which exec_step.sh makes transparent.
    """
    options = ["--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--relative=0", "--mem=0", "--chdir=/"]
    more = [f"--job-name={name}", "--cpu-bind=none", "--mpi=none", "--quit-on-interrupt"]
    how = "--pty" if terminal else "--unbuffered"
    return f"{_srun(srun, job_id, squeue)} {words([*options, *more, f'--export={COMMAND},{STEP_ID},{TTY}', how])}"
