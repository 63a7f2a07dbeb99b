"""examples/kubernetes/shadow: a shadow pod that interLink makes for each pod with ports."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from remote_slurm.cli.main import parser
from remote_slurm.cli.port_forward import Ports
from remote_slurm.config import Config, load_config
from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.status.pod_status import declared_ports
from tests.shipping.manifests import Json, check, objects
from tests.shipping.test_kubernetes import CHART, HELM

SHADOW = Path(__file__).parents[2] / "examples" / "kubernetes" / "shadow"
# Go's map of ports has no order, and a port need not have a name
PORTS = [
    {"Port": 6006, "Name": "", "Protocol": "TCP"},
    {"Port": 53, "Name": "dns", "Protocol": "UDP"},
    {"Port": 8888, "Name": "http", "Protocol": "TCP"},
]


def rendered(template: str, data: Mapping[str, Any]) -> str:
    """What Go's text/template makes of as much of its language as the example uses."""
    parts = re.split(r"\{\{(.*?)\}\}", re.sub(r"\s*\{\{- ", "{{", template))
    out, rest = _rendered(parts, data)
    assert not rest
    return out


def _rendered(parts: list[str], data: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The text up to the end of the block, and what follows it."""
    out, parts = parts[0], parts[1:]
    while parts:
        action, text, parts = parts[0], parts[1], parts[2:]
        if action == "end":
            return out, [text, *parts]
        word, _, operands = action.partition(" ")
        if word == "range":
            for each in data[operands.lstrip(".")]:
                inner, rest = _rendered([text, *parts], each)
                out += inner
            text, *parts = rest
        elif word == "if":
            key, value = re.fullmatch(r'eq \.(\w+) "(\w+)"', operands).groups()  # type: ignore[union-attr]
            inner, (text, *parts) = _rendered([text, *parts], data)
            out += inner if data[key] == value else ""
        else:
            out += str(data[word.lstrip(".")])
        out += text
    return out, []


@pytest.fixture
def deployment() -> Json:
    data = {"Name": "notebook-team", "Namespace": "team-wstunnel", "ExposedPorts": PORTS}
    text = rendered((SHADOW / "template.tmpl").read_text(), data)
    # the Virtual Kubelet reads each part of the text, and warns of what is no object of the few kinds that it creates
    parts = [yaml.safe_load(part) for part in text.split("---") if part.strip()]
    (found,) = [part for part in parts if part]
    check(found, client.V1Deployment, "Deployment")
    return found  # type: ignore[no-any-return]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text(values()["plugin"]["config"])
    config = load_config(path, {})
    assert config.warnings == ()
    return config


def values() -> Json:
    read: Json = yaml.safe_load((SHADOW / "values.yaml").read_text())
    return read


@pytest.fixture
def cluster() -> dict[str, Json]:
    return {each["kind"]: each for each in objects((SHADOW / "cluster.yaml").read_text())}


def container(deployment: Json) -> Json:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return found  # type: ignore[no-any-return]


def test_the_virtual_kubelet_finds_the_pod_of_the_deployment(deployment: Json) -> None:
    """It lists pods with this label, and waits for the address of the first one."""
    label = {"app.kubernetes.io/component": "notebook-team"}
    assert deployment["metadata"] == {"name": "notebook-team", "namespace": "team-wstunnel"}
    assert deployment["spec"]["selector"]["matchLabels"] == label
    assert label.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_its_command_forwards_the_tcp_ports_of_the_pod(
    deployment: Json, config: Config, cluster: dict[str, Json]
) -> None:
    words = container(deployment)["args"]
    arguments = parser(words[:1]).parse_args(words)
    assert arguments.shadow
    assert (arguments.namespace, arguments.pod) == ("team-wstunnel", "notebook-team")
    assert arguments.ports == [Ports(6006, 6006), Ports(8888, 8888)]
    service = cluster["Service"]
    (port,) = service["spec"]["ports"]
    assert (
        arguments.url == f"https://{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{port['port']}"
    )
    assert port["targetPort"] == config.port_forward.port
    assert config.port_forward.tls.enabled


def test_its_probes_ask_the_port_of_the_command(deployment: Json) -> None:
    found = container(deployment)
    (port,) = found["ports"]
    assert port["containerPort"] == parser(found["args"][:1]).parse_args(found["args"]).health_port
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}


def test_its_token_is_for_the_audience_of_the_sidecar_only(deployment: Json, config: Config) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (volume,), (mount,) = pod["volumes"], container(deployment)["volumeMounts"]
    (source,) = volume["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert (token["audience"],) == config.port_forward.token_review.audiences
    assert config.port_forward.token_review.shadow_namespaces
    assert f"--token-file={mount['mountPath']}/{token['path']}" in container(deployment)["args"]


def test_it_has_no_rights_and_little_memory(deployment: Json) -> None:
    found = container(deployment)
    context = found["securityContext"]
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert found["resources"]["limits"] == {"memory": "64Mi"}
    assert "command" not in found


def test_the_command_of_the_tunnel_in_the_job_is_empty() -> None:
    """The Virtual Kubelet prints three values with it (Go's Sprintf), and an empty annotation needs no permission."""
    assert values()["virtualNode"]["network"]["wstunnelCommand"] % ("a", "b", "c") == ""


def test_the_values_are_keys_of_the_chart_and_keep_those_beside_them(config: Config) -> None:
    read, plain = values(), yaml.safe_load((HELM / "values.yaml").read_text())
    assert set(read) <= set(CHART)
    assert read["plugin"].keys() <= {"config", "extraVolumeMounts"}
    assert set(read["virtualNode"]["network"]) <= {"enableTunnel", "wstunnelCommand"}
    # a list replaces the other one
    for key, of in (("extraVolumes", read), ("extraVolumeMounts", read["plugin"])):
        before = plain[key] if key in plain else plain["plugin"][key]
        if key == "extraVolumeMounts":  # with CUSTOMKUBECONF: in-cluster, the sidecar keeps the token
            before = [mount for mount in before if mount["name"] != "no-token"]
        assert before == of[key][: len(before)]
    own, theirs = yaml.safe_load(read["plugin"]["config"]), yaml.safe_load(plain["plugin"]["config"])
    assert theirs.items() <= own.items()
    assert config.port_forward.tls.cert_file
    assert str(config.port_forward.tls.cert_file.parent) == read["plugin"]["extraVolumeMounts"][-1]["mountPath"]


def test_who_may_review_tokens_and_who_may_connect(cluster: dict[str, Json], deployment: Json) -> None:
    plain = yaml.safe_load((HELM / "values.yaml").read_text())
    assert cluster["ClusterRole"]["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    assert [each["name"] for each in cluster["ClusterRoleBinding"]["subjects"]] == [plain["nodeName"]]
    policy = cluster["NetworkPolicy"]["spec"]
    selected = {"app": plain["nodeName"]}
    assert policy["podSelector"]["matchLabels"] == cluster["Service"]["spec"]["selector"] == selected
    shadows = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert shadows.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_policy_of_a_namespace_of_shadows(deployment: Json) -> None:
    namespace, policy, *_ = objects((SHADOW / "namespace.yaml").read_text())
    assert namespace["metadata"]["name"] == policy["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["egress"][0]["ports"] == [{"port": 4002}]


def test_the_virtual_kubelet_may_create_shadows_in_their_namespace(deployment: Json) -> None:
    namespace, _, role, binding = objects((SHADOW / "namespace.yaml").read_text())
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["apps"], ["deployments"])
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == namespace["metadata"]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["namespace"] == "interlink"
    assert deployment["kind"] == "Deployment"


def test_the_service_of_the_notebook_leads_to_its_port() -> None:
    pod, service = objects((SHADOW / "notebook.yaml").read_text())
    uid = {"uid": "11111111-2222-3333-4444-555555555555"}
    found = parse_pod({**pod, "metadata": {**pod["metadata"], **uid}}, "the example")
    (port,) = service["spec"]["ports"]
    assert declared_ports(found) == (port["port"],)
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert f"--port={port['port']}" in pod["spec"]["containers"][0]["command"]
