"""Fields of a pod file: unknown ones are refused with the nearest name, and whatever Kubernetes knows is accepted."""

import json
from pathlib import Path
from typing import Any

import kubernetes_fields
import pytest
import yaml

from remote_slurm.cli.unknown_fields import _fields
from tests.cli.program import PodFile, Program

CONFIG = {
    "SSH": {"HostName": "login.example.org", "User": "me", "IdentityFile": "/keys/id"},
    "StateFolder": "/tmp/state",
    "ContainerRuntime": "none",
    "DefaultMemory": "none",
}


@pytest.fixture
def renders(tmp_path: Path) -> Program:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return Program(path)


def pod(container: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **keys: Any) -> str:
    base = {"name": "c", "image": "busybox", "command": ["true"], **(container or {})}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    return json.dumps(document | {"spec": {"containers": [base], **(spec or {})}} | keys)


def test_the_table_is_that_of_the_kubernetes_client() -> None:
    assert kubernetes_fields.TABLE.read_text() == kubernetes_fields.text(), "run scripts/kubernetes_fields.py"
    assert {"containers", "volumes"} <= _fields()["V1PodSpec"].keys()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (pod({"comand": ["x"]}), "unknown field 'comand' in spec.containers[0]: did you mean 'command'?"),
        (pod({"Command": ["x"]}), "unknown field 'Command' in spec.containers[0]: did you mean 'command'?"),
        (pod({"volumes": []}), "unknown field 'volumes' in spec.containers[0]: it is a field of spec"),
        (pod(spec={"command": ["x"]}), "unknown field 'command' in spec: it is a field of a container"),
        (pod(spec={"labels": {}}), "unknown field 'labels' in spec: it is a field of metadata"),
        (pod({"resources": {"limit": {"cpu": 1}}}), "in spec.containers[0].resources: did you mean 'limits'?"),
        (
            pod({"resources": {"cpu": 1}}),
            "unknown field 'cpu' in spec.containers[0].resources: must be one of claims, ",
        ),
        (pod({"env": [{"name": "A", "val": "1"}]}), "unknown field 'val' in spec.containers[0].env[0]: did you mean"),
        # willthames/kubernetes-validate#31: indented as if it were beside resources
        (pod({"requests": {}}), "unknown field 'requests' in spec.containers[0]: it is a field of resources"),
        # kubernetes-up-and-running/examples#5: indented as if it were a part of metadata
        (
            pod(metadata={"name": "p", "spec": {}}),
            "unknown field 'spec' in metadata: it is a field of the Pod itself, beside metadata and spec",
        ),
        # kubernetes/kubernetes#8609: a hidden character
        (pod(spec={"\xa0 containers": []}), r"unknown field '\xa0 containers' in spec: remove what is no letter"),
        # gdcc/dataverse-kubernetes#191
        (pod({"ports": [{"conatainerPort": 80}]}), "in spec.containers[0].ports[0]: did you mean 'containerPort'?"),
        # coreos/container-linux-update-operator#189
        (pod(spec={"restartpolicy": "Never"}), "unknown field 'restartpolicy' in spec: did you mean 'restartPolicy'?"),
        (pod(spce={}), "unknown field 'spce': did you mean 'spec'?"),
        (pod(spec={"volumes": [{"name": "v", "emptydir": {}}]}), "in spec.volumes[0]: did you mean 'emptyDir'?"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_name(renders: Program, text: str, sentence: str) -> None:
    done = renders("render", "-", stdin=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("remote-slurm: standard input: unknown field '")
    assert sentence in done.stderr


def test_all_unknown_fields_are_named_at_once(renders: Program) -> None:
    text = pod({"comand": []}, {"restartpolicy": "Never"})
    secret = json.dumps({"kind": "Secret", "metadata": {"name": "s"}, "Data": {}})
    assert renders("render", "-", stdin=text).stderr.count("unknown field") == 2
    done = renders("render", "-", stdin=f"{pod()}\n---\n{secret}")
    assert "standard input: Secret 's': unknown field 'Data': did you mean 'data'?" in done.stderr


DUMPED = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","kind":"Pod"}
  creationTimestamp: "2026-07-14T09:46:00Z"
  generation: 1
  labels: {app: train}
  managedFields:
  - {apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:metadata": {}}, manager: kubectl, operation: Update}
  name: train
  namespace: team
  resourceVersion: "12345"
  uid: 6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10
spec:
  containers:
  - command: [sh, -c, echo $(MEMORY)]
    env:
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, containerName: main, divisor: "0"}}}
    - {name: IP, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}}
    - {name: NODE, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}}
    image: busybox
    imagePullPolicy: Always
    name: main
    resources: {limits: {memory: 1Gi}, requests: {memory: 1Gi}}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
    volumeMounts:
    - {mountPath: /var/run/secrets/kubernetes.io/serviceaccount, name: kube-api-access-x7d2k, readOnly: true}
    - {mountPath: /etc/podinfo, name: info}
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  nodeName: slurm
  preemptionPolicy: PreemptLowerPriority
  priority: 0
  restartPolicy: Never
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: default
  serviceAccountName: default
  terminationGracePeriodSeconds: 30
  tolerations:
  - {effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}
  volumes:
  - name: kube-api-access-x7d2k
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {expirationSeconds: 3607, path: token}
      - configMap: {items: [{key: ca.crt, path: ca.crt}], name: kube-root-ca.crt}
      - downwardAPI: {items: [{fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}, path: namespace}]}
  - name: info
    downwardAPI:
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: cpu, resourceFieldRef: {containerName: main, resource: requests.memory}}
status:
  conditions:
  - {lastProbeTime: null, lastTransitionTime: "2026-07-14T09:46:00Z", status: "True", type: PodScheduled}
  hostIP: 10.0.0.1
  phase: Running
  qosClass: Guaranteed
"""


def test_a_pod_of_kubectl_get_is_accepted(renders: Program) -> None:
    done = renders("render", "-", stdin=DUMPED)
    assert done.returncode == 0, done.stderr
    assert "# Pod team/train as a Slurm job" in done.stdout
    assert "--mem=1024M" in done.stdout
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(DUMPED)], "metadata": {}})
    assert renders("render", "-", stdin=listed).returncode == 0


def test_a_namespace_is_for_a_file_without_one(renders: Program, pod_file: PodFile) -> None:
    assert "# Pod team/pod as a Slurm job" in renders("render", pod_file("true"), "-n", "team").stdout
    done = renders("render", "-", "-n", "other", stdin=DUMPED)
    assert done.returncode == 1
    assert "Pod 'train' is in namespace 'team', and --namespace is 'other': omit one of the two" in done.stderr


@pytest.mark.parametrize("field", ["envFrom", "name"])
def test_a_field_that_is_there_twice_is_refused(renders: Program, field: str) -> None:
    """kubernetes/kubernetes#99286: the first of two was ignored without a word."""
    values = {"envFrom": "[{configMapRef: {name: a}}]", "name": "c"}
    container = f"name: c\n    image: busybox\n    {field}: {values[field]}\n    {field}: {values[field]}\n"
    text = f"kind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - {container}"
    done = renders("render", "-", stdin=text)
    assert done.returncode == 1
    assert f"this is not YAML: found duplicate key '{field}'" in done.stderr


def test_merged_keys_are_no_duplicates(renders: Program) -> None:
    text = (
        "kind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - &c {name: c, image: busybox, command: ['true']}\n"
        "  - {<<: *c, name: d}\n"
    )
    done = renders("render", "-", stdin=text)
    assert done.returncode == 0, done.stderr
    assert "\ncontainer d " in done.stdout
