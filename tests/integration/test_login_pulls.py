"""ImagePull: login. Images are there before a job is submitted, since compute nodes may reach no registry."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.registry import Registry
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.vk import Watched

KEYS = {
    "ImagePull": "login",
    "ImagePrefix": "",
    "ImagePullRetries": 0,
    "RuntimeEnvironment": {"APPTAINER_NOHTTPS": "1"},
}


@pytest.fixture
def registry(site: Site) -> Iterator[Registry]:
    registry = Registry(site.archive("/srv/images/busybox"))
    yield registry
    registry.stop()


def marked(uri: str, **spec: Any) -> Json:
    return request(pod(sh("c", "cat /mark", image=uri, imagePullPolicy="IfNotPresent"), **spec))


def accepted(served: Serving, body: Json) -> Watched:
    """A create that is answered before there is a job."""
    answer = served.client.create(body).json
    assert answer == {"PodUID": body["pod"]["metadata"]["uid"], "PodJID": ""}
    return Watched(served.client, body["pod"])


def is_pulling(watched: Watched) -> bool:
    waiting = watched.state("c").get("waiting", {})
    return waiting.get("reason") == "ContainerCreating" and "is being pulled" in waiting["message"]


def pullers(served: Serving, registry: Registry) -> list[str]:
    """The niceness of each process that pulls from a registry, at the login node."""
    pulls = f"apptainer pull --forc[e] .*{registry.host}/"
    return served.site.exec(f"pgrep -f '{pulls}' | xargs -r ps -o ni= -p || true").split()


def test_login_pulls_come_one_by_one_before_the_submission(
    site: Site, serve: Serve, registry: Registry, tmp_path: Path
) -> None:
    (login := tmp_path / "login.json").write_text(registry.docker_config())
    keys = KEYS | {"ImagePullSecrets": {"default/known": str(login)}}
    served = serve(site, **keys)
    uris = [registry.push(f"private/{name}:1", mark=name) for name in ("one", "two")]
    registry.hold()
    known = {"imagePullSecrets": [{"name": "known"}]}
    waiting = [accepted(served, marked(uri, **known)) for uri in (*uris, uris[0])]
    for each in waiting:
        each.until_true(partial(is_pulling, each), "it says that its image is being pulled")
        assert each.status is not None
        assert each.status["JID"] == ""
    wait_until(lambda: pullers(served, registry) == ["19"], "one of the images is being pulled, by one nice process")
    assert all(secret not in site.arguments() for secret in registry.secrets)
    beside = served.vk.create(request(pod(sh("c", "echo beside", image="/srv/images/busybox")))).until_over()
    assert beside.log("c") == "beside\n"  # no pull is run by a session that serves others
    served.sidecar.kill()
    second = serve(site, DataRootFolder=served.root, **keys)
    registry.release()
    for each, mark in zip(waiting, ("one", "two", "one"), strict=True):
        again = Watched(second.client, each.pod, "", each.phases, each.status)
        assert again.until_over().log("c").endswith(mark)
    assert registry.pulls("private/one:1") == registry.pulls("private/two:1") == 3
    wait_until(lambda: pullers(second, registry) == [], "nobody pulls any more")
    images = f"ls -A {second.root}/.remote-slurm/images"
    wait_until(lambda: "work" not in site.exec(images), "what is kept while images are pulled is gone")


def test_a_failed_login_pull_fails_the_pod(site: Site, serve: Serve, registry: Registry) -> None:
    served, impatient = (serve(site, **KEYS | {"ImagePullRetries": retries}) for retries in (5, 1))
    registry.push("login/later:1", mark="later")
    registry.fails = "out of order"
    later = accepted(served, marked(f"docker://{registry.host}/login/later:1"))
    later.until_true(lambda: later.state("c").get("waiting", {}).get("reason") == "ErrImagePull", "its pull failed")
    assert "out of order" in later.state("c")["waiting"]["message"]
    registry.fails = ""
    none = accepted(impatient, marked(f"docker://{registry.host}/login/none:1"))
    assert later.until_over().log("c").endswith("later")
    assert "manifest unknown" in none.until_over().terminated("c")["message"]
    assert impatient.jobs_of(none.pod) == []
    registry.hold()
    deleted = accepted(served, marked(registry.push("login/deleted:1")))
    deleted.until_true(partial(is_pulling, deleted), "its image is being pulled")
    deleted.delete()
    wait_until(lambda: key(deleted.pod) not in served.folders, "its folder is gone")
    registry.release()
    served.until_gone(deleted.pod)


def test_images_that_are_never_pulled_have_to_be_there(site: Site, serve: Serve, registry: Registry) -> None:
    served = serve(site, **KEYS | {"ImagePull": "never", "ImageCacheFolder": f"/home/hpcuser/kept-{registry.port}"})
    uri = registry.push("login/kept:1", mark="kept")
    refused = served.vk.refused(marked(uri))
    assert "is not in the cache, and ImagePull is never" in refused.text
    site.exec(f"cp /srv/images/busybox.sif {refused.text.rpartition('put it at ')[2]}")
    there = served.vk.create(request(pod(sh("c", "echo there", image=uri)))).until_over()
    assert there.log("c").endswith("there\n")
    assert registry.requests == []
