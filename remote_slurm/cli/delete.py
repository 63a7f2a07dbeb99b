"""`remote-slurm delete`: the end of pods."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from typing import TYPE_CHECKING

from remote_slurm.cli.client import chosen
from remote_slurm.cli.filters import namespace, selected
from remote_slurm.cli.naming import POD, as_kubernetes, named_in
from remote_slurm.cli.options import add_config_options, add_filter_options, add_pods_argument, add_url_option
from remote_slurm.cli.screen import Screen
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = f"""\
Stop the job of each pod within its terminationGracePeriodSeconds, and remove its folder and logs at the site. With
--all, --selector or --state in place of POD, the pods are listed, and a person is asked; --yes answers for scripts.

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm delete default/hello
  remote-slurm delete --all -n team
  remote-slurm delete --state succeeded,failed --yes
  remote-slurm delete --config SlurmConfig.yaml default-6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10
  remote-slurm delete --grace-period 5 --url http://127.0.0.1:4000 pod.yaml
"""

_MOST_LISTED = 20
_NOT_DONE = 1


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pods_argument(parser, "name or file of a pod")
    parser.add_argument("--all", action="store_true", help="all pods at the site, or those that the filters select")
    add_filter_options(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--grace-period",
        type=_grace_period,
        metavar="SECONDS",
        help="grace period, in place of terminationGracePeriodSeconds",
    )
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")


def _grace_period(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to 999999999, not {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    selects = bool(arguments.all or arguments.selector or arguments.state)
    if arguments.pods and selects:
        raise RemoteSlurmError("POD goes without --all, --selector and --state: name the pods, or select them")
    if not arguments.pods and not selects:
        raise RemoteSlurmError("no pod is given: name pods, or select them with --all, --selector or --state")
    names = [named_in(argument, namespace(arguments)) for argument in arguments.pods]
    return asyncio.run(_delete(arguments, names))


async def _delete(arguments: argparse.Namespace, names: list[str]) -> int:
    screen = Screen(sys.stderr)
    async with chosen(arguments) as sidecar:
        overview = await sidecar.pods()
        pods = selected(overview, names, arguments)
        if not pods:
            print(f"there are no such pods at {overview['site']}", file=sys.stderr)
            return 0
        if not names and not arguments.yes and not _agreed(pods, overview["site"]):
            print("nothing is deleted", file=sys.stderr)
            return _NOT_DONE
        for pod in pods:
            await sidecar.delete(as_kubernetes(pod, arguments.grace_period))
        for pod in pods:
            async with screen.waiting(f"{pod['name']}: its job ends, and its folder is removed"):
                await sidecar.gone(pod["pod"])
            print(f"{pod['pod']} deleted", flush=True)
    return 0


def _agreed(pods: list[Json], site: str) -> bool:
    """Whether a person agrees. Raises RemoteSlurmError if there is none."""
    if not sys.stdin.isatty():
        pods_would = "1 pod would" if len(pods) == 1 else f"{len(pods)} pods would"
        raise RemoteSlurmError(f"{pods_would} be deleted, and standard input is no terminal to ask a person: add --yes")
    for pod in pods[:_MOST_LISTED]:
        print(f"  {pod['name']}  {pod['state']}", file=sys.stderr)
    if len(pods) > _MOST_LISTED:
        print(f"  and {len(pods) - _MOST_LISTED} more", file=sys.stderr)
    what = "this pod" if len(pods) == 1 else f"these {len(pods)} pods"
    print(f"Delete {what} at {site}, with their jobs, folders and logs? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
