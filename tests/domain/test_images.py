"""Images: their names in the cache, what the policy is, who may pull them, and how each runtime says that."""

import base64
import json
import subprocess
from typing import Any

import pytest

from remote_slurm.domain.plan.job_plan import JobPlan
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.images import Image, PullFailure, image_of, logins, pulled, repository
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import UID, config, container, plan, pod, request

HOSTILE = "p'a\"s $(s)`\\"


def of(name: str, policy: str = "", prefix: str = "") -> Image:
    return image_of(Container(name="c", image=name, image_pull_policy=policy), prefix, ".sif")


@pytest.mark.parametrize(
    ("image", "prefix", "name", "is_pulled"),
    [
        ("busybox", "", "docker://busybox", True),
        ("busybox", "/srv/images/", "/srv/images/busybox", False),
        ("/opt/i.sif", "docker://", "/opt/i.sif", False),
        ("oras://r.org/i:1", "/srv/", "oras://r.org/i:1", True),
        ("docker-archive:///opt/i.tar", "", "docker-archive:///opt/i.tar", False),
    ],
)
def test_what_is_pulled_and_what_is_there(image: str, prefix: str, name: str, is_pulled: bool) -> None:  # noqa: FBT001
    found = of(image, prefix=prefix)
    assert found.name == name
    assert bool(found.key) is is_pulled
    assert found.place == (f"image/{found.key}" if is_pulled else name)


@pytest.mark.parametrize(
    "image",
    ["-x", "--bind=/root:/mnt://i", "docker://--privileged", "docker://a\n>submitted ns-other 1", "/a\tb", "a\0"],
)
def test_what_a_runtime_would_take_for_an_option_is_no_image(image: str) -> None:
    with pytest.raises(InvalidRequest, match="must be one printable line"):
        of(image, prefix="" if "://" in image or image.startswith("/") else "-")


@pytest.mark.parametrize(
    "image",
    [
        "App:1", "r.org/App", "docker://r.org/a b", "a:1:2", "a:", "r.org/", "a/:1", "a@sha256",
        "docker-archive:/opt/i.tar", "a..b", "a$(id)", "r.org:x/a", "/".join("ab" * 500) + "!",
    ],
)  # fmt: skip
def test_what_no_registry_can_have_is_refused_at_once(image: str) -> None:
    with pytest.raises(InvalidRequest, match="with PATH in lower case, or the absolute path"):
        of(image)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("r.org:5000/a/b-c__d.e:V_1.0-x", "r.org:5000/a/b-c__d.e:V_1.0-x"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("A-host/a", "A-host/a"),
        ("nvcr.io#nvidia/cuda:12", "nvcr.io/nvidia/cuda:12"),
        ("r.org/a@sha256:0a", "r.org/a@sha256:0a"),
        ("r.org:5000/a:1.2@sha256:0a", "r.org:5000/a@sha256:0a"),
    ],
)
def test_of_a_tag_and_a_digest_the_digest_counts(image: str, name: str) -> None:
    """Neither Apptainer nor Podman takes both."""
    assert of(image).name == f"docker://{name}"


def test_a_name_in_the_cache_is_readable_and_of_one_image_only() -> None:
    keys = [of(name).key for name in ("r.org/a/b:1", "r.org/a-b:1", "r.org/a/b:2", "oras://r.org/a/b:1")]
    assert keys[0].startswith("r.org-a-b-1-")
    assert keys[0].endswith(".sif")
    assert len(set(keys)) == len(keys)
    assert len(of("x/" * 200 + "y").key) < 120
    assert not of("oras://r.org/x").key.startswith(".")


@pytest.mark.parametrize(
    ("image", "asked", "policy"),
    [
        ("a", "", "Always"),
        ("a:latest", "", "Always"),
        ("r.org:5000/a", "", "Always"),
        ("a:1", "", "IfNotPresent"),
        ("a@sha256:00", "", "IfNotPresent"),
        ("a", "Never", "Never"),
        ("a:1", "Always", "Always"),
    ],
)
def test_the_policy_is_that_of_kubernetes(image: str, asked: str, policy: str) -> None:
    assert of(image, asked).policy == policy


