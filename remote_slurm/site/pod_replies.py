"""The output of a script that handles several pods: each reply is read as soon as its line is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from remote_slurm.errors import Code, RemoteFailed, SiteError
from remote_slurm.site.reply import is_out_of_space

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PodReply:
    """A line `>WORD POD REST`. `messages` are the WORDS of the lines `>message POD WORDS` before it."""

    word: str
    rest: str
    messages: str


class PodReplies(Generic[_T]):
    """Splits output into replies; `read` returns the outcome of a reply, or None if the reply has no outcome."""

    def __init__(self, read: Callable[[PodReply], _T | None]) -> None:
        self._read = read
        self._rest = b""
        self._pod_messages: dict[str, list[str]] = {}
        self._script_messages: list[str] = []

    def feed(self, data: bytes) -> Iterator[tuple[str, _T | SiteError]]:
        """Yield the pods whose outcome is in `data`, with the outcome."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if not text.startswith(">"):
                self._script_messages.append(text)
                continue
            word, _, about = text[1:].partition(" ")
            pod, _, rest = about.partition(" ")
            if word == "message":
                self._pod_messages.setdefault(pod, []).append(rest)
            elif outcome := self._outcome(word, pod, rest):
                yield pod, outcome

    def _outcome(self, word: str, pod: str, rest: str) -> _T | SiteError | None:
        if word == "short":
            why = "; ".join(filter(None, self._script_messages)) or "no space left?"
            full = is_out_of_space(why)
            because = ", because the file system or quota of DataRootFolder is full" if full else ""
            return RemoteFailed(
                f"the pod's files could not be written at the site{because}: {why}",
                code=Code.NO_SPACE if full else None,
            )
        return self._read(PodReply(word, rest, "\n".join(self._pod_messages.get(pod, []))))
