"""What networks and sites do: connections that break at any byte, and a site that is away for a while."""

import base64
import http.client
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.counting_pods import counting, ran_once
from tests.hypothesis_settings import SOAK
from tests.pods import Json, pod, request, sh
from tests.serving import Serving, wait_until
from tests.shared_folder import TOLD, go_on, held, with_folder
from tests.sites import Site
from tests.vk import Watched, assert_sentence

# So few polls of the site that the bytes on the wire are those of the create
QUIET = {"PollInterval": 30}
BYTES = random.Random(1).randbytes(60_000)  # noqa: S311 - nothing that can be compressed


SAMPLE = [1, 2_000, 30_000, 60_000, 65_000], [1, 100, 200, 300]
UP, DOWN = (range(1, 66_000, 500), range(1, 330, 8)) if SOAK else SAMPLE
CUTS = [*((size, "up") for size in UP), *((size, "down") for size in DOWN)]
FROZEN_DELETES = [(1, "up"), (2_000, "up"), (1, "down"), (100, "down")]
DELETE_CUTS = [(size, "up") for size in UP if size < 4_000] + [(size, "down") for size in DOWN if size < 200]


def with_data() -> tuple[Json, str]:
    """The create of a pod that counts its runs and brings 60 kB; and the file that counts."""
    a_pod, out = counting("sha256sum < /config/bytes >&2")
    a_pod["spec"]["volumes"].append({"name": "config", "configMap": {"name": "cm"}})
    a_pod["spec"]["containers"][0]["volumeMounts"].append({"name": "config", "mountPath": "/config"})
    config_map = {"metadata": {"name": "cm"}, "binaryData": {"bytes": base64.b64encode(BYTES).decode()}}
    return request(a_pod, configMaps=[config_map]), out


def connected(served: Serving) -> None:
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")


def created_once(served: Serving, body: Json, job: str, out: str) -> None:
    """The pod has the job that was answered, it is the only one, and its container ran once."""
    watched = Watched(served.client, body["pod"], job)
    wait_until(lambda: served.jobs_of(body["pod"]) == ["COMPLETED"], "its job has ended")
    assert ran_once(served, body["pod"], out)
    assert served.site.jobs(served.root).keys() == {job}
    assert watched.poll() in ("Pending", "Running", "Succeeded")


@pytest.mark.parametrize(("size", "direction"), CUTS)
def test_a_connection_that_breaks_within_create_costs_nothing(
    site: Site, through: Any, size: int, direction: Any
) -> None:
    proxy, served = through(site, **QUIET)
    connected(served)
    body, out = with_data()
    before = proxy.connections
    proxy.cut_after(size, direction)
    created = served.vk.create(body)
    wait_until(lambda: proxy.connections > before, "the connection was cut, and there is another one")
    created_once(served, body, created.job, out)


def test_connections_that_break_within_deletes_lose_none(site: Site, through: Any) -> None:
    proxy, served = through(site, **QUIET)
    connected(served)
    for size, direction in DELETE_CUTS:
        created = served.vk.create(request(pod(sh("c", "true"), flags="--begin=now+1hour")))
        proxy.cut_after(size, direction)
        created.delete()
        served.until_gone(created.pod)


@pytest.mark.parametrize(("size", "direction"), [(1, "up"), (30_000, "up"), (1, "down"), (200, "down")])
def test_a_connection_that_freezes_within_create_costs_nothing_but_time(
    site: Site, through: Any, size: int, direction: Any
) -> None:
    proxy, served = through(site, **QUIET)
    connected(served)
    body, out = with_data()
    proxy.freeze_after(size, direction)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(served.vk.create, body)
        wait_until(lambda: not proxy._flowing.is_set(), "it is frozen")
        proxy.thaw()
        created_once(served, body, asked.result().job, out)


def test_connections_that_freeze_within_deletes_lose_none(site: Site, through: Any) -> None:
    proxy, served = through(site, **QUIET)
    connected(served)
    created = [served.vk.create(request(pod(sh("c", "true"), flags="--begin=now+1hour"))) for _ in FROZEN_DELETES]
    for watched, (size, direction) in zip(created, FROZEN_DELETES, strict=True):
        proxy.freeze_after(size, direction)
        watched.delete()
        wait_until(lambda: not proxy._flowing.is_set(), "it is frozen")
        assert served.client.ping()["status"] == "ok"
        proxy.thaw()
        served.until_gone(watched.pod)


def test_connections_that_break_again_and_again(site: Site, through: Any) -> None:
    proxy, served = through(site)
    connected(served)
    bodies = [with_data() for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(served.vk.create, body) for body, _ in bodies]
        for size in (5_000, 20_000, 50_000, 90_000):
            proxy.cut_after(size, "up")
            wait_until(lambda size=size: proxy.forwarded["up"] > size or all(each.done() for each in asked), "it flows")
        created = [each.result() for each in asked]
    for (body, out), watched in zip(bodies, created, strict=True):
        assert watched.until_over().phase == "Succeeded"
        assert ran_once(served, body["pod"], out)


