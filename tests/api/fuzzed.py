"""Requests of any kind for every endpoint, and a server to send them to."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from hypothesis import strategies as st

from remote_slurm.api.app import build_app, serving
from remote_slurm.api.metrics import Metrics
from remote_slurm.api.openapi import document
from remote_slurm.api.watching import Watching
from remote_slurm.config import load_config
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from tests.api.test_wrong_bodies import ENDPOINTS
from tests.fake_site import instant_site
from tests.wrong_shapes import ANY_JSON, WRONG, places, replaced

PATHS = sorted(document()["paths"])
METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "TRACE", "get", "X"]
HEADERS = [
    "Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Type", "Cookie", "Expect",
    "Host", "If-Modified-Since", "InterLink-Http-Session", "Origin", "Range", "Referer", "Transfer-Encoding", "Upgrade",
    "X-Forwarded-For", "traceparent", "tracestate",
]  # fmt: skip
HOSTILE = [
    "[::1", "%zz", "\u2028", "9" * 400, "-" * 300, "$(" * 200, "../" * 100, "a" * 300, "\x00", "\ud7ff", "\U0010ffff",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "1e999", "-0", "00-" + "f" * 32 + "-" + "f" * 16 + "-01",
    "gzip", "chunked", "100-continue", "bytes=0-", "websocket", "Basic " + "=" * 9, "Bearer",
    "text/plain;version=0.0.4",
]  # fmt: skip
LINE = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=40)
# What is no HTTP is answered with HTTP/1.0
_STATUS = re.compile(rb"(?:\A|\n)HTTP/1\.[01] ([0-9]{3})")
VALUES = ANY_JSON | TEXTS | st.sampled_from(WRONG) | st.integers(-(10**40), 10**40)


@st.composite
def right_but_for_one_place(draw: Any) -> tuple[str, str, bytes]:
    method, path, right = draw(st.sampled_from(ENDPOINTS))
    body = replaced(right, draw(st.sampled_from(list(places(right)))), draw(VALUES))
    return method, path, json.dumps(body).encode()


@st.composite
def any_request(draw: Any) -> tuple[str, str, bytes]:
    path = draw(st.sampled_from(PATHS) | TEXTS.map(lambda text: "/" + quote(text)))
    if draw(st.booleans()):
        names = st.sampled_from(["pod", "container", "x"])
        query = draw(st.lists(st.tuples(names, TEXTS), max_size=3))
        path += "?" + "&".join(f"{name}={quote(value)}" for name, value in query)
    body = draw(VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
    return draw(st.sampled_from(METHODS)), path, body


@st.composite
def requests(draw: Any) -> bytes:
    """The bytes of one HTTP request, whose answer ends with the connection."""
    method, path, body = draw(right_but_for_one_place() | any_request())
    chosen = draw(st.dictionaries(st.sampled_from(HEADERS), LINE | st.sampled_from(HOSTILE), max_size=4))
    headers = {"Host": "localhost", **chosen, "Connection": "close", "Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(line.replace("\r", "").replace("\n", "") for line in lines) + "\r\n\r\n"
    request: bytes = head.encode(errors="replace") + body
    return request


def status_of(address: tuple[str, int], request: bytes) -> tuple[int, bytes]:
    """The status of the answer, and all that came; 0 where the connection ended without one."""
    with socket.create_connection(address, timeout=60) as connection:
        said = b""
        try:
            connection.sendall(request)
            while data := connection.recv(65536):
                said += data
        except ConnectionError:
            pass
    codes = [int(code) for code in _STATUS.findall(said) if code != b"100"]
    return codes[0] if codes else 0, said


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a server in front of a site that is well."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        ssh = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}
        (folder / "SlurmConfig.yaml").write_text(
            yaml.safe_dump({"SSH": ssh, "SidecarPort": 0, "StateFolder": str(folder)})
        )
        config = load_config(folder / "SlurmConfig.yaml", {"HOME": "/home/me"})
        metrics = Metrics()
        site = instant_site()
        site.observer = metrics
        pods = Pods(site, config, Journal(config.state_folder))
        accounts = Accounts({"": pods}, config)
        metrics.read(accounts, config.tls)
        pods.start()
        while pods.poller.last_success is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        async with serving(build_app(accounts, config, Watching(metrics=metrics)), config) as url:
            parts = urlsplit(url)
            found.extend([(parts.hostname, parts.port), asyncio.get_running_loop()])
            ready.set()
            await stop.wait()
        await pods.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(stop.set)
        thread.join()
