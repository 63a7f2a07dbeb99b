"""What a script in sh/ says, taken apart: its answers, and what else came."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.errors import RemoteFailed, Superseded


@dataclass(frozen=True, slots=True)
class Answer:
    """The `>` lines of a script's output as (word, rest), and all its other lines."""

    script: str
    lines: tuple[tuple[str, str], ...]
    others: tuple[str, ...]

    @classmethod
    def parse(cls, script: str, output: str) -> Answer:
        lines = output.split("\n")
        replies = (line[1:].partition(" ") for line in lines if line[:1] == ">")
        others = tuple([line for line in lines if line[:1] != ">"])
        answer = cls(script, tuple((word, rest) for word, _, rest in replies), others)
        if answer.has("unusable"):
            raise RemoteFailed(f"DataRootFolder {answer.get('unusable')} cannot be used at the site: {answer.messages}")
        if answer.has("superseded"):
            raise Superseded("a newer sidecar has taken DataRootFolder over, and this one writes there no more")
        return answer

    @property
    def messages(self) -> str:
        """All the other lines, as one text."""
        return "\n".join(self.others)

    @property
    def root(self) -> str:
        return self.require("root")

    def has(self, word: str) -> bool:
        return any(each == word for each, _ in self.lines)

    def all(self, word: str) -> list[str]:
        return [rest for each, rest in self.lines if each == word]

    def get(self, word: str) -> str:
        return next(iter(self.all(word)), "")

    def require(self, word: str) -> str:
        """What stands behind `word`. Raises RemoteFailed where the script did not get that far."""
        if not self.has(word):
            raise RemoteFailed(
                f"the remote script '{self.script}' did not finish: {self.messages or 'it said nothing'}"
            )
        return self.get(word)
