"""The data for the page at /ui and `remote-slurm top`; the page itself is tested in a browser elsewhere."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.log import Recent
from remote_slurm.service.dashboard import MOST_PODS
from remote_slurm.site.operations.list import Listed
from tests.api.api_client import Api, Reply, basic, bearer, until
from tests.domain.podspec import container, pod
from tests.fake_site import FakeSite, SlurmJob, instant_site
from tests.sites import free_port

Serve = Callable[..., Any]
TOKEN = "0123456789abcdef"


async def state(api: Api, **headers: str) -> Any:
    return json.loads((await api.get("/ui/state", **headers)).text)


def ended(pod: str, code: int, name: str = "c", message: str = "") -> Record:
    return Record(pod, name, ContainerPhase.TERMINATED, 100, 200, code, 0, message)


async def test_the_state_of_the_site(serve: Serve) -> None:
    api: Api = await serve(PollInterval=7)
    await api.looked()
    site = (await state(api))["site"]
    assert site["address"] == "hpcuser@login.example.org:22/.interlink/jobs"
    assert [site[key] for key in ("reachable", "error", "host", "roundTripSeconds")] == [True, "", "login1", 0.05]
    assert site["lastPollSeconds"] < 60
    assert [site[key] for key in ("pollIntervalSeconds", "sessionsInUse", "sessionsLimit")] == [7, 1, 8]


async def test_an_unreachable_site_is_shown_and_not_queried(serve: Serve) -> None:
    site = FakeSite(down=True)
    api: Api = await serve(site)
    api.pods.start()
    await until(lambda: "no route" in api.pods.poller.error)
    reported = await state(api)
    assert (reported["site"]["reachable"], reported["site"]["error"]) == (False, "no route to the site")
    assert (reported["site"]["lastPollSeconds"], reported["partitions"], reported["pods"]) == (None, None, [])
    assert not site.asked["partitions"] + site.asked["list"]


async def test_partitions_are_queried_seldom_and_only_while_the_page_is_open(serve: Serve) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    assert site.asked["partitions"] == 0
    for _ in range(5):
        (partition,) = (await state(api))["partitions"]
    assert (site.asked["partitions"], site.asked["list"]) == (1, 0)
    assert [partition[key] for key in ("name", "default", "up", "cpus", "free")] == ["main", True, True, 8, 3]


def job(state: JobState, reason: str = "None") -> SlurmJob:
    return SlurmJob("7", "ns-1", state, reason)


PHASES = [
    (job(JobState.PENDING, "Priority"), [], "waiting", "Priority: jobs of higher priority come first"),
    (job(JobState.RUNNING), [], "running", ""),
    (job(JobState.COMPLETED), [ended("ns-1", 0)], "succeeded", ""),
    (job(JobState.FAILED, "NonZeroExitCode"), [ended("ns-1", 3)], "failed", "c ended with exit code 3"),
    (
        job(JobState.TIMEOUT, "TimeLimit"),
        [ended("ns-1", 143, message="the job was told to stop")],
        "failed",
        "TimeLimit; c ended with exit code 143: the job was told to stop",
    ),
]


@pytest.mark.parametrize(("listed", "records", "phase", "reason"), PHASES, ids=[each[0].state.value for each in PHASES])
async def test_a_pod_and_its_state(
    serve: Serve, listed: SlurmJob, records: list[Record], phase: str, reason: str
) -> None:
    site = instant_site()
    site.account.add(listed, *records)
    api: Api = await serve(site)
    tracked = api.pods.pod_store.add("ns-1", "ns/one")
    tracked.container_names = ("c",)
    await api.looked()
    reported = await state(api)
    (row,) = reported["pods"]
    assert [row[key] for key in ("name", "jobId", "state", "phase", "reason")] == [
        "ns/one", "7", listed.state.value, phase, reason
    ]  # fmt: skip
    assert reported["counts"] == {phase: 1}
    assert row["ageSeconds"] < 60


async def test_what_a_pod_has_used(serve: Serve) -> None:
    site = instant_site()
    times: dict[str, Any] = {"submitted": 100, "start": 340, "end_time": 3940}
    used = JobUsage(Source.CGROUP, 6912.0, 3599, 16, 0, 3 << 30, 64 << 30)
    record = replace(ended("ns-1", 0), number=1, usage=used)
    site.account.add(SlurmJob("7", "ns-1", JobState.COMPLETED, **times), record)
    api: Api = await serve(site)
    await api.looked()
    (row,) = (await state(api))["pods"]
    assert row["usage"]["text"] == "used 12% of 16 CPUs and 3 of 64 GiB; waited 4 min, ran 1 h"
    assert [row["usage"][key] for key in ("cpuSeconds", "waitedSeconds", "wallSeconds", "source")] == [
        6912.0,
        240,
        3600,
        "cgroup",
    ]
    listed = json.loads((await api.get("/pods")).text)["pods"]
    assert [each["usage"] for each in listed] == [row["usage"]]


async def test_the_last_hours_are_served_without_names_of_pods(serve: Serve) -> None:
    api: Api = await serve(instant_site(job(JobState.RUNNING), SlurmJob("8", "ns-2", reason="Priority")))
    await api.looked()
    await api.pods.history.sample()
    text = (await api.get("/ui/history")).text
    reported = json.loads(text)
    assert reported["pods"] == {"waiting": [1], "running": [1], "failed": [0]}
    assert (reported["submitSeconds"], reported["waitSeconds"], len(reported["times"])) == ([None], {}, 1)
    assert "ns-1" not in text


async def test_the_node_and_the_ports_of_a_pod(serve: Serve) -> None:
    site = instant_site(SlurmJob("7", "ns-1", JobState.RUNNING, node="cn042"))
    api: Api = await serve(site, PortForward={"Port": 4002, "TokenFile": "/etc/tokens"})
    probed = container("b", ports=[{"containerPort": 8888}, {"containerPort": 53, "protocol": "UDP"}])
    api.pods.pod_store.add("ns-1").describe(parse_pod(pod(container("a"), probed), "a test"))
    await api.looked()
    reported = await state(api)
    (row,) = reported["pods"]
    assert (row["node"], row["ports"]) == ("cn042", [8888])
    assert reported["forward"] == {"scheme": "http", "port": 4002}


async def test_no_forward_is_offered_without_its_port(serve: Serve) -> None:
    api: Api = await serve()
    await api.looked()
    assert (await state(api))["forward"] is None


async def test_where_shells_are_opened_is_shown_if_they_can_be(serve: Serve) -> None:
    port = free_port()
    for keys, expected in (
        ({"EnableExec": True, "SidecarPort": port}, {"scheme": "http", "port": port}),
        ({"EnableExec": True, "SidecarPort": 0}, None),
        ({}, None),
    ):
        api: Api = await serve(**keys)
        await api.looked()
        assert (await state(api))["exec"] == expected


async def test_pods_of_an_earlier_process_get_names_while_the_page_is_open(serve: Serve) -> None:
    site = instant_site(job(JobState.RUNNING))
    site.account.listed["ns-1"] = Listed("ns-1", "ns/one", 30, ("prepare",), ("c",), "7", 600, ())
    api: Api = await serve(site)
    await api.looked()
    for _ in range(3):
        (row,) = (await state(api))["pods"]
    assert row["name"] == "ns/one"
    assert [each["name"] for each in row["containers"]] == ["prepare", "c"]
    assert 600 <= row["ageSeconds"] < 660
    assert (site.asked["partitions"], site.asked["list"]) == (1, 1)


async def test_of_very_many_pods_the_most_urgent_are_shown(serve: Serve) -> None:
    jobs = [SlurmJob(str(number), f"ns-{number}", JobState.COMPLETED) for number in range(1, MOST_PODS + 10)]
    jobs[-1] = SlurmJob("9999", jobs[-1].pod, JobState.RUNNING)
    api: Api = await serve(instant_site(*jobs))
    await api.looked()
    reported = await state(api)
    assert len(reported["pods"]) == MOST_PODS
    assert reported["pods"][0]["jobId"] == "9999"
    assert sum(reported["counts"].values()) == MOST_PODS + 9


async def test_what_failed_lately(serve: Serve) -> None:
    recent = Recent(most=2)
    log = logging.getLogger("remote_slurm")
    log.addHandler(recent)
    try:
        api: Api = await serve(recent=recent)
        for name in ("a", "b", "b", "c"):
            assert (await api.get(f"/{name}")).status == 404
        log.debug("a detail")
    finally:
        log.removeHandler(recent)
    troubles = (await state(api))["troubles"]
    assert [each["request"] for each in troubles] == ["GET /c", "GET /b"]
    assert troubles[0]["level"] == "WARNING"


@pytest.mark.parametrize(
    "query", ["", "?pod=ns-1", "?pod=../x&container=c", "?pod=ns-1&container=../../x", "?pod=ns-2&container=c"]
)
async def test_no_other_logs_than_those_of_its_pods(serve: Serve, query: str) -> None:
    api: Api = await serve(instant_site(job(JobState.RUNNING)))
    api.pods.pod_store.add("ns-1", "ns/one").container_names = ("c",)
    await api.looked()
    assert (await api.get(f"/ui/log{query}")).status == 400


@pytest.mark.parametrize("path", ["/ui", "/ui/page.css", "/ui/page.js", "/ui/state", "/ui/history"])
async def test_a_browser_sends_the_token_as_a_password_and_loads_no_other_host(
    serve: Serve, tmp_path: Path, path: str
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    api: Api = await serve(TokenFile=str(token))
    asked: Reply = await api.get(path)
    assert asked.status == 401
    assert asked.headers["WWW-Authenticate"].startswith('Basic realm="remote-slurm')
    for shown in (basic("me", TOKEN), basic("", TOKEN), bearer(TOKEN)):
        reply = await api.get(path, Authorization=shown)
        assert reply.status == 200
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["Cache-Control"] == "no-store"
    for wrong in (basic(TOKEN, ""), basic("me", TOKEN[:-1]), "Basic ???"):
        assert (await api.get(path, Authorization=wrong)).status == 401


async def test_a_slash_at_its_end_leads_to_the_page(serve: Serve) -> None:
    api: Api = await serve()
    assert "<title>remote-slurm</title>" in (await api.get("/ui/")).text


async def test_there_are_no_other_files(serve: Serve) -> None:
    api: Api = await serve()
    for path in ("/ui/index.html", "/ui/page.py", "/ui/..%2fapp.py", "/ui/page.js/x"):
        assert (await api.get(path)).status == 404


async def test_a_page_cannot_change_anything(serve: Serve) -> None:
    api: Api = await serve()
    for path in ("/ui", "/ui/state", "/ui/history", "/ui/log", "/ui/page.js"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await api.ask(method, path)).status == 405


async def test_containers_of_a_packed_script_are_known_by_their_records(serve: Serve) -> None:
    """Where nodes see nothing of the login node, what comes after a pod's own shell travels packed."""
    site = instant_site()
    site.account.add(job(JobState.COMPLETED), ended("ns-1", 0))
    site.account.listed["ns-1"] = Listed("ns-1", "ns/p", 30, (), (), "7", 0, ())
    api: Api = await serve(site)
    await api.looked()
    (row,) = (await state(api))["pods"]
    assert (row["name"], [each["name"] for each in row["containers"]]) == ("ns/p", ["c"])
