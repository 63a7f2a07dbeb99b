"""Words that must not be in job.sh, which Slurm archives and `render` prints: they travel in one file below secret/.

Hidden are words with the value of a variable, which may come from a Secret, and credentials such as the headers of a
probe. Words with control characters travel in the same file, since sbatch refuses a script with the line breaks of DOS.
The runner reads the file into an array (job/hidden_words.sh), and job.sh names the items of the array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.pod.expansion import expand
from remote_slurm.domain.pod.limits import check_arguments
from remote_slurm.domain.shell import Element, Hidden, Word, text_of
from remote_slurm.errors import InvalidRequest

_FILE = "secret/words"
_ARRAY = "hidden"
# A line feed and a tab are safe in quotes, and scripts in arguments stay readable
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def expanded(text: str, known: Mapping[str, str]) -> str | Hidden:
    """`text` with the values of the variables that it names as $(NAME): hidden if it names one that is known."""
    value = expand(text, known)
    return value if value == expand(text, {}) else Hidden(value)


def expanded_words(
    words: Iterable[str], known: Mapping[str, str], container: str, size: int = 0
) -> tuple[str | Hidden, ...]:
    """Each word as `expanded` makes it; `size` is what else Linux counts of the container.

    Raises InvalidRequest if Linux does not take so much.
    """
    made = []
    for word in words:
        made.append(expanded(word, known))
        size += len(text_of(made[-1]))
        check_arguments(size, container)
    return tuple(made)


def hide_values(options: Iterable[Word]) -> tuple[Word, ...]:
    """Options of a container runtime, with each NAME=VALUE hidden that an option `--env` gives to a container."""
    words: list[Word] = []
    before: Word = ""
    for option in options:
        is_value = isinstance(option, str) and (before in ("--env", "-e") or option.startswith("--env="))
        words.append(Hidden(option) if is_value and isinstance(option, str) else option)
        before = option
    return tuple(words)


class HiddenWords:
    """The hidden words of one pod, in the order in which they were added."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def move(self, words: Iterable[Word]) -> tuple[Word, ...]:
        """`words` with an Element in place of each word that must not be in job.sh. Raises InvalidRequest for a NUL."""
        return tuple(self._moved(word) for word in words)

    @property
    def calls(self) -> tuple[tuple[Word, ...], ...]:
        """The runner's call that reads the file; none if there are no hidden words."""
        return (("hidden_words", _FILE, f"count={len(self._index)}"),) if self._index else ()

    @property
    def files(self) -> tuple[File, ...]:
        content = "".join(f"{word}\0" for word in self._index)
        return (File(_FILE, content.encode(), 0o600),) if self._index else ()

    def _moved(self, word: Word) -> Word:
        if not isinstance(word, Hidden) and not (isinstance(word, str) and _CONTROL.search(word)):
            return word
        text = text_of(word)
        if "\0" in text:
            raise InvalidRequest("a NUL character cannot be passed to a program")
        return Element(_ARRAY, self._index.setdefault(text, len(self._index)))
