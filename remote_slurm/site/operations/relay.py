"""Start a relay to the ports of a job's node, as a step of the job."""

from __future__ import annotations

from remote_slurm.config import Config
from remote_slurm.domain.shell import assignments
from remote_slurm.domain.slurm.srun import step_command
from remote_slurm.job import RELAYS
from remote_slurm.site.operation import script_text
from remote_slurm.site.relay import QUIET_SECONDS
from remote_slurm.site.reply import ended_with

_ENDED = "\n>ended "


def script(config: Config, job_id: str, hello: str) -> str:
    """The text to run, whose input and output are the relay's once it has printed the line `hello`."""
    step = step_command(config.srun_path, job_id, unbuffered=True)
    values = {"step": step, "hello": hello, "quiet": str(QUIET_SECONDS), **RELAYS}
    return assignments(values) + script_text("relay")


def failure(output: str) -> str:
    """Why no relay has started, by what the script has printed instead."""
    _, ended, rest = output.rpartition(_ENDED)
    if not ended:
        return "it did not finish"
    code, _, messages = rest.partition("\n")
    return ended_with(code, messages.rpartition("\036")[0].rpartition("\036")[0] or messages)
