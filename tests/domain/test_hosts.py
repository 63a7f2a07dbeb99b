"""The host name of a pod's containers, and their /etc/hosts."""

from typing import Any

import pytest

from remote_slurm.domain.pod.hosts import hosts_call
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, plan, pod, request


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("worker-3", {}, "worker-3"),
        ("worker-3", {"hostname": "db"}, "db"),
        ("worker-3", {"hostname": "db", "hostnameOverride": "db.example.org"}, "db.example.org"),
        ("a" * 62 + "-tail", {}, "a" * 62),
    ],
)
def test_the_host_name_is_a_kubelets(name: str, spec: dict[str, Any], expected: str) -> None:
    body = pod(container(), **spec)
    body["metadata"]["name"] = name
    assert hosts_call(request(body).pod) == ("hosts", expected)


def test_host_aliases_are_lines_of_the_file() -> None:
    aliases = [{"ip": "10.0.0.5", "hostnames": ["a", "b.example.org."]}, {"ip": "fd00::5", "hostnames": ["c"]}]
    parsed = request(pod(container(), hostAliases=aliases)).pod
    assert hosts_call(parsed)[2:] == ("10.0.0.5\ta\tb.example.org.", "fd00::5\tc")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"hostAliases": [{"ip": "here", "hostnames": ["a"]}]}, "'here' is not an IP address"),
        ({"hostAliases": [{"ip": "10.0.0.5", "hostnames": ["a\n1.1.1.1 b"]}]}, "is not a host name"),
        ({"hostname": "-x"}, "invalid hostname of pod default/hello: '-x' is not a host name"),
    ],
)
def test_what_is_no_address_or_no_host_name_is_refused(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        hosts_call(request(pod(container(), **spec)).pod)


@pytest.mark.parametrize(("path", "count"), [("/etc/hosts", 1), ("/etc", 0), ("/data", 1)])
def test_a_mount_of_the_pods_own_wins(path: str, count: int) -> None:
    mounted = container(volumeMounts=[{"name": "v", "mountPath": path}])
    planned = plan(pod(mounted, volumes=[{"name": "v", "emptyDir": {}}]), settings={"ContainerRuntime": "podman"})
    words = [str(word) for line in planned.containers[0].lines for word in line]
    assert not any("localtime" in word for word in words)
    assert sum(word.endswith(":/etc/hosts") for word in words) == count
