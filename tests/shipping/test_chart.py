"""examples/kubernetes: our own chart, and the Kustomize base, which says the same.

The tests of the chart need Helm, which `scripts/helm` builds; those of interLink's chart also need that chart, as
INTERLINK_CHART (a folder, or its oci:// address). Those of an API server use the cluster that TEST_KUBECONFIG leads
to: they create the namespace interlink, and remove it.
"""

import copy
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_slurm import __version__
from remote_slurm.api.app import SHUTDOWN_SECONDS
from remote_slurm.config import Config, load_config
from remote_slurm.service.deletes import ANNOUNCE_SECONDS
from tests.shipping.manifests import Json, objects

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KUBERNETES = EXAMPLES / "kubernetes"
CHART, BASE, OVERLAY = KUBERNETES / "chart", KUBERNETES / "base", KUBERNETES / "overlay"
SITE = yaml.safe_load((KUBERNETES / "values.yaml").read_text())
VERSIONS = re.findall(
    r"\d+\.\d+\.\d+", (ROOT / "scripts" / "helm").read_text().partition("VERSIONS=")[2].splitlines()[0]
)
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=VERSIONS)
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "remote-slurm" / f"helm-{request.param}" / "helm"
    if not os.access(program, os.X_OK):
        pytest.skip(f"Helm {request.param} is not here: scripts/helm builds it")
    environment = {**os.environ, "HELM_DATA_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path)}

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def rendered(helm: Run, tmp_path: Path) -> Callable[..., dict[str, Json]]:
    """The objects of the chart, by kind, for the site's values and the given ones."""

    def render(**values: Any) -> dict[str, Json]:
        done = template(helm, tmp_path, **values)
        assert done.returncode == 0, done.stderr
        return {each["kind"]: each for each in objects(done.stdout)}

    return render


def template(helm: Run, folder: Path, **values: Any) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(SITE | values))
    words = ["template", "remote-slurm", CHART, "--namespace", "interlink", "--values", file]
    return helm(*words, "--kube-version", "1.34.0")


def base() -> dict[str, Json]:
    texts = [
        (BASE / name).read_text() for name in yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    ]
    return {each["kind"]: each for text in texts for each in objects(text)}


def pod_of(found: dict[str, Json]) -> Json:
    spec: Json = found["Deployment"]["spec"]["template"]["spec"]
    return spec


def containers(found: dict[str, Json]) -> dict[str, Json]:
    pod = pod_of(found)
    return {each["name"]: each for each in [*pod["initContainers"], *pod["containers"]]}


def tokens(found: dict[str, Json]) -> set[str]:
    """The containers that have the token of the service account."""
    pod = pod_of(found)
    assert pod["automountServiceAccountToken"] is False
    assert found["ServiceAccount"]["automountServiceAccountToken"] is False
    mounted = {volume["name"] for volume in pod["volumes"] if "serviceAccountToken" in str(volume)}
    return {
        name
        for name, each in containers(found).items()
        if any(mount["mountPath"] == TOKEN and mount["name"] in mounted for mount in each["volumeMounts"])
    }


def granted(found: dict[str, Json]) -> set[tuple[str, str]]:
    rules = found["ClusterRole"]["rules"] if "ClusterRole" in found else []
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


# --- the base, which needs no Helm ---


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=["base", "overlay"])
def test_the_configuration_beside_the_kustomization_is_accepted(folder: Path) -> None:
    assert_connected(load_config(folder / "SlurmConfig.yaml", {}), containers(base())["remote-slurm"])


def assert_connected(config: Config, sidecar: Json) -> None:
    """The configuration names the files that are mounted, and the address that interLink asks."""
    assert config.warnings == ()
    paths = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
    assert config.ssh.identity_file is not None
    assert str(config.ssh.identity_file.parent) == str(config.ssh.user_known_hosts_file.parent) == paths["ssh"]
    assert str(config.state_folder) == paths["state"]
    assert sidecar["env"] == [{"name": "SLURMCONFIGPATH", "value": paths["config"]}]
    assert (str(config.bind_address), config.sidecar_port) == ("127.0.0.1", 4000)


