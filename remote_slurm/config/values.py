"""What a single value may look like: text in, typed value out.

The file, the environment and `--set` all deliver text, exactly as it was written (`0644` and `true` are still words
here), so one parser per type serves them all. A parser raises ValueError with the rest of a sentence that begins with
the key: "must be ...".
"""

import ipaddress
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, ValidationInfo

from remote_slurm.config.block import Machine

_ONE_DAY = 86400
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NUL = "\x00"
_SHOWN = 60


class ContainerRuntime(StrEnum):
    """What starts a container on the node; `singularity` and `apptainer` are the same program under two names."""

    SINGULARITY = "singularity"
    APPTAINER = "apptainer"
    NONE = "none"


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
    text = str(value)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def text(value: object) -> str:
    """Accept any text but NUL, which no file name, argument or variable can hold."""
    if not isinstance(value, str):
        raise ValueError(f"must be one text, not {shown(value)}")
    if _NUL in value:
        raise ValueError("must not hold a NUL character")
    return value


def line_of_text(value: object) -> str:
    """Accept text of one line, without control characters."""
    line = text(value)
    if _CONTROL.search(line):
        raise ValueError("must be one line without control characters")
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


def number(least: int, most: int) -> Callable[[object], int]:
    """Make a parser for whole numbers from least to most."""

    def parse(value: object) -> int:
        match value:
            case str() if re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
                result = int(value)
            case int() if not isinstance(value, bool):
                result = value
            case _:
                result = least - 1
        if not least <= result <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {shown(value)}")
        return result

    return parse


def seconds(least: int) -> Callable[[object], float]:
    """Make a parser for a time in seconds, of at most a day."""

    def parse(value: object) -> float:
        match value:
            case str() if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value.strip()):
                result = float(value)
            case int() | float() if not isinstance(value, bool):
                result = float(value)
            case _:
                result = -1.0
        if not least <= result <= _ONE_DAY:
            raise ValueError(
                f"must be a number of seconds from {least} to {_ONE_DAY}, without a unit, not {shown(value)}"
            )
        return result

    return parse


_QUANTITY = re.compile(r"[0-9]{1,18}(\.[0-9]{0,9})?([numkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?")


def quantity(value: object) -> Decimal:
    """Read a Kubernetes quantity: `2G` is 2 * 10^9, `2Gi` is 2 * 2^30."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value.strip()):
        raise ValueError(
            "must be a quantity as Kubernetes writes it, such as 512Mi or 2G (2G is 2000000000, 2Gi is 2147483648), "
            f"not {shown(value)}"
        )
    from kubernetes.utils.quantity import parse_quantity  # takes 0.3 s, and few configurations need it

    return Decimal(parse_quantity(value.strip()))  # type: ignore[no-untyped-call]


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
        raise ValueError(f"{error}; or the word none, which leaves it to the partition") from error


def quantity_text(value: object) -> str:
    """Check a Kubernetes quantity and keep it as it is written, to be handed on."""
    quantity(value)
    return str(value).strip()


_SLURM_MEMORY = re.compile(r"([0-9]{1,12})([KMGT]?)B?", re.IGNORECASE)
_SLURM_UNITS = {"K": 1 << 10, "": 1 << 20, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def slurm_memory(value: object) -> int:
    """Read memory as `sbatch --mem` does (manual page of sbatch): K, M, G, T in powers of 1024, M where none is given."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SLURM_MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"must be memory as sbatch takes it, such as 16G or 32000M, not {shown(value)}")
    return int(found[1]) * _SLURM_UNITS[found[2].upper()]


_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253})")


def host(value: object) -> str:
    """Accept a host name or an address; IPv6 with or without its brackets."""
    name = line_of_text(value).strip()
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if ":" in bare and _is_address(bare):
        return bare
    if not _HOST.fullmatch(name):
        raise ValueError(f"must be a host name or an address, without user and port, not {shown(value)}")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def one_or_more(value: object) -> object:
    """Take a single text for a list of one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must name at least one")
    return value


def login(value: object) -> str:
    """Accept a user name at the site."""
    name = line_of_text(value).strip()
    if not re.fullmatch(r"[^\s@:/-][^\s@:/]*", name):
        raise ValueError(f"must be a user name, without host and blanks, not {shown(value)}")
    return name


def local_path(value: object, info: ValidationInfo) -> Path:
    """Read a path of this machine: `~/` is the home directory, relative starts at the configuration file's folder."""
    path = value if isinstance(value, Path) else Path(line_of_text(value))
    machine = info.context
    if str(path).startswith("~") and path.parts[0] != "~":
        raise ValueError(f"must begin with / or ~/ or be relative to this file, not {shown(value)}")
    if not isinstance(machine, Machine):
        return path.expanduser()
    return machine.home.joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else machine.folder / path


def command(value: object) -> str:
    """Accept a command at the site: a bare name, which PATH resolves there, or a full path."""
    name = line_of_text(value).strip()
    if (
        name.startswith(("-", "~"))
        or re.search(r"[\s$`'\"]", name)
        or ("/" in name and not name.startswith("/"))
    ):
        raise ValueError(
            f"must be one command name or full path at the site, without arguments, variables or ~, not {shown(value)}"
        )
    return name


