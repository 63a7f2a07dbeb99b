"""The HTTP server: routes, middleware, a TCP port or a unix socket, and an orderly end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from remote_slurm.api.authentication import Tokens, authentication
from remote_slurm.api.handlers import ACCOUNTS, routes
from remote_slurm.api.health import health_routes
from remote_slurm.api.middleware import sentences, session
from remote_slurm.api.tls import Certificates
from remote_slurm.api.ui import RECENT, ui_routes
from remote_slurm.api.watching import Watching
from remote_slurm.config import Config
from remote_slurm.config.places import is_loopback
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.service.accounts import Accounts

# A create answers within this; requests in flight may finish
SHUTDOWN_SECONDS = 60.0


class CannotListen(RemoteSlurmError):
    """The configured port or socket cannot be used."""


def build_app(accounts: Accounts, config: Config, watching: Watching | None = None) -> web.Application:
    """All of interLink's endpoints, answered by `accounts`, and those for people who watch. Raises BadTokenFile."""
    watching = watching or Watching()
    private = config.socket is None and is_loopback(config.bind_address)
    let_in = authentication(Tokens(config.token_file) if config.token_file else None, private=private)
    steps = [*watching.middlewares, session, sentences, let_in]
    app = web.Application(middlewares=steps, client_max_size=config.max_request_size)
    if watching.metrics:
        app.router.add_get("/metrics", watching.metrics.answer)
    app[ACCOUNTS] = accounts
    app[RECENT] = watching.recent
    app.add_routes([*routes, *health_routes, *ui_routes])
    app.on_shutdown.append(_end_followers)
    return app


async def _end_followers(app: web.Application) -> None:
    app[ACCOUNTS].end_followers()


@contextlib.asynccontextmanager
async def serving(app: web.Application, config: Config) -> AsyncIterator[str]:
    """Serve until the context ends; the value is the URL, with the port that was really taken.

    Raises CannotListen, or CannotEncrypt where the files of TLS are not right.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        yield await (_on_socket(runner, config) if config.socket else _on_port(runner, config))
    finally:
        await runner.cleanup()


async def _on_port(runner: web.AppRunner, config: Config) -> str:
    address, port = config.bind_address, config.sidecar_port
    context = Certificates(config.tls).context if config.tls.enabled else None
    try:
        await web.TCPSite(runner, address, port, ssl_context=context).start()
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {address} port {port}: {error.strerror or error}; "
            "choose another SidecarPort or BindAddress, or end what listens there"
        ) from error
    taken = runner.addresses[0][1]
    scheme = "https" if context else "http"
    return f"{scheme}://[{address}]:{taken}" if ":" in address else f"{scheme}://{address}:{taken}"


async def _on_socket(runner: web.AppRunner, config: Config) -> str:
    path = Path(str(config.socket))
    if _is_alive(path):
        raise CannotListen(f"another process listens on {path} already; end it, or choose another Socket")
    try:
        await web.SockSite(runner, _bound(path, int(config.socket_mode, 8))).start()
    except OSError as error:
        raise CannotListen(f"cannot listen on the socket {path}: {error.strerror or error}") from error
    return f"unix://{path}"


def _bound(path: Path, mode: int) -> socket.socket:
    """With its mode before anybody can connect, since who does can run shell at the site."""
    bound = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            path.unlink()  # of a process that is gone
        bound.bind(str(path))
        path.chmod(mode)
    except BaseException:
        bound.close()
        raise
    return bound


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
