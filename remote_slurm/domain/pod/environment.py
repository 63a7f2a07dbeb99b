"""A container's environment: which variables it gets, and in which file each of them travels.

A shell reads the first file (Apptainer's own interpreter, or bash), so that it can hold only what a shell takes for a
plain variable. Names that no shell can hold, such as `db.password`, are in the second file, which a carrier on the node
reads (job/variables.sh): a program that can set any variable. A value must be in no argument, since all users of a
node can list arguments. Only the variables of the shell itself, such as HOME and IFS, become words of `env`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from remote_slurm.domain.pod.downward_api import field_value, pod_ip, resource_value
from remote_slurm.domain.pod.expansion import references_only
from remote_slurm.domain.pod.limits import check_arguments
from remote_slurm.domain.pod.model import Container, EnvVar, Pod
from remote_slurm.domain.shell import quote
from remote_slurm.errors import InvalidRequest

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Names that one of the two shells does not take as they are: bash has them read-only or changes them itself, apptainer
# (1.4) has UID, EUID and GID read-only, drops IFS and OPTIND, sets HOME and PWD, and reads the others as orders.
_OF_THE_SHELL = frozenset({
    "BASHOPTS", "BASHPID", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0", "BASH_CMDS", "BASH_COMMAND", "BASH_LINENO",
    "BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID",
    "FUNCNAME", "GID", "GROUPS", "HISTCMD", "HOME", "IFS", "LINENO", "OLDPWD", "OPTIND", "POSIXLY_CORRECT", "PPID",
    "PROMPT_COMMAND", "PWD", "RANDOM", "SECONDS", "SHELLOPTS", "SHLVL", "SRANDOM", "UID", "_", "APPEND_PATH",
    "PREPEND_PATH",
})  # fmt: skip

# What the Virtual Kubelet adds to every container when it resolves the environment
_RESOLVED = "KUBERNETES_SERVICE_HOST"


def environment(container: Container, pod: Pod) -> dict[str, str]:
    """Return name -> value, with POD_IP if a mesh gave the pod an address.

    Raises InvalidRequest for a name or value that cannot be passed on.

    The Virtual Kubelet has expanded `$(NAME)` already, and then a `$(NAME)` that is left is meant to stay. Where it has
    not (SkipDownwardAPIResolution), references to earlier variables are expanded here, and nothing else is touched.
    """
    values = {"POD_IP": address} if (address := pod_ip(pod)) else {}
    size = 0
    resolved = any(item.name == _RESOLVED for item in container.env)
    for item in container.env:
        value = _value(item, container, pod)
        if value is not None:
            plain = item.value_from is None and not resolved
            name = _name(item, container)
            values[name] = references_only(value, values) if plain else value
            size += len(name) + len(values[name])
            check_arguments(size, container.name)
    return values


def shell_lines(values: Mapping[str, str]) -> bytes:
    """The variables that a shell can hold, one quoted assignment a line."""
    return "".join(f"{name}={quote(value)}\n" for name, value in values.items() if not is_odd(name)).encode()


def carried_entries(values: Mapping[str, str]) -> bytes:
    """The variables that no shell can hold, each as NAME=VALUE with a NUL at its end."""
    return "".join(f"{name}={value}\0" for name, value in values.items() if not is_shell_name(name)).encode()


def own_entries(values: Mapping[str, str]) -> tuple[str, ...]:
    """The variables of the shell itself, each as NAME=VALUE."""
    return tuple(f"{name}={value}" for name, value in values.items() if is_own_name(name))


def is_shell_name(name: str) -> bool:
    """Whether a shell can hold a variable of this name."""
    return bool(_SHELL_NAME.fullmatch(name))


def is_own_name(name: str) -> bool:
    """Whether a shell sets or reads the variable itself."""
    return name in _OF_THE_SHELL


def is_odd(name: str) -> bool:
    """Whether a shell cannot hold a variable of this name, or makes something else of it."""
    return is_own_name(name) or not is_shell_name(name)


def _name(item: EnvVar, container: Container) -> str:
    if not item.name or "=" in item.name or "\0" in item.name:
        raise InvalidRequest(
            f"invalid environment variable name '{item.name}' of container '{container.name}': must not be empty, "
            "or contain "
            "'=' or NUL"
        )
    return item.name


def _value(item: EnvVar, container: Container, pod: Pod) -> str | None:
    """The value; None leaves the variable out. `valueFrom` is what the Virtual Kubelet did not resolve."""
    what = f"environment variable '{item.name}' of container '{container.name}'"
    if "\0" in item.value:
        raise InvalidRequest(f"invalid value of {what}: must not contain a NUL character")
    source = item.value_from
    if item.value or source is None:
        return item.value
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, what)
    if source.resource_field_ref is not None:
        return resource_value(pod, source.resource_field_ref, container.name, what)
    reference = source.config_map_key_ref or source.secret_key_ref
    if reference is not None and reference.optional:
        return None
    raise InvalidRequest(
        f"the create request has no value for {what}: create the ConfigMap or Secret with its key, or set "
        "optional: true"
    )
