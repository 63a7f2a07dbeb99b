"""/healthz and /readyz: what each of them means, and that they want no token."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import LONGEST_POLL_SECONDS, Poller
from tests.api.api_client import Api, until
from tests.fake_site import FakeSite, instant_site

Serve = Callable[..., Any]


async def test_it_is_ready_once_the_sites_pods_are_known(serve: Serve) -> None:
    api: Api = await serve()
    before = await api.get("/readyz")
    assert (before.status, before.text) == (503, "GET /readyz: the site's pods are not known yet")
    await api.looked()
    assert (await api.get("/readyz")).text == "ok\n"


async def test_a_site_that_cannot_be_reached_leaves_it_healthy_and_ready(serve: Serve) -> None:
    site = instant_site()
    api: Api = await serve(site, PollInterval=1)
    await api.looked()
    site.down = True
    await until(lambda: api.pods.poller.error)
    assert [(await api.get(path)).status for path in ("/healthz", "/readyz")] == [200, 200]


async def test_a_site_that_was_never_reached_leaves_it_healthy_and_not_ready(serve: Serve) -> None:
    api: Api = await serve(FakeSite(down=True))
    api.pods.start()
    assert [(await api.get(path)).status for path in ("/healthz", "/readyz")] == [200, 503]


async def test_it_is_not_healthy_when_looks_stay_away() -> None:
    now = [1000.0]
    poller = Poller(instant_site(), PodStore(), 10, clock=lambda: now[0])
    now[0] += 10 + LONGEST_POLL_SECONDS
    assert poller.overdue == 0
    now[0] += 7
    assert poller.overdue == 7
    await poller.poll()
    assert poller.overdue == 0


async def test_a_look_that_fails_is_a_look() -> None:
    now = [1000.0]
    site = FakeSite(down=True)
    poller = Poller(site, PodStore(), 10, clock=lambda: now[0])
    now[0] += 1000
    await poller.poll()
    assert (poller.overdue, poller.error) == (0, "no route to the site")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_kubelet_has_no_token(serve: Serve, tmp_path: Path, path: str) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    api: Api = await serve(TokenFile=str(token))
    await api.looked()
    assert (await api.get(path)).text == "ok\n"
