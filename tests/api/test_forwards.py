"""PortForward.Port: connections to ports of running pods, for clients that may have them, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from aiohttp import WSMsgType

from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import Code
from remote_slurm.site.operations.list import Listed
from tests.api.api_client import until
from tests.fake_site import SlurmJob
from tests.forwarding import POD, PORT, TOKEN, UID, UPGRADE, Forwarding, forwarding
from tests.local_ports import echo, pour, silent

STRANGER, RENEWED = "stranger-0123456789abcdef", "renewed-0123456789abcdef"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Forwarding]:
    async with forwarding(tmp_path) as server:
        yield server


async def after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"all was: " + await reader.read())


async def audited(server: Forwarding) -> dict[str, Any]:
    await until(lambda: server.audit_file.read_text().count("\n") >= 1)
    line: dict[str, Any] = json.loads(server.audit_file.read_text().splitlines()[-1])
    return line


# --- connections ---


async def test_what_a_client_asks_every_few_seconds_is_in_no_audit_log(server: Forwarding) -> None:
    async with server.session() as session:
        for path in ("team/web", f"team/web/{PORT}/probe"):
            async with session.get(f"/forward/{path}") as reply:
                assert reply.status == 200
    async with server.listening(echo), server.connected():
        pass
    assert (await audited(server))["port"] == PORT
    assert server.audit_file.read_text().count("\n") == 1


async def test_bytes_reach_the_port_of_the_pods_node_and_come_back(server: Forwarding) -> None:
    async with server.listening(echo), server.connected() as socket:
        await socket.send_bytes(b"\x00\xffhello")
        assert (await socket.receive()).data == b"\x00\xffhello"
    assert server.site.asked["job"] == 1


async def test_a_pod_can_be_named_by_its_uid(server: Forwarding) -> None:
    async with server.listening(echo), server.connected(f"team/{UID}/{PORT}") as socket:
        await socket.send_bytes(b"hello")
        assert (await socket.receive()).data == b"hello"


async def test_a_client_that_has_sent_its_last_still_receives(server: Forwarding) -> None:
    async with server.listening(after_the_end), server.connected() as socket:
        await socket.send_bytes(b"one, ")
        await socket.send_bytes(b"two")
        await socket.send_bytes(b"")
        assert (await socket.receive()).data == b"all was: one, two"
        assert (await socket.receive()).data == b""
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1000


async def test_a_port_that_has_sent_its_last_still_receives(server: Forwarding) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        heard.set_result(await reader.read())

    async with server.listening(first), server.connected() as socket:
        assert (await socket.receive()).data == b""
        await socket.send_bytes(b"and more")
        await socket.send_bytes(b"")
        assert await heard == b"and more"
        assert (await socket.receive()).type is WSMsgType.CLOSE


async def test_a_client_that_goes_away_ends_its_connection_at_the_node(server: Forwarding) -> None:
    gone = asyncio.Event()

    async def until_gone(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async with server.listening(until_gone):
        async with server.connected() as socket:
            await socket.send_bytes(b"x")
        await asyncio.wait_for(gone.wait(), 60)


async def test_a_client_that_breaks_off_disturbs_no_other(server: Forwarding, caplog: pytest.LogCaptureFixture) -> None:
    """Also one that did not read, so that the sidecar waits to send more: aiohttp raises another error then."""
    caplog.set_level("INFO", "remote_slurm")
    async with server.listening(pour), server.listening(echo, port=PORT + 1):
        async with server.connected(f"team/web/{PORT + 1}") as other:
            for _ in range(5):
                async with server.session() as session:
                    socket = await session.ws_connect(f"/forward/team/web/{PORT}")
                    await socket.receive()
                    transport = session.connector and socket._response.connection
                    assert transport
                    assert transport.transport
                    transport.transport.pause_reading()
                    await asyncio.sleep(0.2)
                    transport.transport.abort()
            await other.send_bytes(b"still here")
            assert (await other.receive()).data == b"still here"
        await until(lambda: not server.forwards._open)
    await until(lambda: sum(record.message == "port forward closed" for record in caplog.records) == 6)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_connection_has_a_line_of_log_and_of_the_audit_log(
    server: Forwarding, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "remote_slurm"):
        async with server.listening(echo), server.connected() as socket:
            await socket.send_bytes(b"12345")
            await socket.receive()
        line = await audited(server)
    assert line["verb"] == "forward"
    assert line["outcome"] == "accepted"
    assert line["pod"] == {"namespace": "team", "name": "web", "uid": UID}
    assert line["client"]["name"] == "PortForward.TokenFile:1"
    assert (line["port"], line["node"], line["sent"], line["received"]) == (PORT, "n1", 5, 5)
    assert line["seconds"] >= 0
    fields = [record.fields for record in caplog.records if record.message == "port forward closed"]  # type: ignore[attr-defined]
    assert [(each["pod"], each["port"], each["sent"], each["client"]) for each in fields] == [
        ("team/web", PORT, 5, "PortForward.TokenFile:1")
    ]


# --- the pod ---


async def test_the_state_of_a_pod_names_its_node(server: Forwarding) -> None:
    async with server.session() as session, session.get("/forward/team/web") as answer:
        assert await answer.json() == {"pod": "team/web", "phase": "running", "node": "n1", "message": ""}


async def test_an_unknown_pod_is_not_found(server: Forwarding) -> None:
    assert await server.refusal(f"team/nobody/{PORT}") == (404, "there is no pod team/nobody")
    assert await server.refusal(f"other/web/{PORT}") == (404, "there is no pod other/web")
    assert await server.refusal(f"other/{UID}/{PORT}") == (404, f"there is no pod other/{UID}")


@pytest.mark.parametrize("name", ["..%2fweb", "web%2f..", "%00", "we*", f"x-{UID}", "", "web%0d%0aX: y"])
async def test_a_forged_name_names_no_pod(server: Forwarding, name: str) -> None:
    status, _ = await server.refusal(f"team/{name}/{PORT}")
    assert status in (400, 404)
    assert server.site.asked["port"] == 0


async def test_a_pending_pod_is_named_with_its_reason(tmp_path: Path) -> None:
    async with forwarding(tmp_path, JobState.PENDING) as server:
        server.job.reason = "Resources"
        await server.polled()
        status, sentence = await server.refusal()
        assert (status, sentence.partition(":")[0]) == (409, "pod team/web is pending")
        assert "Resources" in sentence


async def test_a_pod_that_has_started_since_the_last_poll_is_reached(tmp_path: Path) -> None:
    async with forwarding(tmp_path, JobState.PENDING) as server:
        server.job.state = JobState.RUNNING
        async with server.listening(echo), server.connected() as socket:
            await socket.send_bytes(b"hello")
            assert (await socket.receive()).data == b"hello"


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.CANCELLED])
async def test_a_pod_that_has_ended_is_gone(server: Forwarding, state: JobState) -> None:
    async with server.listening(echo):
        server.site.account.end(server.job, state)
        assert await server.refusal() == (410, "pod team/web has ended")


async def test_a_job_id_that_slurm_has_reused_is_not_the_pods(server: Forwarding) -> None:
    async with server.listening(echo):
        server.site.account.jobs["101"] = SlurmJob("101", "other-1", JobState.RUNNING, node="n1")
        status, sentence = await server.refusal()
        assert (status, sentence) == (410, "job 101 is not a job of pod team/web any more")


async def test_after_a_requeue_connections_go_to_the_new_node(server: Forwarding) -> None:
    async def name(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"n2")

    async with server.listening(silent), server.listening(name, node="n2"), server.connected() as earlier:
        server.job.node = "n2"
        async with server.connected() as socket:
            assert (await socket.receive()).data == b"n2"
        await server.polled()
        assert (await earlier.receive()).type is WSMsgType.CLOSE
        assert earlier.close_code == 1011


async def test_the_port_is_connected_while_squeue_is_asked(server: Forwarding) -> None:
    connected = asyncio.Event()

    async def noticed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await echo(reader, writer)

    server.site.account.squeue_waits_for = connected
    async with server.listening(noticed), asyncio.timeout(60), server.connected() as socket:
        await socket.send_bytes(b"hello")
        assert (await socket.receive()).data == b"hello"
    assert (server.site.asked["job"], server.site.asked["port"]) == (1, 1)


@pytest.mark.parametrize("change", ["another node", "ended", "another pod", "squeue fails"])
async def test_no_byte_reaches_a_node_that_squeue_does_not_confirm(server: Forwarding, change: str) -> None:
    """A connection to the node of the last poll is open when squeue shows the change, and the client has sent bytes."""
    connected, heard = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def earlier(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connected.set()
        heard.set_result(await reader.read())

    account = server.site.account
    account.squeue_waits_for = connected
    if change == "another node":
        server.job.node = "n2"
    elif change == "ended":
        account.end(server.job, JobState.COMPLETED)
    elif change == "another pod":
        account.jobs["101"] = SlurmJob("101", "other-1", JobState.RUNNING, node="n1")
    else:
        account.squeue_fails = "Unable to contact slurm controller"
    ask = "\r\n".join(f"{name}: {value}" for name, value in {**UPGRADE, "Authorization": f"Bearer {TOKEN}"}.items())
    frame = b"\x82\x86\0\0\0\0secret"
    async with asyncio.timeout(60), server.listening(earlier), server.listening(echo, node="n2"):
        url = urlsplit(server.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(f"GET /forward/team/web/{PORT} HTTP/1.1\r\nHost: x\r\n{ask}\r\n\r\n".encode() + frame)
        await reader.readuntil(b"\r\n\r\n")
        if change == "another node":
            assert await reader.readexactly(8) == b"\x82\x06secret"
        assert await heard == b""
        writer.close()


async def test_a_connection_ends_with_the_pods_job(server: Forwarding) -> None:
    async with server.listening(silent), server.connected() as socket:
        server.site.account.end(server.job, JobState.COMPLETED)
        await server.polled()
        message = await socket.receive()
        assert message.type is WSMsgType.CLOSE
        assert "team/web" in (message.extra or "")


async def test_a_node_with_a_strange_name_is_not_asked_for(server: Forwarding) -> None:
    server.job.node = "-oProxyCommand=x"
    await server.polled()
    status, sentence = await server.refusal()
    assert status == 503
    assert "does not show the node" in sentence
    assert server.site.asked["port"] == 0


async def test_a_port_where_nothing_listens_is_named(server: Forwarding) -> None:
    status, sentence = await server.refusal()
    assert (status, sentence) == (502, f"nothing listens on port {PORT} of n1")


async def test_a_site_that_is_away_is_unavailable(server: Forwarding) -> None:
    server.site.down = True
    assert (await server.refusal())[0] == 503


async def test_a_squeue_that_fails_forwards_nothing(server: Forwarding) -> None:
    async with server.listening(echo):
        server.site.account.squeue_fails = "slurm_load_jobs error: Unable to contact slurm controller"
        status, sentence = await server.refusal()
        assert (status, sentence) == (503, "slurm_load_jobs error: Unable to contact slurm controller")


async def test_the_pod_of_a_name_is_the_one_that_runs(server: Forwarding) -> None:
    earlier = server.pods.pod_store.get(POD)
    assert earlier
    earlier.deleted = True
    uid = UID.replace("1", "2")
    server.site.account.add(SlurmJob("102", f"team-{uid}", JobState.RUNNING, node="n2"))
    server.pods.pod_store.add(f"team-{uid}", "team/web").set_job_id("102")
    async with server.listening(echo, node="n2"), server.connected() as socket:
        await socket.send_bytes(b"hello")
        assert (await socket.receive()).data == b"hello"


async def test_a_pod_unnamed_since_the_start_is_found_by_its_name(server: Forwarding) -> None:
    tracked = server.pods.pod_store.get(POD)
    assert tracked
    tracked.name = POD
    server.site.account.listed[POD] = Listed(POD, "team/web", 30, (), (), "101", 0, ())
    assert (await server.refusal())[0] == 502
    assert server.site.asked["list"] == 1
    assert (await server.refusal(f"team/nobody/{PORT}"))[0] == 404
    assert server.site.asked["list"] == 1


async def test_a_login_node_that_does_not_forward_is_passed_by_through_the_job(server: Forwarding) -> None:
    server.site.account.forwards = Code.FORWARDING_PROHIBITED
    async with server.listening(echo):
        for _ in range(2):
            async with server.connected() as socket:
                await socket.send_bytes(b"hello")
                assert (await socket.receive()).data == b"hello"
    assert (server.site.asked["port"], server.site.asked["port_in_job"], server.site.asked["port_in_step"]) == (1, 1, 1)


async def test_without_a_way_both_reasons_are_named(server: Forwarding) -> None:
    server.site.account.forwards, server.site.account.steps_fail = Code.FORWARDING_PROHIBITED, "srun failed"
    assert await server.refusal() == (502, "the login node forwards nothing; srun failed")


async def test_a_step_that_runs_confirms_the_job_without_squeue(tmp_path: Path) -> None:
    async with forwarding(tmp_path, Via="srun") as server, server.listening(echo):
        for _ in range(3):
            async with server.connected() as socket:
                await socket.send_bytes(b"hello")
                assert (await socket.receive()).data == b"hello"
        assert (server.site.asked["job"], server.site.asked["port_in_step"]) == (1, 2)
        status, sentence = await server.refusal("team/web/9999")
        assert (status, sentence) == (502, "nothing listens on port 9999 of n1")
        assert (server.site.asked["job"], server.site.asked["port_in_step"]) == (1, 3)
        server.site.account.end(server.job, JobState.COMPLETED)
        assert (await server.refusal())[0] == 410


async def test_no_step_starts_in_a_job_that_has_ended(tmp_path: Path) -> None:
    async with forwarding(tmp_path, Via="srun") as server, server.listening(echo):
        server.site.account.end(server.job, JobState.FAILED)
        assert (await server.refusal())[0] == 410
        assert server.site.asked["port_in_job"] == 0


async def test_a_pod_whose_job_is_completing_may_run_again(tmp_path: Path) -> None:
    async with forwarding(tmp_path, Via="srun") as server, server.listening(echo):
        server.job.state = JobState.COMPLETING
        assert await server.refusal() == (409, "pod team/web is not running: job 101 is completing")
        assert server.site.asked["port_in_job"] == 0


# --- clients ---


async def test_a_client_without_a_token_is_refused(server: Forwarding) -> None:
    for token in ("", "wrong-0123456789abcdef"):
        status, sentence = await server.refusal(token=token)
        assert (status, "PortForward.TokenFile" in sentence) == (401, True)
    assert server.site.asked["job"] == 0
    assert (await audited(server))["outcome"] == "refused"


async def test_a_web_page_is_refused(server: Forwarding) -> None:
    assert (await server.refusal(Origin="https://example.org"))[0] == 403


@pytest.mark.parametrize("path", ["/create", "/status", "/pods", "/ui", "/getLogs", "/metrics", "/delete", "/healthz"])
async def test_the_port_does_nothing_else(server: Forwarding, path: str) -> None:
    async with server.session() as session, session.get(path) as answer:
        assert answer.status == 404


async def test_a_request_without_websocket_is_answered_with_what_to_send(server: Forwarding) -> None:
    async with server.session() as session, session.get(f"/forward/team/web/{PORT}") as answer:
        assert answer.status == 426
        assert "WebSocket" in await answer.text()
    assert server.site.asked["port"] == 0


async def test_only_allowed_ports_are_reached(tmp_path: Path) -> None:
    async with forwarding(tmp_path, AllowedPorts=["8888", "9000-9001"]) as server:
        async with server.listening(echo), server.connected():
            pass
        for port in (8889, 8999, 9002, 22, 65535):
            status, sentence = await server.refusal(f"team/web/{port}")
            assert (status, "PortForward.AllowedPorts is 8888, 9000-9001" in sentence) == (403, True)
        assert (await server.refusal("team/web/9001"))[0] == 502
        line = await audited(server)
        assert line["verb"] == "forward"


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8888x", "99999999999", "%D9%A3"])
async def test_what_is_no_port_is_refused(server: Forwarding, port: str) -> None:
    status, sentence = await server.refusal(f"team/web/{port}")
    assert (status, "must be a number from 1 to 65535" in sentence) == (400, True)


async def test_there_are_limits_for_a_pod_and_in_all(tmp_path: Path) -> None:
    async with forwarding(tmp_path, MaxConnections=3, MaxConnectionsPerPod=2) as server:
        uid = UID.replace("1", "2")
        server.site.account.add(SlurmJob("102", f"team-{uid}", JobState.RUNNING, node="n1"))
        server.pods.pod_store.add(f"team-{uid}", "team/other").set_job_id("102")
        async with server.listening(silent), server.connected(), server.connected():
            status, sentence = await server.refusal()
            assert (status, "PortForward.MaxConnectionsPerPod" in sentence) == (429, True)
            async with server.connected(f"team/other/{PORT}"):
                status, sentence = await server.refusal(f"team/other/{PORT}")
                assert (status, "PortForward.MaxConnections" in sentence) == (429, True)
            await until(lambda: len(server.forwards._open) == 2)
            async with server.connected(f"team/other/{PORT}"):
                pass


async def test_access_limits_a_client_to_its_namespaces(tmp_path: Path) -> None:
    (tmp_path / "robot.token").write_text("robot-0123456789abcdef")
    grants = {"robot": {"TokenFile": "robot.token", "Verbs": ["forward"], "Namespaces": ["team"]}}
    (tmp_path / "stranger.token").write_text(STRANGER)
    grants["stranger"] = {"TokenFile": "stranger.token", "Verbs": ["logs", "forward"], "Namespaces": ["other"]}
    (tmp_path / "access.yaml").write_text(yaml.safe_dump({"Clients": grants}))
    async with forwarding(tmp_path, Access=str(tmp_path / "access.yaml")) as server, server.listening(echo):
        async with (
            server.session("robot-0123456789abcdef") as session,
            session.ws_connect(f"/forward/team/web/{PORT}") as socket,
        ):
            await socket.send_bytes(b"hello")
            assert (await socket.receive()).data == b"hello"
        status, sentence = await server.refusal(token=STRANGER)
        assert (status, sentence.startswith("stranger may not forward")) == (403, True)
        status, _ = await server.refusal("team/nobody/1", token=STRANGER)
        assert status == 403  # not whether there is such a pod


async def test_a_sidecar_that_stops_ends_its_connections(tmp_path: Path) -> None:
    async with forwarding(tmp_path) as server, server.listening(silent), server.connected() as socket:
        await server.forwards.stop()
        message = await socket.receive()
        assert (message.type, message.extra) == (WSMsgType.CLOSE, "the sidecar is stopping")


async def test_a_renewed_token_counts_at_once(server: Forwarding) -> None:
    server.token_file.write_text(f"{RENEWED}\n")
    assert (await server.refusal(token=TOKEN))[0] == 401
    assert (await server.refusal(token=RENEWED))[0] == 502
