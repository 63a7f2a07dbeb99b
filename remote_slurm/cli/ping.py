"""`remote-slurm ping`: is a sidecar running, and would it take pods?"""

from __future__ import annotations

import argparse
import asyncio
import json

from remote_slurm.cli import credentials
from remote_slurm.cli.client import at, listening_at
from remote_slurm.cli.documents import Json
from remote_slurm.cli.options import add_config_options, add_output_option, add_url_option, configured

_HELP = """\
Request the capacity of the virtual node from a running sidecar, as interLink does every 30 seconds. The exit code is
0 if the sidecar is healthy, and 1 if it does not answer or needs a restart (/healthz). If the site is unreachable, the
exit code is 0 and the capacity is 0 pods, because the sidecar reconnects by itself. "superseded" means that a newer
sidecar owns DataRootFolder, as during a rolling update: stop one of the two if that lasts.
"""

_EXAMPLES = """\
examples:
  remote-slurm ping                     health check of a container, with $SLURMCONFIGPATH
  remote-slurm ping --url http://127.0.0.1:4000
  remote-slurm ping --url unix:///run/remote-slurm.sock --output json | jq .resources
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_config_options(parser)
    add_url_option(parser, "default: the address in the configuration")
    add_output_option(parser, "output format (default: text); json is the reply to interLink")


def run(arguments: argparse.Namespace) -> int:
    health, answer = asyncio.run(_answer(arguments))
    print(json.dumps(answer, indent=2) if arguments.output == "json" else _sentence(health, answer))
    return 0


async def _answer(arguments: argparse.Namespace) -> tuple[str, Json]:
    if arguments.url:
        url, shown = arguments.url, credentials.named(arguments)
    else:
        config = configured(arguments)
        url, shown = listening_at(config), credentials.configured(config)
    async with at(url, shown) as sidecar:
        return await sidecar.health(), await sidecar.ping()


def _sentence(health: str, answer: Json) -> str:
    resources = answer.get("resources") or {}
    room = ", ".join(f"{name} {resources[name]}" for name in ("cpu", "memory", "pods") if name in resources)
    return f"{health if health != 'ok' else answer.get('status', 'ok')}: {room or 'no figures'}"
