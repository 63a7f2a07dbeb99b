"""TokenFile: a client with a token gets a reply, a client without one a message."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.api.authentication import BadTokenFile, Tokens
from tests.api.api_client import Api, basic, bearer

Serve = Callable[..., Any]

TOKEN = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
ENDPOINTS = ["/status", "/getLogs", "/system-info", "/pods"]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


async def test_who_shows_the_token_gets_an_answer(serve: Serve, token_file: Path) -> None:
    api: Api = await serve(TokenFile=str(token_file))
    assert (await api.get("/status", json=[], Authorization=bearer(TOKEN))).status == 200
    assert (await api.get("/status", json=[], Authorization=f"bearer  {TOKEN} ")).status == 200


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        bearer(OTHER),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "0"),
        TOKEN,
        basic("", TOKEN),
        "Basic %",
    ],
)
@pytest.mark.parametrize("path", ENDPOINTS)
async def test_who_does_not_gets_a_sentence(serve: Serve, token_file: Path, path: str, shown: str) -> None:
    api: Api = await serve(TokenFile=str(token_file))
    reply = await api.get(path, json=[], **({"Authorization": shown} if shown else {}))
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert reply.text == f"GET {path}: send a token of TokenFile as `Authorization: Bearer <token>`"
    assert TOKEN not in reply.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/create"), ("POST", "/delete"), ("DELETE", "/delete")])
async def test_nothing_is_done_for_who_does_not(serve: Serve, token_file: Path, method: str, path: str) -> None:
    api: Api = await serve(TokenFile=str(token_file))
    assert (await api.ask(method, path, json={})).status == 401
    assert (await api.ask(method, path, json={}, Authorization=basic("me", TOKEN))).status == 401
    assert (await api.ask(method, path, json={}, Authorization=bearer(TOKEN))).status == 400


async def test_the_file_is_read_again_when_it_changes(serve: Serve, token_file: Path) -> None:
    api: Api = await serve(TokenFile=str(token_file))

    async def status(token: str) -> int:
        return (await api.get("/status", json=[], Authorization=bearer(token))).status

    assert [await status(TOKEN), await status(OTHER)] == [200, 401]
    token_file.write_text(f"{TOKEN}\n{OTHER}\n")
    assert [await status(TOKEN), await status(OTHER)] == [200, 200]
    replaced = token_file.with_name("next")
    replaced.write_text(OTHER)
    replaced.replace(token_file)
    assert [await status(TOKEN), await status(OTHER)] == [401, 200]
    token_file.unlink()
    assert [await status(TOKEN), await status(OTHER)] == [401, 401]
    token_file.write_text(TOKEN)
    assert [await status(TOKEN), await status(OTHER)] == [200, 401]


@pytest.mark.parametrize("text", ["", "\n\n", "short", "two words of a token", f"{TOKEN}\nshort\n"])
def test_what_is_no_token(token_file: Path, text: str) -> None:
    token_file.write_text(text)
    with pytest.raises(BadTokenFile, match="must contain one token per line, each of at least 16 characters") as caught:
        Tokens(token_file)
    assert TOKEN not in str(caught.value)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadTokenFile, match=r"cannot be read: No such file or directory"):
        Tokens(tmp_path / "absent")


def test_a_token_file_that_everybody_may_write_to(token_file: Path) -> None:
    token_file.chmod(0o666)
    with pytest.raises(BadTokenFile, match=r"TokenFile .* is not used: every account can write to .*: chmod go-w "):
        Tokens(token_file)


def test_a_token_file_as_a_secret_mounts_it(token_file: Path) -> None:
    token_file.chmod(0o644)
    assert Tokens(token_file).accept(TOKEN)


async def test_a_page_of_another_site_cannot_send_requests_by_a_browser(serve: Serve) -> None:
    """Anybody's page can make a browser send this to 127.0.0.1; browsers say then whose page it was."""
    api: Api = await serve()
    for origin in ("https://evil.example", "null"):
        reply = await api.ask("POST", "/create", json={}, Origin=origin)
        assert (reply.status, reply.text) == (
            403,
            "POST /create: requests with an Origin header are refused: web pages may not call this API",
        )


@pytest.mark.parametrize(("host", "status"), [("evil.example:4000", 403), ("localhost:4000", 200), ("127.0.0.1", 200)])
@pytest.mark.parametrize("path", ["/ui", "/ui/state", "/metrics", "/system-info"])
async def test_a_name_that_was_made_to_lead_here_is_none_of_ours(
    serve: Serve, path: str, host: str, status: int
) -> None:
    """A page of evil.example could otherwise read what 127.0.0.1 says, by a name server that answers so."""
    api: Api = await serve()
    assert (await api.get(path, Host=host)).status == status


async def test_descriptions_of_pods_are_for_this_machine_alone_as_the_page_is(serve: Serve) -> None:
    """They have the arguments of containers."""
    api: Api = await serve()
    statuses = [(await api.get("/describe?pod=a-b", Host=host)).status for host in ("evil.example:4000", "localhost")]
    assert statuses == [403, 404]


async def test_where_other_machines_reach_it_a_sidecar_may_have_any_name(serve: Serve) -> None:
    api: Api = await serve(BindAddress="0.0.0.0", AllowUnauthenticated=True)  # noqa: S104 - this is what is tested
    assert (await api.get("/ui", Host="sidecar.example.org")).status == 200


@pytest.mark.parametrize("mode", ["0600", "0660"])
async def test_the_mode_of_the_socket(serve: Serve, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "the.sock"
    api: Api = await serve(Socket=f"unix://{path}", SocketMode=mode)
    assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
    assert (await api.get("/status", json=[])).status == 200


async def test_a_socket_wants_the_token_too(serve: Serve, tmp_path: Path, token_file: Path) -> None:
    api: Api = await serve(Socket=f"unix://{tmp_path}/the.sock", SocketMode="0666", TokenFile=str(token_file))
    assert (await api.get("/status", json=[])).status == 401
    assert (await api.get("/status", json=[], Authorization=bearer(TOKEN))).status == 200
