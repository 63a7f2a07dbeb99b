"""`remote-slurm ping`: is a sidecar running, and would it take pods?"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import TYPE_CHECKING

from remote_slurm.cli.client import SidecarClient, running
from remote_slurm.cli.options import add_config_options, add_output_option, add_url_option
from remote_slurm.cli.screen import visible
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = """\
Request the capacity of the virtual node from a running sidecar, as interLink does every 30 seconds. The exit code is
0 if the sidecar is healthy, and 1 if it does not answer or needs a restart (/healthz). If the site is unreachable, the
exit code is 0 and the capacity is 0 pods, because the sidecar reconnects by itself; the reason and the time of the next
attempt follow. The same applies while pods cannot be stored at the site, because a file system or quota is full.
"superseded" means that a newer sidecar owns DataRootFolder, as during a rolling update: stop one of the two if that
lasts.
"""

_EXAMPLES = """\
examples:
  remote-slurm ping                     health check of a container, with $SLURMCONFIGPATH
  remote-slurm ping --url http://127.0.0.1:4000
  remote-slurm ping --url unix:///run/remote-slurm.sock --output json | jq .resources
"""

# By the `cause` in /ui/state
_CAUSES = {
    "KeyRefused": "SSH key refused",
    "HostKeyRefused": "SSH host key refused",
    "Unreachable": "site unreachable",
    "Lost": "connection lost",
    "SlurmFailed": "Slurm command failed",
}
_SOON = 90


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_config_options(parser)
    add_url_option(parser, "the address in the configuration")
    add_output_option(parser, "output format (default: text); json is the reply to interLink")


def run(arguments: argparse.Namespace) -> int:
    health, answer, site = asyncio.run(_answer(arguments))
    if arguments.output == "json":
        print(json.dumps(answer, indent=2))
    else:
        print(visible(sentence(health, answer, site, time.time())))
    return 0


async def _answer(arguments: argparse.Namespace) -> tuple[str, Json, Json]:
    async with running(arguments) as sidecar:
        health, answer = await sidecar.health(), await sidecar.ping()
        return health, answer, await _site(sidecar) if arguments.output == "text" else {}


async def _site(sidecar: SidecarClient) -> Json:
    """The state of the site as the sidecar knows it; empty if this client may not read it."""
    try:
        site: Json = (await sidecar.state())["site"]
    except RemoteSlurmError:
        return {}
    return site


def _has_room(answer: Json) -> bool:
    return (answer.get("resources") or {}).get("pods") != "0"


def sentence(health: str, answer: Json, site: Json, now: float) -> str:
    """The capacity of the virtual node. If it has no room, also why, and when the sidecar tries again.

    A line follows while polls are less frequent because squeue is slow. `site` is that of /ui/state; `now` is a
    time.time().
    """
    return "\n".join([_capacity(health, answer, site, now), *_slow(site)])


def _slow(site: Json) -> list[str]:
    if not site.get("squeueIsSlow"):
        return []
    took, interval = site["squeueSeconds"], site["pollIntervalSeconds"]
    return [f"  squeue is slow ({took:.0f} s): the site is polled every {interval:.0f} s"]


def _capacity(health: str, answer: Json, site: Json, now: float) -> str:
    resources = answer.get("resources") or {}
    room = ", ".join(f"{name} {resources[name]}" for name in ("cpu", "memory", "pods") if name in resources)
    first = f"{health if health != 'ok' else answer.get('status', 'ok')}: {room or 'no figures'}"
    if _has_room(answer) or not site:
        return first
    if not site["reachable"]:
        cause = _CAUSES.get(site.get("cause", ""), "the site cannot be polled")
        retry = _retry(site.get("retryInSeconds", 0), now, site.get("retryFile"))
        return "\n".join([f"{first}: {cause}{retry}", *_detail(site.get("error", "")), *_reconnect(site)])
    if site.get("storageError"):
        retry = _retry(site["storageRetryInSeconds"], now)
        return "\n".join([f"{first}: pods cannot be stored at the site{retry}", *_detail(site["storageError"])])
    return f"{first}: {_no_figures(resources)}"


def _no_figures(resources: Json) -> str:
    if "cpu" in resources:
        return "the site is reachable, but Resources.pods or ResourceScriptPath allows no pods"
    return "the site is reachable, but sinfo has not reported its capacity yet"


def _retry(seconds: float, now: float, file: str | None = None) -> str:
    if seconds <= 0:
        return ""
    when = f"in {seconds:.0f} s" if seconds < _SOON else f"at {time.strftime('%H:%M', time.localtime(now + seconds))}"
    return f", retry {when}{f' or when {file} changes' if file else ''}"


def _detail(error: str) -> list[str]:
    error = " ".join(error.split())
    return [f"  {error}"] if error else []


def _reconnect(site: Json) -> list[str]:
    """What ends the wait after a refused key: the sidecar cannot notice that the site accepts the same key again."""
    file = site.get("retryFile")
    if site.get("cause") != "KeyRefused" or not file or site.get("retryInSeconds", 0) <= 0:
        return []
    return [f"  after a correction at the site, run `touch {file}` or restart the sidecar to connect at once"]
