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

from remote_slurm import log
from remote_slurm.api.app import (
    build_app,
    build_forward_app,
    build_watch_app,
    serving,
    serving_forwards,
    serving_watchers,
)
from remote_slurm.api.kept_sockets import KeptSockets
from remote_slurm.api.metrics import Metrics
from remote_slurm.api.watching import Watching
from remote_slurm.cli.options import add_config_options, configured
from remote_slurm.config import Config, LogFormat
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import info, warning
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.journal import Journal
from remote_slurm.service.kubernetes_api import Cluster
from remote_slurm.service.pods import Pods, Shared
from remote_slurm.service.port_forwards import PortForwards
from remote_slurm.service.process_tuning import collect_rarely, keep_log_chunks, raise_descriptor_limit
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.command_channels import CommandChannels
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.observer import Observer
from remote_slurm.ssh.port_channels import PortChannels
from remote_slurm.ssh.sessions import Sessions

if TYPE_CHECKING:
    from remote_slurm.api.tracing import Tracing  # needs packages that may not be there

_HELP = """\
Run the sidecar for interLink until SIGTERM or Ctrl-C. On shutdown, requests in flight finish and jobs keep running.
The site need not be reachable at startup.
"""

_EXAMPLES = """\
examples:
  remote-slurm serve                                   use $SLURMCONFIGPATH or /etc/interlink/SlurmConfig.yaml
  remote-slurm serve --config SlurmConfig.yaml --set SidecarPort=4001
  remote-slurm serve --config SlurmConfig.yaml --set SidecarPort=0 --ready-file url    free port, written to ./url
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_config_options(parser)
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write the URL to this file when the sidecar accepts requests, and remove the file on exit",
    )


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    recent = log.Recent()
    log.configure(
        verbose=config.verbose_logging,
        errors_only=config.errors_only_logging,
        as_json=config.log_format is LogFormat.JSON,
        recent=recent,
    )
    for sentence in config.warnings:
        warning(sentence)
    raise_descriptor_limit()
    keep_log_chunks()
    collect_rarely()
    gc.freeze()  # modules stay in memory: a collection need not scan them while a status request waits
    kept = KeptSockets.of_supervisor()
    asyncio.run(_serve(config, Watching(recent, Metrics(), _tracing(config)), kept, arguments.ready_file))
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


async def _serve(config: Config, watching: Watching, kept: KeptSockets, ready_file: Path | None) -> None:
    stopped = _stop_signal()
    async with (
        contextlib.AsyncExitStack() as stack,
        _auditing(config) as audit,
        running(config, watching.observer, owner=True, audit=audit) as accounts,
        serving(build_app(accounts, config, watching, audit), config, kept) as url,
        _watch_port(accounts, config, watching, kept, audit),
        _forward_port(accounts, config, kept, audit),
    ):
        if watching.tracing:
            stack.push_async_callback(watching.tracing.close)
        if watching.metrics:
            watching.metrics.read(accounts, config.tls, audit)
        site, users = ",".join(config.ssh.host_names), ",".join(each.user for each in accounts)
        info("listening", url=url, site=site, user=users)
        with _ready_file(ready_file, url):
            kept.ready(as_json=config.log_format is LogFormat.JSON)
            await stopped.wait()
        info("stopping: requests in flight finish, jobs go on")


@contextlib.asynccontextmanager
async def _auditing(config: Config) -> AsyncIterator[AuditLog]:
    """The audit log, which SIGHUP opens anew. Raises CannotAudit."""
    audit = AuditLog(config.audit_log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, audit.reopen)
    try:
        yield audit
    finally:
        await asyncio.to_thread(audit.close)


@contextlib.asynccontextmanager
async def _watch_port(
    accounts: Accounts, config: Config, watching: Watching, kept: KeptSockets, audit: AuditLog
) -> AsyncIterator[None]:
    if config.watch.port is None:
        yield
        return
    async with serving_watchers(build_watch_app(accounts, config, watching, audit), config.watch, kept) as url:
        info("serving /ui and /metrics", url=url)
        yield


@contextlib.asynccontextmanager
async def _forward_port(accounts: Accounts, config: Config, kept: KeptSockets, audit: AuditLog) -> AsyncIterator[None]:
    if config.port_forward.port is None:
        yield
        return
    forwards = PortForwards(accounts, config.port_forward)
    forwards.start()
    kubeconfig = config.custom_kubeconf if config.port_forward.token_review.audiences else None
    app = build_forward_app(forwards, config, audit, Cluster(kubeconfig) if kubeconfig else None)
    async with serving_forwards(app, config.port_forward, kept) as url:
        info("forwarding ports of pods", url=url)
        yield


@contextlib.asynccontextmanager
async def running(
    config: Config, observer: Observer | None = None, *, owner: bool = False, audit: AuditLog | None = None
) -> AsyncIterator[Accounts]:
    """The pods of the configured site, looked after until the context ends; an `owner` takes over from others.

    The observer is called for each event at the site.
    """
    # pods of a file, on the command line, are not in Kubernetes
    cluster = Cluster(config.custom_kubeconf) if owner and config.custom_kubeconf else None
    async with contextlib.AsyncExitStack() as stack:
        shared, pods = Shared(cluster, audit or AuditLog()), {}
        for name, own in config.accounts.items():
            connected = await stack.enter_async_context(_connected(own, observer))
            site = RemoteSite(
                connected.sessions, own, observer, owner=owner, ports=connected.ports, commands=connected.commands
            )
            pods[name] = Pods(site, own, Journal(own.state_folder), shared=shared)
        accounts = Accounts(pods, config)
        stack.push_async_callback(accounts.stop)
        for each in accounts:
            each.start()
        yield accounts


@dataclass(frozen=True, slots=True)
class _Connected:
    """The sessions of one account, and its ways to ports of nodes and to commands in containers."""

    sessions: Sessions
    ports: PortChannels
    commands: CommandChannels | None


@contextlib.asynccontextmanager
async def _connected(config: Config, observer: Observer | None) -> AsyncIterator[_Connected]:
    """Each opens its connection when it is used."""
    connection = Connection(config.ssh)
    sessions = Sessions(connection, observer=observer)
    ports = PortChannels(connection.sibling(), idle_seconds=config.port_forward.idle_seconds)
    commands = CommandChannels(connection.sibling()) if config.enable_exec else None
    try:
        yield _Connected(sessions, ports, commands)
    finally:
        if commands:
            await commands.close()
        await ports.close()
        await sessions.close()
        await connection.close()


@contextlib.contextmanager
def _ready_file(ready_file: Path | None, url: str) -> Iterator[None]:
    """The file appears with the whole URL in it."""
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
