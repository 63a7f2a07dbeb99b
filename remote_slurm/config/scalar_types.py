"""Parsers for single values: text in, typed value out.

The file, the environment and `--set` all deliver text, exactly as it was written (`0644` and `true` are still
words), so one parser for each type serves them all. A parser raises ValueError, the only exception that
pydantic collects, with the rest of a sentence that begins with the key: "must be ...".
"""

import re
import shlex
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from string import Formatter
from typing import Annotated, TypeVar

from pydantic import BeforeValidator

from remote_slurm.config.quantity import amount_of

_ONE_DAY = 86400
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN = 60


class LogFormat(StrEnum):
    """What a line of log looks like."""

    TEXT = "text"
    JSON = "json"


class JobArrays(StrEnum):
    """Whether pods with identical sbatch options are submitted as one job array."""

    AUTO = "auto"  # if programs of a pod cannot reach Slurm
    ALWAYS = "always"
    OFF = "off"


class ImagePull(StrEnum):
    """Where images come into the cache: on a node of the job, on the login node before it, or nowhere."""

    NODE = "node"
    LOGIN = "login"
    NEVER = "never"


class UnsupportedVolumes(StrEnum):
    """What becomes of a pod that mounts a kind of volume that no Slurm job can have."""

    REFUSE = "refuse"
    LEAVE_OUT = "leave-out"


class RunAsUser(StrEnum):
    """What becomes of a pod whose securityContext names another user than the account, or a group for its volumes."""

    REFUSE = "refuse"
    IGNORE = "ignore"


class TaintEffect(StrEnum):
    """Kubernetes' own three."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


def shown(value: object) -> str:
    """Show a wrong value briefly: what is not a single value is only named, since it may be huge."""
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list | tuple):
        return "a list"
    words = str(value)
    return repr(words if len(words) <= _SHOWN else words[:_SHOWN] + "...")


def text(value: object) -> str:
    """Accept any text but NUL, which no file name, argument or variable can hold."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {shown(value)}")  # noqa: TRY004 - pydantic collects no TypeError
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return value


def line_of_text(value: object) -> str:
    """Accept text of one line, without control characters."""
    line = text(value)
    if _CONTROL.search(line):
        raise ValueError("must be one line without control characters")
    return line


def words(value: object) -> str:
    """Accept what shlex can split, so that it can be split later without a surprise."""
    line = line_of_text(value)
    try:
        shlex.split(line)
    except ValueError as error:
        raise ValueError(f"has an unterminated quotation mark: {shown(line)}") from error
    return line


def flag(value: object) -> bool:
    """Read a truth value in any of YAML's spellings."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in {"true", "yes", "on"}:
        return True
    if word in {"false", "no", "off"}:
        return False
    raise ValueError(f"must be true or false, not {shown(value)}")


def switch(value: object) -> bool:
    """Read 1 or 0, as variables of the environment are often written, or a truth value."""
    word = value.strip() if isinstance(value, str) else value
    return word == "1" if word in ("0", "1") else flag(value)


def _integer(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
        return int(value)
    return None


def number(minimum: int, maximum: int) -> Callable[[object], int]:
    """Make a parser for whole numbers from `minimum` to `maximum`."""

    def parse(value: object) -> int:
        result = _integer(value)
        if result is None or not minimum <= result <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}, not {shown(value)}")
        return result

    return parse


def seconds(minimum: int, *, maximum: int = _ONE_DAY) -> Callable[[object], float]:
    """Make a parser for a time in seconds, of at most a day unless `maximum` says otherwise."""

    def parse(value: object) -> float:
        decimal = isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", value.strip())
        result = float(str(value)) if decimal or isinstance(value, float) else _integer(value)
        if result is None or not minimum <= result <= maximum:
            limits = f"from {minimum} to {maximum}"
            raise ValueError(f"must be a number of seconds {limits}, without a unit, not {shown(value)}")
        return float(result)

    return parse


def factor(value: object) -> float:
    """Read a factor from 0.01 to 1000."""
    try:
        result = float(str(value)) if not isinstance(value, bool) else 0
    except ValueError:
        result = 0
    if not 0.01 <= result <= 1000:  # noqa: PLR2004 - NaN is refused as well
        raise ValueError(f"must be a number from 0.01 to 1000, not {shown(value)}")
    return result


_QUANTITY = re.compile(r"[0-9]{1,18}(\.[0-9]{0,9})?([numkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?")


def quantity(value: object) -> Decimal:
    """Read a Kubernetes quantity: `2G` is 2 * 10^9, `2Gi` is 2 * 2^30."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value.strip()):
        raise ValueError(
            "must be a quantity as Kubernetes writes it, such as 2G (2000000000) or 2Gi (2147483648), "
            f"not {shown(value)}"
        )
    return amount_of(value.strip())


def positive_bytes(value: object) -> int:
    """Read a size of at least one byte, rounded up."""
    result = int(quantity(value).to_integral_value(ROUND_CEILING))
    if result < 1:
        raise ValueError(f"must be more than 0, not {shown(value)}")
    return result


