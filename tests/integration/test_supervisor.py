"""The server process dies, and nothing that clients asked is refused or lost: the supervisor holds their sockets."""

import http.client
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.domain.slurm.job_ids import is_job_id
from tests.hypothesis_settings import SOAK
from tests.pods import key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.vk import Watched

pytestmark = pytest.mark.supervised

# One hundred in scripts/soak
KILLS = 100 if SOAK else 3


def server_of(served: Serving) -> int:
    """The process id of the server, a child of the supervisor."""
    supervisor = served.sidecar.process.pid
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    wait_until(lambda: children.read_text().split() != [], "a server was started")
    return int(children.read_text().split()[0])


@pytest.mark.timeout(40 * KILLS + 900)  # a loaded machine takes 13 s for one
def test_no_request_is_refused_or_lost_while_the_server_is_killed(site: Site, serve: Serve) -> None:
    served = serve(site)
    done = threading.Event()

    def stream() -> list[Any]:
        """Pods one after another: each is created, asked for, and every other one deleted."""
        made = []
        while not done.is_set():
            one = pod(sh("c", "exit 3"))
            # those that come together are tasks of an array
            assert is_job_id(served.client.create(request(one)).json["PodJID"])
            assert served.client.status(one).status == 200
            if len(made) % 2:
                assert served.client.delete(one).status == 200
            made.append(one)
        return made

    def ping() -> int:
        count = 0
        while not done.is_set():
            assert served.client.ask("GET", "/status", []).status == 200
            count += 1
            time.sleep(0.01)
        return count

    with ThreadPoolExecutor(4) as threads:
        streams = [threads.submit(stream) for _ in range(3)]
        pings = threads.submit(ping)
        try:
            for number in range(KILLS):
                listening = served.sidecar.log.count(" listening url=")
                time.sleep(
                    0.3 if number % 4 else 1.2
                )  # the next server starts later if this one dies right after its start
                os.kill(server_of(served), signal.SIGKILL)
                wait_until(
                    lambda listening=listening: served.sidecar.log.count(" listening url=") > listening,
                    "the next server listens",
                )
        finally:
            done.set()
        pods = [each for made in streams for each in made.result()]
        assert pings.result() > 0
    assert pods
    for made in (each.result() for each in streams):
        for index, one in enumerate(made):
            if index % 2:
                wait_until(lambda one=one: key(one) not in served.folders, "its folder is removed")
            else:
                assert Watched(served.client, one).until_over().exit_code("c") == 3
    assert served.sidecar.stop() == 0


def test_a_followed_log_cut_off_by_the_server_is_no_whole_log(site: Site, serve: Serve) -> None:
    served = serve(site)
    running = served.vk.create(request(pod(sh("c", "echo one; sleep 600")))).until_running("c")
    with served.client.follow(running.pod, "c") as follower:
        assert follower.line() == "one\n"
        os.kill(server_of(served), signal.SIGKILL)
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            follower.rest()


def test_the_server_ends_with_its_supervisor(site: Site, serve: Serve) -> None:
    served = serve(site)
    server = server_of(served)
    served.sidecar.kill()
    wait_until(lambda: not Path(f"/proc/{server}").exists(), "the server has ended")
