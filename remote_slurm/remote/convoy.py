"""Pods on their way to the site: those that arrive together travel together, and each is answered by itself.

A pod that comes while little is under way leaves at once, alone. While as many scripts as may be are under way, others
gather, and each script that ends makes room for one that takes a fair share of them along.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from remote_slurm.errors import OutcomeUnknown, RemoteFailed, SiteError

_T = TypeVar("_T")
_P = TypeVar("_P", bound=Sized)
_P_contra = TypeVar("_P_contra", contravariant=True)
_T_co = TypeVar("_T_co", covariant=True)

# As many sbatch run at once, however many pods come; other work has sessions of its own left
RUNS = 4
# What one script takes along, so that it arrives within its deadline on a slow line; a larger pod travels alone
MOST_PODS = 250
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Submitted:
    """The pod has this job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Attempted:
    """sbatch was called, and its job id is not known yet: ask again, or look for the job."""


@dataclass(frozen=True, slots=True)
class SbatchFailed:
    """sbatch said no, in these words."""

    message: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """The pod was deleted before; nothing was started."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The files are safe at the site; the turn did not come, so long did sbatch take for others: ask again."""


@dataclass(frozen=True, slots=True)
class Pulling:
    """The files are safe at the site; `image` is being pulled, or could not be so far, in the words of `failure`."""

    image: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Unpullable:
    """An image that the pod needs cannot be had, in these words."""

    message: str


Submission = Submitted | Attempted | SbatchFailed | Deleted | Stored | Pulling | Unpullable


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The pod can be submitted again."""


class Send(Protocol[_P_contra]):
    """Runs a script for some pods, by name with their payloads; `heard` gets its output as it comes."""

    def __call__(self, payloads: Mapping[str, _P_contra], heard: Callable[[bytes], None]) -> Awaitable[None]: ...


class Read(Protocol[_T_co]):
    """What a line `>WORD POD REST` tells of the pod, after the lines `>said POD WORDS`; None where it tells nothing."""

    def __call__(self, word: str, rest: str, said: str) -> _T_co | None: ...


@dataclass(eq=False, slots=True)
class _Traveller(Generic[_P, _T]):
    pod: str
    payload: _P
    answer: asyncio.Future[_T] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Convoy(Generic[_P, _T]):
    """Lives in one event loop; at most `runs` of its scripts are under way."""

    def __init__(self, send: Send[_P], read: Read[_T], runs: int = RUNS) -> None:
        self._send = send
        self._read = read
        self._most_runs = runs
        self._waiting: deque[_Traveller[_P, _T]] = deque()
        self._runs: set[asyncio.Task[None]] = set()

    async def ask(self, pod: str, payload: _P) -> _T:
        """What the site tells of the pod. Raises SiteError; whoever stops waiting does not stop what has left."""
        traveller: _Traveller[_P, _T] = _Traveller(pod, payload)
        self._waiting.append(traveller)
        self._depart()
        return await traveller.answer

    def _depart(self) -> None:
        while len(self._runs) < self._most_runs and (group := self._group()):
            run = asyncio.create_task(self._travel(group), name=f"convoy of {len(group)}")
            self._runs.add(run)
            run.add_done_callback(self._arrived)

    def _group(self) -> dict[str, _Traveller[_P, _T]]:
        """A fair share of those who wait, so that all runs end at about the same time."""
        waiting = [each for each in self._waiting if not each.answer.done()]  # who is gone does not travel
        share = min(MOST_PODS, -(-len(waiting) // self._most_runs))
        group: dict[str, _Traveller[_P, _T]] = {}
        size = 0
        self._waiting.clear()
        for each in waiting:
            size += len(each.payload)
            if each.pod in group or len(group) == share or (group and size > MOST_BYTES):
                self._waiting.append(each)
            else:
                group[each.pod] = each
        return group

    async def _travel(self, group: dict[str, _Traveller[_P, _T]]) -> None:
        answers = Answers(self._read)

        def heard(data: bytes) -> None:
            for pod, outcome in answers.feed(data):
                _settle(group.get(pod), outcome)

        lost: SiteError = OutcomeUnknown("the site's answer broke off")
        try:
            await self._send({each.pod: each.payload for each in group.values()}, heard)
        except SiteError as error:
            lost = error
        for each in group.values():
            _settle(each, copy.copy(lost))

    def _arrived(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if not run.cancelled():
            run.result()
            self._depart()


def _settle(traveller: _Traveller[_P, _T] | None, outcome: _T | SiteError) -> None:
    """The first answer counts; some have stopped waiting for theirs."""
    if traveller is None or traveller.answer.done():
        return
    if isinstance(outcome, SiteError):
        traveller.answer.set_exception(outcome)
    else:
        traveller.answer.set_result(outcome)


_WITH_WORDS: Mapping[str, Callable[[str], Submission]] = {
    "submitted": Submitted,
    "pulling": lambda image: Pulling(image=image),
    "failing": lambda words: Pulling(failure=words),
    "unpullable": Unpullable,
}
_WITHOUT_WORDS: Mapping[str, Submission] = {"attempted": Attempted(), "deleted": Deleted(), "stored": Stored()}


def submission(word: str, rest: str, said: str) -> Submission | None:
    """What submit.sh tells of a pod."""
    if word in _WITH_WORDS:
        return _WITH_WORDS[word](rest)
    return SbatchFailed(said) if word == "failed" else _WITHOUT_WORDS.get(word)


def withdrawal(word: str, rest: str, said: str) -> Withdrawn | None:  # noqa: ARG001 - it has no more to say
    """What withdraw.sh tells of a pod."""
    return Withdrawn() if word == "withdrawn" else None


class Answers(Generic[_T]):
    """Takes the output of such a script apart as it comes."""

    def __init__(self, read: Read[_T]) -> None:
        self._read = read
        self._rest = b""
        self._said: dict[str, list[str]] = {}
        self._messages: list[str] = []

    def feed(self, data: bytes) -> Iterator[tuple[str, _T | SiteError]]:
        """The pods of which all that has come so far tells the outcome."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if not text.startswith(">"):
                self._messages.append(text)
                continue
            word, _, about = text[1:].partition(" ")
            pod, _, rest = about.partition(" ")
            if word == "said":
                self._said.setdefault(pod, []).append(rest)
            elif outcome := self._outcome(word, pod, rest):
                yield pod, outcome

    def _outcome(self, word: str, pod: str, rest: str) -> _T | SiteError | None:
        if word == "short":
            why = "; ".join(filter(None, self._messages)) or "no space left?"
            return RemoteFailed(f"the pod's files could not be written at the site: {why}")
        return self._read(word, rest, "\n".join(self._said.get(pod, [])))
