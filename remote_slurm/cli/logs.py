"""`remote-slurm logs`: what a container has printed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import aclosing

from remote_slurm.cli.client import chosen
from remote_slurm.cli.documents import Json
from remote_slurm.cli.naming import POD, as_kubernetes, named_in, the_pod
from remote_slurm.cli.options import add_config_options, add_url_option
from remote_slurm.cli.watch import log_request, print_bytes
from remote_slurm.errors import InvalidRequest

_HELP = f"""\
Print the log of a container. With -f, follow the log until the container ends.

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm logs --config SlurmConfig.yaml -f default/hello
  remote-slurm logs --config SlurmConfig.yaml --container prepare --tail 20 default/settings
  remote-slurm logs --url http://127.0.0.1:4000 pod.yaml
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("pod", metavar="POD", help="name or file of a pod")
    parser.add_argument("-f", "--follow", action="store_true", help="follow the log until the container ends")
    parser.add_argument("--tail", type=_lines, default=0, metavar="N", help="start with the last N lines")
    parser.add_argument(
        "--container",
        metavar="NAME",
        help="container whose log to print (default: the first one that is not an init container)",
    )
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")


def run(arguments: argparse.Namespace) -> int:
    asyncio.run(_print(arguments, named_in(arguments.pod)))
    return 0


async def _print(arguments: argparse.Namespace, named: str) -> None:
    async with chosen(arguments) as sidecar:
        pod = the_pod(await sidecar.pods(), named)
        container = _container(pod, arguments.container)
        request = log_request(as_kubernetes(pod), container, follow=arguments.follow, lines=arguments.tail)
        async with aclosing(sidecar.log(request)) as chunks:
            async for chunk in chunks:
                print_bytes(chunk)


def _container(pod: Json, name: str | None) -> str:
    main = [str(each["name"]) for each in pod["containers"]]
    names = [*main, *(str(each["name"]) for each in pod["initContainers"])]
    if name is None and len(names) > 1:
        print(f"the log of {main[0]}; --container chooses among {', '.join(names)}", file=sys.stderr)
    if name is not None and name not in names:
        raise InvalidRequest(f"pod {pod['name']} has no container '{name}': it has {', '.join(names)}")
    return name or main[0]


def _lines(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a number of lines from 1, not {text!r}")
    return int(text)
