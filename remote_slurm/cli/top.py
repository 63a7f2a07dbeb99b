"""`remote-slurm top`: the site and its pods at one look, in a terminal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from remote_slurm.cli.client import SidecarClient, chosen
from remote_slurm.cli.options import (
    add_config_options,
    add_namespace_option,
    add_output_option,
    add_url_option,
    seconds,
)
from remote_slurm.cli.screen import Colour, Screen, console
from remote_slurm.cli.tables import cut_at_end, plain
from remote_slurm.cli.top_view import Chosen, Frame, Line, Size, found, hint
from remote_slurm.domain.pod.folder_name import namespace_of
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = """\
Show the site, its partitions, recent failures, and each pod with its job, state, reason and age. The view is live if
standard output is a terminal; otherwise it is printed once. The command is read-only.

keys:
  up, down, k, j          select a pod; Page Up, Page Down, Home and End by pages
  /                       filter pods by words in name, state, job, node or reason; Esc clears the filter
  Enter                   show the end of the log of the selected pod, or close it
  Tab, left, right        in a log: the next or previous container; Page Up and Page Down scroll
  q, Ctrl-C               exit
"""

_EXAMPLES = """\
examples:
  remote-slurm top --config SlurmConfig.yaml
  remote-slurm top -n team
  remote-slurm top --url https://sidecar:4000 --token-file token --ca-file ca.crt
  remote-slurm top --config SlurmConfig.yaml --output json | jq .site
