"""`remote-slurm status`: the pods at the site."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from remote_slurm.cli.client import SidecarClient, chosen
from remote_slurm.cli.durations import short as duration
from remote_slurm.cli.durations import since_when
from remote_slurm.cli.filters import filtered, namespace
from remote_slurm.cli.naming import POD, absent, matching, named_in
from remote_slurm.cli.options import (
    add_config_options,
    add_filter_options,
    add_output_option,
    add_pods_argument,
    add_url_option,
    seconds,
)
from remote_slurm.cli.screen import Screen, console, is_terminal, visible
from remote_slurm.cli.tables import Cell, Column, Uncut, fitted, print_table
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = f"""\
List the pods that have a folder at the site, with their jobs. With POD, list the named pods only. On a terminal, the
table fits its width: long names lose their middle, and columns without room are left out. Elsewhere nothing is cut.
RUNNING is the number of running containers. With --watch, a terminal shows the table until Ctrl-C; elsewhere, each pod
is printed again when it changes.

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm status -n team
  remote-slurm status -o wide default/hello
  remote-slurm status --watch -l app=train --state waiting,running
  remote-slurm status --url http://127.0.0.1:4000 pod.yaml
  remote-slurm status --config SlurmConfig.yaml -o json | jq '.pods[] | select(.state == "PENDING")'
"""

_COLUMNS = (
    Column("NAME", least=24, in_middle=True),
    Column("RUNNING", rank=3),
    Column("STATE", least=9),
    Column("JOB", rank=2),
    Column("AGE", rank=4),
    Column("NODE", rank=5, least=8, in_middle=True),
    Column("REASON", rank=6, least=10),
)
_MORE_COLUMNS = (
    Column("CONTAINERS", rank=7, least=10),
    Column("PORTS", rank=8),
    Column("FOLDER", rank=9, least=12, in_middle=True),
)
_TROUBLES = {
    "unreachable": "the site is unreachable",
    "pollFailure": "states of jobs are from before a failure,",
}
_STYLES = {"failed": "red", "waiting": "yellow", "running": "green", "unknown": "yellow"}


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pods_argument(parser, "name or file of a pod (default: all pods)")
    add_filter_options(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="show changes until Ctrl-C")
    parser.add_argument(
        "--every", type=seconds, default=2.0, metavar="SECONDS", help="update interval of --watch (default: 2)"
    )
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")
    add_output_option(
        parser,
        "output format (default: text); wide also prints containers, ports and folders; name prints names only; json "
        "with --watch is one line for each pod that has changed",
        more=["wide", "name"],
    )


def run(arguments: argparse.Namespace) -> int:
    names = [named_in(argument, namespace(arguments)) for argument in arguments.pods]
    return asyncio.run(_watch(arguments, names) if arguments.watch else _once(arguments, names))


async def _once(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    async with Screen(sys.stderr).waiting("asking the site"), chosen(arguments) as sidecar:
        overview = await sidecar.pods(remembered=True)
    pods = _selected(overview, names, arguments)
    if arguments.output == "json":
        troubles = {name: overview[name] for name in _TROUBLES if overview.get(name)}
        print(json.dumps({"site": overview["site"], **troubles, "pods": pods}, indent=2))
    elif arguments.output == "name":
        print("".join(f"{pod['name']}\n" for pod in pods), end="")
    elif pods:
        print_table(_columns(arguments), _rows(pods, arguments))
    for name, words in _TROUBLES.items():
        if overview.get(name):
            print(visible(f"remote-slurm: {words} {since_when(overview[name])}"), file=sys.stderr)
    missing = [name for name in names if not matching(overview, name, namespace(arguments))]
    for name in missing:
        print(f"remote-slurm: {absent(overview, name, namespace(arguments))}", file=sys.stderr)
    if not missing and not pods:
        print(_nothing(overview, arguments), file=sys.stderr)
    return 1 if missing else 0


def _selected(overview: Json, names: Sequence[str], arguments: argparse.Namespace) -> list[Json]:
    """Named pods may be of any namespace that their names have."""
    if not names:
        return filtered(overview["pods"], arguments)
    found = {each["pod"]: each for name in names for each in matching(overview, name, namespace(arguments))}
    return filtered(found.values(), argparse.Namespace(**{**vars(arguments), "namespace": ""}))


def _nothing(overview: Json, arguments: argparse.Namespace) -> str:
    where = f" in namespace '{namespace(arguments)}'" if namespace(arguments) else ""
    which = "such pods" if arguments.selector or arguments.state else "pods"
    return f"there are no {which}{where} at {overview['site']}"


# --- --watch ---


async def _watch(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Until Ctrl-C."""
    async with chosen(arguments) as sidecar:
        if arguments.output in {"text", "wide"} and is_terminal(sys.stdout):
            await _watch_on_terminal(sidecar, arguments, names)
        changes, watched = _Changes(arguments), _Watched(sidecar)
        while True:
            if overview := await watched.changed():
                changes.print(_selected(overview, names, arguments))
            await asyncio.sleep(arguments.every)


