"""Rules of the site for what pods may ask: the message names the rule, and nothing else changes."""

import re
from pathlib import Path
from typing import Any

import pytest

import remote_slurm.config
from remote_slurm.config.annotation_names import JOB_SCRIPT, KNOWN_ANNOTATIONS, TRUSTED_ANNOTATIONS
from remote_slurm.domain.plan.annotations import WRITTEN_BY_VIRTUAL_KUBELET
from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import config, container, flag_lines, plan, pod, request


def refusal(body: dict[str, Any], **policy: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        plan(body, settings={"Policy": policy})
    return str(refused.value)


def with_flags(flags: str) -> dict[str, Any]:
    return pod(annotations={"slurm-job.vk.io/flags": flags})


@pytest.mark.parametrize("prefix", ["slurm-job.vk.io/", "slurm-job.knoc.io/"])
def test_annotations_that_are_not_allowed_are_refused_by_either_prefix(prefix: str) -> None:
    said = refusal(pod(annotations={f"{prefix}pre-exec": "id"}), AllowedAnnotations=["flags", "image-*"])
    assert f"annotation {prefix}pre-exec" in said
    assert "Policy.AllowedAnnotations allows flags, image-*" in said


def test_shell_of_the_mesh_counts_as_well() -> None:
    said = refusal(pod(annotations={"interlink.eu/wstunnel-client-commands": "id"}), AllowedAnnotations=[])
    assert "annotation interlink.eu/wstunnel-client-commands of pod default/hello is not allowed" in said


def test_annotations_of_others_and_empty_ones_are_ignored() -> None:
    annotations = {"example.org/pre-exec": "x", "interlink.eu/mesh-network": "x", "slurm-job.vk.io/pre-exec": " "}
    assert plan(pod(annotations=annotations), settings={"Policy": {"AllowedAnnotations": []}})


def test_allowed_annotations_have_their_effect() -> None:
    lines = flag_lines(with_flags("--qos=debug"), Policy={"AllowedAnnotations": ["fl*"]})
    assert "--qos=debug" in lines


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("busybox", ["docker://registry.example.org/*"]),
        ("docker://registry.example.org.evil.example/x", ["docker://registry.example.org/*"]),
        ("docker://registry.example.org:5000/x", ["docker://registry.example.org/*"]),
        ("registry.example.org/x", ["docker://busybox*", "docker://*.example.org.evil/*", "docker://registry.*/x"]),
        ("evil.registry.example.org/x", ["docker://*.example.org/*"]),
        ("evil.example.com/registry.example.org/x", ["docker://*.org/*", "docker://registry.example.org/*"]),
        ("nvcr.io#nvidia/cuda", ["docker://nvidia/*", "docker://docker.io/*"]),
        ("docker://busybox", ["docker://docker.io/me/*", "oras://*", "https://*"]),
        ("Registry.example.org/x", ["docker://registry.example.org/*", "docker://library/*"]),
        ("/srv/images2/x", ["/srv/images/*"]),
        ("//srv//images2/./x", ["/srv/images/*"]),
        ("docker-archive:///srv/images/x.tar", ["/srv/images/*"]),
        ("oras://registry.example.org/x", ["docker://registry.example.org/*"]),
        ("https://evil.example/registry.example.org/x.sif", ["https://registry.example.org/*"]),
        # ways past the rules of other programs
        ("myregistry.io.malicious.com/x", ["docker://myregistry.io*", "docker://myregistry.io/*"]),
        ("mycompanyevil/x", ["docker://mycompany/*", "docker://docker.io/mycompany/*"]),
        ("ubuntumyusername/x", ["docker://ubuntu*", "docker://docker.io/library/ubuntu*"]),
        ("docker.io.evil.com/nginx", ["docker://nginx", "docker://docker.io/*"]),
        ("mcr.example.com:5000/x", ["docker://mcr.example.com/*", "docker://mcr.example.com*"]),
    ],
)
def test_images_that_are_not_allowed_are_refused(image: str, allowed: list[str]) -> None:
    said = refusal(pod(container(image=image)), AllowedImages=allowed)
    assert re.search(r"image \S+ of pod \S+ is not allowed: Policy.AllowedImages allows", said)