@pytest.mark.parametrize(
    ("written", "reason", "message"),
    [
        ("ErrImageNeverPull image a is not there", "ErrImageNeverPull", "image a is not there"),
        ("ErrImagePull n: a is not in the cache, and so on", "ErrImagePull", "n: a is not in the cache, and so on"),
        ("", "ErrImagePull", ""),
        # of a pull.sh of the version before, which wrote no code
        *((words, reason, words) for reason, words in (
            ("ErrImageNeverPull", "image docker://a is not in the cache, and imagePullPolicy is Never"),
            ("ErrImageNeverPull", "image docker://a is not in the cache, and ImagePull is login"),
            ("ErrImagePull", "image docker://a could not be pulled on n: it is not in the cache, and gone"),
        )),
    ],
)  # fmt: skip
def test_why_an_image_cannot_be_had_has_a_code_and_a_message(written: str, reason: str, message: str) -> None:
    assert PullFailure.parse(written) == PullFailure(reason, message)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="imagePullPolicy 'Sometimes'"):
        of("a", "Sometimes")


def test_of_two_policies_for_an_image_the_one_counts_that_asks_for_most() -> None:
    (only,) = pulled([of("a:1", "Never"), of("a:1", "Always"), of("/x"), of("a:1")])
    assert only == of("a:1", "Always")


@pytest.mark.parametrize(
    ("image", "host", "path"),
    [
        ("busybox", "docker.io", "library/busybox"),
        ("me/app:1", "docker.io", "me/app"),
        ("index.docker.io/me/app", "docker.io", "me/app"),
        ("localhost/a", "localhost", "a"),
        ("r.org:5000/a/b:1@sha256:00", "r.org:5000", "a/b"),
    ],
)
def test_registries_are_found_as_docker_finds_them(image: str, host: str, path: str) -> None:
    assert repository(of(image)) == (host, path)


def secret(name: str, auths: Any, key: str = ".dockerconfigjson") -> dict[str, Any]:
    whole = {"auths": auths} if key == ".dockerconfigjson" else auths
    return {"metadata": {"name": name}, "data": {key: base64.b64encode(json.dumps(whole).encode()).decode()}}


def auth(user: str, word: str = "p") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{word}".encode()).decode()}


def users(image: str, *secrets: dict[str, Any]) -> list[str]:
    asked = pod(container(), imagePullSecrets=[{"name": each["metadata"]["name"]} for each in secrets])
    found, warnings = logins(request(asked, secrets=list(secrets)), [of(image)], export=True)
    assert warnings == []
    return [login.user for login in found[of(image).key]]


@pytest.mark.parametrize(
    ("image", "registry", "fits"),
    [
        ("r.org/a", "r.org", True),
        ("r.org/a", "https://r.org/v2/", True),
        ("r.org/a/b", "r.org/a", True),
        ("r.org/ab", "r.org/a", False),
        ("x.r.org/a", "*.r.org", True),
        ("x.y.r.org/a", "*.r.org", False),
        ("r.org:5000/a", "r.org", False),
        ("busybox", "https://index.docker.io/v1/", True),
        ("r.org/v1beta/a", "r.org/v1beta", True),
        ("r.org/beta/a", "r.org/v1beta", False),
        ("r.org/a", "https://index.docker.io/v1/", False),
    ],
)
def test_a_login_is_for_images_of_its_registry(image: str, registry: str, fits: bool) -> None:  # noqa: FBT001
    assert users(image, secret("s", {registry: auth("u")})) == (["u"] if fits else [])


def test_the_login_that_fits_best_comes_first() -> None:
    both = [secret("one", {"r.org": auth("wide")}), secret("two", {"r.org/a": {"username": "narrow", "password": "p"}})]
    assert users("r.org/a/b", *both) == ["narrow", "wide"]
    assert users("r.org/a", secret("old", {"r.org": auth("u")}, ".dockercfg")) == ["u"]


def test_zero_bytes_behind_a_password_are_none_of_it_as_docker_reads_it() -> None:
    kept = secret("s", {"r.org": auth("u", "p\0\0")})
    asked = request(pod(container(), imagePullSecrets=[{"name": "s"}]), secrets=[kept])
    found, _ = logins(asked, [of("r.org/a")], export=True)
    assert [login.password for login in found[of("r.org/a").key]] == ["p"]


