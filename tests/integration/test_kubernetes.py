"""With credentials for Kubernetes: Events tell the story, what is lacking is fetched, and what is gone is not run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube_api import KubeApi, kube_api
from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import go_on, held
from tests.sites import Site


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as api:
        yield api


@pytest.fixture
def reported(site: Site, serve: Serve, api: KubeApi, tmp_path: Path) -> Serving:
    return serve(site, CUSTOMKUBECONF=str(api.kubeconfig(tmp_path)))


def known(api: KubeApi, a_pod: Json) -> Json:
    """The pod, which Kubernetes has as well."""
    api.add("pods", {"metadata": a_pod["metadata"]})
    return a_pod


def reasons(api: KubeApi, a_pod: Json) -> list[str]:
    return [reason for reason, _ in api.of(a_pod)]


def test_events_report_each_step_of_a_pod(reported: Serving, api: KubeApi) -> None:
    ends = reported.vk.create(request(known(api, held("exit 3"))))
    waits = reported.vk.create(request(known(api, pod(sh("c", "true"), flags="--begin=now+1hour"))))
    wait_until(lambda: "Started" in reasons(api, ends.pod), "the start is reported")
    go_on(reported, ends.pod)
    ends.until_over()
    wait_until(lambda: reasons(api, ends.pod)[-2:] == ["Failed", "Usage"], "the end and the usage are reported")
    why = "BeginTime: its earliest start time has not come; expected to start at"
    wait_until(lambda: why in " ".join(message for _, message in api.of(waits.pod)[-1:]), "why it waits is reported")
    node = reported.site.exec("hostname").strip()
    assert api.of(ends.pod)[0] == ("Submitted", f"submitted to Slurm as job {ends.job}")
    used = r"used (under )?[0-9.]+% of [0-9]+ CPUs?; waited .*, ran .*"
    assert re.fullmatch(used, dict(api.of(ends.pod))["Usage"])
    assert ("Started", f"job {ends.job} started on {node}") in api.of(ends.pod)
    assert reasons(api, waits.pod)[-1] == "Pending"
    assert {each["type"] for each in api.events if each["reason"] == "Failed"} == {"Warning"}
    before = len(api.events)
    reported.sidecar.kill()
    again = Serving(reported.site, reported.config, type(reported.sidecar)(reported.config))
    waits.client = again.client
    path = "POST /api/v1/namespaces/default/events"
    wait_until(lambda: waits.poll() == "Pending" and api.asked.count(path) > before, "it tells again")
    again.sidecar.kill()
    assert len(api.events) == before  # and each thing is there once


def test_config_maps_and_secrets_that_a_request_lacks_are_fetched(reported: Serving, api: KubeApi) -> None:
    api.add("configmaps", {"metadata": {"name": "cm"}, "data": {"a": "from Kubernetes"}})
    api.add("secrets", {"metadata": {"name": "s"}, "data": {"b": "c2VjcmV0"}})
    volumes = [{"name": "v", "configMap": {"name": "cm"}}, {"name": "w", "secret": {"secretName": "s"}}]
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}]
    a_pod = known(api, pod(sh("c", "cat /v/a; echo; cat /w/b", volumeMounts=mounts), volumes=volumes))
    shown = reported.vk.create(request(a_pod)).until_over()
    assert shown.log("c") == "from Kubernetes\nsecret"


def test_a_claim_lies_at_the_path_of_its_storage_class(site: Site, serve: Serve, api: KubeApi, tmp_path: Path) -> None:
    site.exec("mkdir -p /tmp/classes && chmod 777 /tmp/classes")
    paths = {"storageClass/fast": "/tmp/classes/{namespace}/{claim}", "named": "/srv"}
    served = serve(site, CUSTOMKUBECONF=str(api.kubeconfig(tmp_path)), PersistentVolumeClaims=paths)
    for name, storage_class in (("own", "fast"), ("tape", "slow")):
        claim = {"metadata": {"name": name, "namespace": "default"}, "spec": {"storageClassName": storage_class}}
        api.add("persistentvolumeclaims", claim)

    def mounting(script: str, *claims: str) -> Json:
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
        mounts = [{"name": name, "mountPath": f"/{name}"} for name in claims]
        return known(api, pod(sh("c", script, volumeMounts=mounts), volumes=volumes))

    kept = served.vk.create(request(mounting("ls -d /named/images; echo kept > /own/f", "named", "own"))).until_over()
    assert (kept.phase, kept.log("c")) == ("Succeeded", "/named/images\n")
    assert site.exec("cat /tmp/classes/default/own/f") == "kept\n"
    asked = [each.rpartition("/")[2] for each in api.asked if "persistentvolumeclaims" in each]
    assert asked == ["own"], "once, and not for what has a path by its name"
    assert "of the storage class 'slow'" in served.vk.refused(request(mounting("true", "tape"))).text
    api.forbidden = {"persistentvolumeclaims"}
    assert "PersistentVolumeClaims selects paths by it" in served.vk.refused(request(mounting("true", "own"))).text
    assert (
        'a call of the Kubernetes API failed, continuing without it call="reading persistentVolumeClaims"'
        in served.sidecar.log
    )


def test_a_pod_that_is_gone_is_not_submitted(reported: Serving, api: KubeApi) -> None:
    gone = pod(sh("c", "true"))
    refused = reported.vk.refused(request(gone))
    assert (refused.status, "no longer exists in Kubernetes" in refused.text) == (400, True)
    successor = known(api, pod(sh("c", "true"), name=gone["metadata"]["name"]))
    assert reported.vk.refused(request(gone)).status == 400  # another pod has its name now
    assert reported.vk.create(request(successor)).until_over().phase == "Succeeded"


def test_what_the_api_does_not_allow_is_said_once_and_stops_nothing(reported: Serving, api: KubeApi) -> None:
    api.forbidden = {"pods", "events", "configmaps"}
    for _ in range(2):
        assert reported.vk.create(request(pod(sh("c", "true")))).until_over().phase == "Succeeded"
    assert (
        reported.sidecar.log.count(
            'WARNING a call of the Kubernetes API failed, continuing without it call="looking up pods"'
        )
        == 1
    )
    assert "403 Forbidden" in reported.sidecar.log


def test_credentials_that_cannot_be_used_end_the_start_with_a_sentence(
    site: Site, serve: Serve, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=r"CUSTOMKUBECONF .*absent cannot be used.*in-cluster"):
        serve(site, CUSTOMKUBECONF=str(tmp_path / "absent"))
