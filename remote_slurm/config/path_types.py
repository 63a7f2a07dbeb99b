"""Values that name a place: hosts and addresses, paths of this machine, commands and paths at the site."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo

from remote_slurm.config.host_defaults import Machine
from remote_slurm.config.scalar_types import line_of_text, matching, number, shown

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,253}")
IN_CLUSTER = "in-cluster"  # in place of a kubeconfig: the service account of the pod that the sidecar runs in
_SOCKET_PATH_LIMIT = 107  # sun_path in unix(7) holds 108 bytes, the last one NUL


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_brackets(name: str) -> str:
    return name[1:-1] if name.startswith("[") and name.endswith("]") and ":" in name else name


def host(value: object) -> str:
    """Accept a host name or an address; IPv6 with or without its brackets."""
    name = _without_brackets(line_of_text(value).strip())
    if not (_HOST.fullmatch(name) or _is_address(name)):
        raise ValueError(f"must be a host name or an address, without user and port, not {shown(value)}")
    return name


def login(value: object) -> str:
    """Accept a user name at the site."""
    return matching(value, r"[^\s@:/-][^\s@:/]*", "be a user name, without host and blanks")


def address(value: object) -> str:
    """Read an IP address to listen on, or `localhost`."""
    name = _without_brackets(line_of_text(value).strip())
    if name != "localhost" and not _is_address(name):
        raise ValueError(f"must be an IP address of this machine, such as 127.0.0.1 or ::1, not {shown(value)}")
    return name


def is_loopback(name: str) -> bool:
    """Tell whether only this machine can reach the address."""
    return name == "localhost" or ipaddress.ip_address(name).is_loopback


def socket_path(value: object) -> Path:
    """Read `unix:///path`."""
    path = str(value) if isinstance(value, Path) else line_of_text(value).strip().removeprefix("unix://")
    if path == value or not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"must have the form unix:///path/of/the.sock, not {shown(value)}")
    if len(path.encode()) > _SOCKET_PATH_LIMIT:
        raise ValueError(f"must be a path of at most {_SOCKET_PATH_LIMIT} bytes, the limit of unix sockets")
    return Path(path)


def socket_mode(value: object) -> str:
    """Accept a file mode in octal, as chmod reads it."""
    mode = line_of_text(value).strip()
    if not re.fullmatch(r"0?[0-7]{3}", mode) or not int(mode, 8) & 0o200:
        raise ValueError(f"must be an octal file mode that lets the owner write, such as 0660, not {shown(value)}")
    return f"{int(mode, 8):04o}"


def local_path(value: object, info: ValidationInfo) -> Path:
    """Read a path of this machine; relative, it starts at the folder of the configuration file."""
    path = value if isinstance(value, Path) else Path(line_of_text(value).strip())
    beyond_home = path.parts[1:] if path.parts[:1] == ("~",) else None
    if beyond_home is None and str(path).startswith("~"):
        raise ValueError(f"must begin with / or ~/ or be relative to this file, not {shown(value)}")
    if not isinstance(info.context, Machine):
        return path.expanduser()
    return info.context.folder / path if beyond_home is None else info.context.home.joinpath(*beyond_home)


def collector(value: object) -> str:
    """Read where an OpenTelemetry collector takes gRPC: HOST:PORT, also behind http:// or https://."""
    where = re.sub(r"^https?://", "", line_of_text(value).strip()).rstrip("/")
    name, _, port = where.rpartition(":")
    if not (_HOST.fullmatch(name) or _is_address(_without_brackets(name))) or not port.isdigit():
        raise ValueError(
            f"must be HOST:PORT of a collector that takes gRPC, such as localhost:4317, not {shown(value)}"
        )
    return where


def kubeconfig(value: object, info: ValidationInfo) -> Path:
    """Read the path of a kubeconfig, or the word in-cluster."""
    return Path(IN_CLUSTER) if str(value).strip() == IN_CLUSTER else local_path(value, info)


def command(value: object) -> str:
    """Accept a command at the site: a bare name, which PATH there resolves, or a full path."""
    name = line_of_text(value).strip()
    relative = "/" in name and not name.startswith("/")
    if not name or relative or name.startswith(("-", "~")) or re.search(r"[\s$`'\"]", name):
        raise ValueError(
            f"must be one command name or full path at the site, without arguments, variables or ~, not {shown(value)}"
        )
    return name


