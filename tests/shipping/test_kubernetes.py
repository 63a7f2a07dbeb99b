"""The examples for a cluster: the Helm chart's values with what goes beside them, and plain manifests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from remote_slurm.api.app import SHUTDOWN_SECONDS
from remote_slurm.cli.main import COMMANDS
from remote_slurm.config import Config, load_config
from remote_slurm.service.deletes import ANNOUNCE_SECONDS
from tests.shipping.manifests import Json, check, objects

EXAMPLES = Path(__file__).parents[2] / "examples"
HELM = EXAMPLES / "helm"
MANIFESTS = EXAMPLES / "kubernetes" / "sidecar.yaml"

# What interLink's chart 0.6 reads, of what is used here (its values.yaml and templates/virtual-kubelet.yaml)
CHART = {
    "nodeName": None,
    "interlink": {"enabled", "image", "socket", "extraVolumeMounts"},
    "virtualNode": {"image", "resources"},
    "plugin": {"enabled", "image", "address", "port", "envs", "config", "resources", "extraVolumeMounts"},
    "extraVolumes": None,
}
# the account in the image: see Dockerfile
ACCOUNT = 10001


def loaded(text: str, folder: Path) -> Config:
    path = folder / "SlurmConfig.yaml"
    path.write_text(text)
    config = load_config(path, {})
    assert config.warnings == ()
    return config


def values() -> Json:
    read: Json = yaml.safe_load((HELM / "values.yaml").read_text())
    return read


def keys(of: Json) -> Iterator[tuple[str, str]]:
    for block, inner in of.items():
        for key in inner if CHART.get(block) else []:
            yield block, key


def test_the_values_are_keys_of_the_chart() -> None:
    assert set(values()) <= set(CHART)
    assert [(block, key) for block, key in keys(values()) if key not in (CHART[block] or ())] == []


def test_interlink_finds_the_plugin(tmp_path: Path) -> None:
    plugin = values()["plugin"]
    config = loaded(plugin["config"], tmp_path)
    assert plugin["address"] == f"http://{config.bind_address}"
    assert plugin["port"] == config.sidecar_port
    assert plugin["envs"] == [{"name": "SLURMCONFIGPATH", "value": "/etc/interlink/plugin.yaml"}]


def test_the_key_and_the_state_are_where_the_configuration_looks(tmp_path: Path) -> None:
    read = values()
    config = loaded(read["plugin"]["config"], tmp_path)
    mounts = {mount["name"]: mount for mount in read["plugin"]["extraVolumeMounts"]}
    assert_places(config, mounts["ssh"], mounts["state"])
    volumes = {volume["name"]: volume for volume in read["extraVolumes"]}
    assert set(volumes) == set(mounts)
    # Kubernetes mounts no token where there is another volume already
    for container in (read["plugin"], read["interlink"]):
        paths = {mount["name"]: mount["mountPath"] for mount in container["extraVolumeMounts"]}
        assert paths["no-token"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert volumes["no-token"] == {"name": "no-token", "emptyDir": {}}
    (claim,) = objects((HELM / "state.yaml").read_text())
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def assert_places(config: Config, ssh: Json, state: Json) -> None:
    assert config.ssh.identity_file is not None
    assert config.ssh.identity_file.parent == config.ssh.user_known_hosts_file.parent == Path(ssh["mountPath"])
    assert ssh["readOnly"]
    assert config.state_folder == Path(state["mountPath"])


def test_the_patch_is_of_the_charts_deployment() -> None:
    patch = yaml.safe_load((HELM / "patch.yaml").read_text())
    check(patch, client.V1Deployment, "patch")
    assert patch["metadata"]["name"] == f"{values()['nodeName']}-node"
    assert patch["spec"]["strategy"] == {"type": "Recreate", "rollingUpdate": None}
    pod = patch["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["plugin"]
    assert_kept_small(pod, pod["containers"][0])


def assert_kept_small(pod: Json, container: Json) -> None:
    """No root, nothing to write to but the state, time to end, and a probe that the program has."""
    assert pod["securityContext"]["fsGroup"] == ACCOUNT
    assert pod["terminationGracePeriodSeconds"] > SHUTDOWN_SECONDS
    context = container["securityContext"]
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    program, *words = container["livenessProbe"]["exec"]["command"]
    assert program == "remote-slurm"
    assert words[0] in COMMANDS


@pytest.fixture
def manifests() -> dict[str, Json]:
    return {each["kind"]: each for each in objects(MANIFESTS.read_text())}


def test_plain_manifests_hold_together(manifests: dict[str, Json], tmp_path: Path) -> None:
    template = manifests["Deployment"]["spec"]["template"]
    pod = template["spec"]
    sidecar, interlink = pod["containers"]
    assert_kept_small(pod, sidecar)
    assert_overlap(manifests["Deployment"]["spec"], manifests["PersistentVolumeClaim"])
    config = loaded(manifests["ConfigMap"]["data"]["SlurmConfig.yaml"], tmp_path)
    mounts = {mount["name"]: mount for mount in sidecar["volumeMounts"]}
    assert_places(config, mounts["ssh"], mounts["state"])
    assert sidecar["env"][0]["value"] == mounts["config"]["mountPath"]
    own = yaml.safe_load(manifests["ConfigMap"]["data"]["InterLinkConfig.yaml"])
    assert (own["SidecarURL"], own["SidecarPort"]) == (f"http://{config.bind_address}", str(config.sidecar_port))
    assert interlink["env"][0]["value"] == interlink["volumeMounts"][0]["mountPath"]
    assert_same_labels(manifests, template["metadata"]["labels"])


def assert_overlap(deployment: Json, claim: Json) -> None:
    """In an update, the old pod serves until the new one does, and then finishes what it has begun."""
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    template = deployment["template"]
    (term,) = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    sidecar, interlink = template["spec"]["containers"]
    stops = [each["lifecycle"]["preStop"]["sleep"]["seconds"] for each in (sidecar, interlink)]
    assert stops[0] > stops[1]
    assert template["spec"]["terminationGracePeriodSeconds"] > stops[0] + SHUTDOWN_SECONDS + ANNOUNCE_SECONDS
    assert sidecar["startupProbe"]["exec"]["command"][:2] == ["remote-slurm", "ping"]
    assert interlink["readinessProbe"]


def assert_same_labels(manifests: dict[str, Any], labels: Json) -> None:
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def test_only_the_virtual_kubelet_of_the_chart_gets_through(manifests: dict[str, Json]) -> None:
    (rule,) = manifests["NetworkPolicy"]["spec"]["ingress"]
    # in its namespace, also if the sidecar is in another one
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "interlink"}}
    pods = {"matchLabels": {"app": values()["nodeName"]}}
    assert rule["from"] == [{"namespaceSelector": namespace, "podSelector": pods}]


def test_the_rights_are_those_that_the_sidecar_uses() -> None:
    """And no more: it creates Events, and gets the rest by name."""
    found = {each["kind"]: each for each in objects((EXAMPLES / "kubernetes" / "rbac.yaml").read_text())}
    rules = found["ClusterRole"]["rules"]
    granted = {resource: rule["verbs"] for rule in rules for resource in rule["resources"]}
    assert granted == {
        "events": ["create"],
        "pods": ["get"],
        "configmaps": ["get"],
        "secrets": ["get"],
        "persistentvolumeclaims": ["get"],
    }
    account = found["ServiceAccount"]["metadata"]
    assert found["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert found["ClusterRoleBinding"]["roleRef"]["name"] == found["ClusterRole"]["metadata"]["name"]


def test_what_is_no_field_of_kubernetes_is_found() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"prot": 1}]}}
    with pytest.raises(AssertionError, match=r"Service.spec.ports has no field prot"):
        check(wrong, client.V1Service, "Service")
