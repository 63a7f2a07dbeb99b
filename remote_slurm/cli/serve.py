"""`remote-slurm serve`: the sidecar."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from remote_slurm import events
from remote_slurm.api.app import build_app, serving
from remote_slurm.cli.main import add_config_options, configured
from remote_slurm.config import Config
from remote_slurm.events import event, warn
from remote_slurm.remote.connection import Connection
from remote_slurm.remote.session import Sessions
from remote_slurm.remote.site import Site
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("serve", help="run the sidecar that interLink talks to")
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    events.configure(verbose=config.verbose_logging, errors_only=config.errors_only_logging)
    for sentence in config.warnings:
        warn(sentence)
    asyncio.run(_serve(config))
    return 0


async def _serve(config: Config) -> None:
    stopped = _stop_signal()
    async with running(config) as pods, serving(build_app(pods, config), config) as url:
        event(f"listening on {url}", site=",".join(config.ssh.host_names), user=config.ssh.user)
        await stopped.wait()
        event("stopping: requests in flight finish, jobs go on")


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Pods]:
    """The pods of the configured site, looked after until the context ends."""
    connection = Connection(config.ssh)
    sessions = Sessions(connection)
    pods = Pods(Site(sessions, config), config, Journal(config.state_folder))
    pods.start()
    try:
        yield pods
    finally:
        await pods.stop()
        await sessions.close()
        await connection.close()


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
