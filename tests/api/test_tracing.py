"""Traces: what goes to a collector, over which line, and what is said where that cannot be."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from remote_slurm.api.tracing import CannotTrace, Tracing
from remote_slurm.config import Config
from remote_slurm.errors import OutcomeUnknown
from tests.api.certificates import Authority
from tests.otel_collector import collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SSH = {"HostName": "login", "User": "me", "IdentityFile": "/key"}


def config(**keys: Any) -> Config:
    return Config.model_validate({"SSH": SSH, "ENABLE_TRACING": "1"} | keys)


async def lost() -> None:
    raise OutcomeUnknown("late")


@asynccontextmanager
async def traced(tracing: Tracing) -> AsyncIterator[TestClient[Any, Any]]:
    """A server whose create works at the site, and whose status fails there."""

    async def create(_: web.Request) -> web.Response:
        with tracing.operation("submit", "ns-1"):
            return web.Response(text="ok")

    async def status(_: web.Request) -> web.Response:
        with suppress(OutcomeUnknown), tracing.operation("queue"):
            await lost()
        return web.Response(status=503)

    app = web.Application(middlewares=[tracing.trace])
    app.router.add_post("/create", create)
    app.router.add_get("/status", status)
    app.router.add_get("/healthz", status)
    async with TestClient(TestServer(app)) as client:
        yield client
    await tracing.close()


async def test_a_request_continues_interlinks_trace_with_its_operations() -> None:
    with collecting() as collector:
        tracing = Tracing(config(TELEMETRY_ENDPOINT=f"127.0.0.1:{collector.port}", TELEMETRY_UNIQUE_ID="site-a"))
        async with traced(tracing) as client:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "InterLink-Http-Session": "CreatePod#7"}
            assert (await client.post("/create", headers=headers)).status == 200
    (request,) = collector.named("Create")
    assert (request.trace, request.parent, request.service) == (TRACE, PARENT, "Plugin-site-a")
    assert request.attributes["interlink.session"] == "CreatePod#7"
    assert request.attributes["http.response.status_code"] == 200
    (operation,) = collector.named("ssh submit")
    assert (operation.trace, operation.parent) == (TRACE, request.id)
    assert operation.attributes == {"remote_slurm.operation": "submit", "remote_slurm.pod": "ns-1"}
    assert not operation.failed


async def test_what_fails_is_marked_and_a_kubelets_questions_are_no_traces() -> None:
    with collecting() as collector:
        async with traced(Tracing(config(TELEMETRY_ENDPOINT=f"127.0.0.1:{collector.port}"))) as client:
            assert (await client.get("/status")).status == 503
            assert (await client.get("/healthz")).status == 503
    (request,) = collector.named("Status")
    assert request.failed
    assert request.parent == ""
    assert request.service.startswith("Plugin-")
    within = [span for span in collector.named("ssh queue") if span.parent == request.id]
    assert [span.failed for span in within] == [True]
    assert {span.name for span in collector.spans} == {"Status", "ssh queue"}


async def test_interlink_may_say_that_a_trace_is_not_wanted() -> None:
    with collecting() as collector:
        async with traced(Tracing(config(TELEMETRY_ENDPOINT=f"127.0.0.1:{collector.port}"))) as client:
            await client.post("/create", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert collector.spans == []


async def test_spans_go_out_encrypted_with_a_certificate_of_ours(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    theirs, ours = authority.pair("collector"), authority.pair("sidecar")
    pairs = [(theirs.key.read_bytes(), theirs.cert.read_bytes())]
    credentials = grpc.ssl_server_credentials(pairs, authority.file.read_bytes(), require_client_auth=True)
    with collecting(credentials) as collector:
        keys = {
            "TELEMETRY_ENDPOINT": f"127.0.0.1:{collector.port}",
            "TELEMETRY_CA_CRT_FILEPATH": str(authority.file),
            "TELEMETRY_CLIENT_KEY_FILEPATH": str(ours.key),
            "TELEMETRY_CLIENT_CRT_FILEPATH": str(ours.cert),
        }
        async with traced(Tracing(config(**keys))) as client:
            await client.post("/create")
    assert len(collector.named("Create")) == 1


async def test_a_collector_with_another_certificate_gets_nothing(tmp_path: Path) -> None:
    theirs = Authority(tmp_path).pair("collector")
    stranger = Authority(tmp_path, "stranger")
    credentials = grpc.ssl_server_credentials([(theirs.key.read_bytes(), theirs.cert.read_bytes())])
    with collecting(credentials) as collector:
        keys = {
            "TELEMETRY_ENDPOINT": f"127.0.0.1:{collector.port}",
            "TELEMETRY_CA_CRT_FILEPATH": str(stranger.file),
        }
        async with traced(Tracing(config(**keys))) as client:
            assert (await client.post("/create")).status == 200
    assert collector.spans == []


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"CA_CRT": "/absent"}, "TELEMETRY_CA_CRT_FILEPATH /absent cannot be read: No such file or directory"),
        ({"CA_CRT": "/dev/null"}, "TELEMETRY_CA_CRT_FILEPATH /dev/null is not in PEM"),
        ({"CLIENT_KEY": "/k", "CLIENT_CRT": "/c"}, "TELEMETRY_CLIENT_KEY_FILEPATH goes with TELEMETRY_CA_CRT_FILEPATH"),
        ({"CLIENT_KEY": "/k"}, "TELEMETRY_CLIENT_KEY_FILEPATH and TELEMETRY_CLIENT_CRT_FILEPATH go together"),
    ],
)
def test_files_that_cannot_be_used(keys: dict[str, str], sentence: str) -> None:
    with pytest.raises(CannotTrace) as caught:
        Tracing(config(**{f"TELEMETRY_{key}_FILEPATH": path for key, path in keys.items()}))
    assert str(caught.value).startswith(sentence)


WITHOUT_PACKAGES = """
import sys
sys.modules["opentelemetry"] = None  # as if it is not installed
from remote_slurm.cli import main
sys.exit(main(["serve", "--config", sys.argv[1]]))
"""


def test_without_the_packages_it_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text("SSH: {HostName: login, User: me, IdentityFile: /key}\nENABLE_TRACING: 1\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES, path], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "remote-slurm: ENABLE_TRACING needs packages that are not installed here: pip install "
        "'remote-slurm[tracing]', or set it to 0"
    )
