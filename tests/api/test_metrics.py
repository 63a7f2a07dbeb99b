"""/metrics: what is counted, what is read, and that dashboard, alerts and documentation name what there is."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from remote_slurm.api.metrics import Metrics
from remote_slurm.config import Config
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.submit_outcome import SbatchFailed
from remote_slurm.errors import OutcomeUnknown, RemoteFailed
from remote_slurm.service.orphans import SUSPICIOUS_SECONDS
from remote_slurm.site.remote_site import RemoteSite, Shells
from remote_slurm.ssh.observer import Observers
from remote_slurm.ssh.sessions import ConnectionStatus, OnOutput, Request, Result
from tests.api.api_client import Api, bearer, until
from tests.api.certificates import Authority
from tests.fake_site import SlurmJob, instant_site
from tests.pods import payload

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "monitoring"

Serve = Callable[..., Any]
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def figures(text: str) -> Figures:
    families = text_string_to_metric_families(text)
    return {
        (sample.name.removeprefix("remote_slurm_"), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(found: Figures, name: str, **labels: str) -> float | None:
    """The figure with these labels; those of an account are of the only one where none is named."""
    own = frozenset(labels.items())
    return found.get((name, own | {("account", "hpcuser")}), found.get((name, own)))


async def read(api: Api) -> Figures:
    return figures((await api.get("/metrics")).text)


async def test_pods_by_state_and_the_state_of_the_site(serve: Serve) -> None:
    jobs = [SlurmJob("7", "ns-1", JobState.RUNNING), SlurmJob("8", "ns-2", reason="Priority")]
    api: Api = await serve(instant_site(*jobs))
    await api.looked()
    found = await read(api)
    assert {state: of(found, "pods", state=state) for state in ("RUNNING", "PENDING")} == {"RUNNING": 1, "PENDING": 1}
    assert [of(found, name) for name in ("jobs_adopted_total", "orphans", "open_deletes")] == [2, 0, 0]
    assert [of(found, name) for name in ("connected", "breaker_open", "sessions_in_use", "sessions_limit")] == [
        1,
        0,
        1,
        8,
    ]
    assert [of(found, name) for name in ("ssh_connects_total", "ssh_connect_failures_total")] == [2, 1]
    assert of(found, "round_trip_seconds") == 0.05
    assert (of(found, "last_poll_age_seconds") or 0) < 60


async def test_waiting_pods_by_reason(serve: Serve) -> None:
    limit = "QOSMaxJobsPerUserLimit"
    waiting = [SlurmJob(str(number), f"ns-{number}", reason=limit) for number in range(3)]
    odd = SlurmJob("8", "ns-8", reason="ReasonOfThisSite")
    api: Api = await serve(instant_site(*waiting, odd, SlurmJob("9", "ns-9", JobState.RUNNING)))
    await api.looked()
    found = await read(api)
    assert [of(found, "pods_waiting", reason=reason) for reason in ("QOSMax", "other", "Resources")] == [3, 1, None]
    state = json.loads((await api.get("/ui/state")).text)
    meaning = "a limit of its QOS for each user or account is reached"
    assert state["waiting"] == [
        {"reason": "QOSMax", "meaning": meaning, "pods": 3},
        {"reason": "other", "meaning": "", "pods": 1},
    ]


async def test_a_full_home_is_a_metric_and_leaves_no_room_in_the_ping(serve: Serve) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    await api.pods.capacity.refresh()
    assert of(await read(api), "storage_failing") == 0
    assert api.pods.ping()["resources"]["pods"] == "1000"
    site.account.full = "No space left on device"
    await api.pods.storage.try_it()
    assert of(await read(api), "storage_failing") == 1
    assert api.pods.ping()["resources"]["pods"] == "0"
    reported = json.loads((await api.get("/ui/state")).text)["site"]
    assert "No space left on device" in reported["storageError"]
    site.account.full = ""
    await api.pods.storage.try_it()
    assert api.pods.ping()["resources"]["pods"] == "1000"


async def test_openmetrics_reads_the_same(serve: Serve) -> None:
    now = int(time.time()) + 60
    times: dict[str, Any] = {"submitted": now - 90, "start": now, "end_time": now + 9, "partition": 'a"b\\c'}
    api: Api = await serve(instant_site(SlurmJob("8", "ns-2", JobState.COMPLETED, **times)))
    await api.looked()
    api.pods.pod_store.add("ns-2").finalize()
    await api.pods.times.notice()
    text = (await api.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")).text
    families = {family.name: family for family in openmetrics(text)}
    waited = families["remote_slurm_pod_waiting_seconds"]
    assert {sample.labels["partition"] for sample in waited.samples} == {'a"b\\c'}
    bounds = [sample.labels["le"] for sample in waited.samples if sample.value and "le" in sample.labels]
    assert bounds[0] == "300.0"
    assert sum(sample.value for sample in families["remote_slurm_pods_ended"].samples) == 1


async def test_a_job_whose_pod_is_not_asked_for_is_an_orphan(serve: Serve) -> None:
    jobs = [SlurmJob(str(number), f"ns-{number}", JobState.RUNNING) for number in (7, 8)]
    api: Api = await serve(instant_site(*jobs))
    await api.looked()
    assert of(await read(api), "orphans") == 0
    every_20_s = count(time.monotonic(), 20)
    api.pods.orphans._clock = lambda: next(every_20_s)
    for _ in range(int(SUSPICIOUS_SECONDS // 20) + 2):
        api.pods.orphans.requested(["ns-7"])
    assert of(await read(api), "orphans") == 1


async def test_creates_polls_and_what_was_refused(serve: Serve) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    assert (await api.ask("POST", "/create", json=payload("create-hello.json"))).status == 200
    assert (await api.ask("POST", "/create", json={})).status == 400
    assert (await api.get("/nothing")).status == 404
    found = await read(api)
    assert of(found, "request_duration_seconds_count", endpoint="create", status="200") == 1
    assert of(found, "request_duration_seconds_count", endpoint="create", status="400") == 1
    assert of(found, "request_duration_seconds_count", endpoint="unknown", status="404") == 1
    assert (of(found, "poll_duration_seconds_count") or 0) >= 1


async def test_a_submission_that_is_sent_again_is_a_retry(serve: Serve) -> None:
    site = instant_site()
    api: Api = await serve(site)
    await api.looked()
    site.down = True
    create = asyncio.create_task(api.ask("POST", "/create", json=payload("create-hello.json")))
    await until(lambda: site.asked["submit"] == 2)
    site.down = False
    assert (await create).status == 200
    assert (of(await read(api), "retries_total", what="submit") or 0) >= 1


class ScriptedShells(Shells):
    """Answers of a site, one after another."""

    def __init__(self, *answers: str | Exception) -> None:
        self._answers = list(answers)

    async def run(self, request: Request, *, deadline: float, on_output: OnOutput | None = None) -> Result:
        assert request.script == "" or request.script.endswith("\n")
        assert request.texts
        assert len(request.payload) <= 1
        assert deadline
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if on_output:
            on_output(answer.encode())
        return Result(0, answer.encode())

    @property
    def connection_status(self) -> ConnectionStatus:
        raise NotImplementedError

    def stream(self, script: str, *, followed: bool = True) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError


async def test_operations_at_the_site_and_slurm_outcomes() -> None:
    metrics = Metrics()
    ssh = {"HostName": "login", "User": "me", "IdentityFile": "/key"}
    shells = ScriptedShells(
        ">root /r\n>queue 1 0\nslurm_load_jobs error",
        ">root /r\n>message ns-1 no such partition\n>failed ns-1\n",
        OutcomeUnknown("late"),
    )
    site = RemoteSite(shells, Config.model_validate({"SSH": ssh}), Observers([metrics]))
    with pytest.raises(RemoteFailed):
        await site.queue()
    assert isinstance(await site.submit("ns-1", Payload("ns-1", b"x")), SbatchFailed)
    with pytest.raises(OutcomeUnknown):
        await site.records()
    metrics.retried("submit")
    metrics.polled(0.2)
    found = figures(generate_latest(metrics.registry).decode())
    assert [of(found, "slurm_errors_total", command=command) for command in ("squeue", "sbatch")] == [1, 1]
    for operation in ("queue", "submit", "records"):
        assert of(found, "operation_duration_seconds_count", operation=operation) == 1
    assert of(found, "operation_failures_total", operation="records", error="OutcomeUnknown") == 1
    assert of(found, "operation_failures_total", operation="submit", error="OutcomeUnknown") is None
    assert of(found, "retries_total", what="submit") == 1


async def test_metrics_want_the_token_too(serve: Serve, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    api: Api = await serve(TokenFile=str(token))
    assert (await api.get("/metrics")).status == 401
    assert (await api.get("/metrics", Authorization=bearer("0123456789abcdef"))).status == 200


@pytest.fixture
async def known(serve: Serve, tmp_path: Path) -> dict[str, set[str]]:
    """Every metric of ours, with its labels."""
    authority = Authority(tmp_path)
    pair = authority.pair("sidecar")
    now = int(time.time()) + 60
    times: dict[str, Any] = {"submitted": now - 9, "start": now, "end_time": now + 9, "partition": "main"}
    ended = SlurmJob("8", "ns-2", JobState.COMPLETED, **times)
    site = instant_site(SlurmJob("7", "ns-1", JobState.RUNNING), SlurmJob("9", "ns-3", reason="Resources"), ended)
    api: Api = await serve(site, TLS={"CertFile": str(pair.cert), "KeyFile": str(pair.key)})
    await api.looked()
    api.pods.pod_store.add("ns-2").finalize()
    await api.pods.times.notice()
    metrics = site.observer
    with pytest.raises(ValueError, match="x"), metrics.operation("queue"):
        raise ValueError("x")
    metrics.retried("submit")
    metrics.slurm_failed("squeue")
    await api.get("/readyz", tls=authority.trusting())
    names: dict[str, set[str]] = {}
    for name, labels in figures((await api.get("/metrics", tls=authority.trusting())).text):
        names.setdefault(f"remote_slurm_{name}", set()).update(label for label, _ in labels)
    foreign = re.compile(r"remote_slurm_process_.*|.*_created")
    return {name: labels for name, labels in names.items() if not foreign.fullmatch(name)}


def used(expression: str) -> set[str]:
    return set(re.findall(r"remote_slurm_[a-z_]+", expression))


def labels_in(expression: str) -> set[str]:
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    return grouped | set(re.findall(r"[{,]\s*(\w+)\s*(?:=|!=|=~|!~)\"", expression))


def assert_known(expression: str, known: dict[str, set[str]]) -> None:
    assert used(expression) or re.search(r'\bup\{job="remote-slurm"\}', expression), expression
    assert used(expression) <= set(known), expression
    of_prometheus = {"instance", "job"}
    assert labels_in(expression) <= of_prometheus.union(*(known[name] for name in used(expression))), expression


async def test_every_alert_names_what_there_is(known: dict[str, set[str]]) -> None:
    rules = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text())
    (group,) = rules["groups"]
    assert {rule["alert"] for rule in group["rules"]} >= {"RemoteSlurmDown", "RemoteSlurmSiteUnreachable"}
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert_known(rule["expr"], known)


async def test_every_panel_names_what_there_is(known: dict[str, set[str]]) -> None:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "instance", "account"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert_known(target["expr"], known)
            for name, matchers in re.findall(r"(remote_slurm_[a-z_]+)\{([^}]*)\}", target["expr"]):
                assert 'instance=~"$instance"' in matchers, target["expr"]
                assert ('account=~"$account"' in matchers) == ("account" in known[name]), target["expr"]
            assert len(re.findall(r"remote_slurm_[a-z_]+\{", target["expr"])) == len(used(target["expr"]))


PROMTOOL = shutil.which("promtool") or str(Path.home() / ".cache" / "remote-slurm" / "promtool")


@pytest.mark.skipif(not Path(PROMTOOL).exists(), reason="no promtool: scripts/tools promtool builds it")
def test_the_alerts_fire_for_each_of_several_sidecars() -> None:
    for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run([PROMTOOL, *words], cwd=EXAMPLES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    tests = (EXAMPLES / "alerts_test.yaml").read_text()
    (group,) = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"] if rule["alert"] not in tests] == []


async def test_the_documentation_has_every_metric(known: dict[str, set[str]]) -> None:
    histograms = {name.removesuffix("_bucket") for name in known if name.endswith("_bucket")}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    rows = re.findall(r"^\| `(remote_slurm_[a-z_]+)", (ROOT / "docs" / "watching.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(known.keys() - parts | histograms)


def test_the_scrape_configuration_names_the_rules() -> None:
    scrape = yaml.safe_load((EXAMPLES / "prometheus.yaml").read_text())
    assert all((EXAMPLES / name).exists() for name in scrape["rule_files"])
