"""Images of registries: pulled once per site, when the policy says so, with whose login; at a real registry."""

import secrets
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.cli.documents import read_documents
from remote_slurm.cli.request import create_request
from tests.pods import Json, key, pod, request, sh
from tests.registry import Registry
from tests.serving import Serve, Serving, wait_until
from tests.sidecar import Sidecar
from tests.sites import Site
from tests.vk import Watched

EXAMPLES = Path(__file__).parents[2] / "examples"
RUNTIMES = ("apptainer", "podman")

pytestmark = pytest.mark.xdist_group("images")  # one registry for all of them
BUSYBOX = "/srv/images/busybox"


@pytest.fixture(scope="module")
def registry(site: Site) -> Iterator[Registry]:
    """Its images have the files of the site's own busybox."""
    registry = Registry(site.archive("/srv/images/busybox"))
    site.write(registries_conf(registry), f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
    yield registry
    registry.stop()


def registries_conf(registry: Registry) -> str:
    return f"/home/hpcuser/registries-{registry.port}.conf"


@pytest.fixture(scope="module")
def _sharing(site: Site, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Serving]]:
    """A sidecar for each runtime, whose pods share a cache."""
    served = {}
    for runtime in RUNTIMES:
        folder = tmp_path_factory.mktemp(runtime)
        login = folder / "login.json"
        login.write_text(registry.docker_config())
        keys = {
            "ContainerRuntime": runtime,
            "ImagePrefix": f"docker://{registry.host}/",
            "ImagePullRetries": 0,
            "ImagePullSecrets": {"default/known": str(login), "my-registry": str(login)},
            "RuntimeEnvironment": {
                "APPTAINER_NOHTTPS": "1",
                "CONTAINERS_REGISTRIES_CONF": registries_conf(registry),
            },
        }
        config = site.config(folder, **keys)
        served[runtime] = Serving(site, config, Sidecar(config))
    yield served
    for each in served.values():
        each.sidecar.stop()


@pytest.fixture(params=RUNTIMES)
def served(request: pytest.FixtureRequest, _sharing: dict[str, Serving]) -> Serving:
    return _sharing[request.param]


def marked(uri: str, policy: str = "", **spec: Any) -> Json:
    """A pod that says which push its image is of."""
    return request(pod(sh("c", "cat /mark", image=uri, imagePullPolicy=policy), **spec))


def waits_for_images(watched: Watched) -> bool:
    waiting = watched.state("c").get("waiting", {})
    return waiting.get("reason") == "ContainerCreating" and "images are being pulled" in waiting["message"]


def test_pods_that_start_together_pull_an_image_once(served: Serving, registry: Registry) -> None:
    name = f"{served.runtime}/once:1"
    uri = registry.push(name, mark="one")
    registry.hold()
    try:
        together = [served.vk.create(marked(uri, policy)) for policy in ("IfNotPresent", "Always", "IfNotPresent")]
        for each in together:
            each.until_true(partial(waits_for_images, each), "it says that it is being created")
    finally:
        registry.release()
    assert [each.until_over().log("c")[-3:] for each in together] == ["one"] * 3
    before = registry.pulls(name)
    assert before == 3  # one configuration, two layers
    assert served.vk.create(marked(uri, "IfNotPresent")).until_over().log("c").endswith("one")
    assert registry.pulls(name) == before


def cached(served: Serving) -> set[str]:
    """The images in the cache, by the names of their files."""
    return set(served.site.exec(f"ls '{served.root}/.remote-slurm/images' 2>/dev/null || :").splitlines())


def age(served: Serving, what: str) -> None:
    """As if no process had touched it for a year: what is there, and goes on to be."""
    served.site.exec(
        f"find '{served.root}/.remote-slurm/images' -mindepth 1 -maxdepth 1 {what} "
        "-exec touch -h -c -d '400 days ago' {} + 2>/dev/null || :"
    )


