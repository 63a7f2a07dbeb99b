"""Names of shadow pods, as interLink's own code printed them (pkg/virtualkubelet, 0.5.2, 0.6.2 and July 2026)."""

import pytest

from remote_slurm.domain.pod.shadow_name import is_shadow_of, shadowed_namespaces

REPLICA = "notebook-7d9f8b6c5d-x2x4z"
LONG = "jupyter-a-person-with-a-very-long-name-and-a-hash-5b1e2a3c4d5e"


@pytest.mark.parametrize(
    ("shadow", "namespace", "pod", "pod_namespace"),
    [
        ("notebook-team", "team-wstunnel", "notebook", "team"),
        ("wstunnel-notebook-team", "team", "notebook", "team"),
        ("notebook-wstunnel", "team", "notebook", "team"),
        ("jupyter-alice-5b1e-hub", "hub-wstunnel", "jupyter-alice---5b1e", "hub"),
        ("jupyter-alice---5b1e-hub", "hub-wstunnel", "jupyter-alice---5b1e", "hub"),
        ("a-b-team", "team-wstunnel", "a.b", "team"),
        ("web-0123456789-0123456789-0123456789-lab", "lab-wstunnel", "web-0123456789-0123456789-0123456789", "lab"),
        ("wstunnel-notebook-7d9f-2eb7253f", "a-namespace-of-some-length", REPLICA, "a-namespace-of-some-length"),
        ("jupyter-a-person-with-77dee21a-hub", "hub-wstunnel", LONG, "hub"),
        ("wstunnel-jupyter-a-person-wi-e259900e-hub", "hub", LONG, "hub"),
        ("jupyter-a-person-with-a-very-lo-hub", "hub-wstunnel", LONG, "hub"),
        ("wstunnel-jupyter-a-person-with-a-very-hub", "hub", LONG, "hub"),
        ("web-0123456789-0123456789-01234", "lab-wstunnel", f"web{3 * '-0123456789'}-0123456789", "lab"),
        ("wstunnel-web-0123456789-0123456", "lab", f"web{3 * '-0123456789'}-0123456789", "lab"),
    ],
)
def test_a_pod_is_found_by_its_shadow(shadow: str, namespace: str, pod: str, pod_namespace: str) -> None:
    assert is_shadow_of(shadow, namespace, pod, pod_namespace)


@pytest.mark.parametrize(
    ("shadow", "namespace", "pod", "pod_namespace"),
    [
        ("notebook-team", "team-wstunnel", "notebook-team", "team"),
        ("notebook-team", "team-wstunnel", "notebook", "other"),
        ("notebook-team", "other-wstunnel", "notebook", "team"),
        ("notebook", "team-wstunnel", "notebook", "team"),
        ("", "team-wstunnel", "notebook", "team"),
    ],
)
def test_a_pod_is_not_found_by_another_shadow(shadow: str, namespace: str, pod: str, pod_namespace: str) -> None:
    assert not is_shadow_of(shadow, namespace, pod, pod_namespace)


def test_a_namespace_has_shadows_of_itself_and_of_one_other() -> None:
    assert shadowed_namespaces("team-wstunnel") == ("team-wstunnel", "team")
    assert shadowed_namespaces("team") == ("team",)
    assert shadowed_namespaces("-wstunnel") == ("-wstunnel",)
