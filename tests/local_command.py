"""Commands that run on this machine, as those of clients do in containers."""

from __future__ import annotations

import asyncio
import contextlib
import os

from remote_slurm.domain.exec_request import ExecRequest, TerminalSize
from remote_slurm.errors import OutcomeUnknown
from remote_slurm.site.site import ExecSession


async def started(request: ExecRequest) -> LocalCommand:
    """The command, which runs without a terminal in any case."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*request.command, stdin=pipe, stdout=pipe, stderr=pipe)
    if not request.stdin and process.stdin:
        process.stdin.close()
    return LocalCommand(process)


class LocalCommand(ExecSession):
    """A process of this machine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.sizes: list[TerminalSize] = []
        self.closed = False
        self._ended_by_itself = False

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode if self._ended_by_itself else None

    async def read_output(self) -> bytes:
        assert self.process.stdout
        data = await self.process.stdout.read(65536)
        if not data:
            await self.process.wait()
            self._ended_by_itself = not self.closed
        return data

    async def read_error(self) -> bytes:
        assert self.process.stderr
        return await self.process.stderr.read(65536)

    async def write_input(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
        except OSError as error:
            raise OutcomeUnknown("the command takes nothing more") from error

    async def end_input(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    def resize(self, size: TerminalSize) -> None:
        self.sizes.append(size)

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(ProcessLookupError):
            if self.process.returncode is None:
                os.kill(self.process.pid, 9)