def test_a_site_that_is_away_at_the_start(site: Site, through: Any) -> None:
    proxy, served = through(site, reachable=False)
    assert served.client.ping() == {"status": "ok", "resources": {"pods": "0"}}
    info = served.client.system_info()
    assert info["slurm_connected"] is False
    assert info["error"]
    proxy.listen()
    hello = served.vk.create(request(pod(sh("c", "echo hello")))).until_over()
    assert hello.log("c") == "hello\n"
    wait_until(
        lambda: served.client.ping()["resources"] | {"pods": "1000"} == served.client.ping()["resources"],
        "the ping has room again",
    )


def test_a_site_that_goes_away_keeps_the_node_without_room(site: Site, through: Any) -> None:
    proxy, served = through(site)
    connected(served)
    running = served.vk.create(request(held("exit 3"))).until_running("c")
    proxy.refuse()
    proxy.cut()
    wait_until(lambda: served.client.ping()["resources"]["pods"] == "0", "the ping has no room")
    assert served.client.ping()["resources"]["cpu"] == "64"
    assert running.poll() == "Running"
    log = served.client.logs(running.pod, "c")
    assert_sentence(log)
    assert log.status == 503
    go_on(served, running.pod)
    proxy.listen()
    running.until_over()
    assert running.exit_code("c") == 3
    wait_until(lambda: served.client.ping()["resources"]["pods"] == "1000", "the ping has room")


def test_an_sshd_that_is_restarted(fragile_site: Site, through: Any) -> None:
    _, served = through(fragile_site)
    connected(served)
    running = served.vk.create(request(held("exit 3"))).until_running("c")
    fragile_site.exec("site-daemon kill sshd; pkill -KILL -u hpcuser sshd || true; site-daemon start sshd")
    go_on(served, running.pod)
    again = served.vk.create(request(pod(sh("c", "exit 4"))))
    assert [running.until_over().exit_code("c"), again.until_over().exit_code("c")] == [3, 4]


def test_a_slurmctld_that_does_not_answer_ends_no_pod(fragile_site: Site, through: Any) -> None:
    _, served = through(fragile_site)
    connected(served)
    a_pod, out = counting("until [ -e ${0%/*}/go ]; do sleep 0.2; done; exit 3")
    go = f"{out.removesuffix('/out')}/go"
    a_pod["spec"]["containers"][0]["args"].append(out)  # $0
    running = served.vk.create(request(a_pod)).until_running("c")
    fragile_site.exec("site-daemon stop slurmctld")
    try:
        wait_until(lambda: "squeue failed" in served.sidecar.log, "squeue has failed")
        assert running.poll() == "Running"
    finally:
        fragile_site.exec("site-daemon start slurmctld")
    fragile_site.exec(f"touch {go}")
    running.until_over()
    assert running.exit_code("c") == 3


def test_a_site_that_is_stuck_while_logs_are_followed(site: Site, through: Any) -> None:
    proxy, served = through(site)
    talking = served.vk.create(request(with_folder(sh("c", f"echo one; {TOLD}; echo two")))).until_running("c")
    with served.client.follow(talking.pod, "c") as follower:
        assert follower.line() == "one\n"
        proxy.freeze()
        assert served.client.ping()["status"] == "ok"
        go_on(served, talking.pod)
        proxy.thaw()
        assert follower.rest() == "two\n"


def test_a_followed_log_is_whole_on_a_slow_line_that_breaks(site: Site, through: Any) -> None:
    """Its pod has long ended when the last bytes come, and its connection was cut on the way."""
    proxy, served = through(site)
    connected(served)
    a_pod = with_folder(sh("c", f"{TOLD}; seq 1000000"))
    talking = served.vk.create(request(a_pod)).until_running("c")
    with served.client.follow(a_pod, "c") as follower:
        proxy.slow_down(1_000_000)
        go_on(served, a_pod)
        assert follower.line() == "1\n"
        wait_until(lambda: proxy.forwarded["down"] > 1_500_000, "the log flows")
        proxy.cut()
        assert follower.rest() == "".join(f"{number}\n" for number in range(2, 1_000_001))
    talking.until_over()


def test_a_followed_log_whose_rest_cannot_be_had_does_not_look_whole(site: Site, through: Any) -> None:
    proxy, served = through(site)
    connected(served)
    a_pod = with_folder(sh("c", f"echo one; {TOLD}"))
    talking = served.vk.create(request(a_pod)).until_running("c")
    with served.client.follow(a_pod, "c") as follower:
        assert follower.line() == "one\n"
        proxy.refuse()
        proxy.cut()
        served.sidecar.stop()
        with pytest.raises(http.client.IncompleteRead) as broken:
            follower.rest()
        assert b"the log breaks off here: the sidecar is stopping" in broken.value.partial
    go_on(served, talking.pod)
