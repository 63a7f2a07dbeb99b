"""What a client may do: the verbs of its grants, for pods of the namespaces that these name."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from remote_slurm.config.access import Grant, Verb, load_access
from remote_slurm.domain.pod.folder_name import namespace_of
from remote_slurm.errors import Forbidden, RemoteSlurmError
from remote_slurm.log import info, warning

# Each endpoint's verb. Probes of a kubelet have no token, and these endpoints answer yes or no and nothing else
OPEN = frozenset({"/healthz", "/readyz"})
_VERBS = {
    "/create": Verb.CREATE,
    "/status": Verb.STATUS,
    "/delete": Verb.DELETE,
    "/getLogs": Verb.LOGS,
    "/ui/log": Verb.LOGS,
    "/pods": Verb.LIST,
    "/describe": Verb.LIST,
    "/ui": Verb.LIST,
    "/system-info": Verb.INFO,
    "/openapi.json": Verb.INFO,
    "/metrics": Verb.METRICS,
    "/exec/{namespace}/{pod}": Verb.EXEC,
    "/exec/{namespace}/{pod}/{container}": Verb.EXEC,
    "/api/v1/namespaces/{namespace}/pods/{pod}/exec": Verb.EXEC,
    "/forward/{namespace}/{pod}": Verb.FORWARD,
    "/forward/{namespace}/{pod}/{port}": Verb.FORWARD,
    "/forward/{namespace}/{pod}/{port}/probe": Verb.FORWARD,
    "/portForward/{namespace}/{pod}": Verb.FORWARD,
    "/portForward/{namespace}/{pod}/{uid}": Verb.FORWARD,
    "/api/v1/namespaces/{namespace}/pods/{pod}/portforward": Verb.FORWARD,
}


def verb_of(path: str) -> Verb | None:
    """Return the verb of an endpoint; None for one that is open, and for a path that there is not."""
    return _VERBS.get(path) or (Verb.LIST if path.startswith("/ui/") else None)


@dataclass(frozen=True, slots=True)
class NamespaceGrant:
    """Permissions that no file lists: verbs, for pods of namespaces."""

    verbs: tuple[Verb, ...]
    namespaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request, and what it may do; `everything` if nothing restricts it.

    `name` is the name of its grants, `subject` that of its certificate, `peer` its address, or the user and process
    behind a unix socket. `rule` is the configuration key that restricts it, and `limit` how, for refusals.
    """

    name: str = ""
    subject: str = ""
    peer: str = ""
    grants: tuple[Grant | NamespaceGrant, ...] = ()
    everything: bool = False
    rule: str = "Access"
    limit: str = "no entry of Access allows it"

    def may(self, verb: Verb, namespace: str | None = None) -> bool:
        """Whether a grant has the verb, for pods of the namespace if there is one in question."""
        return self.everything or any(
            verb in grant.verbs
            and (namespace is None or any(fnmatchcase(namespace, each) for each in grant.namespaces))
            for grant in self.grants
        )

    def sees(self, key: str) -> bool:
        """Whether the client may list the pod whose folder at the site has this name."""
        return self.may(Verb.LIST, namespace_of(key))

    @property
    def fields(self) -> dict[str, str]:
        """Who it is, for the audit log."""
        named = {"name": self.name, "certificate": self.subject, "peer": self.peer}
        return {key: value for key, value in named.items() if value}

    @property
    def called(self) -> str:
        return self.name or self.subject or "this client"


# Who sent the request that is being answered; the middleware sets it
current_client: ContextVar[Client] = ContextVar("current_client", default=Client())  # noqa: B039 - it is frozen


def require(verb: Verb, namespaces: Iterable[str | None]) -> None:
    """Raises Forbidden if the client may not do this for pods of each of the namespaces."""
    client = current_client.get()
    for namespace in namespaces:
        if not client.may(verb, namespace):
            whose = f" pods of the namespace '{namespace}'" if namespace else ""
            what = f"{verb.value}{whose}" if whose else f"use the verb {verb.value}"
            raise Forbidden(f"{client.called} may not {what}: {client.limit}", rule=client.rule)


class AccessList:
    """The grants of the file, read again when it changes. A file that became unusable rejects all clients."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        self._path = path
        self._stamp = _stamp(path)
        self._grants = dict(load_access(path))

    def grants(self) -> dict[str, Grant]:
        """Return them by the names of clients."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._grants = dict(load_access(self._path))
            except RemoteSlurmError as error:
                self._grants = {}
                reason = "; ".join(str(error).splitlines())
                warning("all clients of Access are rejected until the file is corrected", reason=reason)
            else:
                info("reloaded the Access file", clients=len(self._grants))
        return self._grants


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
