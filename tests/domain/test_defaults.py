"""Ten thousand pods are asked for every few seconds: what none of them says is one value for all of them."""

from remote_slurm.domain.pod.model import parse_pod

BODY = {"metadata": {"name": "a", "uid": "1"}, "spec": {"containers": [{"name": "c"}]}}


def test_pods_share_the_defaults_of_what_they_do_not_say() -> None:
    one, other = parse_pod(BODY, "status"), parse_pod(BODY, "status")
    assert one.spec.resources is other.spec.resources
    assert one.spec.containers[0].lifecycle is other.spec.containers[0].lifecycle


def test_what_a_pod_says_is_its_own() -> None:
    body = BODY | {"spec": {"containers": [{"name": "c"}], "resources": {"limits": {"cpu": 2}}}}
    assert parse_pod(body, "status").spec.resources.limits == {"cpu": 2}
    assert parse_pod(BODY, "status").spec.resources.limits == {}