def test_a_pull_whose_job_is_killed_is_taken_over(served: Serving, registry: Registry) -> None:
    name = f"{served.runtime}/killed:1"
    uri = registry.push(name, mark="killed")  # a layer that no other test has left in the cache
    registry.hold()
    try:
        killed = served.vk.create(marked(uri))
        wait_until(lambda: registry.pulls(name) > 0, "it is being pulled")
        waits = served.vk.create(marked(uri))
        waits.until_true(partial(waits_for_images, waits), "the second one waits for it")
        served.site.exec(f"scancel --signal=KILL --full {killed.job}")
        assert killed.until_over().phase == "Failed"
        age(served, "-name '.*.claim.*'")
    finally:
        registry.release()
    assert waits.until_over().log("c").endswith("killed")


def test_an_image_that_was_unused_for_long_leaves_the_cache(served: Serving, registry: Registry) -> None:
    old, new = (registry.push(f"{served.runtime}/{name}:1", mark=name) for name in ("old", "new"))
    before = cached(served)
    served.vk.create(marked(old)).until_over()
    unused = cached(served) - before
    assert len(unused) == 1
    age(served, "! -name '.*'")
    assert served.vk.create(marked(new)).until_over().log("c").endswith("new")
    wait_until(lambda: not unused & cached(served), "it has left the cache")
    assert served.vk.create(marked(old)).until_over().log("c").endswith("old")


def large(uri: str, script: str = "true", **spec: Any) -> Json:
    """A pod of an image that is pulled only where it is not there."""
    return request(pod(sh("c", script, image=uri, imagePullPolicy="IfNotPresent"), **spec))


def test_a_large_image_cache_loses_the_least_recently_used(site: Site, serve: Serve, registry: Registry) -> None:
    served = serve(site, ImageCacheSize="8Mi", RuntimeEnvironment={"APPTAINER_NOHTTPS": "1"})
    first, second, third = (
        registry.push(f"large/{name}:1", mark=f"{name}\n{secrets.token_hex(2 << 20)}")  # 2 MiB, however it is packed
        for name in ("first", "second", "third")
    )
    waiting = sh("wait", "until [ -e /go/now ]; do sleep 0.1; done", image=BUSYBOX)
    waiting["volumeMounts"] = [{"name": "go", "mountPath": "/go"}]
    served.vk.create(large(first)).until_over()
    before = cached(served)
    starts_late = {"initContainers": [waiting], "volumes": [{"name": "go", "emptyDir": {}}]}
    late = served.vk.create(large(second, "head -n 1 /mark", **starts_late)).until_running("wait")
    unused = cached(served) - before
    assert len(unused) == 1
    served.vk.create(large(first)).until_over()
    assert cached(served) == before | unused
    served.vk.create(large(third)).until_over()
    wait_until(lambda: not unused & cached(served), "the second one has left the cache")
    assert len(cached(served)) == 2
    assert before < cached(served)
    site.exec(f"touch {served.root}/{key(late.pod)}/volumes/go/now")
    assert late.until_over().log("c").endswith("second\n")  # what a pod began with stays its own


def test_the_policy_decides_whether_the_registry_is_asked_again(served: Serving, registry: Registry) -> None:
    name = f"{served.runtime}/moving:1"
    uri = registry.push(name, mark="old")
    never = served.vk.create(marked(uri, "Never")).until_over()
    assert never.phase == "Failed"
    assert "ErrImageNeverPull: image" in never.terminated("c")["message"]
    assert "imagePullPolicy is Never" in never.terminated("c")["message"]
    assert registry.asked(name) == 0
    assert served.vk.create(marked(uri, "Always")).until_over().log("c").endswith("old")
    asked, pulls = registry.asked(name), registry.pulls(name)
    assert served.vk.create(marked(uri, "Always")).until_over().log("c").endswith("old")
    assert registry.asked(name) > asked
    assert registry.pulls(name) == pulls  # it had not changed
    registry.push(name, mark="new")
    kept, never, moved = (served.vk.create(marked(uri, policy)) for policy in ("IfNotPresent", "Never", "Always"))
    assert moved.until_over().log("c").endswith("new")
    for each in (kept, never):
        assert each.until_over().phase == "Succeeded"


