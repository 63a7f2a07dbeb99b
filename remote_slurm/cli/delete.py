"""`remote-slurm delete`: the end of a pod."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys

from remote_slurm.cli.client import chosen
from remote_slurm.cli.naming import POD, as_kubernetes, named_in, the_pod
from remote_slurm.cli.options import add_config_options, add_url_option
from remote_slurm.cli.screen import Screen

_HELP = f"""\
Stop the job of each pod within its terminationGracePeriodSeconds, and remove its folder and logs at the site.

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm delete --config SlurmConfig.yaml default/hello
  remote-slurm delete --config SlurmConfig.yaml default-6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10
  remote-slurm delete --grace-period 5 --url http://127.0.0.1:4000 pod.yaml
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("pods", nargs="+", metavar="POD", help="name or file of a pod")
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
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, not {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    asyncio.run(_delete(arguments, [named_in(argument) for argument in arguments.pods]))
    return 0


async def _delete(arguments: argparse.Namespace, names: list[str]) -> None:
    screen = Screen(sys.stderr)
    async with chosen(arguments) as sidecar:
        overview = await sidecar.pods()
        pods = [the_pod(overview, name) for name in names]
        for pod in pods:
            await sidecar.delete(as_kubernetes(pod, arguments.grace_period))
        for pod in pods:
            async with screen.waiting(f"{pod['name']}: its job ends, and its folder is removed"):
                await sidecar.gone(pod["pod"])
            print(f"{pod['pod']} deleted")
