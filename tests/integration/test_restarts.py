"""What a sidecar knows after it was killed: everything that lies at the site, and every delete it had promised."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.counting_pods import counting, ran_once
from tests.fault_proxy import FaultProxy
from tests.pods import key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import go_on, held
from tests.sites import Site
from tests.vk import Watched


def again(serve: Serve, served: Serving, **overrides: Any) -> Serving:
    """A sidecar for the same folder at the site, with an empty StateFolder."""
    return serve(served.site, DataRootFolder=served.root, **overrides)


def seen_by(served: Serving, watched: Watched) -> Watched:
    """The same pod, which another sidecar is asked about from now on."""
    return Watched(served.client, watched.pod, watched.job, watched.phases, watched.status)


def test_a_sidecar_with_an_empty_disk_knows_every_pod_again(each_site: Site, serve: Serve) -> None:
    first = serve(each_site)
    bodies = {"ended": pod(sh("c", "exit 3")), "running": held("exit 4"), "ends_meanwhile": held("exit 5")}
    pods = {name: first.vk.create(request(body)) for name, body in bodies.items()}
    pods["pending"] = first.vk.create(request(pod(sh("c", "exit 6"), flags="--begin=now+1hour")))
    pods["ended"].until_over()
    for name in ("running", "ends_meanwhile"):
        pods[name].until_running("c")
    first.sidecar.kill()
    go_on(first, bodies["ends_meanwhile"])
    first.until_jobs(bodies["ends_meanwhile"], "FAILED")

    second = again(serve, first)
    pods = {name: seen_by(second, watched) for name, watched in pods.items()}
    assert second.vk.create(request(pods["running"].pod)).job == pods["running"].job
    go_on(second, bodies["running"])
    each_site.exec(f"scontrol update jobid={pods['pending'].job} StartTime=now")
    for name, code in (("ended", 3), ("running", 4), ("ends_meanwhile", 5), ("pending", 6)):
        pods[name].until_true(lambda name=name: "terminated" in pods[name].state("c"), f"{name} is over")
        assert pods[name].exit_code("c") == code
        assert len(second.jobs_of(pods[name].pod)) == 1
        assert pods[name].log("c") == ""
    pods["ended"].delete()
    second.until_gone(pods["ended"].pod)


def test_nothing_is_said_of_a_pod_before_the_site_was_asked(site: Site, serve: Serve, through: Any) -> None:
    first = serve(site)
    running = first.vk.create(request(held("exit 3"))).until_running("c")
    first.sidecar.kill()

    proxy, second = through(site, reachable=False, DataRootFolder=first.root)
    blind = seen_by(second, running)
    running.pod["metadata"]["annotations"]["JobID"] = running.job
    assert second.client.status(running.pod).json == []
    go_on(second, running.pod)
    proxy.listen()
    blind.until_over()
    assert blind.exit_code("c") == 3


def test_creates_of_one_pod_at_the_same_time_are_one_job(served: Serving) -> None:
    a_pod, out = counting()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: served.client.create(request(a_pod)), range(8)))
    jobs = {answer.json["PodJID"] for answer in answers}
    assert len(jobs) == 1
    assert Watched(served.client, a_pod, *jobs).until_over().phase == "Succeeded"
    assert ran_once(served, a_pod, out)


def test_two_sidecars_create_one_job_and_the_older_one_goes_on(each_site: Site, serve: Serve) -> None:
    """As in a rolling upgrade."""
    older = serve(each_site)
    wait_until(lambda: "recovered pods" in older.sidecar.log, "the older one is connected")
    running = older.vk.create(request(held("exit 3"))).until_running("c")
    newer = again(serve, older)
    pods = [counting() for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(served.client.create, request(a_pod)) for a_pod, _ in pods for served in (older, newer)]
    answers = [each.result() for each in asked]
    for (a_pod, out), one, two in zip(pods, answers[::2], answers[1::2], strict=True):
        assert one == two
        assert Watched(newer.client, a_pod, two.json["PodJID"]).until_over().phase == "Succeeded"
        assert ran_once(newer, a_pod, out)
    older_health = partial(older.client.ask, "GET", "/healthz", None)
    wait_until(lambda: "superseded: " in older_health().text, "the older one has noticed")
    assert older.client.status(running.pod).status == 200
    go_on(newer, running.pod)
    assert seen_by(newer, running).until_over().exit_code("c") == 3
    assert older.client.create(request(running.pod)).json["PodJID"] == running.job


def test_a_create_waits_until_the_sites_pods_are_known(site: Site, serve: Serve, through: Any) -> None:
    first = serve(site)
    running = first.vk.create(request(held("exit 0"))).until_running("c")
    first.sidecar.kill()
    proxy, second = through(site, reachable=False, DataRootFolder=first.root)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(second.client.create, request(a_pod)) for a_pod in (running.pod, pod(sh("c", "true")))]
        assert second.client.status(running.pod).json == []
        proxy.listen()
        same, new = (each.result().json["PodJID"] for each in asked)
    assert same == running.job
    go_on(second, running.pod)
    log = second.sidecar.log
    assert log.index("recovered pods") < log.index(f"job={new}")


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.06, 0.1])
def test_a_sidecar_that_is_killed_within_create_leaves_one_job_at_most(site: Site, serve: Serve, moment: float) -> None:
    first = serve(site)
    wait_until(lambda: "recovered pods" in first.sidecar.log, "it is connected")
    a_pod, out = counting("true")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(first.client.create, request(a_pod))
        time.sleep(moment)
        first.sidecar.kill()
        asked.exception()
    second = again(serve, first)
    assert second.vk.create(request(a_pod)).until_over().phase == "Succeeded"
    assert ran_once(second, a_pod, out)


def test_a_delete_is_carried_out_when_the_site_is_back(site: Site, through: Any) -> None:
    proxy, served = through(site)
    deleted = served.vk.create(request(pod(sh("c", "sleep 600"), terminationGracePeriodSeconds=1))).until_running("c")
    proxy.refuse()
    proxy.cut()
    deleted.delete()
    assert [path.stem for path in served.journal] == [key(deleted.pod)]
    proxy.listen()
    served.until_gone(deleted.pod)


def test_a_delete_outlives_the_sidecar(site: Site, serve: Serve, through: Any) -> None:
    proxy: FaultProxy
    proxy, first = through(site)
    deleted = first.vk.create(request(pod(sh("c", "sleep 600"), terminationGracePeriodSeconds=1))).until_running("c")
    proxy.refuse()
    proxy.cut()
    deleted.delete()
    first.sidecar.kill()
    assert "RUNNING" in first.jobs_of(deleted.pod)

    second = serve(site, DataRootFolder=first.root, StateFolder=str(first.state_folder))
    second.until_gone(deleted.pod)
    assert second.client.status(deleted.pod).json == []


def test_the_virtual_kubelet_names_the_job_of_a_lost_folder(site: Site, serve: Serve) -> None:
    first = serve(site)
    lost = first.vk.create(request(pod(sh("c", "exec sleep 600")))).until_running("c")
    first.sidecar.kill()
    # the job may be writing there
    everything = f"{first.root}/{key(lost.pod)} {first.root}/.remote-slurm/claims/{key(lost.pod)}*"
    site.exec(f"until rm -rf {everything}; do sleep 0.1; done")
    second = again(serve, first)
    wait_until(lambda: "recovered pods" in second.sidecar.log, "the site was asked")
    lost.pod["metadata"]["annotations"]["JobID"] = lost.job
    orphan = seen_by(second, lost)
    orphan.poll()
    site.exec(f"scancel {lost.job}")
    orphan.until_over()
    assert orphan.status
    assert orphan.status["JID"] == lost.job
