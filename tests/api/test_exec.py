"""/exec: commands in containers, in the protocol of Kubernetes, for clients that may run them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from remote_slurm.domain.exec_request import TerminalSize
from remote_slurm.domain.slurm.job_states import JobState
from tests.api.api_client import until
from tests.exec_server import Server, serve
from tests.forwarding import UID

OTHER = "other-0123456789abcdef"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as server:
        yield server


async def received(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All that comes until the end, by channel."""
    found: dict[int, bytes] = {}
    while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
        found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    return found


# --- the protocol ---


async def test_the_kubernetes_client_runs_a_command(server: Server) -> None:
    answer = await server.kubernetes(
        "sh", "-c", "echo out; echo err >&2; exit 3", container="a", _preload_content=False
    )
    await asyncio.to_thread(answer.run_forever)
    assert answer.read_channel(1) == "out\n"
    assert answer.read_channel(2) == "err\n"
    assert answer.returncode == 3
    answer.sock.shutdown()


async def test_the_kubernetes_client_sends_input_to_its_end(server: Server) -> None:
    answer = await server.kubernetes("sha256sum", container="a", stdin=True, _preload_content=False)
    for _ in range(100):
        await asyncio.to_thread(answer.write_stdin, "x" * 10_000)
    await asyncio.to_thread(answer.close_channel, 0)
    await asyncio.to_thread(answer.run_forever)
    assert answer.read_channel(1).startswith("1b977e9f84f1b26b6ed7f68b0498faee2385ea4125bd29adce4a7d9106ba3134")
    assert answer.returncode == 0
    answer.sock.shutdown()


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
async def test_an_empty_message_comes_first_and_the_status_last(server: Server, protocol: str) -> None:
    async with server.connected("true", protocol=protocol, output="1", error="1") as socket:
        assert socket.protocol == protocol
        assert (await socket.receive()).data == b"\x01"
        message = await socket.receive()
        assert message.data[0] == 3
        assert json.loads(message.data[1:]) == {"metadata": {}, "status": "Success"}
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def test_only_what_is_asked_for_is_sent(server: Server) -> None:
    async with server.connected("sh", "-c", "echo out; echo err >&2", error="1") as socket:
        assert set(await received(socket)) == {2, 3}


async def test_all_bytes_go_through_as_they_are(server: Server) -> None:
    data = bytes(range(256)) * 4000
    async with server.connected("cat", stdin="true", stdout="true") as socket:
        for start in range(0, len(data), 100_000):
            await socket.send_bytes(b"\0" + data[start : start + 100_000])
        await socket.send_bytes(b"\xff\0")
        assert (await received(socket))[1] == data


async def test_an_exit_code_is_a_cause(server: Server) -> None:
    async with server.connected("sh", "-c", "exit 42", stdout="true") as socket:
        status = json.loads((await received(socket))[3])
    assert status["status"] == "Failure"
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "42"}]


async def test_a_size_reaches_the_terminal_and_anything_else_is_ignored(server: Server) -> None:
    async with server.connected("cat", stdin="true", stdout="true", tty="true") as socket:
        for text in (b"{}", b"[1]", b"", b'{"Width": "x", "Height": 1}', b"\xff", b'{"Width":0,"Height":99999}'):
            await socket.send_bytes(b"\x04" + text)
        await socket.send_bytes(b"")
        await socket.send_bytes(b"\x09?")
        await socket.send_bytes(b'\x04{"Width":132,"Height":50}')
        await until(lambda: len(server.command.sizes) == 2)
    assert server.command.sizes == [TerminalSize(1, 10_000), TerminalSize(132, 50)]


async def test_a_client_that_goes_away_ends_its_command(server: Server) -> None:
    async with server.connected("sleep", "1000", stdout="true") as socket:
        await socket.receive()
        response = socket._response.connection
        assert response
        assert response.transport
        response.transport.abort()
    await until(lambda: server.command.process.returncode is not None)


async def test_a_command_that_is_killed_at_the_site_is_an_internal_error(server: Server) -> None:
    async with server.connected("sleep", "1000", stdout="true") as socket:
        await socket.receive()
        server.command.close()
        status = json.loads((await received(socket))[3])
    assert status["reason"] == "InternalError"
    assert "something else than the command" in status["message"]


# --- which container ---


async def test_without_a_name_it_is_the_first_container(server: Server) -> None:
    async with server.connected("true", path="/exec/team/web", stdout="true") as socket:
        await received(socket)
    await until(lambda: server.audit_file.exists() and "container" in server.audit_file.read_text())
    assert server.audited["container"] == "a"


async def test_a_pod_can_be_named_by_its_uid(server: Server) -> None:
    async with server.connected("echo", "hi", path=f"/exec/team/{UID}/b", stdout="true") as socket:
        assert (await received(socket))[1] == b"hi\n"


