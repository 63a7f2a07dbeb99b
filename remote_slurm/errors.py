"""The exception tree, split by what the caller should do.

::

    RemoteSlurmError               one clear sentence: what, where, what would be right
    ├── ConfigError                correct the configuration; carries the problems of all keys, not only the first
    ├── InvalidRequest             correct the request or the pod: asking again the same way fails the same way
    │   ├── Forbidden              this client may not ask this
    │   ├── PodNotFound            there is no such pod
    │   └── PodNotRunning          the pod's job does not run yet, or any more
    ├── SubmissionRefused          Slurm said no for good: the pod fails with Slurm's words
    └── SiteError                  the site could not be asked
        ├── NotSent                nothing reached the site: sending again is safe
        │   ├── Unreachable        no connection: name, route, port, or the server is down
        │   │   ├── RenewalFailed  SSH.BeforeConnect failed, so that none was tried
        │   │   └── NoCommonAlgorithm  a server and the configuration have no cipher, MAC, ... in common
        │   ├── PortUnreachable    no connection to a port of a compute node; `code` says how that failed
        │   ├── HostKeyRefused     the host key is unknown or changed: a person has to look
        │   └── AuthenticationRefused   the site wants another key or method: a person has to look
        ├── OutcomeUnknown         sent, and the answer was lost or did not come in time: look before sending again
        ├── RemoteFailed           a remote command answered, and what it answered is a failure
        │   └── SlurmFailed        squeue, sacct or sinfo failed
        └── Superseded             only the owner of DataRootFolder may do this, and a newer sidecar is the owner

Messages never hold values of environment variables, Secrets or keys.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What an error is about, if its class does not say it. Code decides by this, and never by the message."""

    ACCOUNTING_DISABLED = "AccountingDisabled"  # Slurm has no accounting, and will have none until it is restarted
    NO_SPACE = "NoSpace"  # a file system or quota at the site is full
    KEY_FILE = "KeyFile"  # a file that the configuration names for the login cannot be used
    KEY_REFUSED = "KeyRefused"  # the site accepted none of the keys
    FORWARDING_PROHIBITED = "ForwardingProhibited"  # the login node forwards no connections of this account
    CONNECT_FAILED = "ConnectFailed"  # the login node tried to connect to the port, and failed
    NO_RELAY = "NoRelay"  # no step of the job could be started that connects to the port
    NO_ANSWER = "NoAnswer"  # the connection to the port was neither made nor refused in time


class RemoteSlurmError(Exception):
    """Base of all: `str(error)` is one sentence that may be shown to the pod's owner.

    It is `message`, what is wrong, and then `remedy`, what to do about it, where that is known.
    """

    def __init__(self, message: str, *, code: Code | None = None, remedy: str = "") -> None:
        self.message = message
        self.code = code
        self.remedy = remedy
        super().__init__(f"{message}: {remedy}" if remedy else message)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: the key it is about, if any, its line (None where unknown), and a sentence."""

    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line is not None else ""
        where = f"{self.key} ({line})" if self.key and line else self.key or line
        return f"{where}: {self.message}" if where else self.message


class ConfigError(RemoteSlurmError):
    """The configuration cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class InvalidRequest(RemoteSlurmError):
    """The request cannot be carried out as it is; correct it.

    `rule` is the configuration key of the rule that refused it, for the audit log; empty if there is none.
    """

    def __init__(self, message: str, *, rule: str = "") -> None:
        self.rule = rule
        super().__init__(message)


class InvalidBody(InvalidRequest):
    """The JSON of a request has the wrong form; `problem` is the message without the name of the request."""

    def __init__(self, request: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the body of {request} cannot be read: {problem}")


class Forbidden(InvalidRequest):
    """The client is known, and may not do this."""


class PodNotFound(InvalidRequest):
    """There is no such pod, or the sidecar does not know of it."""


class PodNotRunning(InvalidRequest):
    """The pod's job does not run: it has `ended`, or it has not started yet."""

    def __init__(self, message: str, *, ended: bool) -> None:
        self.ended = ended
        super().__init__(message)


class SubmissionRefused(RemoteSlurmError):
    """Slurm refused the job for good; the message holds Slurm's own words."""


class SiteError(RemoteSlurmError):
    """The site could not be asked, or its answer did not arrive."""


class NotSent(SiteError):
    """Nothing of the request reached the site: sending it again is safe."""


class Unreachable(NotSent):
    """No SSH connection could be made to any of the configured hosts."""


class RenewalFailed(Unreachable):
    """SSH.BeforeConnect did not do its work, so that no connection was tried."""


class NoCommonAlgorithm(Unreachable):
    """A server accepts none of the algorithms that the configuration offers; the message names both lists."""


class PortUnreachable(NotSent):
    """No connection to the port of a compute node could be made."""


@dataclass(frozen=True, slots=True)
class OfferedKey:
    """A host key that a host offered: its name in known_hosts, the type, the key in base64 and its fingerprint."""

    name: str
    kind: str
    blob: str
    fingerprint: str

    @property
    def line(self) -> str:
        """The line for known_hosts."""
        return f"{self.name} {self.kind} {self.blob}"


class HostKeyRefused(NotSent):
    """The host key is not the one in UserKnownHostsFile; nothing was sent, and a person has to look.

    `offered` is the key of a host without any key in the file; None if the file has another one, or revokes it.
    """

    def __init__(self, message: str, *, remedy: str = "", offered: OfferedKey | None = None) -> None:
        self.offered = offered
        super().__init__(message, remedy=remedy)


class AuthenticationRefused(NotSent):
    """The server did not accept the key, or asks for another method.

    `methods` is what it still asks for.
    """

    def __init__(
        self, message: str, methods: tuple[str, ...] = (), *, code: Code | None = None, remedy: str = ""
    ) -> None:
        self.methods = methods
        super().__init__(message, code=code, remedy=remedy)


class OutcomeUnknown(SiteError):
    """Sent, but the answer was lost or late: what was asked may have happened. Look before sending again."""


class RemoteFailed(SiteError):
    """A remote command ran and failed; the message holds its own words."""


class SlurmFailed(RemoteFailed):
    """A Slurm command failed. `command` is its name, such as squeue."""

    def __init__(self, message: str, *, command: str = "", code: Code | None = None) -> None:
        self.command = command
        super().__init__(message, code=code)


class Superseded(SiteError):
    """A newer sidecar owns DataRootFolder and goes on with it; nothing was written."""


def not_utf8(error: UnicodeDecodeError) -> str:
    """Why a file is no text, and what to do: editors and shells of Windows write UTF-16."""
    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16, not UTF-8 text: save it as UTF-8"
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x} in line {line}): save it as UTF-8"