@pytest.mark.parametrize("runtime", ["apptainer", "enroot", "podman"])
@pytest.mark.parametrize(
    "image",
    [
        "docker://registry.example.org/x@evil.example.com#a/b",
        "docker://me@registry.example.org#a/b",
        "docker://registry.example.org/x#a",
        "docker://registry.example.org#a#b",
        "docker://registry.example.org/../x",
        "docker://registry.example.org/x?y",
        "docker:///registry.example.org/x",
        "https://registry.example.org@evil.example.com/x.sif",
        "https://registry.example.org\\\\@evil.example.com/x.sif",
        "https://registry.example.org/a/%2e%2e/b.sif",
        "oras://x",
        "oras://registry.example.org/x@evil.example.com#a",
        "instance://other", "docker-daemon://x:1", "dockerd://x", "podman://x", "file:///srv/images/x",
        "/srv/images/../../home/me/own.sif",
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_refused_whatever_is_allowed(image: str, runtime: str) -> None:
    for allowed in (["docker://registry.example.org/*", "https://registry.example.org/*", "/srv/images/*"], ["*"]):
        with pytest.raises(InvalidRequest, match=r"^invalid image .* of container "):
            plan(
                pod(container(image=image)),
                settings={"Policy": {"AllowedImages": allowed}, "ContainerRuntime": runtime},
            )


@pytest.mark.parametrize(
    "root", ["docker://registry.example.org/x@evil.example.com#", "/srv/other/", "../", "volumes/cm/"]
)
def test_the_annotation_image_root_is_bound_to_allowed_images(root: str) -> None:
    body = pod(container(image="a/b"), annotations={"slurm-job.vk.io/image-root": root})
    with pytest.raises(InvalidRequest, match="image"):
        plan(body, settings={"Policy": {"AllowedImages": ["docker://registry.example.org/*", "/srv/images/*"]}})


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        ("registry.example.org/team/app:1", "docker://registry.example.org/team/*"),
        ("registry.example.org/app", "docker://registry.example.org/app:latest"),
        ("registry.example.org/app@sha256:00", "docker://registry.example.org/app@sha256:00"),
        ("registry.example.org/app:1", "docker://*.example.org/*"),
        ("registry.example.org#app:1", "docker://registry.example.org/app:*"),
        ("registry.example.org/app:1", "docker://registry.example.org#app:*"),
        ("registry.example.org/app:1", "docker://*"),
        ("registry.example.org/app:1", "docker://*/app:1"),
        ("busybox", "docker://docker.io/library/*"),
        ("busybox:1", "docker://busybox:*"),
        ("index.docker.io/me/app", "docker://me/app"),
        ("me/app", "docker://docker.io/me/*"),
        ("/srv//images/./x.sif", "/srv/images/*"),
        ("oras://r.example.org/x:1", "oras://r.example.org/*"),
        ("https://r.example.org/a/x.sif", "https://r.example.org/a/*"),
        ("library://sylabs/tests/x:1", "library://sylabs/*"),
        ("docker-archive:///srv/images/x.tar", "docker-archive:///srv/images/*"),
    ],
)
def test_images_that_are_allowed(image: str, pattern: str) -> None:
    assert plan(pod(container(image=image)), settings={"Policy": {"AllowedImages": [pattern]}})


def test_podman_is_given_the_registry_that_was_allowed() -> None:
    made = plan(pod(), settings={"ContainerRuntime": "podman", "Policy": {"AllowedImages": ["docker://busybox"]}})
    (images,) = (file.content for file in made.files if file.path == "images")
    assert images
    assert b"archived @ docker://docker.io/library/busybox podman\n" in images


TRUSTED_ONES = ["pre-exec", "singularity-commands", "singularity-options", "enroot-options"]