def test_of_a_tag_and_a_digest_the_digest_counts(served: Serving, registry: Registry) -> None:
    name = f"{served.runtime}/digest:1"
    uri = registry.push(name, mark="old")
    pinned = f"{uri}@{registry.digest(name)}"
    registry.push(name, mark="new")
    assert served.vk.create(marked(pinned)).until_over().log("c").endswith("old")


def test_an_image_says_itself_what_runs(served: Serving, registry: Registry) -> None:
    uri = registry.push(f"{served.runtime}/entry:1", entrypoint=["/bin/echo", "entry point:"], Cmd=["cmd"])
    containers = [{"name": "own", "image": uri}, {"name": "args", "image": uri, "args": ["a", "b c"]}]
    own = served.vk.create(request(pod(*containers))).until_over()
    assert own.log("own").endswith("entry point: cmd\n")
    assert own.log("args").endswith("entry point: a b c\n")


def test_a_private_image_needs_a_login_which_is_in_no_argument(served: Serving, registry: Registry) -> None:
    uri = registry.push(f"private/{served.runtime}:1", mark="private")
    without = served.vk.create(marked(uri)).until_over()
    assert without.phase == "Failed"
    assert "ErrImagePull" in without.terminated("c")["message"]
    assert "unauthorized" in without.terminated("c")["message"]
    registry.hold()
    with_login = served.vk.create(marked(uri, imagePullSecrets=[{"name": "known"}]))
    wait_until(lambda: registry.pulls(f"private/{served.runtime}:1"), "the pull is under way")
    assert all(secret not in served.site.arguments() for secret in registry.secrets)
    registry.release()
    assert with_login.until_over().log("c").endswith("private")
    sent = {"metadata": {"name": "sent"}, "stringData": {".dockerconfigjson": registry.docker_config()}}
    body = marked(uri, "Always", imagePullSecrets=[{"name": "sent"}])
    body["container"][0]["secrets"] = [sent]
    assert served.vk.create(body).until_over().log("c").endswith("private")
    patterns = " ".join(f"-e {shlex.quote(secret)}" for secret in registry.secrets)
    search = f"grep -rlF {patterns} {served.root} || true"
    wait_until(lambda: served.site.exec(search) == "", "no secret is left when the job has ended")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_registry_may_have_its_tokens_given_by_another_host(
    site: Site, serve: Serve, runtime: str, tmp_path: Path
) -> None:
    """As with Docker Hub and GitLab."""
    registry = Registry(site.archive(BUSYBOX), tokens=True)
    try:
        conf = registries_conf(registry)
        site.write(conf, f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
        (login := tmp_path / "login.json").write_text(registry.docker_config())
        environment = {"APPTAINER_NOHTTPS": "1", "CONTAINERS_REGISTRIES_CONF": conf}
        keys = {"ImagePullRetries": 0, "ImagePullSecrets": {"known": str(login)}, "RuntimeEnvironment": environment}
        served = serve(site, ContainerRuntime=runtime, **keys)
        uri = registry.push("private/app:1", mark="by token")
        known = served.vk.create(marked(uri, imagePullSecrets=[{"name": "known"}])).until_over()
        assert known.log("c").endswith("by token")
        unknown = served.vk.create(marked(uri, "Always")).until_over()
        assert "ErrImagePull" in unknown.terminated("c")["message"]
    finally:
        registry.stop()


def test_a_missing_image_fails_its_container_only(served: Serving, registry: Registry) -> None:
    none = f"docker://{registry.host}/none:1"
    runs = sh("runs", "cat /mark; sleep 2", image=registry.push(f"{served.runtime}/beside:1", mark="beside"))
    beside = served.vk.create(request(pod(sh("c", "true", image=none), runs)))
    first = served.vk.create(request(pod(runs, initContainers=[sh("first", "true", image=none)])))
    beside.until_over()
    assert (beside.phase, beside.exit_code("c"), beside.exit_code("runs")) == ("Failed", 1, 0)
    assert "ErrImagePull" in beside.terminated("c")["message"]
    assert "manifest unknown" in beside.terminated("c")["message"]
    assert beside.log("runs").endswith("beside")
    assert first.until_over().phase == "Failed"
    for each in ("first", "runs"):
        assert "manifest unknown" in first.terminated(each)["message"]


def test_a_pull_that_fails_is_tried_again_and_says_so_meanwhile(site: Site, serve: Serve, registry: Registry) -> None:
    keys = {"ImagePullRetries": 5, "RuntimeEnvironment": {"APPTAINER_NOHTTPS": "1"}}
    served = serve(site, **keys)
    uri = registry.push("again/app:1", mark="again")
    registry.fails = "out of order"
    try:
        shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
        late = sh("c", "cat /mark; touch /shared/there", image=uri, **shared)
        runs = sh("d", "until [ -e /shared/there ]; do sleep 0.1; done", image=BUSYBOX, **shared)
        again = served.vk.create(request(pod(late, runs, volumes=[{"name": "shared", "emptyDir": {}}])))
        again.until_true(lambda: again.state("c").get("waiting", {}).get("reason") == "ErrImagePull", "its pull failed")
        assert "out of order" in again.state("c")["waiting"]["message"]
        again.until_running("d")
    finally:
        registry.fails = ""
    assert again.until_over().log("c").endswith("again")


def test_the_example_of_a_private_image_does_what_it_says(served: Serving, registry: Registry) -> None:
    registry.push("private/example:1.0", mark="private\n")
    example = served.vk.create(create_request(read_documents(EXAMPLES / "private-image.yaml"))).until_over()
    assert example.log("main").endswith("private\n")


ODD_ENV = {"a.b": "dot 'val", "with-dash": "", "UID": "1000", "IFS": ",", "HOME": "/h", "LD_LIBRARY_PATH": "/opt/lib"}
OF_APPTAINER = {"PS1", "PROMPT_COMMAND", "APPTAINER_CONTAINER", "APPTAINER_NAME", "APPTAINER_ENVIRONMENT",
                "SINGULARITY_ENVIRONMENT", "LANG", "PWD"}  # fmt: skip


def test_an_image_gets_env_folder_and_volumes_of_its_config(served: Serving, registry: Registry) -> None:
    """For any names, programs of the image or the pod, and folders that exist or not."""
    config = {
        "Env": ["PATH=/bin:/usr/bin", *(f"{name}={value}" for name, value in ODD_ENV.items())],
        "WorkingDir": "/no/such dir",
        "Volumes": {"/data/new": {}},
        "Cmd": ["cat", "/proc/self/environ"],
    }
    uri = registry.push(f"{served.runtime}/configured:1", mark="configured", **config)
    env = [{"name": "UID", "value": "7"}, {"name": "a.b", "value": "of the pod"}]
    own = {"name": "own", "image": uri}
    printing = {"name": "told", "image": uri, "command": config["Cmd"], "env": env}
    looks = sh("looks", "pwd; touch here /data/new/file && ls", image=uri)
    ran = served.vk.create(request(pod(own, printing, looks))).until_over()
    assert ran.log("looks") == "/no/such dir\nhere\n"
    for name, wanted in (("own", ODD_ENV), ("told", ODD_ENV | {"UID": "7", "a.b": "of the pod"})):
        found = dict(each.partition("=")[::2] for each in ran.log(name).rstrip("\0").split("\0"))
        assert {name: found.pop(name, None) for name in wanted} == wanted
        assert found.pop("PATH") == "/bin:/usr/bin"
        assert set(found) <= OF_APPTAINER | {"HOSTNAME", "container"}, found
