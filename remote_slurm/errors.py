"""The exception tree, split by what the caller should do.

::

    RemoteSlurmError               one clear sentence: what, where, what would be right
    ├── ConfigError                correct the configuration; carries every problem at once
    ├── Rejected                   correct the request or the pod: asking again the same way fails the same way
    ├── SubmissionRefused          Slurm said no for good: the pod fails with Slurm's words
    ├── RefusedForNow              Slurm said no for now (a limit is reached): wait, and try again
    └── SiteError                  the site could not be asked
        ├── NotSent                nothing reached the site: sending again is safe
        │   ├── Unreachable        no connection: name, route, port, or the server is down
        │   │   └── RenewalFailed  SSH.BeforeConnect failed, so that none was tried
        │   ├── HostKeyRefused     the host key is unknown or changed: a person has to look
        │   └── AuthenticationRefused   the site wants another key or method: a person has to look
        ├── OutcomeUnknown         sent, and the answer was lost or did not come in time: look before sending again
        ├── RemoteFailed           a remote command answered, and what it answered is a failure
        └── Superseded             a newer sidecar has the site's pods now: ask that one

Messages never hold values of environment variables, Secrets or keys.
"""

from __future__ import annotations

from dataclasses import dataclass


class RemoteSlurmError(Exception):
    """Base of all: `str(error)` is one sentence that may be shown to the pod's owner."""


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


class Rejected(RemoteSlurmError):
    """The request cannot be carried out as it is; correct it."""


class SubmissionRefused(RemoteSlurmError):
    """Slurm refused the job for good; the message holds Slurm's own words."""


class RefusedForNow(RemoteSlurmError):
    """Slurm refused the job because of a limit that passes; try again later."""


class SiteError(RemoteSlurmError):
    """The site could not be asked, or its answer did not arrive."""


class NotSent(SiteError):
    """Nothing of the request reached the site: sending it again is safe."""


class Unreachable(NotSent):
    """No SSH connection could be made to any of the configured hosts."""


class RenewalFailed(Unreachable):
    """SSH.BeforeConnect did not do its work, so that no connection was tried."""


class HostKeyRefused(NotSent):
    """The host key is not the one in UserKnownHostsFile; nothing was sent, and a person has to look."""


class AuthenticationRefused(NotSent):
    """The server did not accept the key, or asks for another method; `methods` is what it still asks for."""

    def __init__(self, message: str, methods: tuple[str, ...] = ()) -> None:
        self.methods = methods
        super().__init__(message)


class OutcomeUnknown(SiteError):
    """Sent, but the answer was lost or late: what was asked may have happened. Look before sending again."""


class RemoteFailed(SiteError):
    """A remote command ran and failed; the message holds its own words."""


class Superseded(SiteError):
    """A newer sidecar has taken DataRootFolder over; nothing was written."""
