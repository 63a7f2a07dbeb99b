"""`remote-slurm wait`: until pods are in a state, in kubectl's words."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remote_slurm.cli.client import SidecarClient, chosen
from remote_slurm.cli.durations import duration
from remote_slurm.cli.filters import namespace, selected
from remote_slurm.cli.naming import POD, absent, matching, named_in
from remote_slurm.cli.options import add_config_options, add_filter_options, add_pods_argument, add_url_option
from remote_slurm.cli.screen import visible
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = f"""\
Wait until each pod meets a condition, and print a line for each. The exit code is 0 if all pods have met it, and 1
after --timeout, and as soon as a pod cannot meet it any more: a pod that has failed never becomes ready.

conditions of --for:
  condition=Ready      all containers run, and are ready if they have probes; also running
  succeeded            all containers have ended with exit code 0
  failed               the pod has failed
  ended                the pod has succeeded or failed
  delete               nothing is left of the pod at the site; a pod that is not there meets it

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm wait --for=condition=Ready default/notebook
  remote-slurm wait --for=succeeded --timeout=2h -n team -l sweep=17
  remote-slurm wait --for=delete --timeout=5m default/hello
  remote-slurm wait --config SlurmConfig.yaml --for=ended pod.yaml && remote-slurm logs pod.yaml
"""

_LOOK_SECONDS = 1.0  # at the memory of the sidecar, which follows the site at PollInterval
_OVER = {"succeeded", "failed"}


@dataclass(frozen=True, slots=True)
class Condition:
    """`met` by a pod, None once it is gone; `hopeless` once it cannot be met any more.

    `is_absence`: a pod that is not there meets it.
    """

    name: str
    met: Callable[[Json | None], bool]
    hopeless: Callable[[Json | None], bool]
    is_absence: bool = False


def _phase(pod: Json | None) -> str:
    return "gone" if pod is None else str(pod.get("phase", "unknown"))


def _ready(pod: Json | None) -> bool:
    containers = pod["containers"] if pod else []
    main = [each for each in containers if each["name"] in pod["main"]] if pod else []
    return _phase(pod) == "running" and bool(main) and all(each["state"] == "running" for each in main)


_READY = Condition("condition=Ready", _ready, lambda pod: _phase(pod) in {*_OVER, "gone"})
_CONDITIONS = {
    "condition=ready": _READY,
    "running": _READY,
    "succeeded": Condition(
        "succeeded", lambda pod: _phase(pod) == "succeeded", lambda pod: _phase(pod) in {"failed", "gone"}
    ),
    "failed": Condition(
        "failed", lambda pod: _phase(pod) == "failed", lambda pod: _phase(pod) in {"succeeded", "gone"}
    ),
    "ended": Condition("ended", lambda pod: _phase(pod) in _OVER, lambda pod: pod is None),
    "delete": Condition("delete", lambda pod: pod is None, lambda _: False, is_absence=True),
}
_CONDITIONS |= {
    "deleted": _CONDITIONS["delete"],
    "jsonpath={.status.phase}=running": _READY,
    "jsonpath={.status.phase}=succeeded": _CONDITIONS["succeeded"],
    "jsonpath={.status.phase}=failed": _CONDITIONS["failed"],
}
_NAMES = ("condition=Ready", "running", "succeeded", "failed", "ended", "delete")


def condition(text: str) -> Condition:
    """The condition of this name, in any case. Raises ArgumentTypeError for any other text."""
    found = _CONDITIONS.get(text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"has no condition {text!r}: must be {', '.join(_NAMES[:-1])} or {_NAMES[-1]}")
    return found


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pods_argument(parser, "name or file of a pod")
    waited_for = parser.add_argument(
        "--for", dest="condition", type=condition, required=True, metavar="CONDITION", help="what to wait for"
    )
    waited_for.completer = lambda **_: _NAMES  # type: ignore[attr-defined]
    parser.add_argument(
        "--timeout",
        type=duration,
        default=30.0,
        metavar="DURATION",
        help="how long to wait, such as 90s, 5m or 1h30m (default: 30s); 0 looks once",
    )
    parser.add_argument("--all", action="store_true", help="all pods at the site, or those that the filters select")
    add_filter_options(parser)
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")


def run(arguments: argparse.Namespace) -> int:
    selects = bool(arguments.all or arguments.selector or arguments.state)
    if bool(arguments.pods) == selects:
        raise RemoteSlurmError("name pods, or select them with --all, --selector or --state")
    names = [named_in(argument, namespace(arguments)) for argument in arguments.pods]
    return asyncio.run(_wait(arguments, names))


async def _wait(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    wanted: Condition = arguments.condition
    async with chosen(arguments) as sidecar:
        overview = await sidecar.pods()
        if wanted.is_absence:
            names = _there(overview, names, arguments)
        pods = selected(overview, names, arguments) if names or not arguments.pods else []
        if not pods and not wanted.is_absence:
            raise RemoteSlurmError(f"there are no such pods at {overview['site']}")
        waiting = {pod["pod"]: pod["name"] for pod in pods}
        main = {pod["pod"]: [each["name"] for each in pod["containers"]] for pod in pods}
        hopeless = False
        try:
            async with asyncio.timeout(arguments.timeout or None):
                while waiting and not hopeless:
                    hopeless = _settle(waiting, await _found(sidecar, waiting, main), wanted)
                    if not arguments.timeout:
                        break
                    if waiting and not hopeless:
                        await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            pass
        for name in [] if hopeless else waiting.values():
            print(f"remote-slurm: timed out waiting for {wanted.name} of pod {name}", file=sys.stderr)
    return 1 if waiting or hopeless else 0


def _there(overview: Json, names: Sequence[str], arguments: argparse.Namespace) -> list[str]:
    """The names of pods that there are. The others are gone: what is waited for has happened."""
    gone = [name for name in names if not matching(overview, name, namespace(arguments))]
    for name in gone:
        print(f"remote-slurm: {absent(overview, name, namespace(arguments))}", file=sys.stderr)
    return [name for name in names if name not in gone]


async def _found(sidecar: SidecarClient, folders: dict[str, str], main: dict[str, list[str]]) -> dict[str, Json]:
    """The pods that there are, by their folders: from the memory of the sidecar, else as the site lists them."""
    state = await sidecar.state()
    rows = {row["pod"]: row for row in state["pods"] if row["pod"] in folders}
    if len(rows) < len(
        folders
    ):  # it shows the most urgent pods only, and a delete leaves memory before the folder goes
        listed = (await sidecar.pods())["pods"]
        rows |= {row["pod"]: row for row in listed if row["pod"] in folders and row["pod"] not in rows}
    return {folder: {**row, "main": main[folder]} for folder, row in rows.items()}


def _settle(waiting: dict[str, str], found: dict[str, Json], wanted: Condition) -> bool:
    """Take out of `waiting` the pods that have met the condition. Whether one of the others never can."""
    hopeless = False
    for folder, name in list(waiting.items()):
        pod = found.get(folder)
        if wanted.met(pod):
            print(f"pod/{name.partition('/')[2]} condition met", flush=True)
            del waiting[folder]
        elif wanted.hopeless(pod):
            why = "it is gone" if pod is None else f"it has {_phase(pod)}"
            reason = f": {pod['reason']}" if pod and pod["reason"] else ""
            print(visible(f"remote-slurm: pod {name} cannot meet {wanted.name}: {why}{reason}"), file=sys.stderr)
            hopeless = True
    return hopeless
