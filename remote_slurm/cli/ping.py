"""`remote-slurm ping`: is a sidecar running, and would it take pods?"""

from __future__ import annotations

import argparse
import asyncio
import json

from remote_slurm.cli import credentials
from remote_slurm.cli.documents import Json
from remote_slurm.cli.options import add_config_options, add_output_option, add_url_option, configured
from remote_slurm.cli.sidecar import at, listening_at

_HELP = """\
Ask a running sidecar for the virtual node's capacity, as interLink does every 30 seconds. The exit code is 0 if it is
well, also while the site cannot be reached: then it has room for 0 pods, and goes on trying by itself. It is 1 if
nothing answers, or a restart would help (/healthz).
"""

_EXAMPLES = """\
examples:
  remote-slurm ping                     the sidecar of $SLURMCONFIGPATH: a container's health check
  remote-slurm ping --url http://127.0.0.1:4000
  remote-slurm ping --url unix:///run/remote-slurm.sock --output json | jq .resources
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_config_options(parser)
    add_url_option(parser, "default: where the configuration says that it listens")
    add_output_option(parser, "text (default), or json: the answer as interLink gets it")


def run(arguments: argparse.Namespace) -> int:
    answer = asyncio.run(_answer(arguments))
    print(json.dumps(answer, indent=2) if arguments.output == "json" else _sentence(answer))
    return 0


async def _answer(arguments: argparse.Namespace) -> Json:
    if arguments.url:
        url, shown = arguments.url, credentials.named(arguments)
    else:
        config = configured(arguments)
        url, shown = listening_at(config), credentials.configured(config)
    async with at(url, shown) as sidecar:
        await sidecar.health()
        return await sidecar.ping()


def _sentence(answer: Json) -> str:
    resources = answer.get("resources") or {}
    room = ", ".join(f"{name} {resources[name]}" for name in ("cpu", "memory", "pods") if name in resources)
    return f"{answer.get('status', 'ok')}: {room or 'no figures'}"
