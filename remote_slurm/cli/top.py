"""`remote-slurm top`: the site and its pods at one look, in a terminal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator

from remote_slurm.cli.client import SidecarClient, chosen
from remote_slurm.cli.documents import Json
from remote_slurm.cli.options import add_config_options, add_output_option, add_url_option, seconds
from remote_slurm.cli.screen import Colour, Screen
from remote_slurm.cli.top_view import Chosen, Frame, Size
from remote_slurm.errors import RemoteSlurmError

_HELP = """\
Show the site, its partitions, recent failures, and each pod with its job, state, reason and age. The view is live if
standard output is a terminal; otherwise it is printed once. The command is read-only.

keys: up and down (or k and j) select a pod, Enter shows the end of its log, q exits
"""

_EXAMPLES = """\
examples:
  remote-slurm top --config SlurmConfig.yaml
  remote-slurm top --url https://sidecar:4000 --token-file token --ca-file ca.crt
  remote-slurm top --config SlurmConfig.yaml --output json | jq .site
"""

_FIRST_LOOK_SECONDS = 80.0  # squeue has 75
_BEGIN, _END = "\033[?1049h\033[?25l", "\033[?25h\033[?1049l"  # another screen without a cursor, and back
_HOME, _REST_OF_LINE, _REST = "\033[H", "\033[K", "\033[J"
_KEYS = re.compile(rb"\033\[[A-D]|.", re.DOTALL)  # several may come at once
_STEPS = {b"\033[A": -1, b"k": -1, b"\033[B": 1, b"j": 1}
_ENDS = {b"q", b"Q", b"\003", b"\004"}
_OPENS = {b"\r", b"\n", b" "}


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("--every", type=seconds, default=2.0, metavar="SECONDS", help="update interval (default: 2)")
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")
    add_output_option(parser, "output format (default: text); json is printed once")


def run(arguments: argparse.Namespace) -> int:
    live = arguments.output == "text" and Screen(sys.stdout).live and sys.stdin.isatty()
    asyncio.run(_live(arguments) if live else _once(arguments))
    return 0


async def _once(arguments: argparse.Namespace) -> None:
    async with Screen(sys.stderr).waiting("asking the sidecar"), chosen(arguments) as sidecar:
        state = await _first(sidecar)
    if arguments.output == "json":
        print(json.dumps(state, indent=2))
    else:
        print("\n".join(Frame(Size(), lambda text, _: text).lines(state)))


async def _first(sidecar: SidecarClient) -> Json:
    """The state after the first poll, whether it succeeded or not."""
    until = time.monotonic() + _FIRST_LOOK_SECONDS
    while True:
        state = await sidecar.state()
        # a sidecar of the version before has no `polled`
        if state["site"].get("polled", True) or time.monotonic() > until:
            return state
        await asyncio.sleep(0.1)


async def _live(arguments: argparse.Namespace) -> None:
    async with chosen(arguments) as sidecar:
        await _Top(sidecar, arguments.every).run()


class _Top:
    """One terminal."""

    def __init__(self, sidecar: SidecarClient, every: float) -> None:
        self._sidecar = sidecar
        self._every = every
        self._screen = Screen(sys.stdout)
        self._state: Json | None = None
        self._problem = ""
        self._chosen = Chosen()
        self._wake = asyncio.Event()
        self._over = False

    async def run(self) -> None:
        """Draw until the user ends it, and restore the terminal."""
        loop = asyncio.get_running_loop()
        with _own_terminal():
            loop.add_reader(sys.stdin, self._read)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._end)
            loop.add_signal_handler(signal.SIGWINCH, self._draw)
            try:
                while not self._over:
                    await self._refresh()
                    self._draw()
                    await self._pause()
            finally:
                loop.remove_reader(sys.stdin)

    async def _refresh(self) -> None:
        try:
            self._state = await self._sidecar.state()
            if self._chosen.log is not None:
                await self._read_log()
        except RemoteSlurmError as error:
            self._problem = str(error)
        else:
            self._problem = ""

    async def _read_log(self) -> None:
        pod = next((each for each in self._pods() if each["pod"] == self._chosen.pod), None)
        container = _most_interesting(pod["containers"]) if pod else ""
        if not container:
            self._chosen = Chosen(self._chosen.pod)
            return
        try:
            log = await self._sidecar.tail(self._chosen.pod, container)
        except RemoteSlurmError as error:
            log = f"({error})"
        self._chosen = Chosen(self._chosen.pod, container, log)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._every)
        self._wake.clear()

    def _end(self) -> None:
        self._over = True
        self._wake.set()

    def _read(self) -> None:
        pressed = os.read(sys.stdin.fileno(), 1024)
        if not pressed:
            self._end()
        for key in _KEYS.findall(pressed):
            self._press(key)

    def _press(self, key: bytes) -> None:
        if key in _ENDS:
            self._end()
        elif key in _STEPS:
            self._step(_STEPS[key])
        elif key in _OPENS and self._chosen.pod:
            self._chosen = Chosen(self._chosen.pod, log="" if self._chosen.log is None else None)
            self._wake.set()

    def _step(self, by: int) -> None:
        names = [each["pod"] for each in self._pods()]
        if not names:
            return
        at = names.index(self._chosen.pod) + by if self._chosen.pod in names else 0
        follows = "" if self._chosen.log is not None else None
        self._chosen = Chosen(names[max(0, min(at, len(names) - 1))], log=follows)
        self._draw()
        if follows is not None:
            self._wake.set()

    def _pods(self) -> list[Json]:
        return self._state["pods"] if self._state else []

    def _draw(self) -> None:
        columns, lines = shutil.get_terminal_size()
        drawn = [self._screen.paint(self._problem[:columns], Colour.BAD)] if self._problem else []
        if self._state:
            size = Size(columns, lines - 1 - len(drawn))
            drawn += Frame(size, self._screen.paint).lines(self._state, self._chosen)
        hint = self._screen.paint("up/down: choose   Enter: log   q: end"[:columns], Colour.QUIET)
        text = "".join(f"{line}{_REST_OF_LINE}\r\n" for line in drawn)
        sys.stdout.write(f"{_HOME}{text}{_REST}{hint}{_REST_OF_LINE}")
        sys.stdout.flush()


def _most_interesting(containers: list[Json]) -> str:
    """The one that failed, else one that runs, else the last."""
    failed = [each for each in containers if each.get("exitCode")]
    running = [each for each in containers if each["state"] == "running"]
    return str(next(iter([*failed, *running, *containers[-1:]]), {"name": ""})["name"])


@contextlib.contextmanager
def _own_terminal() -> Iterator[None]:
    """Keys come one by one and unseen, and what was on the screen comes back."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    sys.stdout.write(_BEGIN)
    try:
        yield
    finally:
        sys.stdout.write(_END)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
