"""`remote-slurm describe`: all that is known of a pod, in the layout of `kubectl describe`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from remote_slurm.cli.client import SidecarClient, chosen
from remote_slurm.cli.durations import moment, short, since_when
from remote_slurm.cli.filters import namespace, selected
from remote_slurm.cli.naming import POD, as_kubernetes, named_in
from remote_slurm.cli.options import (
    add_config_options,
    add_filter_options,
    add_output_option,
    add_pods_argument,
    add_url_option,
)
from remote_slurm.cli.replies import Refused
from remote_slurm.cli.screen import Screen
from remote_slurm.cli.tables import plain
from remote_slurm.cli.watch import log_request
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_HELP = f"""\
Print all that is known of a pod: its spec, its job, its node, times, Events, what it has used, where its files are, and
the last lines of its logs. Values of environment variables are not stored, and not printed. While the site is
unreachable, a running sidecar reports what it knows of the pod, and since when the site is unreachable.

{POD}
"""

_EXAMPLES = """\
examples:
  remote-slurm describe default/hello
  remote-slurm describe -n team -l app=train --tail 50
  remote-slurm describe --config SlurmConfig.yaml pod.yaml
  remote-slurm describe --url http://127.0.0.1:4000 default/hello -o json | jq '.[].events'
"""

_NOT_FOUND = 404
_VALUE = 16  # the column where values begin
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT = 1024
_LINES = 10
# Of a log: a line may be as long as the log
_MOST_BYTES = 64 * 1024
_UNKNOWN = "not known while the site is unreachable"


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pods_argument(parser, "name or file of a pod (default: all pods that the filters select)")
    add_filter_options(parser)
    parser.add_argument(
        "--tail",
        type=_count,
        default=_LINES,
        metavar="N",
        help=f"last lines of each log (default: {_LINES}); 0 for none",
    )
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar if it is running, else the command contacts the site itself")
    add_output_option(parser, "output format (default: text); json is a list, without logs")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a number of lines from 0, not {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    names = [named_in(argument, namespace(arguments)) for argument in arguments.pods]
    return asyncio.run(_describe(arguments, names))


async def _describe(arguments: argparse.Namespace, names: list[str]) -> int:
    async with chosen(arguments) as sidecar:
        async with Screen(sys.stderr).waiting("asking the site"):
            overview = await sidecar.pods(remembered=True)
        pods = selected(overview, names, arguments)
        if not pods:
            print(f"there are no such pods at {overview['site']}", file=sys.stderr)
        found = []
        for number, pod in enumerate(pods):
            more = await _more(sidecar, pod["pod"])
            if more and overview.get("pollFailure"):
                more["pollFailure"] = overview["pollFailure"]
            found.append(pod | more)
            if arguments.output == "text":
                wants_logs = arguments.tail and not more.get("unreachable")
                logs = await _logs(sidecar, pod, arguments.tail) if wants_logs else {}
                print("\n" * (2 if number else 0) + "\n".join(lines(pod, more, logs, overview["site"])), flush=True)
    if arguments.output == "json":
        print(json.dumps(found, indent=2))
    return 0


async def _more(sidecar: SidecarClient, folder: str) -> Json:
    """What only the description has; empty if the sidecar is of an earlier version, or the pod is gone."""
    try:
        return await sidecar.describe(folder)
    except Refused as error:
        if error.status != _NOT_FOUND:
            raise
        return {}


async def _logs(sidecar: SidecarClient, pod: Json, count: int) -> dict[str, str]:
    """The last lines of each container that has run."""
    found = {}
    for container in (*pod["initContainers"], *pod["containers"]):
        if container["state"] == "waiting" and not container.get("startedAt"):
            continue
        name = str(container["name"])
        request = log_request(as_kubernetes(pod), name, lines=count)
        request["Opts"]["Bytes"] = _MOST_BYTES
        try:
            async with aclosing(sidecar.log(request)) as chunks:
                text = b"".join([chunk async for chunk in chunks])
            more = f"\n(not shown: more than {_MOST_BYTES >> 10} KiB)" if len(text) >= _MOST_BYTES else ""
            found[name] = text.decode(errors="replace") + more
        except RemoteSlurmError as error:
            found[name] = f"({error})"
    return found


# --- the text ---


def lines(pod: Json, more: Json, logs: Mapping[str, str], site: str) -> Iterator[str]:
    """The description: `pod` as /pods lists it, and `more` of /describe."""
    spec, now = more.get("spec") or {}, more.get("time") or time.time()
    unreachable = more.get("unreachable")
    yield from _head(pod, spec, site, more)
    yield from _job(pod, more)
    for title, key in (("Init Containers", "initContainers"), ("Containers", "containers")):
        specs = {each["name"]: each for each in spec.get(key, [])}
        if pod[key]:
            yield f"{title}:"
        for container in pod[key]:
            yield from _container(container, specs.get(container["name"], {}))
    yield from _volumes(spec)
    if unreachable:
        yield _pair("Spec", f"{_UNKNOWN}, as the labels, files and logs")
    elif more and not spec:
        yield _pair("Spec", "not stored: the pod was submitted by an earlier version")
    yield from _files(pod, more)
    yield from _usage(pod.get("usage"))
    if more:
        yield from _events(more.get("events") or [], now)
    else:
        yield _pair("Events", "not known: the sidecar is of an earlier version")
    for name, text in logs.items():
        yield f"Log of {name}, last lines:"
        yield from (f"  {plain(line)}" for line in text.rstrip("\n").split("\n"))


def _head(pod: Json, spec: Json, site: str, more: Json) -> Iterator[str]:
    unreachable = more.get("unreachable")
    own, _, name = pod["name"].partition("/")
    yield _pair("Name", name)
    yield _pair("Namespace", own)
    yield _pair("Site", site)
    if unreachable:
        yield _pair("Unreachable", since_when(unreachable))
    else:
        if more.get("pollFailure"):
            yield _pair("Poll Fails", since_when(more["pollFailure"]))
        yield from _block("Labels", pod.get("labels") or {})
        yield from _block("Annotations", spec.get("annotations") or {})
    yield _pair("State", pod["state"])
    if pod["reason"]:
        yield _pair("Reason", pod["reason"])
    yield _pair("Age", "-" if pod["ageSeconds"] is None else short(pod["ageSeconds"]))
    yield _pair("Node", pod.get("node") or "-")
    if "restartPolicy" in spec:
        yield _pair("Restart Policy", spec["restartPolicy"])
    for title, key in (("Grace Period", "terminationGracePeriodSeconds"), ("Deadline", "activeDeadlineSeconds")):
        if key in spec:
            yield _pair(title, f"{spec[key]} s")


def _volumes(spec: Json) -> Iterator[str]:
    if spec.get("volumes"):
        yield "Volumes:"
    for volume in spec.get("volumes") or []:
        yield _pair(f"  {volume['name']}", f"{volume['kind']} {volume.get('source', '')}".rstrip())


def _pair(title: str, value: object) -> str:
    return f"{title + ':':<{_VALUE}} {plain(str(value))}".rstrip()


def _block(title: str, values: Mapping[str, object]) -> Iterator[str]:
    """Names and values, one a line; a value of None is not shown."""
    if not values:
        yield _pair(title, "<none>")
    texts = (name if value is None else f"{name}={value}" for name, value in values.items())
    for number, text in enumerate(texts):
        yield _pair(title, text) if not number else f"{'':<{_VALUE}} {plain(text)}"


def _job(pod: Json, more: Json) -> Iterator[str]:
    job = more.get("job") or {}
    if not pod["jobId"]:
        yield _pair("Job", "none yet")
        return
    yield "Job:"
    yield _pair("  ID", pod["jobId"])
    for title, key in (("State", "state"), ("Reason", "reason"), ("Partition", "partition"), ("Node", "node")):
        if job.get(key) and job[key] != "None":
            yield _pair(f"  {title}", job[key])
    for title, key in (
        ("Submitted", "submitted"),
        ("Starts At", "startsAt"),
        ("Started", "started"),
        ("Ends By", "endsBy"),
        ("Ended", "ended"),
    ):
        if job.get(key):
            yield _pair(f"  {title}", moment(job[key]))


def _container(container: Json, spec: Json) -> Iterator[str]:
    yield f"  {plain(container['name'])}:"
    if spec.get("image"):
        yield _pair("    Image", spec["image"])
    for title, key in (("Command", "command"), ("Args", "args")):
        if spec.get(key):
            yield f"    {title}:"
            yield from (f"      {plain(line)}" for word in spec[key] for line in str(word).split("\n"))
    yield from _state(container)
    for title, text in _container_facts(spec):
        if text:
            yield _pair(f"    {title}", text)
    if spec.get("mounts"):
        yield "    Mounts:"
    for mount in spec.get("mounts") or []:
        way = "ro" if mount.get("readOnly") else "rw"
        yield f"      {plain(mount['mountPath'])} from {plain(mount['name'])} ({way})"


def _container_facts(spec: Json) -> Iterator[tuple[str, str]]:
    yield "Working Dir", spec.get("workingDir", "")
    ports = spec.get("ports") or []
    yield "Ports", ", ".join(f"{each['containerPort']}/{each.get('protocol', 'TCP')}" for each in ports)
    for title, key in (("Limits", "limits"), ("Requests", "requests")):
        yield title, ", ".join(f"{name} {amount}" for name, amount in (spec.get(key) or {}).items())
    yield "Probes", ", ".join(spec.get("probes") or [])
    yield "Environment", ", ".join(spec.get("env") or [])


def _state(container: Json) -> Iterator[str]:
    yield _pair("    State", str(container["state"]).capitalize())
    for title, key in (("Reason", "reason"), ("Message", "message"), ("Exit Code", "exitCode")):
        if container.get(key) not in (None, ""):
            yield _pair(f"      {title}", container[key])
    for title, key in (("Started", "startedAt"), ("Finished", "finishedAt")):
        if container.get(key):
            yield _pair(f"      {title}", moment(container[key]))
    yield _pair("    Restart Count", container.get("restarts", 0))


def _files(pod: Json, more: Json) -> Iterator[str]:
    yield "Files:"
    yield _pair("  Folder", more.get("folder") or pod["pod"])
    if more.get("nodeFolder"):
        yield _pair("  On the node", more["nodeFolder"])
    for file in more.get("files") or []:
        yield _pair("  File", f"{file['path']} ({_size(file['size'])})")


def _usage(usage: Json | None) -> Iterator[str]:
    if not usage:
        return
    yield _pair("Usage", usage.get("text") or "-")
    if usage.get("hint"):
        yield _pair("Hint", usage["hint"])


def _events(events: Iterable[Json], now: float) -> Iterator[str]:
    rows = [(each["type"], each["reason"], short(max(0, now - each["time"])), each["message"]) for each in events]
    if not rows:
        yield _pair("Events", "<none>")
        return
    yield "Events:"
    header = ("Type", "Reason", "Age", "Message")
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header) - 1)]
    for row in (header, tuple("-" * len(title) for title in header), *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield f"  {'  '.join(cells)}  {plain(row[-1])}"


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < _UNIT or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _UNIT
    return f"{count:.0f}"
