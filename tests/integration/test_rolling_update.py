"""A rolling update: two sidecars with one DataRootFolder overlap, and clients reach either of them for a while."""

import contextlib
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.pods import key, pod, request, sh
from tests.serving import Serve, wait_until
from tests.sidecar import Client
from tests.sites import Site
from tests.vk import Watched

pytestmark = pytest.mark.supervised


class Switch:
    """Passes each connection on to the next of `targets`, as a Service does with its endpoints."""

    def __init__(self, *targets: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._choosing = threading.Lock()
        self.to(*targets)
        threading.Thread(target=self._accept, daemon=True).start()

    def to(self, *targets: str) -> None:
        """Once this returns, no connection is made to another target."""
        with self._choosing:
            self._targets = itertools.cycle(targets)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._choosing:
                    address = urlsplit(next(self._targets))
                    target = socket.create_connection((address.hostname, address.port))
                threading.Thread(target=_join, args=(client, target), daemon=True).start()


def _join(client: socket.socket, target: socket.socket) -> None:
    with client, contextlib.suppress(OSError), target:
        ends = {client: target, target: client}
        with selectors.DefaultSelector() as waiting:
            for end in ends:
                waiting.register(end, selectors.EVENT_READ)
            while True:
                for ready, _ in waiting.select():
                    data = ready.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    ends[ready.fileobj].sendall(data)  # type: ignore[index]


@pytest.fixture
def switch() -> Iterator[Callable[..., Switch]]:
    with contextlib.ExitStack() as stack:

        def start(*targets: str) -> Switch:
            started = Switch(*targets)
            stack.callback(started.close)
            return started

        yield start


def test_no_request_is_refused_or_lost_in_a_rolling_update(
    site: Site, serve: Serve, switch: Callable[..., Switch]
) -> None:
    older = serve(site)
    service = switch(older.sidecar.url)
    client = Client(service.url)
    done = threading.Event()
    made: list[tuple[Any, bool]] = []

    def stream() -> None:
        """Pods one after another: each is created and asked for, and every other one deleted."""
        for deleted in itertools.cycle((False, True)):
            if done.wait(0.25):
                return
            one = pod(sh("c", "exit 3"))
            assert client.create(request(one)).json["PodJID"].isdigit()
            assert client.status(one).status == 200
            assert client.ping()["resources"]
            if deleted:
                assert client.delete(one).status == 200
            made.append((one, deleted))

    with ThreadPoolExecutor(2) as threads:
        streams = [threads.submit(stream) for _ in range(2)]

        def until_more(pods: int) -> None:
            enough = len(made) + pods
            wait_until(lambda: len(made) >= enough or any(each.done() for each in streams), "the streams go on")

        try:
            until_more(4)
            newer = serve(site, DataRootFolder=older.root, StateFolder=str(older.state_folder))
            service.to(older.sidecar.url, newer.sidecar.url)
            wait_until(lambda: "a newer sidecar owns" in older.sidecar.log, "the older one knows of the newer one")
            until_more(8)
            service.to(newer.sidecar.url)
            time.sleep(3)  # preStop in examples/kubernetes: what the service has passed on reaches the older one
            assert older.sidecar.stop() == 0
            until_more(4)
        finally:
            done.set()
        for each in streams:
            each.result()
    for one, deleted in made:
        if deleted:
            wait_until(lambda one=one: key(one) not in newer.folders, "its folder is removed")
        else:
            assert Watched(newer.client, one).until_over().exit_code("c") == 3
    assert sorted(newer.site.pods_of_jobs(newer.root).values()) == sorted(key(one) for one, _ in made)
    assert newer.client.ask("GET", "/healthz", None).text == "ok\n"
