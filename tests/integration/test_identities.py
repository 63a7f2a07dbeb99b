"""Pods of three owners run as three accounts of the site, through one sidecar."""

from typing import Any

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import go_on, held
from tests.sites import Site
from tests.vk import Watched

WHO = {"team-a": "alice", "team-b": "bob", "team-h": "hpcuser"}


def identities() -> Json:
    return {user: {"Namespaces": [namespace], "SSH": {"User": user}} for namespace, user in WHO.items()}


@pytest.fixture
def shared(site: Site, serve: Serve) -> Serving:
    """The key of the site opens all three accounts."""
    return serve(site, Identities=identities(), IdentityAnnotation="example.org/as")


def of(namespace: str, script: str, **spec: Any) -> Json:
    a_pod = pod(sh("c", script), **spec)
    a_pod["metadata"]["namespace"] = namespace
    return a_pod


def held_of(namespace: str, script: str) -> Json:
    a_pod = held(script)
    a_pod["metadata"]["namespace"] = namespace
    return a_pod


def test_each_pod_runs_and_is_accounted_as_its_owner(shared: Serving) -> None:
    watched = {who: shared.vk.create(request(of(namespace, "id -u; exit 3"))) for namespace, who in WHO.items()}
    stranger = shared.vk.refused(request(of("team-x", "true")))
    assert (stranger.status, "no entry of Identities" in stranger.text) == (400, True)
    for user, each in watched.items():
        assert each.until_over().exit_code("c") == 3
        assert each.log("c") == shared.site.exec(f"id -u {user}")
        assert shared.site.exec(f"squeue -j {each.job} --states=all -h -o %u") == f"{user}\n"
    pods = shared.client.ask("GET", "/pods", None).json["pods"]
    assert {each["pod"] for each in pods} == {key(each.pod) for each in watched.values()}
    for user, each in watched.items():
        each.delete()
        home = shared.site.exec(f"echo ~{user}").strip()
        folder = f"{home}/{shared.root}/{key(each.pod)}"
        wait_until(lambda folder=folder: "gone" in shared.site.exec(f"[ -e {folder} ] || echo gone"), f"{folder} went")


def test_an_account_that_fails_leaves_the_others_alone(site: Site, serve: Serve) -> None:
    locked = identities()
    locked["alice"]["SSH"] |= {"User": "nobody-has-this"}
    shared = serve(site, Identities=locked)
    works = shared.vk.create(request(of("team-b", "echo works")))
    assert works.until_over().log("c") == "works\n"
    wait_until(lambda: shared.client.ping()["resources"]["pods"] != "0", "the node has room")
    refused = shared.vk.refused(request(of("team-a", "true")))
    assert (refused.status, "nobody-has-this" in refused.text) == (503, True)
    info = shared.client.system_info()
    assert (info["slurm_connected"], info["error"].startswith("alice: ")) == (True, True)
    assert shared.client.ask("GET", "/readyz", None).status == 200


def test_a_restart_knows_the_pods_of_each_account_again(shared: Serving, serve: Serve) -> None:
    running = {who: shared.vk.create(request(held_of(namespace, "exit 5"))) for namespace, who in WHO.items()}
    for each in running.values():
        each.until_running("c")
    shared.sidecar.kill()
    again = serve(shared.site, Identities=identities(), DataRootFolder=shared.root)
    for each in running.values():
        seen = Watched(again.client, each.pod, each.job, each.phases, each.status)
        assert again.vk.create(request(each.pod)).job == each.job
        go_on(again, each.pod)
        assert seen.until_over().exit_code("c") == 5


def test_an_annotation_chooses_only_among_ones_own(shared: Serving) -> None:
    a_pod = of("team-a", "true")
    a_pod["metadata"]["annotations"]["example.org/as"] = "bob"
    refused = shared.vk.refused(request(a_pod))
    assert (refused.status, "does not match the pod's namespace" in refused.text) == (400, True)
