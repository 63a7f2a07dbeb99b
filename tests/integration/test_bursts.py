"""Pods that arrive together travel together, and each is one job all the same."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from remote_slurm.site.batcher import RUNS
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serving, wait_until
from tests.sidecar import Sidecar
from tests.sites import Site

PODS = 16


def burst(served: Serving, bodies: list[Json], *, meanwhile: Any = lambda: None) -> list[str]:
    """Create all at once; the job of each."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        asked = [threads.submit(served.client.create, body) for body in bodies]
        meanwhile()
        return [each.result().json["PodJID"] for each in asked]


def bodies_of(number: int, flags: str = "") -> list[Json]:
    """Pods whose container appends its own name to a file beside DataRootFolder's pods."""
    pods = [pod(sh("c", ""), flags=flags) for _ in range(number)]
    for each in pods:
        each["spec"]["containers"][0]["args"] = [f"echo {key(each)} >> /tmp/ran-{key(each)}"]
    return [request(each) for each in pods]


# Slurm has no part in how many bytes arrive, so that each version has one size with arrays, and the other without
@pytest.mark.parametrize(
    ("each_site", "arrays", "size"),
    [
        ("trixie", "off", 30_000),
        ("trixie", "always", 60_000),
        ("bookworm", "off", 60_000),
        ("bookworm", "always", 30_000),
    ],
    indirect=["each_site"],
)
def test_a_burst_of_pods_over_a_connection_that_breaks_is_one_job_each(
    each_site: Site, through: Any, arrays: str, size: int
) -> None:
    proxy, served = through(each_site, ContainerRuntime="none", PollInterval=5, JobArrays=arrays)
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")
    proxy.delay(0.05)
    jobs = ran_once_each(served, bodies_of(PODS), meanwhile=lambda: proxy.cut_after(size, "up"))
    assert any("_" in job for job in jobs) is (arrays == "always")


@pytest.mark.parametrize(
    ("how", "size", "direction"),
    [
        ("cut", 10_000, "up"),
        ("cut", 400, "down"),
        ("cut", 900, "down"),
        ("freeze", 40_000, "up"),
        ("freeze", 400, "down"),
    ],
)
def test_an_array_over_a_connection_that_fails_is_one_job_for_each_pod(
    site: Site, through: Any, how: str, size: int, direction: str
) -> None:
    proxy, served = through(site, ContainerRuntime="none", PollInterval=5, JobArrays="always")
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")
    proxy.delay(0.1)

    def fail() -> None:
        if how == "cut":
            proxy.cut_after(size, direction)
            return
        proxy.freeze_after(size, direction)
        wait_until(lambda: not proxy._flowing.is_set(), "it is frozen")
        time.sleep(3)
        proxy.thaw()

    ran_once_each(served, bodies_of(PODS), meanwhile=fail)


def test_a_sidecar_that_is_killed_while_it_submits_an_array(
    site: Site, through: Any, sidecar: Callable[..., Sidecar]
) -> None:
    proxy, served = through(site, ContainerRuntime="none", PollInterval=5, JobArrays="always")
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")
    proxy.delay(0.1)
    bodies = bodies_of(PODS)
    with ThreadPoolExecutor(PODS) as threads:
        asked = [threads.submit(served.client.create, body) for body in bodies]
        wait_until(lambda: len(served.site.jobs(served.root)) >= RUNS, "the first pods have jobs")
        served.sidecar.kill()
    assert all(each.exception() is not None or each.result().status for each in asked)
    ran_once_each(Serving(served.site, served.config, sidecar(served.config)), bodies)


def ran_once_each(served: Serving, bodies: list[Json], *, meanwhile: Any = lambda: None) -> list[str]:
    """Create the pods, and again; each has the one job that was answered, and its container runs once."""
    answered = burst(served, bodies, meanwhile=meanwhile)
    keys = [key(body["pod"]) for body in bodies]
    assert served.site.pods_of_jobs(served.root) == dict(zip(answered, keys, strict=True))
    watched = [served.vk.create(body) for body in bodies]
    assert [each.job for each in watched] == answered
    for each in watched:
        assert each.until_over().phase == "Succeeded"
    assert served.site.pods_of_jobs(served.root) == dict(zip(answered, keys, strict=True))
    files = " ".join(f"/tmp/ran-{each}" for each in keys)
    assert served.site.exec(f"cat {files}") == "".join(f"{each}\n" for each in keys)
    return answered


def test_one_pod_that_slurm_refuses_holds_up_no_other(served24: Serving) -> None:
    good = bodies_of(8, flags="--hold")
    bad = bodies_of(8, flags="--partition=nowhere")
    with ThreadPoolExecutor(16) as threads:
        answers = list(
            threads.map(served24.client.create, [each for pair in zip(good, bad, strict=True) for each in pair])
        )
    assert all(answer.json["PodJID"].isdigit() for answer in answers[::2])
    assert [answer.status for answer in answers[1::2]] == [422] * len(bad)
    assert all("invalid partition" in answer.text for answer in answers[1::2])
    for body in good:
        served24.client.delete(body["pod"])
