"""A line of the audit log for each request that changes or reads something of a pod, and for each that is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from remote_slurm.api.access import verb_of
from remote_slurm.api.authentication import endpoint_of, peer_of
from remote_slurm.api.middleware import status_of
from remote_slurm.config.access import Verb
from remote_slurm.domain.pod.model import Pod
from remote_slurm.log import session_id
from remote_slurm.service.audit import AuditLog, Notes, masked, note, notes, pod_fields

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The other requests come every few seconds, and return no data of a pod's own
_ALWAYS = frozenset({Verb.CREATE, Verb.DELETE, Verb.LOGS, Verb.FORWARD, Verb.EXEC})
_POLLED = frozenset({"/forward/{namespace}/{pod}", "/forward/{namespace}/{pod}/{port}/probe"})
_OF_ACCESS = frozenset({401, 403})
_SERVER_ERROR = 500


def auditing(log: AuditLog) -> Middleware:
    """Write the line once the answer is known; for a log that is read, once it begins."""

    @web.middleware
    async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
        line = _AuditEntry(
            log, endpoint_of(request), Notes(client={"peer": peer_of(request)}, session=session_id.get())
        )
        line.notes.answered = line.answered
        before = notes.set(line.notes)
        try:
            response = await handler(request)
        except Exception as error:
            line.refused(error)
            raise
        else:
            line.answered()
            return response
        finally:
            notes.reset(before)

    return audited


class _AuditEntry:
    """The line of one request, written once."""

    def __init__(self, log: AuditLog, endpoint: str, fields: Notes) -> None:
        self._log = log
        self._verb = verb_of(endpoint)
        self._always = self._verb in _ALWAYS and endpoint not in _POLLED
        self.notes = fields
        self._is_written = False

    def answered(self) -> None:
        if self._always:
            self._write("accepted", 200)

    def refused(self, error: Exception) -> None:
        status = status_of(error)
        if not self._always and status not in _OF_ACCESS:
            return
        reason = getattr(error, "reason", "") or str(error)
        rule = getattr(error, "rule", "")
        self._write("failed" if status >= _SERVER_ERROR else "refused", status, rule=rule, reason=reason)

    def _write(self, outcome: str, status: int, **more: object) -> None:
        if self._is_written:
            return
        self._is_written = True
        self._log.write(self._verb.value if self._verb else "", outcome, self.notes, status=status, **more)


def log_begins() -> None:
    """Write the line of a log now: a follower may read it for days."""
    current = notes.get()
    if current is not None and current.answered is not None:
        current.answered()


def note_pod(pod: Pod) -> None:
    """Note the pod of the request, and its details."""
    of_pod = pod_fields(pod.key, pod.full_name) | {"serviceAccount": pod.spec.service_account_name}
    images = sorted({masked(container.image) for container in pod.spec.all_containers if container.image})
    note(pod=of_pod, images=images)