@pytest.mark.parametrize("prefix", ["slurm-job.vk.io/", "slurm-job.knoc.io/"])
@pytest.mark.parametrize("name", TRUSTED_ONES)
def test_what_runs_outside_of_containers_is_off_unless_it_is_named(name: str, prefix: str) -> None:
    body = pod(annotations={prefix + name: "--nv"})
    for policy in ({}, {"AllowedAnnotations": ["singularity-*", "enroot-*", "pre-*", "?re-exec"]}):
        assert "needs its own name there" in refusal(body, **policy)
    for policy in ({"AllowedAnnotations": [name]}, {"AllowedAnnotations": ["*"]}):
        assert plan(body, settings={"Policy": policy})


def test_a_script_of_the_request_runs_outside_of_containers_too() -> None:
    made = request(pod()).model_copy(update={"job_script": "id"})
    with pytest.raises(InvalidRequest, match=r"the jobScript of .* is not allowed: Policy.AllowedAnnotations allows"):
        plan_job(made, config())
    assert plan_job(made, config(Policy={"AllowedAnnotations": ["jobScript"]}))


@pytest.mark.parametrize(("name", "runtime"), [("singularity-mounts", "apptainer"), ("enroot-mounts", "enroot")])
def test_mounts_by_annotation_are_host_paths(name: str, runtime: str) -> None:
    def mounting(text: str, **settings: Any) -> str:
        body = pod(annotations={f"slurm-job.vk.io/{name}": text})
        made = plan(body, settings={"ContainerRuntime": runtime, "AllowedHostPaths": ["/home/me/share"], **settings})
        return " ".join(map(str, (made.calls, made.containers)))

    shown = mounting("/home/me/share/a:/b:ro")
    assert "'host_path', '', '/home/me/share/a', '/home/me/share'" in shown
    assert "mounts.sh" in shown, "it opens, checks and binds what is mounted at .runner/mounts/main/0"
    assert ".runner/mounts/main/0:/b" in shown
    for outside in ("/home/me:/mnt", "/home/me/share/../.ssh:/mnt", "/home/me/share2:/mnt", "/home/me/share/a,/etc:/x"):
        with pytest.raises(InvalidRequest, match=r"hostPath|annotation|volumeMount"):
            mounting(outside)
    team = {"Namespaces": ["default"], "AllowedImages": ["*"], "AllowedAnnotations": ["*"]}
    with pytest.raises(InvalidRequest, match="AllowedHostPaths allows no paths"):
        mounting("/home/me/share/a:/b", Policies={"team": team})


@pytest.mark.parametrize("workdir", ["/data/jobs", "/data/jobs/default-x/volumes", "/data/jobs/.remote-slurm"])
def test_a_job_workdir_does_not_lie_in_the_folder_of_pods(workdir: str) -> None:
    body = pod(annotations={"slurm-job.vk.io/job-workdir": workdir})
    with pytest.raises(InvalidRequest, match="must not be in DataRootFolder"):
        plan(body, settings={"DataRootFolder": "/data/jobs"})
    assert plan(body, settings={"DataRootFolder": "/data/jobs2"})


def test_an_allowed_image_is_what_the_runtime_is_asked_for() -> None:
    settings = {"Policy": {"AllowedImages": ["/srv/images/*"]}, "ImagePrefix": "/srv/images/"}
    assert plan(pod(container(image="busybox")), settings=settings)


@pytest.mark.parametrize("flags", ["-w n1", "--nodelist=n1", "--nodelis n1"])
def test_forbidden_flags_are_refused_however_they_are_written(flags: str) -> None:
    assert "--nodelist of pod default/hello is not allowed: it is in Policy.ForbiddenFlags" in refusal(
        with_flags(flags), ForbiddenFlags=["-w"]
    )


CARRIES = [
    "--export=ALL,BASH_ENV=/home/hpcuser/share/x.sh",
    '--export="ALL,BASH_FUNC_umask%%=() { id; }"',
    "--export=ALL,PATH=/home/hpcuser/share/bin",
    "--export=ALL,APPTAINER_BIND=/home/hpcuser:/mnt",
    "--export NONE",
    "--export-file=/home/hpcuser/share/env", "--export-f 3", "--get-user-env", "--get", "--get-user-env=5L",
    "--container=/home/hpcuser/share", "--container-id=x", "--container-type=x",
    "-F /home/hpcuser/private", "-F/x", "--nodefile /x", "--nodef=/x",
    "--bb=x", "--bbf=/x", "--bbf /x",
]  # fmt: skip
BEYOND = ["--reboot", "--reb", "--mcs-label=x", "--context=x", "--cluster-constraint=x", "--power=level"]
OF_PLUGINS = ["--container-image=evil#x", "--task-prolog=/x", "--prolog=/x", "--x11", "--bcast=/x"]


