"""Calls of the runner right before it starts a container: restarts, hooks, probes. See the files in job/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from remote_slurm.domain.plan.container_setup import ContainerSetup
from remote_slurm.domain.plan.hooks import hook_calls, needs_exec
from remote_slurm.domain.plan.probes import probe_calls, probes
from remote_slurm.domain.plan.termination_message import checked_path, is_below_dev, message_file
from remote_slurm.domain.pod.environment import environment
from remote_slurm.domain.pod.model import Container, Pod
from remote_slurm.domain.runtimes.container_start import ContainerStart
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call
from remote_slurm.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Enabled:
    """What the configuration enables: EnableProbes and EnableExec."""

    probes: bool = False
    exec: bool = False


def supervision_calls(start: ContainerStart, pod: Pod, runtime: Runtime, enabled: Enabled) -> Iterator[Call]:
    """Raises InvalidRequest for what cannot be carried out."""
    container = start.container
    yield from _restart_calls(container, pod)
    yield "termination_message", _message_file(start, runtime), container.termination_message_policy
    yield from _exec_calls(start, runtime, enabled)
    yield from hook_calls(container)
    if enabled.probes:
        yield from probe_calls(container, environment(container, pod))


def _exec_calls(start: ContainerStart, runtime: Runtime, enabled: Enabled) -> Iterator[Call]:
    """Also where nothing runs inside: a postStart and probes count from when the container's own command runs."""
    container = start.container
    hooks = container.lifecycle
    from_start = [hooks.post_start, *(probe for _, probe in probes(container) if enabled.probes)]
    is_needed = any(map(needs_exec, (*from_start, hooks.pre_stop)))
    if not (is_needed or enabled.exec or any(from_start)):
        return
    try:
        words = runtime.exec_words(start)
    except InvalidRequest:
        if is_needed:
            raise
        return  # they count from when the runtime was asked to start it
    yield "exec_mode", *words
    if enabled.exec:
        yield ("allow_exec",)


def _message_file(start: ContainerStart, runtime: Runtime) -> str:
    """What the runner reads at the end; `-` is nothing. Without a runtime the path is the node's own."""
    path = checked_path(start.container)
    if not runtime.starts_containers:
        return "-" if is_below_dev(path) else path
    return message_file(start.container) if runtime.message_mounts(start.container) else "-"


def _restart_calls(container: Container, pod: Pod) -> Iterator[Call]:
    policy = container.restart_policy or pod.spec.restart_policy
    if policy != "Never":
        yield "restart_policy", policy
    for rule in container.restart_policy_rules:
        if rule.action != "Restart" or rule.exit_codes is None:
            raise InvalidRequest(
                f"invalid action {rule.action} in restartPolicyRules of container '{container.name}': must be Restart, "
                "by exitCodes"
            )
        yield "restart_rule", rule.exit_codes.operator, *map(str, rule.exit_codes.values)


def is_sidecar(setup: ContainerSetup) -> bool:
    """A native one: an init container that stays."""
    return setup.init and setup.container.restart_policy == "Always"


def container_warnings(pod: Pod, runtime: Runtime, *, probes_enabled: bool) -> Iterator[str]:
    """Name what pods request, and the configuration turns off."""
    for container in pod.spec.all_containers:
        if container.security_context.read_only_root_filesystem and not runtime.starts_containers:
            yield (
                f"securityContext.readOnlyRootFilesystem of container '{container.name}' has no effect: with "
                "ContainerRuntime: none there is no root file system but that of the node"
            )
        for kind, _ in probes(container):
            if not probes_enabled:
                yield (
                    f"{kind}Probe of container '{container.name}' has no effect: "
                    "EnableProbes is false in the sidecar's configuration"
                )
