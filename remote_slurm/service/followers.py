"""How many clients may follow logs at once: each followed log takes one of the few SSH sessions that sshd allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from remote_slurm.domain.pod.folder_name import namespace_of
from remote_slurm.errors import NotSent

# Of one namespace, and in all: logs, and the clients that follow them; see ssh/sessions.py
_LOGS_OF_NAMESPACE, _LOGS = 3, 4
_CLIENTS_OF_NAMESPACE, _CLIENTS = 50, 100


class Followers:
    """Counts the followers of each log, which is named by pod and container."""

    def __init__(self) -> None:
        self._followers: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def admitted(self, log: tuple[str, str]) -> Iterator[None]:
        """Count one follower. Raises NotSent if a limit is reached, of the pod's namespace or in all."""
        namespace = namespace_of(log[0])
        of_namespace = {each: count for each, count in self._followers.items() if namespace_of(each[0]) == namespace}
        _check(log, of_namespace, _LOGS_OF_NAMESPACE, _CLIENTS_OF_NAMESPACE, f" of namespace {namespace}")
        _check(log, self._followers, _LOGS, _CLIENTS)
        self._followers[log] += 1
        try:
            yield
        finally:
            self._followers[log] -= 1
            self._followers += Counter()  # drops logs without followers


def _check(
    log: tuple[str, str], followers: Mapping[tuple[str, str], int], logs: int, clients: int, where: str = ""
) -> None:
    if log not in followers and len(followers) >= logs:
        raise NotSent(f"{logs} logs{where} are being followed: end one, or ask without following")
    if sum(followers.values()) >= clients:
        raise NotSent(f"{clients} clients are following logs{where}: end one, or ask without following")
