"""sbatch flags as values: read from a line of text, merged by name, written as `#SBATCH` lines.

Names and forms are those of sbatch_options.py. A flag may be abbreviated, as getopt_long allows it; it is written with
its long name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from remote_slurm.domain.pod.limits import OPTION_CHARACTERS
from remote_slurm.domain.slurm.sbatch_options import SBATCH_OPTIONS, SHORT_OPTIONS, Form, OptionClass
from remote_slurm.errors import InvalidRequest

# Alternative flags: the last one given replaces the others, because sbatch rejects them together.
_GROUPS = (
    frozenset({"mem", "mem-per-cpu", "mem-per-gpu"}),
    frozenset({"cpus-per-task", "cpus-per-gpu"}),
    frozenset({"exclusive", "oversubscribe"}),
    frozenset({"requeue", "no-requeue"}),
)

# For each of them, the name of one of its group: the key of the whole group
_GROUP_OF = {name: min(group) for group in _GROUPS for name in group}

# How GPUs are asked for without --gres; beside a --gres=gpu of other figures, sbatch finds no node for the job
_GPUS = frozenset({"gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"})

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_COUNT = re.compile(r"[0-9]{1,9}")
_SHOWN = 200
_MAX_VALUE = 4000  # sbatch reads an #SBATCH argument into a buffer of 8192 bytes (BUFSIZ), escapes included

# Options that neither a pod nor the configuration can set, with the reason
_FORBIDDEN = {
    option.name: option.reason for option in SBATCH_OPTIONS.values() if option.option_class is OptionClass.OURS
}


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
    """`--job-name=x -t 10` -> flags by their long names; `where` names the text in the sentence of InvalidRequest."""
    if len(text) > OPTION_CHARACTERS:
        raise InvalidRequest(f"{where} have {len(text)} characters: {OPTION_CHARACTERS} are allowed")
    try:
        return list(_known(text))
    except InvalidRequest:  # once more, for the sentence
        return list(_parsed(text, where))


@lru_cache(maxsize=256)  # like pods have the same flags, and all pods those of the configuration
def _known(text: str) -> tuple[Flag, ...]:
    return _parsed(text, "")


def _parsed(text: str, where: str) -> tuple[Flag, ...]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(f"{where} have an unterminated quotation mark: {text[:_SHOWN]}") from error
    flags = []
    words.reverse()  # so that the next one is taken off the end
    while words:
        flag = _take_flag(words, where)
        _refuse_forbidden(flag, where)
        flags.append(flag)
    return tuple(flags)


def flag_of_name(name: str, where: str) -> str:
    """`-p`, `--partition`, `partition` and `parti` are `partition`. Raises InvalidRequest where it may be several."""
    if len(name) == 2 and name[1] in SHORT_OPTIONS:  # noqa: PLR2004 - a dash and a letter
        return SHORT_OPTIONS[name[1]]
    return _full_name(name.removeprefix("--"), where)


def merge_flags(*sources: Iterable[Flag]) -> list[Flag]:
    """Return one flag of each name and group. Later sources override earlier ones, as do their requests for GPUs."""
    merged: dict[str, Flag] = {}
    for source in sources:
        flags = list(source)
        if any(_asks_for_gpus(flag) for flag in flags):
            merged = {group: kept for group, flag in merged.items() if (kept := _without_gpus(flag))}
        for flag in flags:
            merged[_GROUP_OF.get(flag.name, flag.name)] = flag
    return list(merged.values())


def merge_resources(flags: list[Flag], resources: Iterable[Flag]) -> list[Flag]:
    """What the pod's resources come to wins over flags; in lists such as `--gres`, entry by entry.

    Only flags can set the type of a GPU: `--gres=gpu:a100:1` and two GPUs are `--gres=gpu:a100:2`.
    """
    entries: dict[str, list[str]] = {}
    others = []
    for flag in resources:
        if flag.name in ("gres", "licenses") and flag.value:
            entries.setdefault(flag.name, []).extend(_typed(entry, flags) for entry in flag.value.split(","))
        else:
            others.append(flag)
    lists = [Flag(name, ",".join(_over(_entries(flags, name), new))) for name, new in entries.items()]
    return merge_flags(flags, [*lists, *others])


def gpu_count(flags: Iterable[Flag]) -> int:
    """The number of GPUs (of a node, or in all) that the flags request, if they have a number."""
    values = [entry.removeprefix("gpu:") for entry in _entries(flags, "gres") if entry.startswith("gpu:")]
    values += [flag.value for flag in flags if flag.name in ("gpus", "gpus-per-node") and flag.value]
    counts = (value.rpartition(":")[2] for value in values)
    return sum(int(count) for count in counts if _COUNT.fullmatch(count))


def _entries(flags: Iterable[Flag], name: str) -> list[str]:
    """The entries of a flag that holds a list, `gpu:2` and `fpga:1`."""
    return [entry for flag in flags if flag.name == name and flag.value for entry in flag.value.split(",")]


def _over(old: list[str], new: list[str]) -> list[str]:
    names = {_gres_name(entry) for entry in new}
    return [entry for entry in old if _gres_name(entry) not in names] + new


def _typed(entry: str, flags: list[Flag]) -> str:
    name, _, count = entry.partition(":")
    known = [old.split(":") for old in _entries(flags, "gres")]
    if name == "gpu":
        known += [["gpu", *flag.value.split(":")] for flag in flags if flag.name in _GPUS and flag.value]
    types = {old[1] for old in known if old[0] == name and len(old) == 3}  # noqa: PLR2004 - name, type and count
    return f"{name}:{types.pop()}:{count}" if len(types) == 1 and count.isdigit() else entry


def _gres_name(entry: str) -> str:
    return entry.partition(":")[0]


def _asks_for_gpus(flag: Flag) -> bool:
    return flag.name in _GPUS or any(_gres_name(entry) == "gpu" for entry in _entries([flag], "gres"))


def _without_gpus(flag: Flag) -> Flag | None:
    if flag.name in _GPUS:
        return None
    if flag.name != "gres":
        return flag
    left = [entry for entry in _entries([flag], "gres") if _gres_name(entry) != "gpu"]
    return Flag("gres", ",".join(left)) if left else None


def _take_flag(words: list[str], where: str) -> Flag:
    word = words.pop()
    if word.startswith("--") and len(word) > 2:  # noqa: PLR2004 - more than the dashes
        written, equals, value = word[2:].partition("=")
        name, given = _full_name(written, where), value if equals else None
    elif word.startswith("-") and word[1:2] in SHORT_OPTIONS:
        name, given = SHORT_OPTIONS[word[1]], word[2:] or None
    else:
        raise InvalidRequest(f"{where}: '{word}' is not an sbatch option: options start with '-' or '--'")
    form = SBATCH_OPTIONS[name].form if name in SBATCH_OPTIONS else None
    if form is Form.FLAG:
        if given is not None:
            raise InvalidRequest(f"{where}: --{name} takes no value, but has '{given}'")
    elif given is None and form is Form.VALUE:
        given = _next_value(words, name, where)
    elif given is None and form is None and words and not words[-1].startswith("-"):
        given = words.pop()  # a flag of a site's plugin: whether it takes a value only the site knows
    return Flag(name, _checked(given, name, where))


def _full_name(name: str, where: str) -> str:
    """`--part` is `--partition`; what no flag begins with may be a plugin's at the site, and stays."""
    if name in SBATCH_OPTIONS or not name:
        return name
    found = sorted(each for each in SBATCH_OPTIONS if each.startswith(name))
    if len(found) > 1 and not _FORBIDDEN.keys() & set(found):
        raise InvalidRequest(
            f"{where}: --{name} may be {', '.join(f'--{each}' for each in found)}: write one of them in full"
        )
    return found[0] if len(found) == 1 else name


def _next_value(words: list[str], name: str, where: str) -> str:
    if not words or words[-1].startswith("--"):
        raise InvalidRequest(f"{where}: --{name} needs a value")
    return words.pop()


def _checked(value: str | None, name: str, where: str) -> str | None:
    if value is None:
        return None
    if not value.isprintable() or len(value) > _MAX_VALUE:
        raise InvalidRequest(
            f"{where}: the value of --{name} must be one printable line of at most {_MAX_VALUE} characters"
        )
    return value


def _refuse_forbidden(flag: Flag, where: str) -> None:
    if not _NAME.fullmatch(flag.name):
        raise InvalidRequest(f"{where}: '--{flag.name}' is not the name of an sbatch flag")
    for name, reason in _FORBIDDEN.items():
        # getopt_long accepts any unambiguous prefix of a long option
        if flag.name == name or (name.startswith(flag.name) and flag.name not in SBATCH_OPTIONS):
            raise InvalidRequest(f"{where}: --{name} cannot be used here: {reason}")


def _quoted(value: str) -> str:
    plain = all(character.isalnum() or character in "-_.,:/@%+=[]" for character in value)
    if plain and value:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
