"""sbatch flags as values: read from a line of text, merged by name, written as `#SBATCH` lines.

Names and forms are those of sbatch(1), Slurm 20.11 to 25.05.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from remote_slurm.errors import Rejected

_SHORT = {
    "A": "account", "a": "array", "B": "extra-node-info", "b": "begin", "C": "constraint", "c": "cpus-per-task",
    "D": "chdir", "d": "dependency", "e": "error", "F": "nodefile", "G": "gpus", "H": "hold", "h": "help",
    "I": "immediate", "i": "input", "J": "job-name", "k": "no-kill", "L": "licenses", "M": "clusters",
    "m": "distribution", "N": "nodes", "n": "ntasks", "O": "overcommit", "o": "output", "p": "partition",
    "Q": "quiet", "q": "qos", "S": "core-spec", "s": "oversubscribe", "t": "time", "V": "version", "v": "verbose",
    "W": "wait", "w": "nodelist", "x": "exclude",
}  # fmt: skip

_WITHOUT_VALUE = frozenset({
    "contiguous", "disable-stdout-job-summary", "help", "hold", "ignore-pbs", "no-requeue", "overcommit",
    "parsable", "quiet", "reboot", "requeue", "spread-job", "test-only", "usage", "use-min-nodes",
    "verbose", "version", "wait",
})  # fmt: skip

_OPTIONAL_VALUE = frozenset({"exclusive", "get-user-env", "immediate", "nice", "no-kill", "oversubscribe", "propagate"})

# Flags that stand for each other: the last one given replaces the others, and sbatch refuses them together.
_GROUPS = (
    frozenset({"mem", "mem-per-cpu", "mem-per-gpu"}),
    frozenset({"requeue", "no-requeue"}),
)

_FORBIDDEN = {
    "array": "one pod is one job",
    "wrap": "the job's script is made from the pod",
    "wait": "sbatch would not return before the job ends",
    "output": "the job's output belongs into the pod's folder",
    "input": "the job's input is its script",
    "clusters": "the job has to be found again in the cluster that the site's squeue shows",
    "uid": "jobs run as the SSH user",
    "gid": "jobs run as the SSH user",
    "parsable": "the sidecar sets it itself",
    "test-only": "no job would be submitted",
    "help": "no job would be submitted",
    "usage": "no job would be submitted",
    "version": "no job would be submitted",
}

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_MAX_VALUE = 4000  # sbatch reads an #SBATCH argument into a buffer of 8192 bytes (BUFSIZ), escapes included

_FULL_NAMES = frozenset(_SHORT.values()) | _WITHOUT_VALUE | _OPTIONAL_VALUE


@dataclass(frozen=True, slots=True)
class Flag:
    """One sbatch flag by its long name; `value` is None where it takes none."""

    name: str
    value: str | None = None

    def line(self) -> str:
        """As an `#SBATCH` line; sbatch reads quotes and backslashes there as it is written here."""
        if self.value is None:
            return f"#SBATCH --{self.name}"
        return f"#SBATCH --{self.name}={_quoted(self.value)}"


def parse_flags(text: str, where: str) -> list[Flag]:
    """`--job-name=x -t 10` -> flags by their long names; `where` names the text in the sentence of Rejected."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Rejected(f"{where} has an unfinished quotation: {text}") from error
    flags = []
    while words:
        flag = _take_flag(words, where)
        _refuse_forbidden(flag, where)
        flags.append(flag)
    return flags


def merge_flags(*sources: Iterable[Flag]) -> list[Flag]:
    """One flag of each name and group: a later source wins over an earlier one."""
    merged: dict[frozenset[str], Flag] = {}
    for source in sources:
        for flag in source:
            group = next((group for group in _GROUPS if flag.name in group), frozenset({flag.name}))
            merged[group] = flag
    return list(merged.values())


def _take_flag(words: list[str], where: str) -> Flag:
    word = words.pop(0)
    if word.startswith("--") and len(word) > 2:  # noqa: PLR2004 - more than the dashes
        name, equals, value = word[2:].partition("=")
        given = value if equals else None
    elif word.startswith("-") and word[1:2] in _SHORT:
        name, given = _SHORT[word[1]], word[2:] or None
    else:
        raise Rejected(f"{where}: '{word}' is not an sbatch flag; flags start with '-' or '--'")
    if name in _WITHOUT_VALUE:
        if given is not None:
            raise Rejected(f"{where}: --{name} takes no value, and got '{given}'")
    elif given is None and name not in _OPTIONAL_VALUE:
        given = _next_value(words, name, where)
    return Flag(name, _checked(given, name, where))


def _next_value(words: list[str], name: str, where: str) -> str:
    if not words or words[0].startswith("--"):
        raise Rejected(f"{where}: --{name} needs a value")
    return words.pop(0)


def _checked(value: str | None, name: str, where: str) -> str | None:
    if value is None:
        return None
    if not value.isprintable() or len(value) > _MAX_VALUE:
        raise Rejected(f"{where}: the value of --{name} must be one printable line of at most {_MAX_VALUE} characters")
    return value


def _refuse_forbidden(flag: Flag, where: str) -> None:
    if not _NAME.fullmatch(flag.name):
        raise Rejected(f"{where}: '--{flag.name}' is not the name of an sbatch flag")
    for name, reason in _FORBIDDEN.items():
        # getopt_long takes any unambiguous beginning of a name for the name
        if flag.name == name or (name.startswith(flag.name) and flag.name not in _FULL_NAMES):
            raise Rejected(f"{where}: --{name} cannot be used here: {reason}")


def _quoted(value: str) -> str:
    plain = all(character.isalnum() or character in "-_.,:/@%+=[]" for character in value)
    if plain and value:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
