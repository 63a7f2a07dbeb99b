"""`remote-slurm serve`: the sidecar."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remote_slurm import events
from remote_slurm.api.app import build_app, build_watch_app, serving, serving_watchers
from remote_slurm.api.metrics import Metrics
from remote_slurm.api.watching import Watching
from remote_slurm.cli.options import add_config_options, configured
from remote_slurm.config import Config, LogFormat
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.events import event, warn
from remote_slurm.remote.cluster import Cluster
from remote_slurm.remote.connection import Connection
from remote_slurm.remote.observer import Observer
from remote_slurm.remote.session import Sessions
from remote_slurm.remote.site import Site
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.journal import Journal
from remote_slurm.service.kubernetes import Kubernetes
from remote_slurm.service.malloc import keep_pieces
from remote_slurm.service.pods import Pods

if TYPE_CHECKING:
    from remote_slurm.api.tracing import Tracing  # needs packages that may not be there

_HELP = """\
Run the sidecar that interLink talks to, until SIGTERM or Ctrl-C: requests in flight finish, jobs go on. The site need
not be reachable at the start.
"""

_EXAMPLES = """\
examples:
  remote-slurm serve                                   with $SLURMCONFIGPATH or /etc/interlink/SlurmConfig.yaml
  remote-slurm serve --config SlurmConfig.yaml --set SidecarPort=4001
  remote-slurm serve --config SlurmConfig.yaml --set SidecarPort=0 --ready-file url    any free port: see ./url
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_config_options(parser)
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="written once requests are answered, with the URL in it, and removed at the end",
    )


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    recent = events.Recent()
    events.configure(
        verbose=config.verbose_logging,
        errors_only=config.errors_only_logging,
        as_json=config.log_format is LogFormat.JSON,
        recent=recent,
    )
    for sentence in config.warnings:
        warn(sentence)
    keep_pieces()
    gc.freeze()  # what was imported stays: collections need not look at it while somebody waits for a status
    asyncio.run(_serve(config, Watching(recent, Metrics(), _tracing(config)), arguments.ready_file))
    return 0


def _tracing(config: Config) -> Tracing | None:
    """Raises RemoteSlurmError where its packages are not there."""
    if not config.enable_tracing:
        return None
    try:
        from remote_slurm.api.tracing import Tracing
    except ModuleNotFoundError as error:
        raise RemoteSlurmError(
            "ENABLE_TRACING needs packages that are not installed here: pip install 'remote-slurm[tracing]', or set it "
            "to 0"
        ) from error
    return Tracing(config)


async def _serve(config: Config, watching: Watching, ready_file: Path | None) -> None:
    stopped = _stop_signal()
    async with (
        contextlib.AsyncExitStack() as stack,
        running(config, watching.observer, owner=True) as accounts,
        serving(build_app(accounts, config, watching), config) as url,
        _watch_port(accounts, config, watching),
    ):
        if watching.tracing:
            stack.push_async_callback(watching.tracing.close)
        if watching.metrics:
            watching.metrics.read(accounts, config.tls)
        event(
            f"listening on {url}", site=",".join(config.ssh.host_names), user=",".join(each.user for each in accounts)
        )
        with _told(ready_file, url):
            await stopped.wait()
        event("stopping: requests in flight finish, jobs go on")


@contextlib.asynccontextmanager
async def _watch_port(accounts: Accounts, config: Config, watching: Watching) -> AsyncIterator[None]:
    if config.watch.port is None:
        yield
        return
    async with serving_watchers(build_watch_app(accounts, config.watch, watching), config.watch) as url:
        event(f"people and Prometheus find an answer at {url}")
        yield


@contextlib.asynccontextmanager
async def running(config: Config, observer: Observer | None = None, *, owner: bool = False) -> AsyncIterator[Accounts]:
    """The pods of the configured site, looked after until the context ends; an `owner` takes over from others.

    The observer is told what happens at the site.
    """
    # pods of a file, on the command line, are not in Kubernetes
    cluster = Cluster(config.custom_kubeconf) if owner and config.custom_kubeconf else None
    async with contextlib.AsyncExitStack() as stack:
        pods = {
            name: _connected(own, Parts(stack, cluster, observer), owner=owner) for name, own in config.accounts.items()
        }
        accounts = Accounts(pods, config)
        stack.push_async_callback(accounts.stop)
        accounts.start()
        yield accounts


@dataclass(frozen=True, slots=True)
class Parts:
    """What the accounts of one sidecar share; what each of them has for itself is closed with the stack."""

    stack: contextlib.AsyncExitStack
    cluster: Cluster | None
    observer: Observer | None


def _connected(config: Config, parts: Parts, *, owner: bool) -> Pods:
    """The pods of one account."""
    connection = Connection(config.ssh)
    sessions = Sessions(connection, observer=parts.observer)
    parts.stack.push_async_callback(connection.close)
    parts.stack.push_async_callback(sessions.close)
    site = Site(sessions, config, parts.observer, owner=owner)
    return Pods(site, config, Journal(config.state_folder), kubernetes=Kubernetes(parts.cluster))


@contextlib.contextmanager
def _told(ready_file: Path | None, url: str) -> Iterator[None]:
    """Whoever waits for the file finds the whole URL in it."""
    if ready_file is None:
        yield
        return
    hidden = ready_file.with_name(f".{ready_file.name}")
    try:
        hidden.write_text(f"{url}\n", encoding="utf-8")
        hidden.replace(ready_file)
    except OSError as error:
        raise RemoteSlurmError(f"--ready-file {ready_file} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
