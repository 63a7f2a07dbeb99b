"""`/metrics` for Prometheus: what happened is counted as it happens, how things stand is read when it is asked for.

The table in docs/watching.md explains each metric; a test compares the two.
"""

from __future__ import annotations

import time
from collections import Counter as tally  # noqa: N813 - prometheus_client has a Counter of its own
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from remote_slurm import __version__
from remote_slurm.api.tls import CannotEncrypt, certificate
from remote_slurm.config import TLS
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.pod_times import Outcome
from remote_slurm.service.pods import Pods
from remote_slurm.ssh.observer import Observer
from remote_slurm.ssh.sessions import ConnectionStatus

_PREFIX = "remote_slurm"
# From a round trip within a building to a submission that a busy slurmctld holds up
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics(Observer):
    """The figures of one sidecar, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = self._histogram(
            "request_duration_seconds", "How long requests took, by endpoint and HTTP status; not those for logs.",
            "endpoint", "status",
        )  # fmt: skip
        self._operations = self._histogram(
            "operation_duration_seconds", "How long operations at the site took.", "operation"
        )
        self._polls = self._histogram("poll_duration_seconds", "How long polls of the site took.")
        self._failures = self._counter(
            "operation_failures_total", "Operations at the site that failed, by kind of error.", "operation", "error"
        )
        self._retries = self._counter("retries_total", "What was asked again, since nothing of it had run.", "what")
        self._slurm_errors = self._counter("slurm_errors_total", "Commands of Slurm that said no.", "command")

    def read(self, accounts: Accounts, tls: TLS, audit: AuditLog | None = None) -> None:
        """Tell how these stand, too."""
        self.registry.register(_Standing(accounts, tls, audit or AuditLog()))

    # --- as it happens ---

    @contextmanager
    def operation(self, name: str, pod: str = "") -> Iterator[None]:  # noqa: ARG002 - one figure for each pod is too many
        started = time.monotonic()
        try:
            yield
        except Exception as error:
            self._failures.labels(name, type(error).__name__).inc()
            raise
        finally:
            self._operations.labels(name).observe(time.monotonic() - started)

    def polled(self, seconds: float) -> None:
        self._polls.observe(seconds)

    def retried(self, what: str) -> None:
        self._retries.labels(what).inc()

    def slurm_failed(self, command: str) -> None:
        self._slurm_errors.labels(command).inc()

    # --- over HTTP ---

    @web.middleware
    async def measure(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Measure each request except those for logs, which last as long as their reader stays."""
        started = time.monotonic()
        response = await handler(request)
        resource = request.match_info.route.resource
        endpoint = resource.canonical.strip("/") if resource else "unknown"
        if endpoint != "getLogs":
            self._requests.labels(endpoint, response.status).observe(time.monotonic() - started)
        return response

    async def answer(self, request: web.Request) -> web.Response:
        """In the form that the scraper prefers."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self.registry), headers={"Content-Type": content_type})

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, labels, buckets=_SECONDS, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)


class _Standing(Collector):
    """The present state of the pods and of the connection, for each account at the site."""

    def __init__(self, accounts: Accounts, tls: TLS, audit: AuditLog) -> None:
        self._accounts = accounts
        self._audit = audit
        self._tls = tls

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(f"{_PREFIX}_info", "Which version this is.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield from _of_pods(self._accounts)
        yield from _of_connections(self._accounts)
        yield from _of_audit(self._audit)
        if self._tls.enabled:
            with suppress(CannotEncrypt):  # the log has said so
                expires = certificate(self._tls).not_valid_after_utc.timestamp()
                name = f"{_PREFIX}_certificate_expiry_timestamp_seconds"
                yield GaugeMetricFamily(name, "When TLS.CertFile expires.", expires)


def _of_audit(audit: AuditLog) -> Iterable[Metric]:
    name = f"{_PREFIX}_audit"
    yield CounterMetricFamily(f"{name}_lines", "Lines of the audit log that were written.", audit.written)
    yield CounterMetricFamily(f"{name}_lost", "Lines of the audit log that were lost.", audit.lost)
    yield GaugeMetricFamily(f"{name}_failing", "1 while the audit log cannot be written.", float(audit.failing))


def _of_pods(accounts: Accounts) -> Iterable[Metric]:
    states = GaugeMetricFamily(
        f"{_PREFIX}_pods", "Pods that are known, by the state of their jobs.", labels=["account", "state"]
    )
    waiting = GaugeMetricFamily(
        f"{_PREFIX}_pods_waiting", "Pods that wait, by Slurm's reason.", labels=["account", "reason"]
    )
    for account, pods in accounts.labelled:
        summaries = [tracked.summary() for tracked in pods.pod_store]
        for state, count in tally(each.state for each in summaries).items():
            states.add_metric([account, state], count)
        for reason, count in tally(each.waiting_label for each in summaries).items():
            if reason:
                waiting.add_metric([account, reason], count)
    yield from (states, waiting)
    yield from _of_times(accounts)
    table = _Table(accounts)
    yield table.gauge("last_poll_age_seconds", "Since the last successful poll of the site.", lambda p: p.poller.age)
    yield table.gauge(
        "poll_interval_seconds",
        "Between two polls: more than PollInterval while squeue is slow.",
        lambda p: p.poller.current_interval,
    )
    yield table.gauge("squeue_seconds", "How long the last squeue took.", lambda p: p.poller.pace.squeue_seconds)
    yield table.gauge(
        "site_clock_offset_seconds", "How far the site's clock is ahead.", lambda p: p.poller.clock_offset
    )
    yield table.gauge("superseded", "1 while a newer sidecar owns DataRootFolder.", lambda p: float(bool(p.superseded)))
    yield table.gauge(
        "storage_failing", "1 while pods cannot be stored in DataRootFolder.", lambda p: float(bool(p.storage.error))
    )
    yield table.gauge("open_deletes", "Deletes that are accepted and not carried out yet.", lambda p: len(p.deletes))
    yield table.gauge(
        "orphans", "Jobs whose pods Kubernetes does not ask for any more.", lambda p: len(p.orphans.found())
    )
    yield table.gauge(
        "orphans_due", "Jobs that will be cancelled when OrphanGracePeriod is over.", lambda p: p.orphans.due()
    )
    yield table.counter("orphans_cancelled", "Jobs that were cancelled as orphans.", lambda p: p.orphans.cancelled)
    yield table.counter("jobs_adopted", "Jobs that were found at the site at the start.", lambda p: p.recovery.adopted)


def _of_times(accounts: Accounts) -> Iterable[Metric]:
    ended = CounterMetricFamily(f"{_PREFIX}_pods_ended", "Pods that have ended.", labels=["account", "outcome"])
    waited = HistogramMetricFamily(
        f"{_PREFIX}_pod_waiting_seconds",
        "How long jobs waited in Slurm until they started.",
        labels=["account", "partition"],
    )
    ran = HistogramMetricFamily(
        f"{_PREFIX}_pod_running_seconds", "How long jobs ran until they ended.", labels=["account", "partition"]
    )
    for account, pods in accounts.labelled:
        for outcome in Outcome:
            ended.add_metric([account, outcome], pods.times.ended[outcome])
        for family, by_partition in ((waited, pods.times.waited), (ran, pods.times.ran)):
            for partition, durations in by_partition.items():
                family.add_metric([account, partition], durations.cumulative, durations.total)
    yield from (ended, waited, ran)


def _of_connections(accounts: Accounts) -> Iterable[Metric]:
    statuses = {id(pods): pods.site.connection_status for pods in accounts}
    table = _Table(accounts)

    def of(read: Callable[[ConnectionStatus], float | None]) -> Callable[[Pods], float | None]:
        return lambda pods: read(statuses[id(pods)])

    yield table.gauge("connected", "1 while there is a connection to the site.", of(lambda x: x.state.connected))
    yield table.counter("ssh_connects", "SSH connections that were made.", of(lambda x: x.state.connects))
    yield table.counter(
        "ssh_connect_failures", "SSH connections that could not be made.", of(lambda x: x.state.failures)
    )
    yield table.gauge(
        "breaker_open", "1 while no connection is tried, after failures.", of(lambda x: x.state.retry_in > 0)
    )
    yield table.gauge(
        "breaker_seconds_left",
        "How long none will be tried, unless a key changes.",
        of(lambda x: x.state.retry_in),
    )
    yield table.gauge("sessions_in_use", "SSH sessions that do something.", of(lambda x: x.sessions_in_use))
    yield table.gauge("sessions_limit", "SSH sessions that the site allows at once.", of(lambda x: x.sessions_limit))
    yield table.gauge(
        "round_trip_seconds", "From a script to the first of its answer, the last time.", of(lambda x: x.round_trip)
    )


class _Table:
    """One metric with a sample for each account that has a value."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def gauge(self, name: str, text: str, read: Callable[[Pods], float | None]) -> Metric:
        return self._filled(GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=["account"]), read)

    def counter(self, name: str, text: str, read: Callable[[Pods], float | None]) -> Metric:
        return self._filled(CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=["account"]), read)

    def _filled(self, family: Any, read: Callable[[Pods], float | None]) -> Metric:
        for account, pods in self._accounts.labelled:
            value = read(pods)
            if value is not None:
                family.add_metric([account], float(value))
        found: Metric = family
        return found
