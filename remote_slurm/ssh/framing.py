"""What is written to a session and read from it, as bytes: the client's half of session.sh."""

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Literal

_MARK = b"\036"
_LONGEST_END = len(_MARK + b" end 255" + _MARK) + 32
# Of texts of about 10 kB. There are as many as operations; a further text is sent with each script
_MOST_KEPT = 64
_COMMENT = re.compile(r"^\s*#.*\n|\s+# .*$", re.MULTILINE)

Kind = Literal["run", "follow", "attach"]


def nonce() -> str:
    """128 bits that nothing at the site can have printed by chance."""
    return secrets.token_hex(16)


def bootstrap(ready: str) -> bytes:
    """The text that makes a fresh /bin/sh wait for scripts, once it has answered `ready_mark(ready)`."""
    text = files("remote_slurm.ssh").joinpath("session.sh").read_text(encoding="utf-8")
    return f"{_COMMENT.sub('', text)}\nserve {ready}\n".encode()


def ready_mark(ready: str) -> bytes:
    """What follows everything that login scripts have printed."""
    return b"%b%b ready%b" % (_MARK, ready.encode(), _MARK)


@dataclass(frozen=True, slots=True)
class Request:
    """What a session is asked to run. `texts` follow the script, in the same shell.

    A text is the same in many requests. A session keeps it, so that it is sent once.
    """

    script: str
    payload: bytes = b""
    texts: tuple[str, ...] = ()
    kind: Kind = "run"


@dataclass(frozen=True, slots=True)
class Frame:
    """One request on the way; before `script_end` bytes have arrived, nothing of it runs."""

    nonce: str
    data: bytes
    script_end: int


class KeptTexts:
    """The texts that one session keeps, by the frames that were made for it."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def frame(self, request: Request) -> Frame:
        """The frame to send next. Raises ValueError for a NUL in the script, which no shell can hold.

        A session that misses a part of a frame ends, and with it what it keeps: no later frame counts on it.
        """
        new, script = b"", request.script
        for text in request.texts:
            name = _name(text)
            if name not in self._names and len(self._names) < _MOST_KEPT:
                new += _head_and_body("keep", nonce(), name, text)
                self._names.add(name)
            script += f'\neval "$kept_{name}"' if name in self._names else f"\n{text}"
        mine = nonce()
        start = new + _head_and_body(request.kind, mine, str(len(request.payload)), script)
        return Frame(mine, start + request.payload, len(start))


def frame(script: str, payload: bytes = b"", kind: Kind = "run") -> Frame:
    """The frame of a request for a session that keeps nothing yet."""
    return KeptTexts().frame(Request(script, payload, kind=kind))


def _head_and_body(kind: str, mine: str, last: str, text: str) -> bytes:
    if "\0" in text:
        raise ValueError("a script cannot hold a NUL character")
    # The last line is a comment for the shell that runs it, and the proof that everything before it has arrived.
    body = f"{text}\n#{mine}".encode()
    return f"{kind} {mine} {len(body)} {last}\n".encode() + body


@lru_cache(maxsize=_MOST_KEPT)
def _name(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


class FramedOutput:
    """Takes what a session prints apart: noise, the begin mark, output, the end mark; what follows is ignored."""

    def __init__(self, request: Frame) -> None:
        name = request.nonce.encode()
        self._begin = b"%b%b begin%b" % (_MARK, name, _MARK)
        self._end = re.compile(b"%b%b end ([0-9]+)%b" % (_MARK, name, _MARK))
        self._end_begins = b"%b%b end " % (_MARK, name)
        self._held = b""
        self.begun = False
        self.exit_code: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Output that is certainly the script's, out of all that has come so far."""
        self._held += data
        if not self.begun:
            _, begun, rest = self._held.partition(self._begin)
            if not begun:
                self._held = self._held[-len(self._begin) :]
                return b""
            self.begun, self._held = True, rest
        return self._output()

    def take_held(self) -> bytes:
        """What is held back because it may become the end mark: for a stream that has no end mark."""
        held, self._held = self._held, b""
        return held if self.begun else b""

    def _output(self) -> bytes:
        if self.exit_code is not None:
            return b""
        held, self._held = self._held, b""
        if _MARK not in held:  # text does not hold it, and to look for one byte costs next to nothing
            return held
        if found := self._end.search(held):
            self.exit_code = int(found[1])
            return held[: found.start()]
        # the end mark may have come in part
        start = held.rfind(_MARK, -_LONGEST_END)
        if start < 0 or not self._may_become_end(held[start:]):
            return held
        self._held = held[start:]
        return held[:start]

    def _may_become_end(self, tail: bytes) -> bool:
        """A terminal prints any byte, and shows it at once."""
        return tail.startswith(self._end_begins[: len(tail)])
