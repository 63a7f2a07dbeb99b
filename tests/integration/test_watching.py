"""What can be seen of a sidecar that serves a real site."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.otel_collector import collecting
from tests.pods import pod, request, sh
from tests.serving import Serving, wait_until
from tests.sidecar import Client, Sidecar
from tests.sites import Site


def metrics(served: Serving) -> dict[tuple[str, str], float]:
    """By name and first label but the account, of which there is one."""
    families = text_string_to_metric_families(served.client.ask("GET", "/metrics", None).text)
    return {
        (sample.name, next((value for label, value in sample.labels.items() if label != "account"), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_of_a_real_site(served24: Serving) -> None:
    watched = served24.vk.create(request(pod(sh("c", "sleep 600")))).until_running("c")
    # squeue may tell it later than the runner
    wait_until(lambda: metrics(served24).get(("remote_slurm_pods", "RUNNING"), 0) >= 1, "it is counted as running")
    found = metrics(served24)
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


def test_prometheus_has_a_port_of_its_own(site: Site, sidecar: Callable[..., Sidecar], tmp_path: Path) -> None:
    started = sidecar(site.config(tmp_path, Watch={"Port": 0}))
    reported = "serving /ui and /metrics url="
    wait_until(lambda: reported in started.log, "the port is logged")
    watch = Client(started.log.partition(reported)[2].split()[0])
    assert "remote_slurm_info" in watch.ask("GET", "/metrics", None).text
    assert watch.ask("GET", "/status", []).status == 404
    assert started.stop() == 0


# the collector's gRPC does not live through a fork
@pytest.mark.supervised
def test_a_create_and_what_it_did_at_the_site_are_one_trace(
    site: Site, sidecar: Callable[..., Sidecar], tmp_path: Path
) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    body = request(pod(sh("c", "true")))
    with collecting() as collector:
        variables = {"ENABLE_TRACING": "1", "TELEMETRY_ENDPOINT": f"127.0.0.1:{collector.port}"}
        traced = sidecar(site.config(tmp_path), environment=variables)
        assert traced.client.ask("POST", "/create", body, traceparent=f"00-{trace}-{parent}-01").status == 200
        assert traced.client.delete(body["pod"]).status == 200
        wait_until(lambda: " deleted " in traced.log, "the delete is carried out")
        assert traced.stop() == 0
    (create,) = collector.named("Create", trace)
    assert create.parent == parent
    (submit,) = collector.named("ssh submit", trace)
    assert submit.parent == create.id
    assert submit.attributes["remote_slurm.pod"].startswith("default-")
    assert collector.named("ssh queue")
    assert collector.named("ssh recover")
