"""A client's command in a container, and why it is refused: job/exec_step.sh prints the words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remote_slurm.domain.shell import words
from remote_slurm.errors import InvalidRequest

# The command is one variable of the step, which Linux limits to 128 KiB
_MOST_BYTES = 60_000
_LARGEST_TERMINAL = 10_000


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """The size of a terminal in characters."""

    columns: int = 80
    rows: int = 24

    @classmethod
    def of(cls, columns: int, rows: int) -> TerminalSize:
        """The size, within what a terminal can have: a client without a terminal sends 0."""
        return cls(*(min(max(each, 1), _LARGEST_TERMINAL) for each in (columns, rows)))


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A command, and what it has: standard input, and a terminal."""

    container: str
    command: tuple[str, ...]
    stdin: bool = False
    terminal: TerminalSize | None = None

    def shell_words(self) -> str:
        """The command for a shell to read. Raises InvalidRequest if there is none, or if it is too long."""
        if not self.command or not self.command[0]:
            raise InvalidRequest("a command is required: name a program of the container")
        text = words(self.command)
        if len(text.encode(errors="surrogateescape")) > _MOST_BYTES:
            raise InvalidRequest(
                f"the command is too long: with its arguments it may have {_MOST_BYTES} bytes; send the rest through "
                "standard input"
            )
        return text


class ExecRefusal(StrEnum):
    """Why the step runs nothing."""

    TERMINATED = "terminated"
    WAITING = "waiting"
    NOT_ALLOWED = "not_allowed"
    NO_FOLDER = "no_folder"


def is_ended(refusal: str) -> bool:
    """Whether the container has ended."""
    return refusal.split(" ", maxsplit=1)[0] == ExecRefusal.TERMINATED


def refusal_sentence(refusal: str, container: str, pod: str) -> str:
    """The sentence for a word of exec_step.sh and what follows it. `pod` is namespace/name."""
    word, _, rest = refusal.partition(" ")
    which = f"container '{container}' in pod {pod}"
    match word:
        case ExecRefusal.TERMINATED:
            return f"{which} is terminated{f': exit code {rest}' if rest else ''}"
        case ExecRefusal.WAITING:
            return f"{which} is waiting to start{f': {rest}' if rest else ''}"
        case ExecRefusal.NOT_ALLOWED:
            return f"{which} was created while EnableExec was false: commands run in pods that were created since"
        case _:
            return f"the folder of pod {pod} cannot be read on its node"
