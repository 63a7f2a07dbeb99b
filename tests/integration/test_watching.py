"""What can be seen of a sidecar that serves a real site."""

from pods import pod, request, sh
from prometheus_client.parser import text_string_to_metric_families
from serving import Serving


def metrics(served: Serving) -> dict[tuple[str, str], float]:
    """By name and first label."""
    families = text_string_to_metric_families(served.client.ask("GET", "/metrics", None).text)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_of_a_real_site(served24: Serving) -> None:
    watched = served24.vk.create(request(pod(sh("c", "sleep 600")))).until_running("c")
    found = metrics(served24)
    assert found["remote_slurm_pods", "RUNNING"] >= 1
    assert found["remote_slurm_connected", ""] == 1
    assert found["remote_slurm_ssh_connects_total", ""] >= 1
    assert 0 < found["remote_slurm_round_trip_seconds", ""] < 10
    assert found["remote_slurm_sessions_limit", ""] >= 2
    assert found["remote_slurm_operation_duration_seconds_count", "submit"] >= 1
    assert found["remote_slurm_operation_duration_seconds_count", "queue"] >= 1
    assert found["remote_slurm_poll_duration_seconds_count", ""] >= 1
    watched.delete()


def test_what_slurm_refuses_is_counted(served24: Serving) -> None:
    key = ("remote_slurm_slurm_errors_total", "sbatch")
    before = metrics(served24).get(key, 0)
    served24.vk.refused(request(pod(sh("c", "true"), flags="--partition=nowhere")))
    assert metrics(served24)[key] == before + 1


def test_a_kubelet_finds_it_well(served24: Serving) -> None:
    assert [served24.client.ask("GET", path, None).text for path in ("/healthz", "/readyz")] == ["ok\n", "ok\n"]
