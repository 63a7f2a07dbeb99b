"""Any request to any endpoint is answered without a 5xx; `scripts/soak 333 tests/api/test_fuzz_api.py` sends 50,000."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from remote_slurm.api.openapi import document
from tests.api.api_client import Api
from tests.api.fuzzed import requests, server, status_of
from tests.hypothesis_settings import effort


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with server(Path(tmp_path_factory.mktemp("fuzzed"))) as found:
        yield found


@given(requests())
@effort(150)
def test_no_request_is_answered_with_a_5xx(address: tuple[str, int], request: bytes) -> None:
    status, said = status_of(address, request)
    assert status < 500, said
    assert b"Traceback" not in said


async def test_the_document_names_each_route_and_no_other(serve: Any) -> None:
    api: Api = await serve()
    reply = await api.get("/openapi.json")
    assert reply.status == 200
    routes = {
        (route.resource.canonical, route.method.lower()) for route in api.app.router.routes() if route.method != "HEAD"
    }
    named = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    assert named == routes


async def test_the_document_is_behind_the_token(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("0123456789abcdef\n")
    api: Api = await serve(TokenFile=str(tmp_path / "tokens"))
    assert (await api.get("/openapi.json")).status == 401
