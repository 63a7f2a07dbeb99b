"""The HTTP server: routes, middleware, a TCP port or a unix socket, and an orderly end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from remote_slurm.api.authentication import Tokens, authentication
from remote_slurm.api.handlers import ACCOUNTS, TURNS, routes
from remote_slurm.api.health import health_routes
from remote_slurm.api.middleware import sentences, session
from remote_slurm.api.tls import Certificates
from remote_slurm.api.ui import RECENT, ui_routes
from remote_slurm.api.watching import Watching
from remote_slurm.config import TLS, Config, Watch
from remote_slurm.config.places import is_loopback
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.turns import Turns

# A create answers within this; requests in flight may finish
SHUTDOWN_SECONDS = 60.0


class CannotListen(RemoteSlurmError):
    """The configured port or socket cannot be used."""


def build_app(accounts: Accounts, config: Config, watching: Watching | None = None) -> web.Application:
    """All of interLink's endpoints, answered by `accounts`, and those for people who watch. Raises BadTokenFile."""
    private = config.socket is None and is_loopback(config.bind_address)
    let_in = authentication(_tokens("TokenFile", config.token_file), private=private)
    app = _app(accounts, watching or Watching(), let_in, client_max_size=config.max_request_size)
    app.add_routes(routes)
    app.on_shutdown.append(_end_followers)
    return app


def build_watch_app(accounts: Accounts, watch: Watch, watching: Watching) -> web.Application:
    """What people and Prometheus ask, and nothing that changes anything. Raises BadTokenFile."""
    tokens = _tokens("Watch.TokenFile", watch.token_file)
    return _app(accounts, watching, authentication(tokens, private=is_loopback(watch.bind_address)))


def _app(accounts: Accounts, watching: Watching, let_in: Middleware, **options: Any) -> web.Application:
    app = web.Application(middlewares=[*watching.middlewares, session, sentences, let_in], **options)
    if watching.metrics:
        app.router.add_get("/metrics", watching.metrics.answer)
    app[ACCOUNTS] = accounts
    app[TURNS] = Turns()
    app[RECENT] = watching.recent
    app.add_routes([*health_routes, *ui_routes])
    return app


def _tokens(key: str, path: Path | None) -> Tokens | None:
    return Tokens(path, key) if path else None


async def _end_followers(app: web.Application) -> None:
    app[ACCOUNTS].end_followers()


@contextlib.asynccontextmanager
async def serving(app: web.Application, config: Config) -> AsyncIterator[str]:
    """Serve until the context ends; the value is the URL, with the port that was really taken.

    Raises CannotListen, or CannotEncrypt where the files of TLS are not right.
    """
    async with _running(app) as runner:
        if config.socket:
            yield await _on_socket(runner, config)
        else:
            yield await _on_port(runner, config.bind_address, config.sidecar_port, config.tls)


@contextlib.asynccontextmanager
async def serving_watchers(app: web.Application, watch: Watch) -> AsyncIterator[str]:
    """The same at Watch.Port."""
    async with _running(app) as runner:
        yield await _on_port(runner, watch.bind_address, watch.port or 0, watch.tls, "Watch.")


@contextlib.asynccontextmanager
async def _running(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def _on_port(runner: web.AppRunner, address: str, port: int, tls: TLS, block: str = "") -> str:
    """`block` is where the keys stand, for the sentences."""
    context = Certificates(tls, block).context if tls.enabled else None
    try:
        await web.TCPSite(runner, address, port, ssl_context=context).start()
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {address} port {port}: {error.strerror or error}; choose another "
            f"{block or 'Sidecar'}Port or {block}BindAddress, or end what listens there"
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