"""

_FIRST_LOOK_SECONDS = 80.0  # squeue has 75
_KEYS = re.compile(rb"\033\[[0-9;]*[A-Za-z~]|\033O[A-Z]|.", re.DOTALL)  # several may come at once
_STEPS = {b"\033[A": -1, b"\033OA": -1, b"k": -1, b"\033[B": 1, b"\033OB": 1, b"j": 1}
_PAGES = {b"\033[5~": -1, b"\033[6~": 1}
_FAR = {b"\033[H": -1, b"\033[1~": -1, b"g": -1, b"\033[F": 1, b"\033[4~": 1, b"G": 1}
_CONTAINERS = {b"\t": 1, b"\033[C": 1, b"\033OC": 1, b"\033[D": -1, b"\033OD": -1, b"\033[Z": -1}
_ENDS = {b"q", b"Q", b"\003", b"\004"}
_OPENS = {b"\r", b"\n", b" "}
_ESCAPE, _ERASES = b"\033", {b"\177", b"\b"}


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("--every", type=seconds, default=2.0, metavar="SECONDS", help="update interval (default: 2)")
    add_namespace_option(parser, "only pods of this namespace")
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")
    add_output_option(parser, "output format (default: text); json is printed once")


def run(arguments: argparse.Namespace) -> int:
    live = arguments.output == "text" and Screen(sys.stdout).live and sys.stdin.isatty()
    asyncio.run(_live(arguments) if live else _once(arguments))
    return 0


async def _once(arguments: argparse.Namespace) -> None:
    async with Screen(sys.stderr).waiting("asking the sidecar"), chosen(arguments) as sidecar:
        state = _of_namespace(await _first(sidecar), arguments.namespace)
    if arguments.output == "json":
        print(json.dumps(state, indent=2))
    else:
        print("\n".join(line.text for line in Frame(Size()).lines(state)))


async def _first(sidecar: SidecarClient) -> Json:
    """The state after the first poll, whether it succeeded or not."""
    until = time.monotonic() + _FIRST_LOOK_SECONDS
    while True:
        state = await sidecar.state()
        # a sidecar of the version before has no `polled`
        if state["site"].get("polled", True) or time.monotonic() > until:
            return state
        await asyncio.sleep(0.1)


def _of_namespace(state: Json, namespace: str) -> Json:
    """The state with the pods of this namespace, or all of them."""
    if not namespace:
        return state
    pods = [pod for pod in state["pods"] if namespace_of(pod["pod"]) == namespace]
    return {**state, "pods": pods, "counts": dict(Counter(pod["phase"] for pod in pods))}


async def _live(arguments: argparse.Namespace) -> None:
    async with chosen(arguments) as sidecar:
        await _Top(sidecar, arguments.every, arguments.namespace).run()


class _Top:
    """One terminal."""

    def __init__(self, sidecar: SidecarClient, every: float, namespace: str) -> None:
        self._sidecar = sidecar
        self._namespace = namespace
        self._every = every
        self._console = console(sys.stdout)
        self._state: Json | None = None
        self._problem = ""
        self._chosen = Chosen()
        self._wake = asyncio.Event()
        self._over = False

    async def run(self) -> None:
        """Draw until the user ends it, and restore the terminal."""
        loop = asyncio.get_running_loop()
        with _unseen_keys(), self._console.screen() as self._drawn:
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
            self._state = _of_namespace(await self._sidecar.state(), self._namespace)
            if self._chosen.log is not None:
                await self._read_log()
        except RemoteSlurmError as error:
            self._problem = str(error)
        else:
            self._problem = ""

    async def _read_log(self) -> None:
        names = self._containers()
        if not names:
            self._chosen = replace(self._chosen, container="", log=None)
            return
        wanted = self._chosen
        container = wanted.container if wanted.container in names else self._most_interesting()
        try:
            log = await self._sidecar.tail(wanted.pod, container)
        except RemoteSlurmError as error:
            log = f"({error})"
        if (
            self._chosen.pod == wanted.pod
            and self._chosen.container == wanted.container
            and self._chosen.log is not None
        ):
            self._chosen = replace(self._chosen, container=container, log=log)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._every)
        self._wake.clear()

    def _end(self) -> None:
        self._over = True
        self._wake.set()

    # --- keys ---

    def _read(self) -> None:
        pressed = os.read(sys.stdin.fileno(), 1024)
        if not pressed:
            self._end()
        for key in _KEYS.findall(pressed):
            if self._chosen.typing:
                self._type(key)
            else:
                self._press(key)
        self._draw()

    def _type(self, key: bytes) -> None:
        """A key while the filter is typed."""
        chosen = self._chosen
        if key in (b"\003", b"\004"):
            self._end()
        elif key in (b"\r", b"\n"):
            self._chosen = replace(chosen, typing=False)
        elif key == _ESCAPE:
            self._chosen = replace(chosen, typing=False, find="")
        elif key in _ERASES:
            self._chosen = replace(chosen, find=chosen.find[:-1])
        elif len(key) == 1 and key.isascii() and key.decode().isprintable():
            self._chosen = replace(chosen, find=chosen.find + key.decode())

    def _press(self, key: bytes) -> None:
        if key in _ENDS:
            self._end()
        elif key in _STEPS:
            self._step(_STEPS[key])
        elif key in _FAR:
            self._step(_FAR[key] * len(self._pods()))
        elif key in _OPENS:
            self._open()
        elif key == b"/":
            self._chosen = replace(self._chosen, typing=True)
        elif self._chosen.log is not None:
            self._press_in_log(key)
        elif key in _PAGES:
            self._step(_PAGES[key] * self._page)
        elif key == _ESCAPE:
            self._chosen = replace(self._chosen, find="")

    def _press_in_log(self, key: bytes) -> None:
        if key in _PAGES:
            self._scroll(-_PAGES[key])
        elif key in _CONTAINERS:
            self._next_container(_CONTAINERS[key])
        elif key == _ESCAPE:
            self._open()

    @property
    def _page(self) -> int:
        return max(1, self._console.height // 2)

    def _open(self) -> None:
        """Show the log of the chosen pod, or close it."""
        if self._chosen.log is None and not self._chosen.pod:
            self._step(0)
        if self._chosen.pod:
            log = "" if self._chosen.log is None else None
            self._chosen = replace(self._chosen, container="", log=log, scrolled=0)
            self._wake.set()

    def _step(self, by: int) -> None:
        names = [each["pod"] for each in self._pods()]
        if not names:
            return
        at = names.index(self._chosen.pod) + by if self._chosen.pod in names else 0
        follows = "" if self._chosen.log is not None else None
        pod = names[max(0, min(at, len(names) - 1))]
        if pod != self._chosen.pod:
            self._chosen = replace(self._chosen, pod=pod, container="", log=follows, scrolled=0)
        if follows is not None:
            self._wake.set()

    def _scroll(self, by: int) -> None:
        lines = len((self._chosen.log or "").splitlines())
        scrolled = max(0, min(self._chosen.scrolled + by * self._page, lines))
        self._chosen = replace(self._chosen, scrolled=scrolled)

    def _next_container(self, by: int) -> None:
        names = self._containers()
        if names:
            at = names.index(self._chosen.container) + by if self._chosen.container in names else 0
            self._chosen = replace(self._chosen, container=names[at % len(names)], log="", scrolled=0)
            self._wake.set()

    # --- the pods ---

    def _pods(self) -> list[Json]:
        return found(self._state, self._chosen.find) if self._state else []

    def _containers(self) -> list[str]:
        return [str(each["name"]) for each in self._pod()["containers"]]

    def _most_interesting(self) -> str:
        return _most_interesting(self._pod()["containers"])

    def _pod(self) -> Json:
        pods = self._state["pods"] if self._state else []
        return next((each for each in pods if each["pod"] == self._chosen.pod), {"containers": []})

    def _draw(self) -> None:
        from rich.console import Group
        from rich.text import Text

        columns, lines = self._console.size
        drawn = [Line(cut_at_end(plain(self._problem), columns), Colour.BAD)] if self._problem else []
        if self._state:
            drawn += Frame(Size(columns, lines - 1 - len(drawn))).lines(self._state, self._chosen)
        drawn += [Line("")] * (lines - 1 - len(drawn))
        drawn.append(Line(hint(self._chosen, self._state, columns), Colour.QUIET))
        texts = (Text(line.text, line.colour.value if line.colour else "", no_wrap=True) for line in drawn)
        self._drawn.update(Group(*texts))


def _most_interesting(containers: list[Json]) -> str:
    """The one that failed, else one that runs, else the last."""
    failed = [each for each in containers if each.get("exitCode")]
    running = [each for each in containers if each["state"] == "running"]
    return str(next(iter([*failed, *running, *containers[-1:]]), {"name": ""})["name"])


@contextlib.contextmanager
def _unseen_keys() -> Iterator[None]:
    """Keys come one by one and unseen."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
