"""Run a client's command in a container of a running job."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Protocol

from remote_slurm.config import Config
from remote_slurm.domain.exec_request import ExecRequest, TerminalSize
from remote_slurm.domain.shell import assignments, quote, words
from remote_slurm.domain.slurm.srun import COMMAND, STEP_ID, TTY, exec_command
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.errors import NotSent, OutcomeUnknown, RemoteFailed
from remote_slurm.job import EXEC_STEP
from remote_slurm.site.operation import script_text, yes
from remote_slurm.ssh.framing import Frame, FramedOutput

# Slurm may have to wait for a prolog, or for a controller that is busy
START_SECONDS = 90.0
_REFUSED = re.compile(rb"\036([0-9a-f]+) refused ([^\036]*)\036")
_NOISE = 4096
_SRUN_PREFIX = re.compile(r"^(srun: )?(error: )?")


class CommandChannel(Protocol):
    """A script at the login node: what `ssh.command_stream.CommandStream` is."""

    async def read(self) -> bytes: ...

    async def read_error(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def write_eof(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    def close(self) -> None: ...


class ExecRefused(RemoteFailed):
    """The container does not run; `refusal` is the word of job/exec_step.sh, and what follows it."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal
        super().__init__(f"the step refused the command: {refusal}")


def script(config: Config, pod: str, job_id: str, request: ExecRequest, node: NodeFolder | None) -> tuple[str, str]:
    """The id of the request, and the script for the login node. Raises InvalidRequest for a command that cannot run."""
    exec_id = secrets.token_hex(8)
    folder = f"{node.folder}/{pod}" if node else f"{config.data_root_folder}/{pod}"
    name = f"exec-{exec_id}"
    program = words([config.bash_path, "-p", "-c", EXEC_STEP, "bash", folder, request.container])
    terminal = request.terminal is not None
    step = exec_command(config.srun_path, job_id, name, squeue=config.squeue_path, terminal=terminal)
    values: Mapping[str, str] = {
        "step": f"{step} {program}",
        "job": job_id,
        "name": name,
        "squeue": config.squeue_path,
        "scancel": config.scancel_path,
        "stdin": yes(request.stdin or terminal),
    }
    variables = {COMMAND: request.shell_words(), STEP_ID: exec_id, TTY: yes(terminal)}
    exports = "".join(f"export {key}={quote(value)}\n" for key, value in variables.items())
    return exec_id, exports + assignments(dict(values)) + script_text("exec")


class RunningCommand:
    """A command that runs. Each method but `resize` and `close` raises OutcomeUnknown if the connection is lost."""

    def __init__(self, channel: CommandChannel, exec_id: str) -> None:
        self._channel = channel
        self._output = FramedOutput(Frame(exec_id, b"", 0))
        self._errors = FramedOutput(Frame(exec_id, b"", 0))
        self._first = b""
        self._first_error = b""
        self._noise = b""

    @property
    def exit_code(self) -> int | None:
        """The exit code of the command, after the last of its output was read; None if something else ended it."""
        return self._output.exit_code

    async def start(self, *, terminal: bool) -> None:
        """Return once the command runs. Raises ExecRefused, RemoteFailed with srun's words, or OutcomeUnknown."""
        error = None if terminal else asyncio.ensure_future(self._until_error_begins())
        try:
            async with asyncio.timeout(START_SECONDS):
                printed = await self._until_begin()
                if error is not None:
                    await error
        except TimeoutError:
            raise NotSent(f"Slurm did not start the step within {START_SECONDS:g} s: try again later") from None
        else:
            if not self._output.begun:
                raise RemoteFailed(f"Slurm did not start a step in the job: {self._words(printed)}")
        finally:
            if error is not None:
                error.cancel()
                await asyncio.gather(error, return_exceptions=True)

    async def read_output(self) -> bytes:
        """The next bytes of standard output; empty after the last."""
        data, self._first = self._first, b""
        while not data and self._output.exit_code is None:
            with _naming_the_site():
                read = await self._channel.read()
            if not read:
                return b""
            data = self._output.feed(read)
        return data

    async def read_error(self) -> bytes:
        """The next bytes of standard error; empty after the last."""
        data, self._first_error = self._first_error, b""
        with _naming_the_site():
            return data or await self._channel.read_error()

    async def write_input(self, data: bytes) -> None:
        """Send all of it; waits while the command takes nothing."""
        await self._channel.write(data)

    async def end_input(self) -> None:
        """Nothing more comes on standard input."""
        await self._channel.write_eof()

    def resize(self, size: TerminalSize) -> None:
        """Change the size of the terminal. Never waits."""
        self._channel.resize(size.columns, size.rows)

    def close(self) -> None:
        """End the command if it runs. Never waits."""
        self._channel.close()

    async def _until_begin(self) -> bytes:
        """What was printed before; the step has not begun if the channel has ended."""
        seen = b""
        while not self._output.begun:
            data = await self._channel.read()
            if not data:
                break
            seen = (seen + data)[-_NOISE:]
            if found := _REFUSED.search(seen):
                raise ExecRefused(found[2].decode(errors="replace"))
            self._first = self._output.feed(data)
        return seen

    async def _until_error_begins(self) -> None:
        while not self._errors.begun:
            data = await self._channel.read_error()
            if not data:
                return
            self._noise = (self._noise + data)[-_NOISE:]
            self._first_error = self._errors.feed(data)
        self._first_error += self._errors.take_held()  # no end mark comes here

    def _words(self, seen: bytes) -> str:
        """What srun has said, each line once."""
        lines = (self._noise + b"\n" + seen).decode(errors="replace").splitlines()
        said = dict.fromkeys(_SRUN_PREFIX.sub("", line.strip()) for line in lines if line.strip())
        return "; ".join(said)[-500:] or "srun has printed nothing"


@contextlib.contextmanager
def _naming_the_site() -> Iterator[None]:
    """A channel does not know what it is used for."""
    try:
        yield
    except OutcomeUnknown as error:
        raise OutcomeUnknown("the connection to the site was lost, and the command is ended") from error
