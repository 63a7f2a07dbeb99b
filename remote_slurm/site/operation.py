"""One remote script: its values, its payload, and the function that parses its reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Generic, TypeVar

from remote_slurm.domain.shell import assignments, without_comments
from remote_slurm.site.reply import Reply

_T = TypeVar("_T")
_SCRIPTS = files("remote_slurm.site") / "operations"


@dataclass(frozen=True, slots=True)
class Operation(Generic[_T]):
    """The script `operations/<name>.sh`, which takes one round trip.

    `values` become shell variables, and so do `settings`, which are the same in most calls. `payload` is the script's
    standard input. The script has `seconds` to reply.
    `prelude` is shell that the script calls, besides root.sh. `metric` is the operation's name in metrics and traces if
    it differs: dashboards use the names of older versions.
    """

    name: str
    parse: Callable[[Reply], _T]
    values: Mapping[str, str] = field(default_factory=dict)
    payload: bytes = b""
    seconds: float = 30
    prelude: str = ""
    metric: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def assignments(self) -> str:
        """The shell variables of this call."""
        return assignments(dict(self.values))

    def texts(self, account: Mapping[str, str]) -> tuple[str, ...]:
        """What follows the assignments, and is the same in each call.

        `account` has the values that all scripts get: root, sidecar and epoch.
        """
        return assignments({**account, **self.settings}), script_text("root"), self.prelude + script_text(self.name)

    def script(self, account: Mapping[str, str]) -> str:
        """Both in one, for a session that runs a single script."""
        return self.assignments + "".join(self.texts(account))


@cache
def script_text(name: str) -> str:
    """Return what is sent of `operations/<name>.sh`, without its comments."""
    return without_comments((_SCRIPTS / f"{name}.sh").read_text())


def lines(items: Iterable[str]) -> bytes:
    """A payload with one item per line, and a last line that marks it as complete (`take_lines` in root.sh)."""
    return "".join(f"{item}\n" for item in (*items, ".")).encode()


def yes(condition: bool) -> str:  # noqa: FBT001 - the only argument
    """`yes`, or an empty text, which scripts test with `[ -n ]`."""
    return "yes" if condition else ""
