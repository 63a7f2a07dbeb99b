"""What clients may take of the HTTP server: connections, memory and time."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are in seconds.

    `connections`: open at once. `header_seconds`: from the first byte of a request to the last of its headers; also for
    a TLS handshake. `idle_seconds`: between requests. interLink's client (Go's http.Transport) closes its connections
    after 90 s, and must be the first to do so: a create on a connection that closes at that moment is lost.

    A body may take `body_seconds`, plus its size by `body_bytes_per_second`. A large body waits `memory_seconds` for
    the memory that it needs. `reader_seconds`: how long the reader of a log may take nothing.
    """

    connections: int = 512
    header_seconds: float = 30.0
    idle_seconds: float = 300.0
    body_seconds: float = 20.0
    body_bytes_per_second: int = 512 * 1024
    memory_seconds: float = 40.0
    reader_seconds: float = 60.0


LIMITS = web.AppKey("limits", Limits)