class _Watched:
    """The list of pods, asked for only if the sidecar's memory shows a change: the list costs the site a command."""

    def __init__(self, sidecar: SidecarClient) -> None:
        self._sidecar = sidecar
        self._seen = ""

    async def changed(self) -> Json | None:
        """The list; None if nothing has changed since the last call that returned one."""
        state = await self._sidecar.state()
        now = json.dumps([*map(_lasting, state["pods"]), state["counts"]])
        if now == self._seen:
            return None
        overview = await self._sidecar.pods()
        self._seen = now
        return overview


def _lasting(pod: Json) -> Json:
    return {key: value for key, value in pod.items() if not key.endswith("Seconds")}


def _aged(pod: Json, seconds: int) -> Json:
    age = pod["ageSeconds"]
    return pod if age is None else {**pod, "ageSeconds": age + seconds}


class _Changes:
    """Prints the pods that are new or have changed since they were printed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._known: dict[str, str] = {}
        self._table = Uncut(_columns(arguments))

    def print(self, pods: Sequence[Json]) -> None:
        now = {pod["pod"]: json.dumps(_lasting(pod)) for pod in pods}
        changed = [pod for pod in pods if self._known.get(pod["pod"]) != now[pod["pod"]]]
        for gone in self._known.keys() - now.keys():
            print(f"{gone} is gone", file=sys.stderr)
        self._known = now
        for line in self._lines(changed) if changed else ():
            print(line, flush=True)

    def _lines(self, pods: Sequence[Json]) -> Iterator[str]:
        if self._arguments.output == "json":
            return (json.dumps(pod) for pod in pods)
        if self._arguments.output == "name":
            return (str(pod["name"]) for pod in pods)
        return self._table.lines(_rows(pods, self._arguments))


async def _watch_on_terminal(sidecar: SidecarClient, arguments: argparse.Namespace, names: Sequence[str]) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    to, watched, overview, since = console(sys.stdout), _Watched(sidecar), None, 0.0
    with Live(console=to, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            problem = ""
            try:
                if latest := await watched.changed():
                    overview, since = latest, time.monotonic()
            except RemoteSlurmError as error:
                problem = visible(str(error))
            shown = [Text(problem, "red")] if problem else []
            if overview:
                age = int(time.monotonic() - since)
                pods = [_aged(pod, age) for pod in _selected(overview, names, arguments)]
                rows = fitted(_columns(arguments), _rows(pods, arguments), to.width)
                shown.append(rows if pods else Text(_nothing(overview, arguments)))  # type: ignore[arg-type]
            live.update(Group(*shown), refresh=True)
            await asyncio.sleep(arguments.every)


# --- the table ---


def _columns(arguments: argparse.Namespace) -> tuple[Column, ...]:
    return (*_COLUMNS, *_MORE_COLUMNS) if arguments.output == "wide" else _COLUMNS


def _rows(pods: Sequence[Json], arguments: argparse.Namespace) -> list[list[Cell]]:
    own = namespace(arguments)
    return [list(_row(pod, own, wide=arguments.output == "wide")) for pod in pods]


def _row(pod: Json, own: str, *, wide: bool) -> Iterator[Cell]:
    yield Cell(pod["name"].removeprefix(f"{own}/") if own else pod["name"])
    running = sum(each["state"] == "running" for each in pod["containers"])
    yield Cell(f"{running}/{len(pod['containers'])}")
    yield Cell(pod["state"], _STYLES.get(pod.get("phase", ""), ""))
    yield Cell(pod["jobId"] or "-")
    yield Cell("-" if pod["ageSeconds"] is None else duration(pod["ageSeconds"]))
    # a sidecar of an earlier version sends neither node nor ports
    yield Cell(pod.get("node") or "-")
    yield Cell(_reason(pod))
    if wide:
        yield Cell(", ".join(_container(each) for each in (*pod["initContainers"], *pod["containers"])))
        yield Cell(",".join(str(port) for port in pod.get("ports", [])) or "-")
        yield Cell(pod["pod"])


def _reason(pod: Json) -> str:
    if pod.get("unaskedSeconds"):
        return f"Kubernetes has not asked for it for {duration(pod['unaskedSeconds'])}, though for others"
    return pod["reason"] or "-"


def _container(container: dict[str, Any]) -> str:
    state = f"exit code {container['exitCode']}" if "exitCode" in container else container["state"]
    return f"{container['name']}: {state}"