def shebang(value: object) -> str:
    """Accept what may follow `#!`."""
    path = command(value)
    if not path.startswith("/"):
        raise ValueError(f"must be a full path, since it follows #! in each job script, not {shown(value)}")
    return path


def site_path(value: object) -> str:
    """Read a path at the site, without a / at its end; relative, it is below the home directory."""
    path = line_of_text(value).strip().removeprefix("~/")
    parts = path.split("/")
    if path.startswith(("~", "-")) or re.search(r"[$`]", path):
        raise ValueError(f"must be a plain path: the site expands no variables and no ~name, not {shown(value)}")
    if re.search(r"[:,%\\]", path):
        raise ValueError(
            f"must not contain : , % or \\, which Slurm and container runtimes interpret, not {shown(value)}"
        )
    if ".." in parts:
        raise ValueError(f"must not contain '..', not {shown(value)}")
    return ("/" if path.startswith("/") else "") + "/".join(part for part in parts if part not in {"", "."})


def site_folder(value: object) -> str:
    """Read a path at the site that can be ours alone."""
    path = site_path(value)
    if path in {"", "/"}:
        raise ValueError(f"must be a folder of its own, such as .interlink/jobs, not {shown(value)}")
    return path


def absolute_site_path(value: object) -> str:
    """Read a full path at the site."""
    path = site_path(value)
    if not path.startswith("/"):
        raise ValueError(f"must be a full path at the site, such as /scratch, not {shown(value)}")
    return path


def image_folder(value: object) -> str:
    """Read the full path of a folder at the site that can be ours alone; empty is the default."""
    return "" if value == "" else site_folder(absolute_site_path(value))


def claim_path(value: object) -> str:
    """Read the path of a claim at the site, which may contain {namespace} and {claim}."""
    path = absolute_site_path(value)
    if path == "/" or re.search(r"[{}]", re.sub(r"\{(namespace|claim)\}", "", path)):
        raise ValueError(
            f"must be a folder at the site, which may contain {{namespace}} and {{claim}}, not {shown(value)}"
        )
    # team and a-x would have the folder of team-a and x
    if any("{namespace}" in part and "{claim}" in part for part in path.split("/")):
        raise ValueError(
            "must have {namespace} and {claim} in folders of their own, such as {namespace}/{claim}: claims of two "
            f"namespaces could have the same folder in {shown(value)}"
        )
    return path


STORAGE_CLASS = "storageClass/"
"""What a key of PersistentVolumeClaims begins with that is for all claims of a storage class."""


def claim_key(value: object) -> str:
    """Accept what names claims: `claim`, `namespace/claim`, `storageClass/name`, or `*` for all others.

    No namespace has a capital letter (RFC 1123), so that none can be taken for the word storageClass.
    """
    allowed = f"be claim, namespace/claim, {STORAGE_CLASS}name or *"
    return matching(value, rf"\*|([a-z0-9-]+/|{STORAGE_CLASS})?[a-z0-9.-]+", allowed)


Host = Annotated[str, BeforeValidator(host)]
Login = Annotated[str, BeforeValidator(login)]
Port = Annotated[int, BeforeValidator(number(1, 65535))]
ListenPort = Annotated[int, BeforeValidator(number(0, 65535))]
Address = Annotated[str, BeforeValidator(address)]
SocketPath = Annotated[Path, BeforeValidator(socket_path)]
SocketMode = Annotated[str, BeforeValidator(socket_mode)]
Collector = Annotated[str, BeforeValidator(collector)]
LocalPath = Annotated[Path, BeforeValidator(local_path)]
Kubeconfig = Annotated[Path, BeforeValidator(kubeconfig)]
Command = Annotated[str, BeforeValidator(command)]
Shebang = Annotated[str, BeforeValidator(shebang)]
SitePath = Annotated[str, BeforeValidator(site_path)]
SiteFolder = Annotated[str, BeforeValidator(site_folder)]
AbsoluteSitePath = Annotated[str, BeforeValidator(absolute_site_path)]
ImageFolder = Annotated[str, BeforeValidator(image_folder)]
ClaimPath = Annotated[str, BeforeValidator(claim_path)]
ClaimKey = Annotated[str, BeforeValidator(claim_key)]
