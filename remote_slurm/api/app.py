"""The HTTP server: routes, middleware, a TCP port or a unix socket, and an orderly end."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self, cast

from aiohttp import web

from remote_slurm.api.access import AccessList
from remote_slurm.api.auditing import auditing
from remote_slurm.api.authentication import Gate, ServiceAccounts, Tokens, authentication
from remote_slurm.api.bodies import Bodies
from remote_slurm.api.channel_forwards import channel_routes
from remote_slurm.api.connections import Connections, Runner, counted
from remote_slurm.api.exec import EXECS, exec_routes
from remote_slurm.api.forwards import FORWARDS, forward_routes
from remote_slurm.api.handlers import ACCOUNTS, BODIES, RENDERING, routes
from remote_slurm.api.health import health_routes
from remote_slurm.api.kept_sockets import NO_LOG, CannotListen, Closable, FinishedAnswers, KeptSockets
from remote_slurm.api.limits import LIMITS, Limits
from remote_slurm.api.listening_socket import bound_port
from remote_slurm.api.middleware import HttpLog, plain, sentences, session
from remote_slurm.api.openapi import openapi_routes
from remote_slurm.api.tls import Certificates
from remote_slurm.api.ui import RECENT, ui_routes
from remote_slurm.api.watching import Watching
from remote_slurm.config import Config, PortForward, Watch
from remote_slurm.config.path_types import is_loopback
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.execs import Execs
from remote_slurm.service.port_forwards import PortForwards
from remote_slurm.service.rendering import Rendering
from remote_slurm.service.token_reviews import Reviewer, TokenReviews

# A create answers within this; requests in flight may finish
SHUTDOWN_SECONDS = 60.0


GATE = web.AppKey("gate", Gate)


def build_app(
    accounts: Accounts,
    config: Config,
    watching: Watching | None = None,
    audit: AuditLog | None = None,
    limits: Limits | None = None,
) -> web.Application:
    """All of interLink's endpoints, answered by `accounts`, and the page, metrics and health endpoints.

    Raises BadTokenFile or ConfigError, for Access, or CannotEncrypt if a file cannot be used.
    """
    gate = Gate(
        _tokens("TokenFile", config.token_file),
        access_of(config),
        Certificates(config.tls) if config.tls.enabled and not config.socket else None,
        private=config.socket is None and is_loopback(config.bind_address),
    )
    app = _app(accounts, watching or Watching(), gate, audit, client_max_size=config.max_request_size)
    app[LIMITS] = limits or app[LIMITS]
    app[BODIES] = Bodies(config.max_request_size, app[LIMITS])
    app[RENDERING] = Rendering()
    app[EXECS] = Execs(accounts, config)
    app.add_routes([*routes, *exec_routes])
    app.on_shutdown.append(_end_followers)
    app.on_shutdown.append(_end_commands)
    return app


def build_watch_app(
    accounts: Accounts, config: Config, watching: Watching, audit: AuditLog | None = None
) -> web.Application:
    """What people and Prometheus ask, and nothing that changes anything. Raises as build_app."""
    watch = config.watch
    gate = Gate(
        _tokens("Watch.TokenFile", watch.token_file),
        access_of(config),
        Certificates(watch.tls, "Watch.") if watch.tls.enabled else None,
        private=is_loopback(watch.bind_address),
    )
    return _app(accounts, watching, gate, audit)


def build_forward_app(
    forwards: PortForwards, config: Config, audit: AuditLog | None = None, reviewer: Reviewer | None = None
) -> web.Application:
    """Connections to ports of pods, and nothing else. Raises as build_app.

    `reviewer` is for PortForward.TokenReview.
    """
    settings = config.port_forward
    gate = Gate(
        _tokens("PortForward.TokenFile", settings.token_file),
        access_of(config),
        Certificates(settings.tls, "PortForward.") if settings.tls.enabled else None,
        private=is_loopback(settings.bind_address),
        service_accounts=_service_accounts(settings, reviewer),
    )
    before = [counted, session, sentences, auditing(audit or AuditLog())]
    app = web.Application(middlewares=[*before, authentication(gate), plain])
    app[GATE] = gate
    app[LIMITS] = Limits()
    app[FORWARDS] = forwards
    app.add_routes([*forward_routes, *channel_routes])
    app.on_shutdown.append(_end_forwards)
    return app


def _service_accounts(settings: PortForward, reviewer: Reviewer | None) -> ServiceAccounts | None:
    review = settings.token_review
    if not review.audiences or reviewer is None:
        return None
    return ServiceAccounts(TokenReviews(reviewer, review.audiences), review.shadow_namespaces)


def access_of(config: Config) -> AccessList | None:
    """Return the grants of the file that Access names. Raises ConfigError."""
    return AccessList(config.access) if config.access else None


def _app(accounts: Accounts, watching: Watching, gate: Gate, audit: AuditLog | None, **options: Any) -> web.Application:
    before = [counted, *watching.middlewares, session, sentences, auditing(audit or AuditLog())]
    app = web.Application(middlewares=[*before, authentication(gate), plain], **options)
    app[GATE] = gate
    app[LIMITS] = Limits()
    if watching.metrics:
        app.router.add_get("/metrics", watching.metrics.answer)
    app[ACCOUNTS] = accounts
    app[RECENT] = watching.recent
    app.add_routes([*health_routes, *ui_routes, *openapi_routes])
    return app


def _tokens(key: str, path: Path | None) -> Tokens | None:
    return Tokens(path, key) if path else None


async def _end_forwards(app: web.Application) -> None:
    await app[FORWARDS].stop()


async def _end_commands(app: web.Application) -> None:
    app[EXECS].stop()


async def _end_followers(app: web.Application) -> None:
    for pods in app[ACCOUNTS]:
        pods.end_followers()


@contextlib.asynccontextmanager
async def serving(app: web.Application, config: Config, kept: KeptSockets | None = None) -> AsyncIterator[str]:
    """Serve until the context ends; the value is the URL, with the port that was really taken. Raises CannotListen."""
    async with _Server(app, kept or KeptSockets()) as server:
        if config.socket:
            yield await server.on_socket(Path(str(config.socket)), int(config.socket_mode, 8))
        else:
            yield await server.on_port("sidecar", config.bind_address, config.sidecar_port)


@contextlib.asynccontextmanager
async def serving_watchers(app: web.Application, watch: Watch, kept: KeptSockets | None = None) -> AsyncIterator[str]:
    """The same at Watch.Port."""
    async with _Server(app, kept or KeptSockets()) as server:
        yield await server.on_port("watch", watch.bind_address, watch.port or 0, "Watch.")


@contextlib.asynccontextmanager
async def serving_forwards(
    app: web.Application, settings: PortForward, kept: KeptSockets | None = None
) -> AsyncIterator[str]:
    """The same at PortForward.Port. Connections end with this process."""
    async with _Server(app, kept or KeptSockets()) as server:
        port = settings.port or 0
        yield await server.on_port("forward", settings.bind_address, port, "PortForward.", repeatable=False)


class _Server:
    """One application on one listening socket."""

    def __init__(self, app: web.Application, kept: KeptSockets) -> None:
        # aiohttp would inflate what it throws away, too: the body of a request that was refused
        self._runner = Runner(
            app,
            auto_decompress=False,
            access_log_class=FinishedAnswers,
            access_log=NO_LOG,
            logger=HttpLog(),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self._kept = kept
        self._accepting: Closable | None = None

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._accepting is not None:
            self._accepting.close()
        await self._runner.cleanup()

    async def on_port(self, name: str, address: str, port: int, block: str = "", *, repeatable: bool = True) -> str:
        """`block` is where the keys stand, for the sentences. See KeptSockets.accept for `repeatable`."""
        certificates = self._runner.app[GATE].certificates
        context = certificates.context if certificates else None
        try:
            listener = self._kept.listener(name, (address, port), lambda: bound_port(address, port))
        except OSError as error:
            raise CannotListen(
                f"cannot listen on {address} port {port}: {error.strerror or error}; choose another "
                f"{block or 'Sidecar'}Port or {block}BindAddress, or end what listens there"
            ) from error
        await self._accept(listener, context, repeatable=repeatable)
        taken = listener.getsockname()[1]
        scheme = "https" if context else "http"
        return f"{scheme}://[{address}]:{taken}" if ":" in address else f"{scheme}://{address}:{taken}"

    async def on_socket(self, path: Path, mode: int) -> str:
        try:
            listener = self._kept.listener("sidecar", str(path), lambda: _bound_socket(path, mode))
        except OSError as error:
            raise CannotListen(f"cannot listen on the socket {path}: {error.strerror or error}") from error
        await self._accept(listener, None)
        return f"unix://{path}"

    async def _accept(
        self, listener: socket.socket, context: ssl.SSLContext | None, *, repeatable: bool = True
    ) -> None:
        assert self._runner.server is not None  # noqa: S101 - of setup
        make = cast(Connections, self._runner.server)
        self._accepting = await self._kept.accept(listener, make, context, repeatable=repeatable)


def _bound_socket(path: Path, mode: int) -> socket.socket:
    """Set its mode before clients can connect, since a client can run shell at the site."""
    if _is_alive(path):
        raise CannotListen(f"another process listens on {path} already; end it, or choose another Socket")
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
