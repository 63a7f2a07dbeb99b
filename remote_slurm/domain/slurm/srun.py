"""srun: the command line of a step in a job that runs."""

from __future__ import annotations

from remote_slurm.domain.shell import words


def step_command(srun: str, job_id: str, *, unbuffered: bool = False) -> str:
    """What runs a line of shell, which is to follow as one word, beside what runs in the job (--overlap: 20.11).

    On the batch host, where its folder is, with nothing of its own. What it prints comes line by line. `unbuffered`:
    byte by byte; its output is a terminal in raw mode then, which changes nothing.
    """
    options = ["--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--relative=0", "--mem=0"]
    if unbuffered:
        options.append("--unbuffered")
    return words([srun, f"--jobid={job_id}", *options, "--gres=none", "--chdir=/", "sh", "-c"])


# The variables of job/exec_step.sh
COMMAND, STEP_ID, TTY = "REMOTE_SLURM_EXEC", "REMOTE_SLURM_EXEC_ID", "REMOTE_SLURM_EXEC_TTY"


def exec_command(srun: str, job_id: str, name: str, *, terminal: bool) -> str:
    """What runs a program, whose words are to follow, as a step with all that the job has: memory, CPUs and GPUs.

    One SIGINT ends the step (--quit-on-interrupt). Without a terminal, --unbuffered passes on what has no end of line
    yet: standard output becomes a terminal on the node, which exec_step.sh makes transparent.
    """
    options = ["--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--relative=0", "--mem=0", "--chdir=/"]
    more = [f"--job-name={name}", "--cpu-bind=none", "--mpi=none", "--quit-on-interrupt"]
    how = "--pty" if terminal else "--unbuffered"
    return words([srun, f"--jobid={job_id}", *options, *more, f"--export={COMMAND},{STEP_ID},{TTY}", how])
