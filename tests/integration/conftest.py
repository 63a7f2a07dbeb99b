"""One sidecar at each site that all tests share, so that their pods can run side by side."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from faults import FaultProxy
from pods import Json, pod, request, sh
from serving import Serve, Serving
from shared_folder import execute, with_folder
from sidecar import Sidecar
from sites import Site
from vk import Watched

# Longer than the sites' KillWait
PRE_STOP_SECONDS = 15


@pytest.fixture
def serve(sidecar: Callable[..., Sidecar], tmp_path: Path) -> Serve:
    """Start a sidecar of the test's own at a site; further arguments are keys of its configuration."""

    def start(site: Site, **overrides: Any) -> Serving:
        config = site.config(tmp_path, **overrides)
        return Serving(site, config, sidecar(config))

    return start


@pytest.fixture(scope="session")
def _sharing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Site], Serving]]:
    running: dict[str, Serving] = {}

    def get(site: Site) -> Serving:
        if site.suite not in running:
            config = site.config(tmp_path_factory.mktemp("shared"))
            served = running[site.suite] = Serving(site, config, Sidecar(config))
            served.overdue = served.vk.create(request(pod(sh("c", "sleep 600"), flags="-t 1")))
            hook = {"exec": {"command": ["/bin/sh", "-c", f"sleep {PRE_STOP_SECONDS}"]}}
            script = 'trap "echo goodbye; exit 3" TERM; while :; do sleep 1; done'
            hooked = sh("c", script, lifecycle={"preStop": hook})
            served.past_deadline = served.vk.create(request(pod(hooked, activeDeadlineSeconds=60)))
            served.near_limit = served.vk.create(request(told_of_its_time_limit()))
        return running[site.suite]

    yield get
    for each in running.values():
        assert each.sidecar.stop() == 0
        assert "Traceback" not in each.sidecar.log
        assert "unexpected" not in each.sidecar.log


def told_of_its_time_limit() -> Json:
    """A pod that Slurm tells to end in good time, up to a minute earlier than it should, and after 25 s or later."""
    container = sh("c", "trap 'echo told >>$DIR/order; exit 0' TERM; while :; do sleep 0.1; done")
    container["lifecycle"] = {"preStop": execute("echo hook >>$DIR/order")}
    return with_folder(container, flags="-t 2", terminationGracePeriodSeconds=20)


@pytest.fixture
def served(each_site: Site, _sharing: Callable[[Site], Serving]) -> Serving:
    """The shared sidecar, at either site."""
    return _sharing(each_site)


@pytest.fixture
def served24(site: Site, _sharing: Callable[[Site], Serving]) -> Serving:
    """The shared sidecar at the site with Slurm 24.11 and Apptainer."""
    return _sharing(site)


@pytest.fixture
def served22(site22: Site, _sharing: Callable[[Site], Serving]) -> Serving:
    """The shared sidecar at the site with Slurm 22.05 and no container runtime."""
    return _sharing(site22)


@pytest.fixture
def over(running: dict[str, Watched], request: pytest.FixtureRequest) -> Watched:
    """The pod that a test is marked `of`, once it has ended: its module's `running` has started all of them."""
    return running[request.param].until_over()


Through = Callable[..., tuple[FaultProxy, Serving]]


@pytest.fixture
def through(serve: Serve, tmp_path: Path) -> Iterator[Through]:
    """A sidecar that reaches its site through a proxy that can cut, freeze and refuse."""
    with ExitStack() as proxies:

        def start(site: Site, *, reachable: bool = True, **overrides: Any) -> tuple[FaultProxy, Serving]:
            proxy = proxies.enter_context(FaultProxy(site.host, site.port))
            known_hosts = tmp_path / f"known_hosts-{proxy.port}"
            known_hosts.write_text(site.known_hosts_file.read_text().replace(f"]:{site.port} ", f"]:{proxy.port} "))
            if not reachable:
                proxy.refuse()
            keys = {"Port": proxy.port, "UserKnownHostsFile": str(known_hosts)} | overrides.pop("SSH", {})
            return proxy, serve(site, SSH=keys, **overrides)

        yield start