@pytest.mark.parametrize("prefix", ["slurm-job.vk.io/", "slurm-job.knoc.io/"])
@pytest.mark.parametrize("flags", [*CARRIES, *BEYOND, *OF_PLUGINS])
def test_pods_cannot_set_what_reaches_beyond_the_job(flags: str, prefix: str) -> None:
    body = pod(annotations={f"{prefix}flags": f"-t 5 {flags} -t 6"})
    assert "allow it in Policy.AllowedFlags" in refusal(body)


def test_of_a_repeated_option_each_is_looked_at() -> None:
    assert "--export" in refusal(with_flags("--export=NONE --export=ALL -p gpu"))


def test_the_operator_can_let_pods_set_an_option_by_its_name() -> None:
    policy = {"AllowedFlags": ["--container-image", "-F", "export"]}
    lines = flag_lines(with_flags("--container-image=x -F /x --export=NONE"), Policy=policy)
    assert {"--container-image=x", "--nodefile=/x", "--export=NONE"} <= set(lines)
    assert "--bbf" in refusal(with_flags("--bbf=/x"), **policy)
    assert "it is in Policy.ForbiddenFlags" in refusal(with_flags("-F /x"), ForbiddenFlags=["nodefile"], **policy)


def test_the_operators_own_configuration_can_set_any_of_them() -> None:
    settings = {
        "Policy": {"ForcedFlags": ["--export=NONE"]},
        "Flavors": {"big": {"SlurmFlags": ["--container-image=x"]}},
        "DefaultFlavor": "big",
    }
    assert {"--export=NONE", "--container-image=x"} <= set(flag_lines(pod(), **settings))


@pytest.mark.parametrize("flags", [": --array=1", "--nice : -N 2", "-t 5 :", "--exclusive : true"])
def test_a_pod_is_no_heterogeneous_job(flags: str) -> None:
    assert "':' is not an sbatch option" in refusal(with_flags(flags))


@pytest.mark.parametrize("user", ["-Ssendmail=/x", "'a;id'", "'a b'", "''", "|id"])
def test_mail_goes_to_addresses_only(user: str) -> None:
    assert "invalid --mail-user=" in refusal(with_flags(f"--mail-type=END --mail-user={user}"))


@pytest.mark.parametrize("flags", ["-w /home/hpcuser/private", "--nodelist=./x", "-x/etc/passwd", "--exclud ../x"])
def test_nodes_are_not_read_from_a_file_of_the_account(flags: str) -> None:
    assert "sbatch would read the nodes from a file" in refusal(with_flags(flags))
    assert {"--nodelist=n[1-2],m3", "--exclude=n9"} <= set(flag_lines(with_flags("-w n[1-2],m3 -x n9")))


def test_mail_to_addresses() -> None:
    assert "--mail-user=a@example.org,bob" in flag_lines(with_flags("--mail-user=a@example.org,bob"))


def test_forced_flags_win_and_a_pod_with_others_is_rejected() -> None:
    policy = {"ForcedFlags": ["--account=k8s", "-p guest"]}
    lines = flag_lines(with_flags("--account=k8s -t 5"), Policy=policy)
    assert {"--account=k8s", "--partition=guest", "--time=5"} <= set(lines)
    said = refusal(with_flags("-A other"), **policy)
    assert "--account=other of pod default/hello is not allowed: Policy.ForcedFlags sets --account=k8s" in said


TEAM = {"Namespaces": ["default", "team-*"], "AllowedImages": ["docker://busybox*"], "AllowedAnnotations": ["flags"]}