def memory_or_none(value: object) -> int | None:
    """Read a size of memory, or the word `none` for leaving it to the site."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None
    try:
        return positive_bytes(value)
    except ValueError as error:
        raise ValueError(f"{error}; or none, for the limit of the partition") from error


def quantity_text(value: object) -> str:
    """Check a Kubernetes quantity and keep it as it is written, to be handed on."""
    quantity(value)
    return str(value).strip()


_FLAVOR_MEMORY = re.compile(r"([0-9]{1,15})(?:([KMG])I?B?)?", re.IGNORECASE)
_FLAVOR_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def flavor_memory(value: object) -> int:
    """Read memory as the reference plugin reads it in flavors: K, M and G in powers of 1024, else bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _FLAVOR_MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"must be memory such as 16G or 32000M, not {shown(value)}")
    return int(found[1]) * _FLAVOR_UNITS[(found[2] or "").upper()]


def one_or_more(value: object) -> object:
    """Take a single text for a list of one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must have at least one entry")
    return value


def matching(value: object, pattern: str, allowed: str) -> str:
    """Return the text, without blanks around it, if all of it matches. Raises ValueError with what is `allowed`."""
    text = line_of_text(value).strip()
    if not re.fullmatch(pattern, text):
        raise ValueError(f"must {allowed}, not {shown(value)}")
    return text


def namespace(value: object) -> str:
    """Accept a Kubernetes namespace (a DNS label, RFC 1123), or nothing for all."""
    allowed = "be a Kubernetes namespace (lower case letters, digits and -)"
    return matching(value, r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?", allowed)


def variable_name(value: object) -> str:
    """Accept the name of an environment variable that a shell can hold."""
    return matching(value, r"[A-Za-z_][A-Za-z0-9_]*", "be the name of an environment variable")


def variable_pattern(value: object) -> str:
    """Accept the name of an environment variable, or how several begin: WORK, SCRATCH_*."""
    return matching(
        value, r"[A-Za-z_][A-Za-z0-9_]*\*?", "be the name of an environment variable, or its beginning and *"
    )


def secret_key(value: object) -> str:
    """Accept what names a Secret: `namespace/secret`, `secret`, or `*` for all others."""
    return matching(value, r"\*|([a-z0-9-]+/)?[a-z0-9.-]+", "be secret, namespace/secret or *")


def slurm_flag(value: object) -> str:
    """Accept an option of sbatch."""
    option = line_of_text(value).strip()
    if not option.startswith("-"):
        raise ValueError(f"must be an option of sbatch, such as --partition=gpu, not {shown(value)}")
    return option


def resource_flags(value: object) -> str:
    """Accept options of sbatch with {count} and {mib} for an amount, or the word none."""
    options = words(value).strip()
    if options == "none":
        return options
    try:
        fields = {field for _, field, _, _ in Formatter().parse(options) if field is not None}
        filled = options.format(count=1, mib=1)
    except (ValueError, LookupError):
        fields, filled = {""}, options
    if not filled.startswith("-") or not fields <= {"count", "mib"}:
        raise ValueError(
            "must be options of sbatch with {count}, or {mib} for an amount in MiB, such as --gres=fpga:{count}, "
            f"or none, not {shown(value)}"
        )
    return options


def label(value: object) -> str:
    """Accept a name for paths and logs."""
    return matching(value, r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "consist of letters, digits, '.', '_' and '-'")


_Word = TypeVar("_Word", bound=StrEnum)


def one_of(closed_set: type[_Word]) -> Callable[[object], _Word]:
    """Make a parser for one of a closed set of words."""

    def parse(value: object) -> _Word:
        members = {member.value: member for member in closed_set}
        if isinstance(value, str) and value in members:
            return members[value]
        raise ValueError(f"must be one of {', '.join(members)}, not {shown(value)}")

    return parse


Text = Annotated[str, BeforeValidator(text)]
OneLine = Annotated[str, BeforeValidator(line_of_text)]
Words = Annotated[str, BeforeValidator(words)]
Boolean = Annotated[bool, BeforeValidator(flag)]
Count = Annotated[int, BeforeValidator(number(1, 1_000_000))]
UserId = Annotated[int, BeforeValidator(number(0, 2**32 - 2))]
Bytes = Annotated[int, BeforeValidator(positive_bytes)]
MemoryOrNone = Annotated[int | None, BeforeValidator(memory_or_none)]
FlavorMemory = Annotated[int, BeforeValidator(flavor_memory)]
Quantity = Annotated[str, BeforeValidator(quantity_text)]
Label = Annotated[str, BeforeValidator(label)]
Namespace = Annotated[str, BeforeValidator(namespace)]
SlurmFlag = Annotated[str, BeforeValidator(slurm_flag)]
ResourceFlag = Annotated[str, BeforeValidator(resource_flags)]
EnvironmentBoolean = Annotated[bool, BeforeValidator(switch)]
Format = Annotated[LogFormat, BeforeValidator(one_of(LogFormat))]
PullPlace = Annotated[ImagePull, BeforeValidator(one_of(ImagePull))]
VariableName = Annotated[str, BeforeValidator(variable_name)]
VariablePattern = Annotated[str, BeforeValidator(variable_pattern)]
SecretKey = Annotated[str, BeforeValidator(secret_key)]
Arrays = Annotated[JobArrays, BeforeValidator(one_of(JobArrays))]
UserRule = Annotated[RunAsUser, BeforeValidator(one_of(RunAsUser))]
VolumeRule = Annotated[UnsupportedVolumes, BeforeValidator(one_of(UnsupportedVolumes))]
Effect = Annotated[TaintEffect, BeforeValidator(one_of(TaintEffect))]
