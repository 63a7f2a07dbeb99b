"""Service accounts of Kubernetes at PortForward.Port: each reaches the pods of its own namespace, and no others."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.api_client import until
from tests.forwarding import POD, PORT, TOKEN, Forwarding, forwarding
from tests.kube_api import REVIEWS, KubeApi, forged, kube_api
from tests.local_ports import echo

Serve = Callable[..., contextlib.AbstractAsyncContextManager[Forwarding]]


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as api:
        yield api


@pytest.fixture
def serve(api: KubeApi, tmp_path: Path) -> Serve:
    def start(**review: Any) -> contextlib.AbstractAsyncContextManager[Forwarding]:
        kubeconfig = str(api.kubeconfig(tmp_path))
        return forwarding(tmp_path, CUSTOMKUBECONF=kubeconfig, TokenReview={"Audiences": ["remote-slurm"], **review})

    return start


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Forwarding]:
    async with serve() as server:
        yield server


async def echoed(server: Forwarding, token: str, path: str = f"team/web/{PORT}") -> bytes:
    async with (
        server.listening(echo),
        server.session(token) as session,
        session.ws_connect(f"/forward/{path}") as socket,
    ):
        await socket.send_bytes(b"hello")
        return bytes((await socket.receive()).data)


async def test_a_service_account_reaches_pods_of_its_namespace(server: Forwarding, api: KubeApi) -> None:
    token = api.token("team", "notebooks")
    assert await echoed(server, token) == b"hello"
    assert await echoed(server, token) == b"hello"
    assert api.asked.count(f"POST {REVIEWS}") == 1
    await until(lambda: server.audit_file.read_text().count("\n") == 2)
    line = json.loads(server.audit_file.read_text().splitlines()[0])
    assert line["client"]["name"] == "system:serviceaccount:team:notebooks"
    assert token not in server.audit_file.read_text()


async def test_a_token_of_the_file_needs_no_review(server: Forwarding, api: KubeApi) -> None:
    assert await echoed(server, TOKEN) == b"hello"
    assert not api.asked


async def test_pods_of_other_namespaces_are_refused_whether_there_are_any(server: Forwarding, api: KubeApi) -> None:
    for path in (f"team/web/{PORT}", f"nowhere/web/{PORT}", "team/none"):
        status, text = await server.refusal(path, api.token("other"))
        assert status == 403, path
        assert "system:serviceaccount:other:default may not forward pods of the namespace" in text
        assert text.endswith("it reaches pods of the namespace other only")


async def test_tokens_that_are_refused(server: Forwarding, api: KubeApi) -> None:
    claims = {"aud": ["remote-slurm"], "exp": 4e9, "sub": "system:serviceaccount:team:default"}
    for token, why in (
        (forged(claims), "rejects the token for the audience remote-slurm: invalid bearer token"),
        (api.token("team", audience="https://kubernetes.default.svc"), "is not for the audience remote-slurm"),
        (api.token("team", ends=1000), "has expired"),
        ("0123456789abcdef-stranger", "is not that of a service account"),
        ("", "send a token of a service account"),
    ):
        status, text = await server.refusal(token=token)
        assert (status, why in text) == (401, True), text
    await until(lambda: server.audit_file.read_text().count('"rule": "PortForward.TokenReview"') == 5)


async def test_a_token_is_refused_once_its_pod_is_gone_or_it_has_ended(server: Forwarding, api: KubeApi) -> None:
    token = api.token("team")
    api.clock = 5e9
    status, text = await server.refusal(token=token)
    assert status == 401, text


async def test_no_account_is_admitted_while_the_api_forbids_reviews(server: Forwarding, api: KubeApi) -> None:
    api.forbidden.add("tokenreviews")
    status, text = await server.refusal(token=api.token("team"))
    assert (status, "the Kubernetes API did not review the token" in text) == (503, True)
    api.forbidden.clear()
    assert await echoed(server, api.token("team")) == b"hello"


async def test_a_shadow_names_its_own_deployment(serve: Serve, api: KubeApi) -> None:
    async with serve(ShadowNamespaces=True) as server:
        token = api.token("team-wstunnel")
        assert await echoed(server, token, f"team-wstunnel/web-team/{PORT}?shadow=true") == b"hello"
        async with (
            server.session(token) as session,
            session.get("/forward/team-wstunnel/web-team?shadow=true") as reply,
        ):
            assert (await reply.json())["pod"] == "team/web"
        assert await echoed(server, api.token("team"), f"team/wstunnel-web-team/{PORT}?shadow=true") == b"hello"
        status, text = await server.refusal(f"team-wstunnel/mail-team/{PORT}?shadow=true", token)
        assert status == 404
        assert "no pod of the namespace team-wstunnel or team has the shadow team-wstunnel/mail-team" in text
        status, _ = await server.refusal("team/wstunnel-web-team?shadow=true", api.token("team2-wstunnel"))
        assert status == 403


async def test_a_cut_name_that_two_pods_have_leads_to_neither(serve: Serve, api: KubeApi) -> None:
    """interLink up to 0.6.2 cuts long names without a hash, and gives both pods the same Deployment."""
    async with serve(ShadowNamespaces=True) as server:
        for number in (1, 2):
            server.pods.pod_store.add(
                f"team-{number}", f"team/a-person-with-a-very-long-name-in-the-middle-of-nowhere-{number}"
            )
        path = f"team-wstunnel/a-person-with-a-very-long-name/{PORT}?shadow=true"
        status, text = await server.refusal(path, api.token("team-wstunnel"))
        assert status == 404
        assert text.startswith("2 pods have the shadow team-wstunnel/a-person-with-a-very-long-name: interLink has cut")


async def test_what_a_shadow_waits_for_is_no_failure(
    serve: Serve, api: KubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    """It is created before its pod, whose program takes a while to listen."""
    async with serve(ShadowNamespaces=True) as server, server.session(api.token("team-wstunnel")) as session:

        async def got(path: str) -> Any:
            async with session.get(f"/forward/team-wstunnel/{path}?shadow=true") as reply:
                assert reply.status == 200
                return await reply.json()

        state = await got("mail-team")
        assert (state["pod"], state["phase"]) == ("", "unknown")
        probed = await got(f"web-team/{PORT}/probe")
        assert (probed["answers"], "listens" in probed["message"]) == (False, True)
        async with server.listening(echo):
            assert await got(f"web-team/{PORT}/probe") == {"answers": True, "message": ""}
        assert not [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")]


async def test_the_namespace_of_shadows_is_no_other_unless_it_is_configured(server: Forwarding, api: KubeApi) -> None:
    token = api.token("team-wstunnel")
    assert (await server.refusal(f"team/web/{PORT}", token))[0] == 403
    assert (await server.refusal(f"team-wstunnel/web-team/{PORT}?shadow=true", token))[0] == 404


async def test_names_of_pods_are_read_seldom_however_many_ask(server: Forwarding, api: KubeApi) -> None:
    server.pods.pod_store.add(POD).name = POD
    for _ in range(5):
        assert (await server.refusal("team/none", api.token("team")))[0] == 404
    assert server.site.asked["list"] == 1
