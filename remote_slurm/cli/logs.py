"""`remote-slurm logs`: what containers have printed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from remote_slurm.cli.client import SidecarClient, chosen
from remote_slurm.cli.durations import duration
from remote_slurm.cli.naming import POD, as_kubernetes, named_in, the_pod
from remote_slurm.cli.options import add_config_options, add_namespace_option, add_pod_argument, add_url_option
from remote_slurm.cli.screen import visible
from remote_slurm.cli.watch import log_request, print_bytes
from remote_slurm.errors import InvalidRequest, RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = f"""\
Print the log of a container. With -f, follow the log until the container ends. With --all-containers, print those of
all containers, init containers first; with -f, side by side, and a container that waits is followed once it starts.

{POD}
"""

_ALL_LINES = "-1"
_EXAMPLES = """\
examples:
  remote-slurm logs -f default/hello
  remote-slurm logs -n team train --all-containers --prefix --since 10m
  remote-slurm logs --config SlurmConfig.yaml -c prepare --tail 20 default/settings
  remote-slurm logs --previous default/hello
  remote-slurm logs --url http://127.0.0.1:4000 pod.yaml
"""

_AGAIN_SECONDS = 2.0
# A program that draws its progress may print one line for hours
_LONGEST_LINE = 1 << 20


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pod_argument(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-c",
        "--container",
        metavar="NAME",
        help="container whose log to print (default: the first one that is not an init container)",
    )
    which.add_argument("--all-containers", action="store_true", help="print the logs of all containers of the pod")
    parser.add_argument("-f", "--follow", action="store_true", help="follow the log until the container ends")
    parser.add_argument("--prefix", action="store_true", help="begin each line with the names of its pod and container")
    since = parser.add_mutually_exclusive_group()
    since.add_argument(
        "--since", type=_since, default=0, metavar="DURATION", help="only lines newer than 90s, 5m or 1h30m"
    )
    since.add_argument(
        "--since-time",
        type=_since_time,
        metavar="TIME",
        help="only lines after a time with a zone, such as 2026-07-14T09:46:00Z",
    )
    parser.add_argument(
        "--tail", type=_lines, default=0, metavar="N", help="start with the last N lines (default: -1, all of them)"
    )
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    parser.add_argument(
        "-p", "--previous", action="store_true", help="the log of the run before the last restart of the container"
    )
    add_namespace_option(parser)
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_print(arguments, named_in(arguments.pod, arguments.namespace)))


async def _print(arguments: argparse.Namespace, named: str) -> int:
    async with chosen(arguments) as sidecar:
        pod = the_pod(await sidecar.pods(), named, arguments.namespace)
        if not arguments.all_containers:
            await _Log(sidecar, pod, _container(pod, arguments.container), arguments).print()
            return 0
        containers = [str(each["name"]) for each in (*pod["initContainers"], *pod["containers"])]
        logs = [_Log(sidecar, pod, name, arguments) for name in containers]
        if arguments.follow:
            return max(await asyncio.gather(*(each.follow() for each in logs)))
        return max([await each.print_or_say() for each in logs])


class _Log:
    """The log of one container."""

    def __init__(self, sidecar: SidecarClient, pod: Json, container: str, arguments: argparse.Namespace) -> None:
        self._sidecar = sidecar
        self._pod = pod
        self._container = container
        self._request = log_request(as_kubernetes(pod), container, follow=arguments.follow, lines=arguments.tail)
        self._request["Opts"] |= {
            "Timestamps": arguments.timestamps,
            "Previous": arguments.previous,
            "SinceSeconds": arguments.since,
        }
        if arguments.since_time:
            self._request["Opts"]["SinceTime"] = arguments.since_time
        prefix = f"[pod/{pod['name'].partition('/')[2]}/{container}] ".encode() if arguments.prefix else b""
        # the lines of logs that are followed side by side must not be mixed
        whole_lines = arguments.prefix or (arguments.all_containers and arguments.follow)
        self._lines = _Lines(prefix, print_bytes) if whole_lines else None

    async def print(self) -> None:
        """Raises RemoteSlurmError if there is none, or if it breaks off."""
        write = self._lines.write if self._lines else print_bytes
        try:
            async with aclosing(self._sidecar.log(self._request)) as chunks:
                async for chunk in chunks:
                    write(chunk)
        finally:
            if self._lines:
                self._lines.end()

    async def print_or_say(self) -> int:
        """The exit code: 1 for a log that is not there, so that the others are printed."""
        try:
            await self.print()
        except RemoteSlurmError as error:
            print(visible(f"remote-slurm: {error}"), file=sys.stderr)
            return 1
        return 0

    async def follow(self) -> int:
        """Wait for the container to start first, as long as it waits."""
        while await self._waits():  # noqa: ASYNC110 - the sidecar sends no events
            await asyncio.sleep(_AGAIN_SECONDS)
        return await self.print_or_say()

    async def _waits(self) -> bool:
        """Whether the container has not started, and may."""
        pods = (await self._sidecar.state())["pods"]
        pod = next((each for each in pods if each["pod"] == self._pod["pod"]), None)
        states = {each["name"]: each["state"] for each in pod["containers"]} if pod else {}
        return states.get(self._container) == "waiting"


class _Lines:
    """Whole lines, each with a prefix: of chunks that end anywhere."""

    def __init__(self, prefix: bytes, write: Callable[[bytes], None]) -> None:
        self._prefix = prefix
        self._write = write
        self._rest = b""

    def write(self, chunk: bytes) -> None:
        """Print the lines that are complete, and one that is too long in parts."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._write(b"".join(self._prefix + line + b"\n" for line in lines))
        if len(self._rest) > _LONGEST_LINE:
            self.end()

    def end(self) -> None:
        """Print a last line that has no end."""
        if self._rest:
            self._write(self._prefix + self._rest + b"\n")
            self._rest = b""


def _container(pod: Json, name: str | None) -> str:
    main = [str(each["name"]) for each in pod["containers"]]
    names = [*main, *(str(each["name"]) for each in pod["initContainers"])]
    if name is not None and name not in names:
        raise InvalidRequest(f"pod {pod['name']} has no container '{name}': it has {', '.join(names)}")
    if name is None and len(names) > 1:
        print(f"the log of {main[0]}; --container chooses among {', '.join(names)}", file=sys.stderr)
    return name or main[0]


def _lines(text: str) -> int:
    """The number of lines; 0 for all of them, which kubectl calls -1."""
    if text == _ALL_LINES:
        return 0
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a number of lines from 1, or -1 for all, not {text!r}")
    return int(text)


def _since(text: str) -> int:
    found = duration(text)
    if found < 1:
        raise argparse.ArgumentTypeError(f"must be a duration from 1s, such as 90s, 5m or 1h30m, not {text!r}")
    return int(found)


def _since_time(text: str) -> str:
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise argparse.ArgumentTypeError(f"must be a time with a zone, such as 2026-07-14T09:46:00Z, not {text!r}")
    return text
