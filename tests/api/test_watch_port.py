"""Watch.Port: a port for the page and for Prometheus, which changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.api.authentication import BadTokenFile
from remote_slurm.api.tls import CannotEncrypt
from tests.api.api_client import Api, basic, bearer
from tests.api.certificates import Authority

Serve = Callable[..., Any]
TOKEN = "0123456789abcdef"


async def test_it_answers_who_looks_and_nothing_else(serve: Serve) -> None:
    api: Api = await serve(Watch={"Port": 0})
    await api.looked()
    watch = api.watched
    for path in ("/ui", "/ui/state", "/metrics", "/healthz", "/readyz"):
        assert (await watch.get(path)).status == 200, path
    for method, path in (
        ("POST", "/create"),
        ("GET", "/status"),
        ("POST", "/delete"),
        ("GET", "/getLogs"),
        ("GET", "/pods"),
    ):
        assert (await watch.ask(method, path, json=[])).status == 404, path


async def test_its_token_is_its_own(serve: Serve, tmp_path: Path) -> None:
    token = tmp_path / "watch-token"
    token.write_text(TOKEN)
    api: Api = await serve(Watch={"Port": 0, "TokenFile": str(token)})
    assert (await api.get("/status", json=[])).status == 200, "interLink has none"
    refused = await api.watched.get("/metrics")
    assert (refused.status, refused.text) == (
        401,
        "GET /metrics: send a token of Watch.TokenFile as `Authorization: Bearer <token>`",
    )
    assert (await api.watched.get("/metrics", Authorization=bearer(TOKEN))).status == 200
    assert (await api.watched.get("/ui", Authorization=basic("me", TOKEN))).status == 200


async def test_its_certificate_is_its_own(serve: Serve, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("sidecar")
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key)}
    api: Api = await serve(Watch={"Port": 0, "TLS": tls})
    assert (api.url.partition(":")[0], api.watched.url.partition(":")[0]) == ("http", "https")
    assert (await api.watched.get("/metrics", tls=authority.trusting())).status == 200


async def test_sentences_name_the_key_within_its_block(serve: Serve) -> None:
    with pytest.raises(BadTokenFile, match=r"^Watch\.TokenFile /absent cannot be read"):
        await serve(Watch={"Port": 0, "TokenFile": "/absent"})
    with pytest.raises(CannotEncrypt, match=r"^Watch\.TLS\.CertFile /absent cannot be read"):
        await serve(Watch={"Port": 0, "TLS": {"CertFile": "/absent", "KeyFile": "/absent"}})
