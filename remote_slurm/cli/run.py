"""`remote-slurm run`: a pod from its file to its exit code, without Kubernetes."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeVar

from remote_slurm.cli import credentials
from remote_slurm.cli.client import SidecarClient, at, folder_of
from remote_slurm.cli.documents import Documents, Json, read_documents
from remote_slurm.cli.exit_codes import INTERRUPTED
from remote_slurm.cli.options import (
    add_config_options,
    add_file_namespace_option,
    add_output_option,
    add_pod_file_argument,
    add_url_option,
    configured,
)
from remote_slurm.cli.request import create_request, parsed
from remote_slurm.cli.screen import Colour, Screen
from remote_slurm.cli.watch import Watch
from remote_slurm.config import Config
from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.errors import InvalidRequest, RemoteSlurmError
from remote_slurm.service.pull_secrets import with_pull_secrets

_HELP = """\
Submit a pod, print each change of its status, follow the log of one container, and delete the pod. The exit code is
the highest exit code of its containers. The file holds the Pod, and may hold the ConfigMaps and Secrets that it uses.
The log is written to standard output, everything else to standard error. With --url, the command ends when the sidecar
has accepted the delete. Ctrl-C deletes the pod unless --keep is given; a second Ctrl-C exits at once.
"""

_EXAMPLES = """\
examples:
  remote-slurm run --config SlurmConfig.yaml pod.yaml                        without a running sidecar
  remote-slurm run --url http://127.0.0.1:4000 pod.yaml                      with a running sidecar
  remote-slurm run --config SlurmConfig.yaml --keep --container main pod.yaml
  remote-slurm run --config SlurmConfig.yaml pod.yaml >result.txt && echo succeeded
"""

_T = TypeVar("_T")


class Interrupted(Exception):
    """Ctrl-C, or SIGTERM."""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pod_file_argument(parser)
    add_file_namespace_option(parser)
    add_config_options(parser)
    add_url_option(parser, "the command contacts the site itself")
    parser.add_argument(
        "--container", metavar="NAME", help="container whose log to follow (default: the first container)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="do not delete the pod; its folder and log stay at the site"
    )
    add_output_option(parser, "output format (default: text); json prints the last status instead of the log")


def run(arguments: argparse.Namespace) -> int:
    documents = _with_own_uid(read_documents(arguments.pod, arguments.namespace), Screen(sys.stderr))
    body = create_request(documents)
    request = parsed(body, documents.source)
    arguments.container = _container(request, arguments.container, documents.source)
    screen = Screen(sys.stderr)
    config = None if arguments.url else configured(arguments)
    if config is not None:
        for warning in plan_job(with_pull_secrets(request, config), config).warnings:
            screen.line(f"{screen.paint('warning:', Colour.WARNING)} {warning}")
    return asyncio.run(_run(arguments, config, body, screen))


def _with_own_uid(documents: Documents, screen: Screen) -> Documents:
    """A pod that was read from Kubernetes runs under another UID: the end of this command must not delete its job."""
    metadata = documents.pod.get("metadata")
    if not isinstance(metadata, dict) or not {"uid", "resourceVersion"} <= metadata.keys():
        return documents
    screen.line(
        f"{documents.source} is a pod of Kubernetes, whose job is left alone: it runs once more, with another UID"
    )
    own = {key: value for key, value in metadata.items() if key != "uid"}
    return replace(documents, pod={**documents.pod, "metadata": own})


def _container(request: CreateRequest, name: str | None, source: str) -> str:
    spec = request.pod.spec
    names = [each.name for each in (*spec.containers, *spec.init_containers)]
    if name is not None and name not in names:
        raise InvalidRequest(f"{source} has no container '{name}': it has {', '.join(names)}")
    return name or names[0]


async def _run(arguments: argparse.Namespace, config: Config | None, body: Json, screen: Screen) -> int:
    async with at(arguments.url, credentials.named(arguments)) if config is None else _inside(config) as sidecar:
        watch = Watch(sidecar, body["pod"], arguments.container, screen, quiet=arguments.output == "json")
        try:
            code = await interruptible(_from_start_to_end(watch, body))
        except Interrupted:
            code = INTERRUPTED
        except BrokenPipeError:
            await _clean_up(arguments, sidecar, body["pod"], screen)
            raise
        else:
            arguments.keep = arguments.keep or not watch.has_whole_log
        await _clean_up(arguments, sidecar, body["pod"], screen)
    if arguments.output == "json":
        print(json.dumps({"exitCode": code, **_result(body["pod"], watch.status)}, indent=2))
    return code


def _inside(config: Config) -> AbstractAsyncContextManager[SidecarClient]:
    from remote_slurm.cli.embedded import inside  # with --url, no sidecar is loaded

    return inside(config)


async def _from_start_to_end(watch: Watch, body: Json) -> int:
    await watch.create(body)
    return await watch.until_over()


def _result(pod: Json, status: Json | None) -> Json:
    return {
        "pod": folder_of(pod),
        "name": f"{pod['metadata']['namespace']}/{pod['metadata']['name']}",
        "status": status,
    }


async def _clean_up(arguments: argparse.Namespace, sidecar: SidecarClient, pod: Json, screen: Screen) -> None:
    if arguments.keep:
        words = f"{_options_of(arguments)}{folder_of(pod)}"
        screen.line(
            f"kept: `remote-slurm describe {words}` has its state and usage, `remote-slurm logs {words}` its log; "
            f"`remote-slurm delete {words}` ends it"
        )
        return
    try:
        await interruptible(remove(sidecar, pod, screen, waits=not arguments.url))
    except Interrupted:
        sidecar.deleted.clear()  # it is in the journal, and this command does not wait for it
        screen.line(
            f"stopped waiting before the pod was removed: `remote-slurm status {folder_of(pod)}` shows its state"
        )
    except RemoteSlurmError as error:
        # the exit code is the pod's
        screen.line(f"{screen.paint('warning:', Colour.WARNING)} the pod is not deleted yet: {error}")


def _options_of(arguments: argparse.Namespace) -> str:
    """The options by which another command finds the same sidecar or site."""
    if arguments.url:
        return f"--url {arguments.url} "
    return f"--config {arguments.config} " if arguments.config else ""


async def remove(sidecar: SidecarClient, pod: Json, screen: Screen, *, waits: bool = True) -> None:
    """Delete the pod, and return once nothing is left of it, or without `waits` once the sidecar has accepted that."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    screen.line(screen.paint(f"{name}: deleting it", Colour.QUIET))
    await sidecar.delete(pod)
    if not waits:
        return  # the sidecar goes on, even if the site is unreachable now
    async with screen.waiting("its job ends, and its folder is removed"):
        await sidecar.gone(folder_of(pod))


async def interruptible(work: Coroutine[Any, Any, _T]) -> _T:
    """Raises Interrupted, once the work has been cancelled by Ctrl-C or SIGTERM."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise Interrupted from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
