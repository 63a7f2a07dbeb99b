"""The output of a remote script: its replies, and everything else that was printed."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.errors import Code, RemoteFailed, SlurmFailed, Superseded

# The C library's texts, as bash, dash and coreutils print them; check_folder.sh asks for them in English
_NO_SPACE = ("no space left", "disk quota exceeded")
# Exit codes of `timeout` when it has ended a command: by SIGTERM, or by the SIGKILL that follows
_TIMED_OUT = ("124", "137")
# A squeue that fails may have listed thousands of jobs before
_MOST_WORDS = 500


def ended_with(code: str, messages: str) -> str:
    """Return the exit code of a failed command with its last words, each line once."""
    lines = [" ".join(line.split()) for line in messages.splitlines() if line.strip()]
    if code in _TIMED_OUT:
        lines.append("it did not end in time")
    words = "; ".join(dict.fromkeys(lines))[-_MOST_WORDS:]
    return f"exit code {code}{': ' if words else ''}{words}"


def is_out_of_space(messages: str) -> bool:
    """Whether a command failed with ENOSPC or EDQUOT, which the shell shows by the C library's text only."""
    return any(text in messages.lower() for text in _NO_SPACE)


@dataclass(frozen=True, slots=True)
class Reply:
    """The `>` lines of a script's output as (word, rest), and all its other lines."""

    script: str
    lines: tuple[tuple[str, str], ...]
    others: tuple[str, ...]

    @classmethod
    def parse(cls, script: str, output: str) -> Reply:
        """Raises RemoteFailed if DataRootFolder cannot be used, and Superseded."""
        lines = output.split("\n")
        replies = (line[1:].partition(" ") for line in lines if line[:1] == ">")
        others = tuple([line for line in lines if line[:1] != ">"])
        reply = cls(script, tuple((word, rest) for word, _, rest in replies), others)
        if reply.has("unusable"):
            raise RemoteFailed(
                f"DataRootFolder {reply.get('unusable')} cannot be used at the site: {reply.messages.strip()}",
                code=Code.NO_SPACE if reply.is_out_of_space else None,
            )
        if reply.has("superseded"):
            raise Superseded("a newer sidecar owns DataRootFolder")
        return reply

    @property
    def messages(self) -> str:
        """All the other lines, as one text."""
        return "\n".join(self.others)

    @property
    def is_out_of_space(self) -> bool:
        """Whether a command failed with ENOSPC or EDQUOT, which the shell shows by the C library's text only."""
        return is_out_of_space(self.messages)

    @property
    def root(self) -> str:
        """The path of DataRootFolder that the site's nodes share."""
        return self.require("root")

    def has(self, word: str) -> bool:
        return any(each == word for each, _ in self.lines)

    def all(self, word: str) -> list[str]:
        return [rest for each, rest in self.lines if each == word]

    def get(self, word: str) -> str:
        return next(iter(self.all(word)), "")

    def require(self, word: str) -> str:
        """The rest of the first line with `word`. Raises RemoteFailed if the script did not get that far."""
        if not self.has(word):
            raise RemoteFailed(
                f"the remote script '{self.script}' did not finish: {self.messages or 'it printed nothing'}"
            )
        return self.get(word)

    def require_success(self, word: str, command: str, *, code: Code | None = None) -> None:
        """Raise SlurmFailed, with `code`, unless the exit code of a Slurm command, which follows `word`, is 0."""
        exit_code = self.require(word).partition(" ")[0]
        if exit_code != "0":
            words = f"{command} failed with {ended_with(exit_code, self.messages)}"
            raise SlurmFailed(words, command=command, code=code)