def test_only_the_virtual_kubelet_of_the_base_has_a_token() -> None:
    assert tokens(base()) == {"virtual-kubelet"}


def test_the_virtual_kubelet_may_do_what_it_does_and_no_more() -> None:
    """Read in the source of interLink 0.6.2, and tried against an API server with RBAC."""
    read = {(resource, verb) for resource in ("configmaps", "secrets", "services") for verb in ("get", "list", "watch")}
    node = {("nodes", "get"), ("nodes", "create"), ("nodes/status", "patch"), ("namespaces", "list")}
    lease = {("leases", verb) for verb in ("get", "create", "update")}
    pods = {("pods", verb) for verb in ("get", "list", "watch", "delete")} | {("pods/status", "update")}
    certificate = {("certificatesigningrequests", verb) for verb in ("get", "list", "create", "delete")}
    tokens_of_pods = {("serviceaccounts/token", "create")}
    assert granted(base()) == read | node | lease | pods | certificate | tokens_of_pods


def test_the_sidecar_starts_first_and_has_time_to_end() -> None:
    pod = pod_of(base())
    assert [(each["name"], each["restartPolicy"]) for each in pod["initContainers"]] == [
        ("remote-slurm", "Always"),
        ("interlink", "Always"),
    ]
    assert pod["initContainers"][0]["startupProbe"]["exec"]["command"] == ["remote-slurm", "ping"]
    assert [each["name"] for each in pod["containers"]] == ["virtual-kubelet"]
    assert pod["terminationGracePeriodSeconds"] > SHUTDOWN_SECONDS + ANNOUNCE_SECONDS
    assert base()["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


def test_the_network_policy_of_the_base_admits_the_kubelet_port_only() -> None:
    spec = base()["NetworkPolicy"]["spec"]
    assert spec["ingress"] == [{"ports": [{"port": 10250}]}]
    # an empty selector would be every pod of the namespace, and Kustomize adds its labels to matchLabels only
    assert spec["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "remote-slurm"}}


def test_parts_of_interlink_listen_on_the_loopback_and_find_each_other() -> None:
    server = yaml.safe_load((BASE / "InterLinkConfig.yaml").read_text())
    kubelet = yaml.safe_load((BASE / "VirtualKubeletConfig.yaml").read_text())
    assert server["InterlinkAddress"] == server["SidecarURL"] == kubelet["InterlinkURL"] == "http://127.0.0.1"
    assert (server["InterlinkPort"], server["SidecarPort"]) == (kubelet["InterlinkPort"], "4000")


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
@pytest.mark.parametrize("namespace", ["interlink", "other"])
def test_kustomize_moves_everything_to_the_namespace_of_the_overlay(tmp_path: Path, namespace: str) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    shutil.copytree(OVERLAY, tmp_path / "overlay")
    kustomization = tmp_path / "overlay" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("namespace: interlink", f"namespace: {namespace}"))
    command = ["kubectl", "kustomize", tmp_path / "overlay"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {each["kind"]: each for each in objects(done.stdout)}
    cluster = ("ClusterRole", "ClusterRoleBinding")
    assert {each["metadata"]["namespace"] for kind, each in found.items() if kind not in cluster} == {namespace}
    # a subject that names its namespace keeps it
    assert [each["namespace"] for each in found["ClusterRoleBinding"]["subjects"]] == [namespace]
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert found["PersistentVolumeClaim"]["spec"]["storageClassName"] == "standard"
    volumes = {volume["name"]: volume for volume in pod_of(found)["volumes"]}
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"] != "remote-slurm"


# --- the chart ---


def test_chart_and_program_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_lint_finds_nothing(helm: Run) -> None:
    done = helm("lint", "--strict", CHART, "--values", KUBERNETES / "values.yaml", "--kube-version", "1.34.0")
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout + done.stderr


def test_the_chart_renders_what_the_base_has(rendered: Callable[..., dict[str, Json]]) -> None:
    ours, theirs = rendered(), base()
    assert set(ours) == {*theirs, "ConfigMap"}
    assert comparable(ours) == comparable(theirs)
    for name, text in ours["ConfigMap"]["data"].items():
        assert yaml.safe_load(text) == yaml.safe_load((BASE / name).read_text())


def comparable(found: dict[str, Json]) -> dict[str, Json]:
    """Without labels, and without names that the release has in front."""
    found = copy.deepcopy({kind: each for kind, each in found.items() if kind != "ConfigMap"})
    for each in found.values():
        for key in ("labels", "namespace"):
            each["metadata"].pop(key, None)
        each["metadata"]["name"] = each["metadata"]["name"].removeprefix("interlink-")
    del found["NetworkPolicy"]["spec"]["podSelector"]
    found["Deployment"]["spec"].pop("selector", None)
    found["Deployment"]["spec"]["template"].pop("metadata", None)
    found["ClusterRoleBinding"]["roleRef"]["name"] = found["ClusterRole"]["metadata"]["name"]
    found["ClusterRoleBinding"]["subjects"][0].pop("namespace", None)
    return found


def test_the_rendered_configuration_is_accepted(rendered: Callable[..., dict[str, Json]], tmp_path: Path) -> None:
    found = rendered()
    file = tmp_path / "SlurmConfig.yaml"
    file.write_text(found["ConfigMap"]["data"]["SlurmConfig.yaml"])
    assert_connected(load_config(file, {}), containers(found)["remote-slurm"])


def test_a_file_is_the_same_as_a_mapping(rendered: Callable[..., dict[str, Json]]) -> None:
    """Its own paths, of the machine where `check` has run, are replaced."""
    file = SITE["config"] | {"SSH": SITE["config"]["SSH"] | {"IdentityFile": "~/.ssh/id"}, "StateFolder": "~/state"}
    assert rendered(config=yaml.safe_dump(file))["ConfigMap"] == rendered()["ConfigMap"]


def test_numbers_of_the_configuration_stay_numbers(rendered: Callable[..., dict[str, Json]], tmp_path: Path) -> None:
    """Helm printed a million as 1e+06 (helm/helm, issue 1707)."""
    file = tmp_path / "SlurmConfig.yaml"
    config = SITE["config"] | {"MaxRequestSize": 33554432, "DefaultCPU": 1_000_000}
    for given in (config, yaml.safe_dump(config)):
        file.write_text(rendered(config=given)["ConfigMap"]["data"]["SlurmConfig.yaml"])
        read = load_config(file, {})
        assert (read.max_request_size, read.default_cpu) == (33554432, 1_000_000)


def test_the_sidecar_has_a_token_only_for_in_cluster_credentials(rendered: Callable[..., dict[str, Json]]) -> None:
    plain = rendered()
    assert tokens(plain) == {"virtual-kubelet"}
    config = SITE["config"] | {"CUSTOMKUBECONF": "in-cluster"}
    inside = rendered(config=config)
    assert tokens(inside) == {"virtual-kubelet", "remote-slurm"}
    assert granted(inside) - granted(plain) == {("events", "create"), ("persistentvolumeclaims", "get")}
    alone = {"virtualKubelet": {"enabled": False}}
    assert tokens(rendered(**alone)) == set()
    assert granted(rendered(**alone)) == set()
    assert tokens(rendered(config=config, **alone)) == {"remote-slurm"}
    kubeconfig = rendered(config=SITE["config"] | {"CUSTOMKUBECONF": "/etc/kubeconfig/config"})
    assert tokens(kubeconfig) == {"virtual-kubelet"}


def test_token_reviews_are_permitted_if_they_are_configured(rendered: Callable[..., dict[str, Json]]) -> None:
    review = {"PortForward": {"Port": 4002, "TokenReview": {"Audiences": ["remote-slurm"]}}}
    found = rendered(config=SITE["config"] | {"CUSTOMKUBECONF": "in-cluster"} | review)
    assert ("tokenreviews", "create") in granted(found)


@pytest.mark.parametrize("storage_class", [None, "", "fast"])
def test_the_storage_class_is_a_value(rendered: Callable[..., dict[str, Json]], storage_class: str | None) -> None:
    spec = rendered(state={"storageClass": storage_class})["PersistentVolumeClaim"]["spec"]
    assert spec.get("storageClassName") == storage_class
    assert ("storageClassName" in spec) == (storage_class is not None)


@pytest.mark.parametrize(
    ("state", "volume"),
    [
        ({"existingClaim": "mine"}, {"persistentVolumeClaim": {"claimName": "mine"}}),
        ({"enabled": False}, {"emptyDir": {}}),
    ],
)
def test_a_claim_is_created_only_if_it_is_used(
    rendered: Callable[..., dict[str, Json]], state: Json, volume: Json
) -> None:
    found = rendered(state=state)
    assert "PersistentVolumeClaim" not in found
    assert {"name": "state"} | volume in pod_of(found)["volumes"]


def test_api_servers_of_the_network_policy_are_a_value(rendered: Callable[..., dict[str, Json]]) -> None:
    servers = [{"ipBlock": {"cidr": "192.0.2.10/32"}}]
    metrics = {"from": [{"namespaceSelector": {}}], "ports": [{"port": 4001}]}
    found = rendered(networkPolicy={"apiServers": servers, "ingress": [metrics]})["NetworkPolicy"]["spec"]
    assert found["ingress"] == [{"ports": [{"port": 10250}], "from": servers}, metrics]
    assert "NetworkPolicy" not in rendered(networkPolicy={"enabled": False})


def test_a_virtual_kubelet_elsewhere_gets_a_service(
    rendered: Callable[..., dict[str, Json]],
) -> None:
    admitted = [{"podSelector": {"matchLabels": {"app": "slurm"}}}]
    alone = {"enabled": False}
    found = rendered(virtualKubelet=alone, networkPolicy={"virtualKubelets": admitted})
    assert found["NetworkPolicy"]["spec"]["ingress"] == [{"ports": [{"port": 3000}], "from": admitted}]
    assert rendered(virtualKubelet=alone)["NetworkPolicy"]["spec"]["ingress"] == []
    assert found["Service"]["spec"]["selector"] == found["Deployment"]["spec"]["selector"]["matchLabels"]
    (interlink,) = pod_of(found)["containers"]
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == interlink["ports"][0]["name"]
    assert interlink["lifecycle"]["preStop"]
    assert found["Deployment"]["spec"]["strategy"]["type"] == "RollingUpdate"
    server = yaml.safe_load(found["ConfigMap"]["data"]["InterLinkConfig.yaml"])
    assert server["InterlinkAddress"] == "http://0.0.0.0"


def test_every_container_is_restricted(rendered: Callable[..., dict[str, Json]]) -> None:
    """As the Pod Security Standard `restricted` wants it, and with a root file system that is read-only."""
    for values in ({}, {"virtualKubelet": {"enabled": False}}):
        for each in containers(rendered(**values)).values():
            context = each["securityContext"]
            assert context.pop("runAsUser") == context.pop("runAsGroup") > 0
            assert context == {
                "runAsNonRoot": True,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert each["resources"]["limits"]["memory"]


def test_the_platform_can_select_the_user_ids(rendered: Callable[..., dict[str, Json]]) -> None:
    found = rendered(setUserIds=False)
    assert "securityContext" not in pod_of(found)
    assert [each for each in containers(found).values() if "runAsUser" in each["securityContext"]] == []


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"image": ""}, "image"),
        ({"image": "registry.example.org/remote-slurm"}, "image"),
        ({"image": "registry.example.org:5000/remote-slurm"}, "image"),
        ({"image": "registry.example.org/remote-slurm:latest"}, "must have a version or a digest, not latest"),
        ({"imagee": "a:1"}, "imagee"),
        ({"state": {"storageclass": "fast"}}, "storageclass"),
        ({"config": {"SSH": {"HostName": "login"}}}, "User"),
        ({"config": {"SSH": {"HostName": "login", "User": "me", "Hostname": "x"}}}, "Hostname"),
        ({"config": SITE["config"] | {"DataRootFodler": "/x"}}, "DataRootFodler"),
        ({"config": {}}, "SSH"),
        ({"config": "a: ["}, "config is no YAML mapping"),
        ({"config": "- a"}, "config is no YAML mapping"),
        ({"config": "SSH: {User: me}"}, "config.SSH.HostName and config.SSH.User are required"),
        ({"nodeName": "Slurm_1"}, "nodeName"),
        ({"networkPolicy": {"apiServers": ["192.0.2.10"]}}, "apiServers"),
        ({"networkPolicy": {"apiServers": [{}]}}, "apiServers"),
        ({"virtualKubelet": {"capacity": {"memory": "256 GB"}}}, "memory"),
        # a key whose lines below are commented out is null, which removes the default: sysdiglabs/charts#2227
        ({"state": None}, "missing property 'state'"),
        ({"networkPolicy": None}, "missing property 'networkPolicy'"),
        ({"virtualKubelet": None}, "missing property 'virtualKubelet'"),
        ({"virtualKubelet": {"capacity": {"cpu": None}}}, "missing property 'cpu'"),
        ({"ssh": {"identityFile": None}}, "missing property 'identityFile'"),
        ({"nodeName": None}, "missing property 'nodeName'"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Run, tmp_path: Path, values: Json, word: str) -> None:
    done = template(helm, tmp_path, **values)
    assert (done.returncode, done.stdout) == (1, "")
    assert word in done.stderr


@pytest.mark.parametrize("image", ["a/b:1.2", "a:5000/b:v1-rc.1", "a/b@sha256:" + 64 * "0", "a/b:1@sha256:" + 64 * "a"])
def test_images_with_a_version_or_a_digest_are_accepted(rendered: Callable[..., dict[str, Json]], image: str) -> None:
    assert containers(rendered(image=image))["remote-slurm"]["image"] == image


# --- an API server ---

Kubectl = Callable[..., str]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """Run kubectl in a namespace that admits restricted pods only."""
    kubeconfig = os.environ.get("TEST_KUBECONFIG")
    if not kubeconfig or not shutil.which("kubectl"):
        pytest.skip("TEST_KUBECONFIG does not lead to an API server")
    environment = {**os.environ, "KUBECONFIG": kubeconfig}

    def run(*words: str | Path, given: str = "") -> str:
        command = ["kubectl", "--namespace", "interlink", *words]
        done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "interlink", "labels": RESTRICTED}}
    run("create", "--filename=-", given=yaml.safe_dump(namespace))
    yield run
    run("delete", "namespace", "interlink", "--wait=false")