def refused_by(body: dict[str, Any], **settings: Any) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        plan(body, settings=settings)
    return refused.value.rule, str(refused.value)


def of(namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    body["metadata"]["namespace"] = namespace
    return body


def test_once_policies_are_given_a_pod_that_none_is_for_is_refused() -> None:
    rule, said = refused_by(of("teams", pod()), Policies={"team": TEAM})
    assert (rule, said) == (
        "Policies",
        "pod teams/hello is not allowed: no entry of Policies matches the namespace 'teams'",
    )
    assert plan(of("team-1", pod()), settings={"Policies": {"team": TEAM}})


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (pod(annotations={"slurm-job.vk.io/pre-exec": "id"}), "Policies.team.AllowedAnnotations"),
        (pod(container(image="alpine")), "Policies.team.AllowedImages"),
        (with_flags("--qos=x"), "Policies.team.ForbiddenFlags"),
        (with_flags("-A other"), "Policies.team.ForcedFlags"),
        (
            pod(container(), volumes=[{"name": "host", "hostPath": {"path": "/srv"}}]),
            "Policies.team.AllowedHostPaths",
        ),
    ],
)
def test_the_first_matching_policy_allows_only_what_it_lists(body: dict[str, Any], rule: str) -> None:
    team = {**TEAM, "ForbiddenFlags": ["qos"], "ForcedFlags": ["--account=team"]}
    policies = {"other": {"Namespaces": ["other"]}, "team": team, "all": {"Namespaces": ["*"], "AllowedImages": ["*"]}}
    said = refused_by(body, Policies=policies)
    assert said[0] == rule
    assert rule in said[1]


def test_the_rules_of_policy_hold_for_the_pods_of_a_policy_too() -> None:
    team = {**TEAM, "ForcedFlags": ["--account=team", "--qos=team"]}
    everyone = {"AllowedImages": ["/srv/*"]}
    assert refused_by(pod(), Policies={"team": team}, Policy=everyone)[0] == "Policy.AllowedImages"
    lines = flag_lines(pod(), Policies={"team": team}, Policy={"ForcedFlags": ["--account=site"]})
    assert {"--account=site", "--qos=team"} <= set(lines)


def test_a_policy_of_an_identity() -> None:
    settings = {
        "Identities": {"a": {"Namespaces": ["team"]}, "b": {"Namespaces": ["*"], "DataRootFolder": "/b"}},
        "Policies": {"a": {**TEAM, "Namespaces": [], "Identities": ["a"]}},
    }
    assert plan(of("team", pod()), settings=settings)
    rule, said = refused_by(of("other", pod()), **settings)
    assert rule == "Policies"
    assert said.endswith("matches the namespace 'other' and the identity 'b'")


def test_a_policy_narrows_the_host_paths() -> None:
    settings = {"AllowedHostPaths": ["/srv"], "Policies": {"team": {**TEAM, "AllowedHostPaths": ["/srv/team"]}}}

    def mounting(path: str) -> dict[str, Any]:
        mounts = [{"name": "host", "mountPath": "/host"}]
        return pod(container(volumeMounts=mounts), volumes=[{"name": "host", "hostPath": {"path": path}}])

    assert plan(mounting("/srv/team/x"), settings=settings)
    for path in ("/srv/other", "/srv/teams"):
        with pytest.raises(InvalidRequest):
            plan(mounting(path), settings=settings)


def test_the_table_has_the_annotations_of_each_runtime() -> None:
    names = RUNTIMES.annotations
    assert {each.name for each in KNOWN_ANNOTATIONS} == names.known | WRITTEN_BY_VIRTUAL_KUBELET
    assert set(TRUSTED_ANNOTATIONS) == names.trusted


def test_the_example_of_the_configuration_names_each_trusted_annotation() -> None:
    text = (Path(remote_slurm.config.__file__).parent / "SlurmConfig.yaml").read_text()
    comment = text.partition("Trusted annotations run")[2].partition("AllowedAnnotations:")[0]
    assert re.findall(r"[a-z]+-[a-z-]+|jobScript", comment) == [*TRUSTED_ANNOTATIONS, JOB_SCRIPT]
