"""What the runner is told of a container right before it starts it: see the files in job/."""

from __future__ import annotations

from collections.abc import Iterator

from remote_slurm.config import Config
from remote_slurm.domain.environment import environment
from remote_slurm.domain.flags import Flag
from remote_slurm.domain.hooks import hook_calls, needs_world
from remote_slurm.domain.messages import checked_path, is_below_dev, message_file
from remote_slurm.domain.pod import Container, Pod
from remote_slurm.domain.preparing import Prepared
from remote_slurm.domain.probes import probe_calls, probes
from remote_slurm.domain.runtimes import message_mounts, world
from remote_slurm.domain.started import Runtime, Started
from remote_slurm.domain.submission import ENDING_SECONDS, has_pre_stop, minutes_of
from remote_slurm.domain.volumes import Call
from remote_slurm.errors import Rejected

_EARLIER_SECONDS = 60


def supervision_calls(start: Started, pod: Pod, runtime: Runtime | None, config: Config) -> Iterator[Call]:
    """Raises Rejected for what cannot be carried out."""
    container = start.container
    yield from _restart_calls(container, pod)
    yield "termination_message", _message_file(start, runtime), container.termination_message_policy
    yield from _world_calls(start, runtime, config)
    yield from hook_calls(container)
    if config.enable_probes:
        yield from probe_calls(container, environment(container, pod))


def _world_calls(start: Started, runtime: Runtime | None, config: Config) -> Iterator[Call]:
    """Also where nothing runs inside: a postStart and probes count from when the container's own command runs."""
    container = start.container
    hooks = container.lifecycle
    from_start = [hooks.post_start, *(probe for _, probe in probes(container) if config.enable_probes)]
    is_needed = any(map(needs_world, (*from_start, hooks.pre_stop)))
    if not is_needed and not any(from_start):
        return
    try:
        words = world(start, runtime)
    except Rejected:
        if is_needed:
            raise
        return  # they count from when the runtime was asked to start it
    yield "world", *words


def _message_file(start: Started, runtime: Runtime | None) -> str:
    """What the runner reads at the end; `-` is nothing. Without a runtime the path is the node's own."""
    path = checked_path(start.container)
    if runtime is None:
        return "-" if is_below_dev(path) else path
    return message_file(start.container) if message_mounts(start, runtime) else "-"


def _restart_calls(container: Container, pod: Pod) -> Iterator[Call]:
    policy = container.restart_policy or pod.spec.restart_policy
    if policy != "Never":
        yield "restart_policy", policy
    for rule in container.restart_policy_rules:
        if rule.action != "Restart" or rule.exit_codes is None:
            raise Rejected(
                f"container '{container.name}' has a restart rule with the action {rule.action}: "
                "only Restart, by exitCodes, can be carried out"
            )
        yield "restart_rule", rule.exit_codes.operator, *map(str, rule.exit_codes.values)


def is_sidecar(prepared: Prepared) -> bool:
    """A native one: an init container that stays."""
    return prepared.init and prepared.container.restart_policy == "Always"


def time_limit_notice(pod: Pod, flags: tuple[Flag, ...]) -> int:
    """How many seconds ahead of the time limit Slurm has to tell the job, so that preStop can run; 0 is none.

    Slurm sends it up to a minute earlier (sbatch(1), --signal). Where the pod's own flags have --signal, they count.
    A deadline that comes before the time limit is the runner's to keep.
    """
    deadline = pod.spec.active_deadline_seconds
    limit = _limit_seconds(flags)
    by_deadline = deadline is not None and limit is not None and limit >= deadline
    if not has_pre_stop(pod) or by_deadline or any(flag.name == "signal" for flag in flags):
        return 0
    return min(pod.spec.termination_grace_period_seconds + ENDING_SECONDS, 65535)


def _limit_seconds(flags: tuple[Flag, ...]) -> float | None:
    given = next((minutes_of(flag.value or "") for flag in flags if flag.name == "time"), None)
    return None if given is None else given * 60


def notice_warnings(seconds: int, flags: tuple[Flag, ...]) -> Iterator[str]:
    limit = _limit_seconds(flags)
    if seconds and limit is not None and limit < seconds + _EARLIER_SECONDS + ENDING_SECONDS:
        yield (
            f"the time limit is {limit:.0f} s, and Slurm tells the job {seconds} s ahead of it, or up to a minute "
            "earlier, so that preStop can run: it may be told to end as soon as it starts. Give it a longer "
            "--time, or a --signal of its own"
        )


def notice_flags(seconds: int) -> tuple[Flag, ...]:
    """To the batch shell only: the runner passes it on when the hook is over."""
    return (Flag("signal", f"B:TERM@{seconds}"),) if seconds else ()


def supervision_warnings(pod: Pod, config: Config) -> Iterator[str]:
    """What the pod asks for, and the configuration has turned off."""
    for container in pod.spec.all_containers:
        for kind, _ in probes(container):
            if not config.enable_probes:
                yield (
                    f"{kind}Probe of container '{container.name}' has no effect: "
                    "EnableProbes is false in the sidecar's configuration"
                )
