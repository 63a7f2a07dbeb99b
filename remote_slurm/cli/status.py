"""`remote-slurm status`: the pods at the site."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from remote_slurm.cli.client import chosen
from remote_slurm.cli.documents import Json
from remote_slurm.cli.naming import POD, matching, named_in
from remote_slurm.cli.options import add_config_options, add_output_option, add_url_option
from remote_slurm.cli.screen import Screen

_HELP = f"""\
List the pods that have a folder at the site, with their jobs. With POD, list the named pods only.

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm status --config SlurmConfig.yaml
  remote-slurm status --config SlurmConfig.yaml default/hello
  remote-slurm status --config SlurmConfig.yaml -o wide
  remote-slurm status --url http://127.0.0.1:4000 pod.yaml
  remote-slurm status --config SlurmConfig.yaml --output json | jq '.pods[] | select(.state == "PENDING")'
"""

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("pods", nargs="*", metavar="POD", help="name or file of a pod (default: all pods)")
    add_config_options(parser)
    add_url_option(
        parser, "default: the configured sidecar if it is running, else the command contacts the site itself"
    )
    add_output_option(parser, "output format (default: text); wide also prints the ports of pods", more=["wide"])


def run(arguments: argparse.Namespace) -> int:
    names = [named_in(argument) for argument in arguments.pods]
    overview = asyncio.run(_overview(arguments))
    found = {each["pod"]: each for name in names for each in matching(overview, name)}
    pods = list(found.values()) if names else overview["pods"]
    if arguments.output == "json":
        print(json.dumps({"site": overview["site"], "pods": pods}, indent=2))
    elif pods:
        print(table(pods, wide=arguments.output == "wide"))
    missing = [name for name in names if not matching(overview, name)]
    _say_what_is_not_there(missing, overview, any_pods=bool(pods))
    return 1 if missing else 0


async def _overview(arguments: argparse.Namespace) -> Json:
    async with Screen(sys.stderr).waiting("asking the site"), chosen(arguments) as sidecar:
        return await sidecar.pods()


def _say_what_is_not_there(missing: list[str], overview: Json, *, any_pods: bool) -> None:
    for name in missing:
        print(f"remote-slurm: there is no pod '{name}' at {overview['site']}", file=sys.stderr)
    if not missing and not any_pods:
        print(f"there are no pods at {overview['site']}", file=sys.stderr)


_HEADER = ("POD", "NAME", "JOB", "STATE", "AGE", "NODE", "CONTAINERS", "REASON")
_WIDE_HEADER = (*_HEADER[:-1], "PORTS", _HEADER[-1])


def _row(pod: Json, *, wide: bool) -> tuple[str, ...]:
    containers = ", ".join(_container(each) for each in (*pod["initContainers"], *pod["containers"]))
    age = "-" if pod["ageSeconds"] is None else duration(pod["ageSeconds"])
    # a sidecar of an earlier version sends neither node nor ports
    node, ports = pod.get("node") or "-", ",".join(str(port) for port in pod.get("ports", [])) or "-"
    more = (ports,) if wide else ()
    return (pod["pod"], pod["name"], pod["jobId"] or "-", pod["state"], age, node, containers, *more, _reason(pod))


def _reason(pod: Json) -> str:
    if pod.get("unaskedSeconds"):
        return f"Kubernetes has not asked for it for {duration(pod['unaskedSeconds'])}, though for others"
    return pod["reason"] or "-"


def _container(container: dict[str, Any]) -> str:
    state = f"exit code {container['exitCode']}" if "exitCode" in container else container["state"]
    return f"{container['name']}: {state}"


def duration(seconds: int) -> str:
    """In its largest unit, as kubectl does."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return "0s"


def table(pods: Sequence[Json], *, wide: bool = False) -> str:
    """Columns as wide as what is in them."""
    rows = [_WIDE_HEADER if wide else _HEADER, *(_row(pod, wide=wide) for pod in pods)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
