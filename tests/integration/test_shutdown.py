"""SIGTERM: requests in flight finish, followers see that their log is cut off, jobs go on."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.pods import pod, request, sh
from tests.serving import Serve, wait_until
from tests.shared_folder import TOLD, go_on, with_folder
from tests.sites import Site
from tests.vk import Watched

pytestmark = pytest.mark.supervised


def test_a_sidecar_that_is_stopped_finishes_requests_in_flight(each_site: Site, serve: Serve, through: Any) -> None:
    proxy, first = through(each_site)
    running = first.vk.create(request(with_folder(sh("c", f"echo one; {TOLD}; echo two; exit 3")))).until_running("c")
    late = pod(sh("c", "exit 4"))
    with ThreadPoolExecutor(2) as threads, first.client.follow(running.pod, "c") as follower:
        assert follower.line() == "one\n"
        proxy.delay(0.4)
        asked = threads.submit(first.client.create, request(late))
        name = late["metadata"]["name"]
        wait_until(lambda: name in first.client.ask("GET", "/ui/state", None).text, "the create is on its way")
        stopped = threads.submit(first.sidecar.stop)
        # it is not the end of the log
        with pytest.raises(http.client.IncompleteRead):
            follower.rest()
        created = asked.result().json
        assert stopped.result() == 0
    assert created["PodJID"].isdigit()
    assert "RUNNING" in first.jobs_of(running.pod)

    go_on(first, running.pod)
    second = serve(each_site, DataRootFolder=first.root)
    codes = [Watched(second.client, each).until_over().exit_code("c") for each in (running.pod, late)]
    assert codes == [3, 4]


def test_a_sidecar_stops_while_the_site_is_away(site: Site, through: Any) -> None:
    _, served = through(site, reachable=False)
    assert served.sidecar.stop() == 0


def test_nothing_is_left_running_at_the_site(fragile_site: Site, serve: Serve) -> None:
    served = serve(fragile_site, SSH={"User": "bob"}, DataRootFolder=f"/home/bob/{fragile_site.name}")
    served.vk.create(request(pod(sh("c", "true")))).until_over()
    assert fragile_site.exec("pgrep -u bob || true") != ""
    assert served.sidecar.stop() == 0
    wait_until(lambda: fragile_site.exec("pgrep -u bob || true") == "", "bob has no processes")