@pytest.mark.parametrize("data", [{}, {".dockerconfigjson": "bm8="}, {".dockerconfigjson": "e30="}])
def test_a_secret_that_holds_no_logins_is_refused_by_name(data: dict[str, str]) -> None:
    asked = pod(container(), imagePullSecrets=[{"name": "mine"}])
    with pytest.raises(InvalidRequest, match="imagePullSecrets 'mine' cannot be read"):
        plan(asked, secrets=[{"metadata": {"name": "mine"}, "data": data}])


def test_a_secret_that_did_not_come_is_named_in_a_warning() -> None:
    planned = plan(pod(container(), imagePullSecrets=[{"name": "mine"}]))
    assert any("'mine' is not in the create request" in warning for warning in planned.warnings)


def test_a_secret_that_may_not_leave_kubernetes_does_not() -> None:
    asked = pod(container(), imagePullSecrets=[{"name": "mine"}])
    with pytest.raises(InvalidRequest, match="ExportPodData is false"):
        plan(asked, settings={"ExportPodData": False}, secrets=[secret("mine", {"docker.io": auth("u")})])


def planned(runtime: str, **fields: Any) -> JobPlan:
    asked = pod(container(image="r.org/a:1", **fields), imagePullSecrets=[{"name": "s"}])
    secrets = [secret("s", {"r.org": auth("user", HOSTILE)})]
    return plan(asked, settings={"ContainerRuntime": runtime}, secrets=secrets)


def test_a_password_reaches_apptainer_byte_for_byte_by_its_environment() -> None:
    (login,) = [file for file in planned("apptainer").files if file.path.startswith("secret/pull/")]
    assert login.mode == 0o600
    script = (
        f'{(login.content or b"").decode()}printf "%s %s" "$APPTAINER_DOCKER_USERNAME" "$APPTAINER_DOCKER_PASSWORD"'
    )
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == f"user {HOSTILE}"


def test_a_password_reaches_podman_by_a_file() -> None:
    files = {
        file.path.partition(".sif")[0].rpartition(".")[2]: file
        for file in planned("podman").files
        if "pull/" in file.path
    }
    assert json.loads(files["json"].content or b"") == {"auths": {"r.org": auth("user", HOSTILE)}}
    assert "REGISTRY_AUTH_FILE" in (files["sh"].content or b"").decode()


@pytest.mark.parametrize(
    ("user", "password"),
    [("u", "$(id)"), ("u", '"a'), ("u", "#a"), ("u", "a b"), ('"u', "a"), ("#u", "a"), ("u\n", "a")],
)
def test_a_login_that_enroot_or_curl_would_misread_is_refused(user: str, password: str) -> None:
    asked = pod(container(image="r.org/a:1"), imagePullSecrets=[{"name": "s"}])
    with pytest.raises(InvalidRequest, match="enroot requires a user and password"):
        plan(asked, settings={"ContainerRuntime": "enroot"}, secrets=[secret("s", {"r.org": auth(user, password)})])


def test_enroot_gets_a_login_for_the_registry_and_its_token_server() -> None:
    """curl takes the line of the host that it asks, which may be another than Enroot looked for."""
    asked = pod(container(image="r.org/a:1"), imagePullSecrets=[{"name": "s"}])
    found = plan(asked, settings={"ContainerRuntime": "enroot"}, secrets=[secret("s", {"r.org": auth("u", "pass")})])
    (netrc,) = [file.content for file in found.files if file.path.endswith(".credentials")]
    assert netrc == b"machine r.org login u password pass\ndefault login u password pass\n"