def admitted(kubectl: Kubectl, text: str) -> dict[str, Json]:
    """The objects, and the pod of their Deployment, as the API server would store them."""
    found = {each["kind"]: each for each in documents(text)}
    # without its account, a pod is refused
    default = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    account = yaml.safe_dump(found.get("ServiceAccount", default))
    kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", given=account)
    kubectl("apply", "--server-side", "--dry-run=server", "--filename=-", given=text)
    template = found["Deployment"]["spec"]["template"]
    template["metadata"] = template.get("metadata", {}) | {"name": "try", "namespace": "interlink"}
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    stored = kubectl("create", "--dry-run=server", "--output=yaml", "--filename=-", given=yaml.safe_dump(pod))
    return found | {"Pod": yaml.safe_load(stored)}


def with_tokens(found: dict[str, Json]) -> set[str]:
    """The containers in which the API server, too, leaves a token of the service account."""
    spec = found["Pod"]["spec"]
    sources = {volume["name"] for volume in spec["volumes"] if "serviceAccountToken" in str(volume)}
    every = [*spec.get("initContainers", []), *spec["containers"]]
    return {each["name"] for each in every if sources & {mount["name"] for mount in each["volumeMounts"]}}


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ({}, {"virtual-kubelet"}),
        ({"config": SITE["config"] | {"CUSTOMKUBECONF": "in-cluster"}}, {"virtual-kubelet", "remote-slurm"}),
        ({"virtualKubelet": {"enabled": False}}, set()),
        ({"setUserIds": False, "state": {"storageClass": "fast"}}, {"virtual-kubelet"}),
    ],
)
def test_an_api_server_admits_what_the_chart_renders(
    kubectl: Kubectl, helm: Run, tmp_path: Path, values: Json, tokens: set[str]
) -> None:
    assert with_tokens(admitted(kubectl, template(helm, tmp_path, **values).stdout)) == tokens