@pytest.mark.parametrize(
    ("refusal", "status", "sentence"),
    [
        ("terminated 3", 410, "container 'a' in pod team/web is terminated: exit code 3"),
        ("waiting ImagePull", 409, "container 'a' in pod team/web is waiting to start: ImagePull"),
        ("not_allowed", 409, "was created while EnableExec was false"),
        ("no_folder", 409, "the folder of pod team/web cannot be read"),
    ],
)
async def test_a_container_that_does_not_run_is_named(server: Server, refusal: str, status: int, sentence: str) -> None:
    server.site.account.exec_refusals["a"] = refusal
    answer = await server.refusal("/exec/team/web/a?command=ls")
    assert answer[0] == status
    assert sentence in answer[1]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/exec/team/web/z?command=ls", 400, "container z is not valid for pod team/web: it has a, b"),
        ("/exec/team/nothing/a?command=ls", 404, "there is no pod team/nothing"),
        ("/exec/team/web/a", 400, "a command is required"),
        ("/exec/team/web/a?command=", 400, "a command is required"),
        ("/exec/team/web/a?command=a%00b", 400, "NUL"),
    ],
)
async def test_a_wrong_request_is_answered_with_a_sentence(
    server: Server, path: str, status: int, sentence: str
) -> None:
    answer = await server.refusal(path)
    assert answer[0] == status
    assert sentence in answer[1]


async def test_a_request_that_is_no_websocket_is_told_the_protocols(server: Server) -> None:
    answer = await server.refusal("/exec/team/web/a?command=ls", **{"Sec-WebSocket-Protocol": "chat"})
    assert answer[0] == 426
    assert "v5.channel.k8s.io or v4.channel.k8s.io" in answer[1]


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.COMPLETED])
async def test_a_pod_whose_job_does_not_run_is_refused(tmp_path: Path, state: JobState) -> None:
    async with serve(tmp_path, state) as server:
        status, sentence = await server.refusal("/exec/team/web/a?command=ls")
    assert status == (409 if state is JobState.PENDING else 410)
    assert "team/web" in sentence
    assert not server.site.account.commands


# --- who may ---


async def test_it_is_off_unless_it_is_enabled(tmp_path: Path) -> None:
    async with serve(tmp_path, EnableExec=False) as server:
        assert await server.refusal("/exec/team/web/a?command=ls") == (
            403,
            "commands cannot be run in pods: EnableExec is false",
        )


async def test_a_client_needs_the_verb_for_the_namespace(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(OTHER)
    grant = {"TokenFile": "other", "Verbs": ["exec"], "Namespaces": ["mine"]}
    (tmp_path / "access.yaml").write_text(yaml.safe_dump({"Clients": {"someone": grant}}))
    async with serve(tmp_path, Access=str(tmp_path / "access.yaml")) as server:
        status, sentence = await server.refusal("/exec/team/web/a?command=ls", OTHER)
        assert status == 403
        assert "someone may not exec pods of the namespace 'team'" in sentence
        assert (await server.refusal("/exec/mine/web/a?command=ls", OTHER))[0] == 404
        assert (await server.refusal("/api/v1/namespaces/team/pods/web/exec?command=ls", OTHER))[0] == 403


async def test_a_web_page_runs_no_command(tmp_path: Path) -> None:
    async with serve(tmp_path, TokenFile=None) as server:
        status, sentence = await server.refusal("/exec/team/web/a?command=ls", "", Origin="http://evil.example.org")
    assert status in (401, 403)
    assert "Origin" in sentence
    assert not server.site.account.commands


async def test_the_audit_log_has_the_program_and_no_arguments(server: Server) -> None:
    async with server.connected("echo", "t0p-secret", stdout="true") as socket:
        await received(socket)
    await until(lambda: server.audit_file.exists() and server.audit_file.read_text().count("\n"))
    line = server.audited
    assert line["verb"] == "exec"
    assert line["command"] == {"program": "echo", "arguments": 1, "bytes": 14}
    assert line["exitCode"] == 0
    assert line["received"] == 11
    assert line["pod"] == {"namespace": "team", "name": "web", "uid": UID}
    assert "t0p-secret" not in server.audit_file.read_text()


async def test_a_sidecar_that_stops_says_so(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as serving_it, contextlib.AsyncExitStack() as asking:
        server = await serving_it.enter_async_context(serve(tmp_path))
        socket = await asking.enter_async_context(server.connected("sleep", "1000", stdout="true"))
        await socket.receive()
        reading = asyncio.create_task(received(socket))
        stopping = asyncio.create_task(serving_it.aclose())
        assert b"the sidecar is stopping" in (await reading)[3]
        await asking.aclose()
        await stopping
