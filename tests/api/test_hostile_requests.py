"""Requests of a client that means harm: refused with a sentence and a 4xx, in a time that does not depend on it."""

import json
import logging
from itertools import product
from typing import Any

import pytest

from remote_slurm import log
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.site.operations.log import NoLog, OpenLog
from tests import pods as kubernetes
from tests.api.api_client import Api, until
from tests.fake_site import FakeSite, instant_site


def a_create(**container: Any) -> Any:
    return kubernetes.request(kubernetes.pod(kubernetes.sh("c", "true", **container)))


HOSTS = ["[::1", "[", "a]b", "[v1.x]", "\u00e9", "x" * 5000, ":", "1234:5678::1:8080", "a:b:c"]


async def test_a_host_that_is_none(serve: Any) -> None:
    api: Api = await serve()
    for host, path in product(HOSTS, ["/pods", "/ui/state", "/metrics", "/system-info"]):
        reply = await api.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert reply.status == 403, reply


async def test_system_info_is_for_this_machine_alone_as_the_page_is(serve: Any) -> None:
    """A foreign name server may resolve another name to this address, and a browser reads the answer then."""
    api: Api = await serve()
    assert (await api.ask("GET", "/system-info", Host="evil.example.org")).status == 403


@pytest.mark.parametrize(
    "flags", ["-t " + "9" * 400, "--time=9:" + "9" * 400, "--time=" + "9" * 300 + "-1", "-t \u0665"]
)
@pytest.mark.parametrize("deadline", [None, 60])
async def test_a_time_of_400_digits_is_slurm_s_to_refuse(serve: Any, flags: str, deadline: int | None) -> None:
    api: Api = await serve()
    await api.looked()
    body = a_create(lifecycle={"preStop": {"exec": {"command": ["true"]}}})
    body["pod"]["metadata"]["annotations"] = {"slurm-job.vk.io/flags": flags}
    if deadline:
        body["pod"]["spec"]["activeDeadlineSeconds"] = deadline
    assert (await api.ask("POST", "/create", json=body)).status == 200


@pytest.mark.parametrize("value", [10**400, 2**31, -(10**30)])
@pytest.mark.parametrize("field", ["activeDeadlineSeconds"])
async def test_a_number_that_kubernetes_cannot_hold(serve: Any, field: str, value: int) -> None:
    api: Api = await serve()
    body = a_create()
    body["pod"]["spec"][field] = value
    reply = await api.ask("POST", "/create", json=body)
    assert (reply.status, field in reply.text) == (400, True)


@pytest.mark.parametrize("gres", ["gpu:\u00b2", "gpu:" + "9" * 3000, "gpu:a:\u0665"])
async def test_a_count_of_gpus_that_is_none(serve: Any, gres: str) -> None:
    api: Api = await serve(Flavors={"gpu": {"Name": "gpu", "SlurmFlags": ["--gres=gpu:1"]}})
    await api.looked()
    body = a_create(resources={"limits": {"nvidia.com/gpu": "1"}})
    body["pod"]["metadata"]["annotations"] = {"slurm-job.vk.io/flags": f"--gres={gres}"}
    assert (await api.ask("POST", "/create", json=body)).status == 200


OPTIONS = [
    {"SinceSeconds": 10**400},
    {"SinceSeconds": 2**63},
    {"SinceTime": "0001-01-01T00:00:01+23:59"},
    {"SinceTime": "9999-12-31T23:59:59-23:59"},
    {"Tail": 10**400},
    {"Bytes": 10**400},
    {"Tail": -(10**400), "Bytes": -1, "SinceSeconds": -(10**400)},
]


