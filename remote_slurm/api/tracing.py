"""Traces over OpenTelemetry: a span for each request, within the trace that interLink began, and one for each operation
at the site within that.

This module needs the packages of the extra `tracing`, and is imported only where ENABLE_TRACING asks for it. Nothing
global is set: the provider belongs to one sidecar.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from remote_slurm import __version__, log
from remote_slurm.api.middleware import SESSION_HEADER
from remote_slurm.config import Config
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import info
from remote_slurm.ssh.observer import Observer

# As the reference plugin calls them, so that a dashboard finds them again; other paths are not interLink's
_SPANS = {
    "/create": "Create",
    "/status": "Status",
    "/delete": "Delete",
    "/getLogs": "GetLogs",
    "/system-info": "SystemInfo",
}
_SERVER_ERROR = 500
_LAST_SPANS_SECONDS = 5


class CannotTrace(RemoteSlurmError):
    """What TELEMETRY_... names cannot be used."""


class Tracing(Observer):
    """Sends spans to the collector in the background: one that cannot be reached costs a line of log, no request."""

    def __init__(self, config: Config) -> None:
        """Raises CannotTrace."""
        exporter = _exporter(config)
        service = f"Plugin-{config.telemetry_unique_id or uuid.uuid4()}"
        resource = Resource({SERVICE_NAME: service, SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("remote_slurm", __version__)
        self._propagator = TraceContextTextMapPropagator()
        log.listen_to("opentelemetry")
        info("sending traces", endpoint=config.telemetry_endpoint, service=service)

    async def close(self) -> None:
        """Send what is left, for a moment."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._provider.shutdown), _LAST_SPANS_SECONDS)

    @web.middleware
    async def trace(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A span for each request of interLink, which goes on with its trace."""
        name = _SPANS.get(request.path)
        if name is None:
            return await handler(request)
        parent = self._propagator.extract(request.headers)
        attributes = {"http.request.method": request.method, "http.route": request.path}
        if session := request.headers.get(SESSION_HEADER, ""):
            attributes["interlink.session"] = session[:100]
        with self._tracer.start_as_current_span(name, parent, SpanKind.SERVER, attributes) as span:
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= _SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
            return response

    @contextmanager
    def operation(self, name: str, pod: str = "") -> Iterator[None]:
        attributes = {"remote_slurm.operation": name} | ({"remote_slurm.pod": pod} if pod else {})
        with self._tracer.start_as_current_span(f"ssh {name}", kind=SpanKind.CLIENT, attributes=attributes):
            yield


def _exporter(config: Config) -> OTLPSpanExporter:
    endpoint = config.telemetry_endpoint
    if (config.telemetry_client_key is None) != (config.telemetry_client_cert is None):
        raise CannotTrace(
            "TELEMETRY_CLIENT_KEY_FILEPATH and TELEMETRY_CLIENT_CRT_FILEPATH go together: set both or none"
        )
    if config.telemetry_ca is None and config.telemetry_client_key:
        raise CannotTrace(
            "TELEMETRY_CLIENT_KEY_FILEPATH goes with TELEMETRY_CA_CRT_FILEPATH: without it nothing is encrypted"
        )
    if config.telemetry_ca is None:
        return OTLPSpanExporter(endpoint, insecure=True)
    authorities = _pem("TELEMETRY_CA_CRT_FILEPATH", config.telemetry_ca)
    key = _pem("TELEMETRY_CLIENT_KEY_FILEPATH", config.telemetry_client_key)
    certificate = _pem("TELEMETRY_CLIENT_CRT_FILEPATH", config.telemetry_client_cert)
    return OTLPSpanExporter(
        endpoint, insecure=False, credentials=grpc.ssl_channel_credentials(authorities, key, certificate)
    )


def _pem(key: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CannotTrace(f"{key} {path} cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in text:
        raise CannotTrace(f"{key} {path} is not in PEM")
    return text