def test_an_api_server_admits_what_kustomize_builds(kubectl: Kubectl) -> None:
    assert with_tokens(admitted(kubectl, kubectl("kustomize", OVERLAY))) == {"virtual-kubelet"}


def test_an_api_server_admits_the_plain_manifests(kubectl: Kubectl) -> None:
    found = admitted(kubectl, (KUBERNETES / "sidecar.yaml").read_text())
    assert with_tokens(found) == set()
    kubectl("apply", "--dry-run=server", "--filename", KUBERNETES / "rbac.yaml")


# --- interLink's chart ---


@pytest.fixture
def interlinks_chart() -> list[str]:
    chart = os.environ.get("INTERLINK_CHART")
    if not chart:
        pytest.skip("INTERLINK_CHART does not name interLink's chart")
    version = re.search(r"--version (\S+)", (EXAMPLES / "helm" / "values.yaml").read_text())
    assert version
    return [chart, *(["--version", version[1]] if chart.startswith("oci://") else [])]


def documents(text: str) -> Iterator[Json]:
    for each in yaml.safe_load_all(text):
        if each:
            yield each


@pytest.mark.parametrize("shadow", [False, True], ids=["plain", "shadow"])
def test_interlinks_chart_takes_the_values_and_the_patch(helm: Run, interlinks_chart: list[str], shadow: bool) -> None:  # noqa: FBT001
    folder = EXAMPLES / "helm"
    version = helm("version", "--short").stdout
    renderer = folder / "post-renderer" / "render"
    if version.startswith("v4"):
        assert helm("plugin", "install", folder / "post-renderer").returncode == 0
        renderer = Path("remote-slurm-patch")
    values: list[str | Path] = ["--values", folder / "values.yaml"]
    if shadow:
        values += ["--values", KUBERNETES / "shadow" / "values.yaml"]
        values += ["--set-file", f"virtualNode.network.customTemplate={KUBERNETES / 'shadow' / 'template.tmpl'}"]
    words = ["template", "slurm", *interlinks_chart, "--namespace", "team", *values]
    done = helm(*words, "--kube-version", "1.34.0", "--post-renderer", renderer)
    assert done.returncode == 0, done.stderr
    found = {(each["kind"], each["metadata"]["name"]): each for each in documents(done.stdout)}
    deployment = found["Deployment", "slurm-node"]
    assert deployment["metadata"]["namespace"] == "team"
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    inside = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"]}
    assert set(inside) == {"plugin", "interlink", "vk"}
    assert inside["plugin"]["securityContext"]["runAsNonRoot"] is True
    assert [each["image"] for each in inside.values() if each["image"].endswith(":latest")] == []
    masked = {name for name, each in inside.items() if TOKEN in [mount["mountPath"] for mount in each["volumeMounts"]]}
    assert masked == ({"interlink"} if shadow else {"interlink", "plugin"})
    volumes = {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for each in inside.values() for mount in each["volumeMounts"]} <= volumes
