"""The program in a process that is a fork of the test's own: everything is loaded already, which saves a second of CPU.

It differs from a start by a shell in two things: Python and the modules are not loaded again, and `serve` has no
supervisor. Tests of both start the program itself.
"""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import IO, NoReturn

from remote_slurm.cli.main import main

_OPEN_FILES = 4096
_POLL_SECONDS = 0.02


class Preloaded:
    """What tests use of `subprocess.Popen`."""

    def __init__(
        self,
        words: Sequence[str],
        stdin: IO[str] | IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
        env: Mapping[str, str],
        *,
        on_terminal: bool = False,
    ) -> None:
        """`on_terminal`: the program leads a session whose terminal is `stdin`."""
        self.returncode: int | None = None
        streams = [stream.fileno() for stream in (stdin, stdout, stderr)]
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become_the_program(words, streams, env, on_terminal=on_terminal)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until = time.monotonic() + (timeout or float("inf"))
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("remote-slurm", timeout or 0)
            time.sleep(_POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(words: Sequence[str], stdin: str, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with both streams captured as text."""
    done = run_bytes(words, stdin.encode(), env, timeout)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def run_bytes(
    words: Sequence[str], stdin: bytes, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """As `subprocess.run` with both streams captured."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        process = Preloaded(words, given, out, err, env)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
        return subprocess.CompletedProcess([*words], code, *texts)


def _become_the_program(
    words: Sequence[str], streams: Sequence[int], env: Mapping[str, str], *, on_terminal: bool
) -> NoReturn:
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        if on_terminal:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.closerange(3, _OPEN_FILES)
        os.environ.clear()
        os.environ.update(env)
        _forget_the_test()
        try:
            code = main([*words])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _forget_the_test() -> None:
    """Undo what pytest has set for its own process."""
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    for name in (None, "remote_slurm"):
        logging.getLogger(name).handlers.clear()
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(None)
    gc.freeze()
