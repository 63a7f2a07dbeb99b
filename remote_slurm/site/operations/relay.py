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
_NOTHING_LISTENS = "97"


def script(config: Config, job_id: str, hello: str, port: int | None = None) -> str:
    """The text to run, whose input and output are the relay's once it has printed `hello`.

    With a port, the relay connects to it, and serves nothing else.
    """
    step = step_command(config.srun_path, job_id, squeue=config.squeue_path, unbuffered=True)
    values = {"step": step, "hello": hello, "quiet": str(QUIET_SECONDS), "port": str(port or ""), **RELAYS}
    return assignments(values) + script_text("relay")


def failure(output: str) -> str:
    """Why no relay has started, by what the script has printed instead."""
    code, messages = _end(output)
    if not code:
        return "it did not finish"
    return ended_with(code, messages.rpartition("\036")[0].rpartition("\036")[0] or messages)


def nothing_listens(output: str) -> bool:
    """Whether the step has found no program that listens on the port."""
    return _end(output)[0] == _NOTHING_LISTENS


def _end(output: str) -> tuple[str, str]:
    """The exit code of srun, empty if it did not end, and its messages."""
    _, ended, rest = output.rpartition(_ENDED)
    code, _, messages = rest.partition("\n")
    return (code, messages) if ended else ("", "")
