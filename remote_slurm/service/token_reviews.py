"""Kubernetes service accounts as clients: the token that they send is reviewed by the Kubernetes API.

An accepted token is kept by its hash for a short time, and not beyond its own end. If the API does not answer, nothing
is admitted.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from remote_slurm.errors import RemoteSlurmError
from remote_slurm.service.kubernetes_api import Reviewed

# A token of a pod that was deleted is no longer valid; kube-apiserver keeps what its own webhooks accept as long
_KEPT_SECONDS = 120.0
_MOST_KEPT = 1000
_MOST_REVIEWS = 32
# Clocks differ: the API decides about a token that may have just expired
_CLOCK_SECONDS = 60.0
_ACCOUNT = re.compile(
    r"system:serviceaccount:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?):([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
)


class InvalidToken(RemoteSlurmError):
    """The token is none of a service account for this sidecar."""


class ReviewFailed(RemoteSlurmError):
    """The Kubernetes API did not review the token: asking again may help."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account of Kubernetes."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        """Its user name in Kubernetes."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class Reviewer(Protocol):
    """The Kubernetes API."""

    async def review_token(self, token: str, audiences: Collection[str]) -> Reviewed | None:
        """None if the call failed."""


class TokenReviews:
    """Lives in one event loop. `clock` is that of the tokens' ends, in seconds since 1970."""

    def __init__(self, reviewer: Reviewer, audiences: Collection[str], clock: Callable[[], float] = time.time) -> None:
        self._reviewer = reviewer
        self._audiences = tuple(audiences)
        self._clock = clock
        self._kept: dict[bytes, tuple[float, ServiceAccount]] = {}
        self._running: dict[bytes, asyncio.Task[ServiceAccount]] = {}

    async def review(self, token: str) -> ServiceAccount:
        """Whose token it is. Raises InvalidToken or ReviewFailed."""
        ends = self._end_of(token)
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        until, account = self._kept.get(digest, (0.0, None))
        if account is not None and self._clock() < until:
            return account
        running = self._running.get(digest)
        if running is None:
            if len(self._running) >= _MOST_REVIEWS:
                raise ReviewFailed(f"{_MOST_REVIEWS} tokens are being reviewed by the Kubernetes API: try again")
            running = asyncio.create_task(self._review(token, digest, ends))
            self._running[digest] = running
            running.add_done_callback(lambda task: self._done(digest, task))
        return await asyncio.shield(running)

    def _end_of(self, token: str) -> float:
        """When the token ends. Only the API can accept it; what it would reject for certain is rejected without it."""
        claims = _claims(token)
        intended = claims.get("aud")
        intended = [intended] if isinstance(intended, str) else intended if isinstance(intended, list) else []
        if not set(self._audiences) & {each for each in intended if isinstance(each, str)}:
            raise InvalidToken(f"the token is not for the audience {self._wanted}")
        ends = claims.get("exp")
        if isinstance(ends, bool) or not isinstance(ends, int | float) or not math.isfinite(ends):
            raise InvalidToken("the token has no end (exp): send a projected token of a service account")
        if ends < self._clock() - _CLOCK_SECONDS:
            raise InvalidToken("the token has expired")
        return ends

    async def _review(self, token: str, digest: bytes, ends: float) -> ServiceAccount:
        reviewed = await self._reviewer.review_token(token, self._audiences)
        if reviewed is None:
            raise ReviewFailed("the Kubernetes API did not review the token: the log of the sidecar says why")
        # an API server that does not know audiences would accept any token, and name none
        if not reviewed.authenticated or not set(reviewed.audiences) & set(self._audiences):
            why = f": {reviewed.error}" if reviewed.error else ""
            raise InvalidToken(f"the Kubernetes API rejects the token for the audience {self._wanted}{why}")
        found = _ACCOUNT.fullmatch(reviewed.user)
        if not found:
            raise InvalidToken("the token is not that of a service account")
        account = ServiceAccount(found[1], found[2])
        self._kept[digest] = (min(ends, self._clock() + _KEPT_SECONDS), account)
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return account

    def _done(self, digest: bytes, task: asyncio.Task[ServiceAccount]) -> None:
        del self._running[digest]
        if not task.cancelled():
            task.exception()  # the client may be gone

    @property
    def _wanted(self) -> str:
        return " or ".join(self._audiences)


def _claims(token: str) -> dict[str, Any]:
    """The claims of a JSON Web Token, as they are: its signature is not verified."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, RecursionError):
        claims = None
    if len(parts) != len(("header", "claims", "signature")) or not isinstance(claims, dict):
        raise InvalidToken("the token is not that of a service account")
    return claims
