"""Startup, readiness and liveness probes as calls of the runner (job/probes.sh)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from remote_slurm.domain.expansion import expand
from remote_slurm.domain.hooks import action
from remote_slurm.domain.lifecycle import Exec, Probe
from remote_slurm.domain.pod import Container
from remote_slurm.domain.volumes import Call
from remote_slurm.errors import Rejected


def probe_calls(container: Container, values: Mapping[str, str]) -> Iterator[Call]:
    """`probe KIND DELAY PERIOD TIMEOUT SUCCESSES FAILURES GRACE ACTION...`; an empty GRACE is the pod's.

    `values` is the container's environment, which words of a command may name as $(NAME), as on a kubelet. Raises
    Rejected for a probe that cannot be carried out.
    """
    for kind, probe in probes(container):
        what = f"{kind}Probe of container '{container.name}'"
        if probe.sleep is not None:
            raise Rejected(f"{what} must be exec, httpGet, tcpSocket or grpc")
        if kind != "readiness" and probe.success_threshold != 1:
            raise Rejected(f"{what} has successThreshold {probe.success_threshold}: it must be 1")
        grace = probe.termination_grace_period_seconds
        yield (
            "probe",
            kind,
            str(probe.initial_delay_seconds),
            str(probe.period_seconds),
            str(probe.timeout_seconds),
            str(probe.success_threshold),
            str(probe.failure_threshold),
            "" if grace is None else str(grace),
            *action(_expanded(probe, values), container, what),
        )


def probes(container: Container) -> list[tuple[str, Probe]]:
    """Those that the container has, by their kind."""
    every = (
        ("startup", container.startup_probe),
        ("readiness", container.readiness_probe),
        ("liveness", container.liveness_probe),
    )
    return [(kind, probe) for kind, probe in every if probe is not None]


def _expanded(probe: Probe, values: Mapping[str, str]) -> Probe:
    if probe.exec is None:
        return probe
    command = tuple(expand(word, values) for word in probe.exec.command)
    return probe.model_copy(update={"exec": Exec(command=command)})
