"""SSH.BeforeConnect: what a site's short-lived key or certificate is renewed with before each connection."""

import asyncio
import contextlib
import shlex
from collections.abc import Sequence

from remote_slurm.errors import RenewalFailed

SECONDS = 60.0
_SHOWN = 500


async def renew(command: str, seconds: float = SECONDS) -> None:
    """Run the command on this machine; what it prints on standard output may be a key, and goes nowhere.

    Raises RenewalFailed with the end of its standard error where it fails, or takes longer than `seconds`.
    """
    words = shlex.split(command)
    if not words:
        return
    process = await _start(words)
    try:
        async with asyncio.timeout(seconds):
            _, output = await process.communicate()
    except TimeoutError:
        raise RenewalFailed(f"BeforeConnect ({words[0]}) did not end within {seconds:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        raise RenewalFailed(f"BeforeConnect ({words[0]}) ended with exit code {process.returncode}{_shown(output)}")


async def _start(words: Sequence[str]) -> asyncio.subprocess.Process:
    nothing = asyncio.subprocess.DEVNULL
    try:
        return await asyncio.create_subprocess_exec(
            *words, stdin=nothing, stdout=nothing, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise RenewalFailed(f"BeforeConnect ({words[0]}) cannot be run: {error.strerror or error}") from error


def _shown(output: bytes) -> str:
    text = " ".join(output[-_SHOWN:].decode(errors="replace").split())
    return f": {text}" if text else ""