@pytest.mark.parametrize(
    ("image", "uri"),
    [
        ("busybox", "docker://library/busybox"),
        ("a:a", "docker://library/a:a"),
        ("docker.io/busybox:1", "docker://library/busybox:1"),
        ("nvcr.io#nvidia/cuda:12", "docker://nvcr.io#nvidia/cuda:12"),
        ("ghcr.io#img:1", "docker://ghcr.io#img:1"),
        ("nvcr.io#nvidia/tensorrt-llm/release:1.3.0rc14", "docker://nvcr.io#nvidia/tensorrt-llm/release:1.3.0rc14"),
        ("index.docker.io/me/app@sha256:aa", "docker://me/app@sha256:aa"),
        ("r.org:5000/a/b@sha256:aa", "docker://r.org:5000#a/b@sha256:aa"),
        ("nvcr.io/nvidia/cuda:12", "docker://nvcr.io#nvidia/cuda:12"),
        ("r.org:5000/a", "docker://r.org:5000#a"),
        ("me/app:1", "docker://me/app:1"),
    ],
)
def test_enroot_wants_the_registry_set_apart(image: str, uri: str) -> None:
    runtime = RUNTIMES.configure(config(ContainerRuntime="enroot"))
    assert runtime.pull_command(of(image))[-1] == uri


@pytest.mark.parametrize("runtime", ["podman", "podman-hpc", "enroot"])
def test_images_that_a_runtime_cannot_pull_are_refused(runtime: str) -> None:
    with pytest.raises(InvalidRequest, match="must begin with docker://"):
        plan(pod(container(image="oras://r.org/a:1")), settings={"ContainerRuntime": runtime})


def test_podman_hpc_keeps_images_itself_and_starts_them_by_name() -> None:
    found = plan(pod(container(image="r.org/a:1")), settings={"ContainerRuntime": "podman-hpc"})
    (only,) = found.containers
    assert ('--entrypoint=["true"]', "r.org/a:1") in only.lines
    assert only.lines[0][:4] == ("podman-hpc", "run", f"--name=default-{UID}.main", "--replace")
    assert ("podman_of_site", "podman-hpc") in found.calls
    with pytest.raises(InvalidRequest, match="must be in a registry"):
        plan(pod(container(image="/x.tar")), settings={"ContainerRuntime": "podman-hpc"})


@pytest.mark.parametrize("name", ["HOME", "LD_PRELOAD", "XDG_RUNTIME_DIR"])
def test_multiline_variables_that_podman_itself_reads_are_refused(name: str) -> None:
    lines = pod(container(env=[{"name": name, "value": "a\nb"}]))
    with pytest.raises(InvalidRequest, match=f"'{name}' of container 'main'"):
        plan(lines, settings={"ContainerRuntime": "podman"})
    plan(pod(container(env=[{"name": name, "value": "one line"}])), settings={"ContainerRuntime": "podman"})


@pytest.mark.parametrize(("pull", "first"), [("node", False), ("login", True), ("never", True)])
def test_a_job_is_submitted_after_its_images_are_there_unless_nodes_pull(pull: str, *, first: bool) -> None:
    found = plan(pod(), settings={"ImagePull": pull})
    assert ("images.first" in {file.path for file in found.files}) is first
    own = plan(pod(container(image="/own.sif")), settings={"ImagePull": pull})
    assert "images.first" not in {file.path for file in own.files}, "nothing has to come"


def test_what_the_cache_may_take_is_never_rounded_down() -> None:
    """Else a limit below a MiB would be none at all."""
    files = {file.path: file.content or b"" for file in plan(pod(), settings={"ImageCacheSize": "1000Ki"}).files}
    assert b"megabytes=1\n" in files["images"]


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ({"ContainerRuntime": "apptainer"}, False),
        ({"ContainerRuntime": "apptainer", "RuntimeEnvironment": {"A": "b"}}, True),
        ({"ContainerRuntime": "podman"}, True),
    ],
)
def test_the_runtimes_own_folders_are_set_if_it_uses_them(settings: dict[str, Any], *, reported: bool) -> None:
    """Also to a pod whose images are all at the site."""
    found = plan(pod(container(image="/own.tar")), settings=settings)
    assert any(call[0] == "runtime_environment" for call in found.calls) is reported
    assert ("runtime.sh" in {file.path for file in found.files}) is reported


def test_enroot_cannot_move_an_entry_point() -> None:
    asked = container(workingDir="/work")
    del asked["command"]
    with pytest.raises(InvalidRequest, match="so set command"):
        plan(pod(asked), settings={"ContainerRuntime": "enroot"})
