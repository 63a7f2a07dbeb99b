"""A sidecar inside this process, for commands that find none running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from remote_slurm import log
from remote_slurm.api.app import build_app, serving
from remote_slurm.cli.client import SidecarClient, at
from remote_slurm.cli.serve import running
from remote_slurm.config import Config
from remote_slurm.service.accounts import Accounts

_LAST_DELETES_SECONDS = 75


@contextlib.asynccontextmanager
async def inside(config: Config) -> AsyncIterator[SidecarClient]:
    """A sidecar in this process, on a socket that no other user can reach, for as long as the context lasts.

    Raises Unreachable at once where the site cannot be used.
    """
    _log_if(verbose=config.verbose_logging)
    with tempfile.TemporaryDirectory(prefix="remote-slurm-") as folder:
        alone = {"socket": Path(folder) / "socket", "socket_mode": "0600", "token_file": None, "access": None}
        private = config.model_copy(update=alone)
        async with (
            running(config) as accounts,
            serving(build_app(accounts, private), private) as url,
            at(url) as sidecar,
        ):
            await sidecar.reach()
            yield sidecar
            await _carried_out(sidecar.deleted, accounts)


async def _carried_out(deleted: set[str], accounts: Accounts) -> None:
    """With this process its sidecar ends, so what it has promised to delete comes first."""
    until = time.monotonic() + _LAST_DELETES_SECONDS
    while any(not pods.poller.error and pod in pods.deletes for pods in accounts for pod in deleted):
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.05)


def _log_if(*, verbose: bool) -> None:
    """Log only if that is requested: replies have all that a user needs."""
    log.configure(verbose=True, errors_only=False)
    if not verbose:
        logging.getLogger("remote_slurm").handlers[:] = [logging.NullHandler()]
