"""Real sites for the tests that need one, and the real program against them.

A site starts in the background as soon as pytest knows that some test wants it, while unit tests run, and is taken
down at the end of the run. Where it cannot start, those tests fail.
"""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.shared_sidecars import SharedSidecars
from tests.sidecar import Sidecar
from tests.sites import Site, Sites

FIXTURES = {
    "site": ("trixie",),
    "site22": ("bookworm",),
    "each_site": ("trixie", "bookworm"),
    "strict_site": ("strict",),
    "fragile_site": ("fragile",),
    "accounted_site": ("accounted",),
    "apart_site": ("apart",),
    "apart22_site": ("apart22",),
}

# What is done there to daemons and nodes would disturb other tests at the same time
_FRAGILE = {"strict", "fragile", "accounted"}

# Folders of tests that need no site: some of the first take a minute, and the last take milliseconds
_FIRST = {"ssh", "api", "service"}
_LAST = {"config", "domain"}

# Longer values are cut in the names of tests
_LONGEST_ID = 100

_sites = pytest.StashKey[Sites]()
_sidecars = pytest.StashKey[SharedSidecars]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "supervised: start the program itself, with its supervisor")
    config.stash[_sites] = Sites(_run(config))
    config.stash[_sidecars] = SharedSidecars(_run(config))


def _run(config: pytest.Config) -> str:
    """What this run is called, in each of its processes."""
    worker = getattr(config, "workerinput", None)
    return worker["sites"] if worker else f"{os.getpid()}"


def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker gets the name of its run."""
    node.workerinput["sites"] = _run(node.config)


# before pytest-xdist reads the groups, and around pytest's own order
@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Order the tests so that processes that wait for a site run beside processes that compute.

    First tests that need no site, while the sites start; then the groups, the largest first, since each runs in one
    process; then all others, both kinds mixed; at last the quickest, so that all processes end together. Tests that
    stop a site's daemons are one group per site.
    """
    for item in items:
        for kind in _FRAGILE & set(_suites(item)):
            item.add_marker(pytest.mark.xdist_group(kind))
    yield
    sizes = Counter(_group(item) for item in items)
    grouped = sorted((item for item in items if _group(item)), key=lambda item: (-sizes[_group(item)], _group(item)))
    at_sites = [item for item in items if not _group(item) and _suites(item)]
    computing = [item for item in items if not _group(item) and not _suites(item)]
    first = [item for item in computing if _folder(item) in _FIRST]
    last = [item for item in computing if _folder(item) in _LAST]
    others = [item for item in computing if _folder(item) not in _FIRST | _LAST]
    items[:] = [*first, *grouped, *_mixed(others, at_sites), *last]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Each process sends the names of all tests, and some values have 100,000 characters."""
    if isinstance(val, str | bytes) and len(val) > _LONGEST_ID:
        return f"{val[:_LONGEST_ID]!r} of {len(val)}"
    return None


def _folder(item: pytest.Item) -> str:
    return item.nodeid.split("/", 2)[1]


def _mixed(*lists: list[pytest.Item]) -> list[pytest.Item]:
    """Each list in its own order, spread evenly over the whole."""
    placed = [(index / len(each), item) for each in lists for index, item in enumerate(each)]
    return [item for _, item in sorted(placed, key=itemgetter(0))]


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else ""


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection() -> Iterator[None]:
    """8,000 tests live until the end: garbage collections that visit them take a third of this time, and time later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    for suite in sorted({suite for item in session.items for suite in _suites(item)}):
        session.config.stash[_sites].start(suite)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the shared sidecars; one that did not end well, or logged a traceback, fails the run."""
    if hasattr(session.config, "workerinput"):
        return
    problems = session.config.stash[_sidecars].stop()
    if problems:
        print("", *problems, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[_sites].down()


def _suites(item: pytest.Item) -> list[str]:
    names = getattr(item, "fixturenames", ())
    return [suite for name in names for suite in FIXTURES.get(name, ())]


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Site:
    """Debian 13: Slurm 24.11 and Apptainer."""
    return request.config.stash[_sites].get("trixie")


@pytest.fixture(scope="session")
def site22(request: pytest.FixtureRequest) -> Site:
    """Debian 12: Slurm 22.05, and no container runtime."""
    return request.config.stash[_sites].get("bookworm")


@pytest.fixture(scope="session")
def strict_site(request: pytest.FixtureRequest) -> Site:
    """Debian 13, where jobs can run out of memory, and those in the partition urgent push others out."""
    return request.config.stash[_sites].get("strict")


@pytest.fixture(scope="session")
def fragile_site(request: pytest.FixtureRequest) -> Site:
    """Like `site`; its daemons may be stopped, as long as they run again at the end of the test."""
    return request.config.stash[_sites].get("fragile")


@pytest.fixture(scope="session")
def accounted_site(request: pytest.FixtureRequest) -> Site:
    """Like `fragile_site`, with slurmdbd, and a MinJobAge of two seconds."""
    return request.config.stash[_sites].get("accounted")


@pytest.fixture(scope="session")
def apart_site(request: pytest.FixtureRequest) -> Site:
    """Like `site`, but its node sees no file of the login node."""
    return request.config.stash[_sites].get("apart")


@pytest.fixture(scope="session")
def apart22_site(request: pytest.FixtureRequest) -> Site:
    """Like `apart_site`, with Slurm 22.05, and no container runtime."""
    return request.config.stash[_sites].get("apart22")


@pytest.fixture(scope="session", params=["trixie", "bookworm"], ids=["slurm-24.11-apptainer", "slurm-22.05-none"])
def each_site(request: pytest.FixtureRequest) -> Site:
    """The test runs at both."""
    return request.config.stash[_sites].get(request.param)


@pytest.fixture(scope="session")
def shared_sidecars(request: pytest.FixtureRequest) -> SharedSidecars:
    return request.config.stash[_sidecars]


StartSidecar = Callable[..., Sidecar]


@pytest.fixture
def sidecar(request: pytest.FixtureRequest) -> Iterator[StartSidecar]:
    """Start `remote-slurm serve` with a configuration file; at the end its log must not hold a traceback.

    In tests marked `supervised`, it has its supervisor.
    """
    started: list[Sidecar] = []
    supervised = request.node.get_closest_marker("supervised") is not None

    def start(config: Path, *options: str, environment: dict[str, str] | None = None) -> Sidecar:
        started.append(Sidecar(config, *options, environment=environment, supervised=supervised))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()
        print(each.log)
    for each in started:
        assert "Traceback" not in each.log
        assert "unexpected" not in each.log
