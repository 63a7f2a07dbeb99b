"""A container's environment: which variables it gets, and in which file each of them travels.

A shell reads the first file (apptainer's own, behind --env-file, or bash), so that it can hold only what a shell takes
for a plain variable. All others are in the second, and reach the container as words of `env`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from remote_slurm.domain.downward import field_value, pod_ip, resource_value
from remote_slurm.domain.expansion import references_only
from remote_slurm.domain.pod import Container, EnvVar, Pod
from remote_slurm.domain.shell import quote
from remote_slurm.errors import Rejected

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
    """Name -> value, with POD_IP where a mesh gave the pod an address. Raises Rejected where a name or value cannot be.

    The Virtual Kubelet has expanded `$(NAME)` already, and then a `$(NAME)` that is left is meant to stay. Where it has
    not (SkipDownwardAPIResolution), references to earlier variables are expanded here, and nothing else is touched.
    """
    values = {"POD_IP": address} if (address := pod_ip(pod)) else {}
    resolved = any(item.name == _RESOLVED for item in container.env)
    for item in container.env:
        value = _value(item, container, pod)
        if value is not None:
            plain = item.value_from is None and not resolved
            values[_name(item, container)] = references_only(value, values) if plain else value
    return values


def shell_lines(values: Mapping[str, str]) -> bytes:
    """The variables that a shell can hold, one quoted assignment a line."""
    return "".join(f"{name}={quote(value)}\n" for name, value in values.items() if not is_odd(name)).encode()


def odd_entries(values: Mapping[str, str]) -> bytes:
    """The others, each as NAME=VALUE with a NUL at its end."""
    return "".join(f"{name}={value}\0" for name, value in values.items() if is_odd(name)).encode()


def is_odd(name: str) -> bool:
    """Whether a shell cannot hold a variable of this name, or makes something else of it."""
    return name in _OF_THE_SHELL or not _SHELL_NAME.fullmatch(name)


def _name(item: EnvVar, container: Container) -> str:
    if not item.name or "=" in item.name or "\0" in item.name:
        raise Rejected(
            f"container '{container.name}' has an environment variable named '{item.name}': a name must not be empty "
            "nor hold '=' or NUL"
        )
    return item.name


def _value(item: EnvVar, container: Container, pod: Pod) -> str | None:
    """The value; None leaves the variable out. `valueFrom` is what the Virtual Kubelet did not resolve."""
    what = f"environment variable '{item.name}' of container '{container.name}'"
    if "\0" in item.value:
        raise Rejected(f"{what} holds a NUL character, which no program can be given")
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
    raise Rejected(f"the value of {what} did not come with the pod")
