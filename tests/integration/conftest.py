"""One sidecar at each site that all tests share, so that their pods can run side by side."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fault_proxy import FaultProxy
from tests.pods import Json, pod, request, sh
from tests.runtimes import Shared, settings
from tests.serving import Serve, Serving
from tests.shared_folder import execute, with_folder
from tests.shared_sidecars import SharedSidecars
from tests.sidecar import Sidecar
from tests.sites import Site
from tests.vk import Watched

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
def _sharing(shared_sidecars: SharedSidecars) -> Callable[[Site], Serving]:
    def get(site: Site) -> Serving:
        return shared_sidecars.get(site.suite, site, create=_early)

    return get


def _early(served: Serving) -> dict[str, Watched]:
    hook = {"exec": {"command": ["/bin/sh", "-c", f"sleep {PRE_STOP_SECONDS}"]}}
    hooked = sh("c", 'trap "echo goodbye; exit 3" TERM; while :; do sleep 1; done', lifecycle={"preStop": hook})
    pods = {
        "overdue": pod(sh("c", "sleep 600"), flags="-t 1"),
        "past_deadline": pod(hooked, activeDeadlineSeconds=60),
        "near_limit": told_of_its_time_limit(),
    }
    return {name: served.vk.create(request(each)) for name, each in pods.items()}


def told_of_its_time_limit() -> Json:
    """A pod that Slurm signals in good time, up to a minute earlier than it should, and after 25 s or later."""
    # the pods at both sites run for minutes, and each sleep is a process
    container = sh("c", "trap 'echo told >>$DIR/order; exit 0' TERM; while :; do sleep 0.5; done")
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


@pytest.fixture(scope="session")
def shared(site: Site, shared_sidecars: SharedSidecars) -> Shared:
    """One sidecar for each runtime, so that pods can run side by side."""

    def get(runtime: str) -> Serving:
        return shared_sidecars.get(runtime, site, keys=lambda folder: settings(site, runtime, folder))

    return get