class SlicedSite(FakeSite):
    """Remembers what of logs it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.slices: list[LogSlice] = []

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        self.slices.append(what)
        return await super().open_log(what, over=over, at=at)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_options_of_a_log_that_no_clock_or_shell_can_hold(serve: Any, options: Any) -> None:
    site = SlicedSite()
    api: Api = await serve(site)
    await api.looked()
    reply = await api.ask("GET", "/getLogs", json={"PodUID": "1", "ContainerName": "c", "Opts": options})
    assert reply.status == 400
    assert "has no folder at the site" in reply.text  # so it was asked
    asked = site.slices[-1]
    assert (asked.since or 0) >= 0
    assert (asked.lines or 0) < 2**63
    assert (asked.limit_bytes or 0) < 2**63


async def test_an_expectation_that_is_no_text(serve: Any) -> None:
    """aiohttp answers before any middleware, and could not encode what it said."""
    api: Api = await serve()
    for path in (b"/healthz", b"/nowhere", b"/create"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nExpect: \xa9\r\nContent-Length: 0\r\n\r\n"
        assert (await api.raw(head)).status == 417


TARGETS = [
    b"PUT ///]ufd/:",
    b"GET http://[::1/pods",
    b"GET http://evil.example.org/pods",
    b"CONNECT a:99999999",
    b"OPTIONS *",
]


async def test_a_target_that_is_none(serve: Any) -> None:
    api: Api = await serve()
    for target in TARGETS:
        reply = await api.raw(target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert 400 <= reply.status < 500, (target, reply)


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("follow", [False, True])
async def test_interlink_gets_the_reason_for_a_missing_log_as_log(serve: Any, *, away: bool, follow: bool) -> None:
    """Of any other status `kubectl logs` shows nothing; a person at the command line gets the status."""
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    if away:
        site.down = True
    body = {"PodUID": "1", "ContainerName": "c", "Opts": {"Follow": follow}}
    reply = await api.ask("GET", "/getLogs", json=body, **{"InterLink-Http-Session": "GetLogs#1"})
    assert reply.status == 200
    words = "no route to the site" if away else "there is no log of container 'c': its pod has no folder at the site"
    assert reply.text.startswith(f"remote-slurm: {words}")
    assert reply.text.count("\n") == 1
    assert (await api.ask("GET", "/getLogs", json=body)).status == (503 if away else 400)


@pytest.mark.parametrize("follow", [False, True])
async def test_an_empty_log_of_a_deleted_pod_says_that_it_is_being_deleted(serve: Any, *, follow: bool) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    request = a_create()
    await api.ask("POST", "/create", json=request)
    account, key = site.account, kubernetes.key(request["pod"])
    job = next(iter(account.jobs.values()))
    account.start(job)
    account.finish(job, 0)
    account.logs[key] = b""
    body = {"PodUID": request["pod"]["metadata"]["uid"], "ContainerName": "c", "Opts": {"Follow": follow}}
    asked: dict[str, Any] = {"json": body, "InterLink-Http-Session": "GetLogs#1"}
    assert (await api.ask("GET", "/getLogs", **asked)).text == ""
    account.stuck[key] = "Device or resource busy"
    await api.ask("POST", "/delete", json=request["pod"])
    reply = await api.ask("GET", "/getLogs", **asked)
    assert (reply.status, reply.text) == (200, "remote-slurm: the log is empty: its pod is being deleted\n")
    assert (await api.ask("GET", "/getLogs", json=body)).text == ""


NO_JSON = [b"[NaN]", b"[Infinity]", b"[1" + b"0" * 5000 + b"]", b'{"a":' * 5000 + b"1" + b"}" * 5000]
ENDPOINTS = [("POST", "/create"), ("GET", "/status"), ("POST", "/delete"), ("GET", "/getLogs")]


async def test_json_that_is_none(serve: Any) -> None:
    api: Api = await serve()
    for body, (method, path) in product(NO_JSON, ENDPOINTS):
        reply = await api.send(method, path, body)
        assert reply.status == 400
        assert "is not JSON" in reply.text


async def test_what_is_nested_deeply_where_it_is_read(serve: Any) -> None:
    api: Api = await serve()
    for levels in (80, 300, 900):
        affinity: Any = 1
        for _ in range(levels):
            affinity = {"a": affinity}
        body = a_create()
        body["pod"]["spec"]["affinity"] = affinity
        assert (await api.ask("POST", "/create", json=body)).status == 400


async def test_a_path_of_300_characters_is_refused_before_the_site_is_asked(serve: Any) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    for where in ("uid", "namespace"):
        body = a_create()
        body["pod"]["metadata"][where] = "x" * 200
        reply = await api.ask("POST", "/create", json=body)
        assert (reply.status, where in reply.text) == (400, True)
        assert (await api.ask("POST", "/delete", json=body["pod"])).status == 400
    assert site.asked["submit"] == 0


async def test_an_answer_is_a_sentence_also_if_the_request_is_a_book(serve: Any) -> None:
    api: Api = await serve()
    body = a_create(volumeMounts=[{"name": "x" * 100, "mountPath": "y" * 100_000}])
    reply = await api.ask("POST", "/create", json=body)
    assert reply.status == 400
    assert len(reply.text) < 2000


async def test_system_info_asks_the_site_once_for_many(serve: Any) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    replies = [json.loads((await api.get("/system-info")).text) for _ in range(20)]
    assert {each["status"] for each in replies} == {"ok"}
    assert site.asked["sinfo"] == 1


async def test_what_asks_together_is_answered_together(serve: Any) -> None:
    import asyncio

    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    await asyncio.gather(*(api.get("/system-info") for _ in range(20)))
    assert site.asked["sinfo"] == 1


async def test_a_site_that_cannot_be_asked_is_said_by_system_info(serve: Any) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    site.down = True
    assert json.loads((await api.get("/system-info")).text)["error"] == "no route to the site"
    await until(lambda: api.pods.poller.error or True)


MALFORMED = [
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA b\x01: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b'GET /"}{\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n',
]


@pytest.mark.parametrize("request_", MALFORMED, ids=[str(each[:30]) for each in MALFORMED])
async def test_a_malformed_request_is_one_line_of_json_in_the_log(
    serve: Any, request_: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    loggers = [logging.getLogger(name) for name in ("remote_slurm", "aiohttp", "asyncio")]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    log.configure(verbose=True, errors_only=False, as_json=True)
    try:
        api: Api = await serve()
        reply = await api.raw(request_)
        assert 400 <= reply.status < 500
    finally:
        for each, handlers, level, propagate in before:
            each.handlers[:], each.level, each.propagate = handlers, level, propagate
    lines = capsys.readouterr().err.splitlines()
    assert lines
    for line in lines:
        entry = json.loads(line)
        assert entry["level"]
        assert "\n" not in entry["message"]
