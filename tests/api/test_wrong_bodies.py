"""Bodies of every wrong shape to every endpoint: a 4xx with one sentence, never a 500, never a traceback."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import pods as kubernetes
from tests.api.api_client import Api
from tests.hypothesis_settings import SOAK
from tests.wrong_shapes import WRONG, places, replaced

STEP = 1 if SOAK else 3


def a_pod() -> Any:
    secret = {"name": "s", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p", "mode": 256}]}}
    return kubernetes.pod(
        kubernetes.sh(
            "c",
            "true",
            env=[{"name": "A", "value": "b"}, {"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            resources={"limits": {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}},
            volumeMounts=[{"name": "s", "mountPath": "/s", "subPath": "k"}, {"name": "h", "mountPath": "/h"}],
            securityContext={"runAsUser": 0},
            livenessProbe={"exec": {"command": ["true"]}},
        ),
        volumes=[
            secret,
            {"name": "h", "hostPath": {"path": "/tmp", "type": "Directory"}},
            {"name": "e", "emptyDir": {}},
        ],
        initContainers=[kubernetes.sh("i", "true")],
        tolerations=[{"key": "k", "operator": "Exists"}],
        activeDeadlineSeconds=60,
    )


def a_create() -> Any:
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"k": "dg=="}, "type": "Opaque"}
    body = kubernetes.request(a_pod(), secrets=[secret])
    return {**body, "jobConfig": {"a": "b"}, "jobScript": ""}


def a_log_request() -> Any:
    zero = {"Tail": 1, "Bytes": 1, "Timestamps": True, "Follow": False, "Previous": False, "SinceSeconds": 1}
    options = zero | {"SinceTime": "2026-07-14T09:46:00Z"}
    return {"Namespace": "default", "PodUID": "1", "PodName": "p", "ContainerName": "c", "Opts": options}


ENDPOINTS = [
    ("POST", "/create", a_create()),
    ("GET", "/status", [a_pod()]),
    ("POST", "/delete", a_pod()),
    ("DELETE", "/delete", a_pod()),
    ("GET", "/getLogs", a_log_request()),
]


@pytest.mark.parametrize(("method", "path", "right"), ENDPOINTS, ids=[f"{each[0]} {each[1]}" for each in ENDPOINTS])
async def test_each_place_with_each_wrong_value(serve: Any, method: str, path: str, right: Any) -> None:
    api: Api = await serve()
    await api.looked()
    wrong = [(place, value) for place in places(right) for value in WRONG][::STEP]
    for place, value in wrong:
        reply = await api.ask(method, path, json=replaced(right, place, value))
        assert reply.status < 500 or (path == "/getLogs" and reply.status == 503), (place, value, reply)
        assert "Traceback" not in reply.text
        if reply.status != 200:
            assert "\n" not in reply.text
            assert len(reply.text) > 10


@pytest.mark.parametrize("path", ["/create", "/status", "/delete", "/getLogs"])
@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 100_000, b"nan", b"null", b"7"])
async def test_what_is_no_json_or_no_object(serve: Any, path: str, raw: bytes) -> None:
    api: Api = await serve()
    reply = await api.send("GET" if path in ("/status", "/getLogs") else "POST", path, raw)
    if (path, raw) == ("/status", b"null"):
        assert reply.status == 200  # an empty list, as Go spells it: the ping
        return
    assert 400 <= reply.status < 500, reply
    assert len(reply.text.splitlines()) == 1


async def test_an_empty_body_is_called_so(serve: Any) -> None:
    api: Api = await serve()
    assert (await api.send("POST", "/create", b"")).text == "the body of POST /create is not JSON: it is empty"


async def test_another_encoding_than_the_header_says(serve: Any) -> None:
    api: Api = await serve()
    reply = await api.send("POST", "/create", b"{}", **{"Content-Encoding": "gzip"})
    sentence = "POST /create: send the body without a Content-Encoding"
    assert (reply.status, reply.text) == (415, sentence)


async def test_a_body_whose_chunks_are_none(serve: Any) -> None:
    api: Api = await serve()
    reply = await raw(api, b"POST /create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert reply.split(b" ")[1] == b"400"


async def test_another_method_or_path_names_the_right_ones(serve: Any) -> None:
    api: Api = await serve()
    wrong = await api.get("/create")
    assert (wrong.status, wrong.text) == (405, "GET /create is not answered: ask with POST")
    assert (await api.ask("PUT", "/delete")).text == "PUT /delete is not answered: ask with DELETE or POST"
    unknown = await api.get("/logs")
    assert unknown.status == 404
    assert unknown.text.startswith(
        "GET /logs is not answered here: the paths are /create, /delete, /describe, /getLogs, "
    )


async def raw(api: Api, text: bytes) -> bytes:
    """The first line that comes back."""
    parts = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(text)
    line = await reader.readline()
    writer.close()
    return line