def shell_path(value: object) -> str:
    """Accept what may follow `#!`."""
    path = command(value)
    if not path.startswith("/"):
        raise ValueError(
            f"must be a full path at the site, since it follows #! in the job script, not {shown(value)}"
        )
    return path


_UNUSABLE = re.compile(r"[$`:,%\\]")


def site_path(value: object) -> str:
    """Read a path at the site: relative, and `~/`, mean below the remote home directory; returned without a trailing /."""
    path = line_of_text(value)
    path = path.removeprefix("~/")
    if path.startswith("~") or _UNUSABLE.search(path):
        raise ValueError(
            "must be a plain path at the site (variables are not expanded there, and : , % \\ mean something else to "
            f"Slurm or the container runtime), not {shown(value)}"
        )
    parts = path.split("/")
    if ".." in parts:
        raise ValueError(f"must not go up with .. ({shown(value)})")
    return ("/" if path.startswith("/") else "") + "/".join(part for part in parts if part not in {"", "."})


def site_folder(value: object) -> str:
    """Read a path at the site that is ours alone."""
    path = site_path(value)
    if path in {"", "/"}:
        raise ValueError(f"must be a folder of its own, such as .interlink/jobs, not {shown(value)}")
    return path


_SOCKET_PATH_LIMIT = 107  # sun_path in unix(7) holds 108 bytes, the last one NUL


def socket_path(value: object) -> Path:
    """Read `unix:///path`."""
    path = str(value) if isinstance(value, Path) else line_of_text(value).removeprefix("unix://")
    if not (isinstance(value, Path) or str(value).startswith("unix:///")) or not path.strip("/"):
        raise ValueError(f"must have the form unix:///path/of/the.sock, not {shown(value)}")
    if len(path.encode()) > _SOCKET_PATH_LIMIT:
        raise ValueError(f"must be a path of at most {_SOCKET_PATH_LIMIT} bytes, the limit of unix sockets")
    return Path(path)


def address(value: object) -> str:
    """Read an IP address to listen on, or `localhost`."""
    name = line_of_text(value).strip()
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if bare != "localhost" and not _is_address(bare):
        raise ValueError(
            f"must be an IP address of this machine, such as 127.0.0.1 or ::1, not {shown(value)}"
        )
    return bare


def is_loopback(name: str) -> bool:
    """Tell whether only this machine can reach the address."""
    return name == "localhost" or ipaddress.ip_address(name).is_loopback


def namespace(value: object) -> str:
    """Accept a Kubernetes namespace (a DNS label, RFC 1123), or nothing for all."""
    name = line_of_text(value).strip()
    if name and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise ValueError(
            f"must be a Kubernetes namespace (lower case letters, digits and -), not {shown(value)}"
        )
    return name


def slurm_flag(value: object) -> str:
    """Accept an option of sbatch."""
    option = line_of_text(value).strip()
    if not option.startswith("-"):
        raise ValueError(f"must be an option of sbatch, such as --partition=gpu, not {shown(value)}")
    return option


E_ = TypeVar("E_", bound=StrEnum)


def member(kind: type[E_], later: frozenset[str] = frozenset()) -> Callable[[object], E_]:
    """Make a parser for one of a closed set of words, of which some come with a later version."""

    def parse(value: object) -> E_:
        words = ", ".join(kind)
        if isinstance(value, str) and value in later:
            raise ValueError(
                f"must be one of {words}: {value} comes with a later version, and no pod could run now"
            )
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"must be one of {words}, not {shown(value)}")
        return kind(value)

    return parse


Text = Annotated[str, BeforeValidator(text)]
Line = Annotated[str, BeforeValidator(line_of_text)]
Flag = Annotated[bool, BeforeValidator(flag)]
Port = Annotated[int, BeforeValidator(number(1, 65535))]
ListenPort = Annotated[int, BeforeValidator(number(0, 65535))]
Count = Annotated[int, BeforeValidator(number(1, 1_000_000))]
UserId = Annotated[int, BeforeValidator(number(0, 2**32 - 2))]
Bytes = Annotated[int, BeforeValidator(positive_bytes)]
MemoryOrNone = Annotated[int | None, BeforeValidator(memory_or_none)]
SlurmMemory = Annotated[int, BeforeValidator(slurm_memory)]
Quantity = Annotated[str, BeforeValidator(quantity_text)]
Host = Annotated[str, BeforeValidator(host)]
Login = Annotated[str, BeforeValidator(login)]
LocalPath = Annotated[Path, BeforeValidator(local_path)]
Command = Annotated[str, BeforeValidator(command)]
ShellPath = Annotated[str, BeforeValidator(shell_path)]
SitePath = Annotated[str, BeforeValidator(site_path)]
SiteFolder = Annotated[str, BeforeValidator(site_folder)]
SocketPath = Annotated[Path, BeforeValidator(socket_path)]
Address = Annotated[str, BeforeValidator(address)]
Namespace = Annotated[str, BeforeValidator(namespace)]
SlurmFlag = Annotated[str, BeforeValidator(slurm_flag)]
Runtime = Annotated[
    ContainerRuntime, BeforeValidator(member(ContainerRuntime, frozenset({"enroot", "podman", "podman-hpc"})))
]
Effect = Annotated[TaintEffect, BeforeValidator(member(TaintEffect))]
