"""The annotations that change a pod's job, read once into one value.

::

    slurm-job.vk.io/      flags, flavor, pre-exec, job-workdir, no-clean-workdir, mpi-flags, image-root,
                          singularity-commands, -mounts and -options, enroot-mounts and -options; slurm-job.knoc.io/ is
                          their older prefix and means the same
    interlink.eu/         pod-ip, wstunnel-client-commands and wireguard-client-snippet, from the Virtual Kubelet

Some hold shell, and run as such: pre-exec, wstunnel-client-commands and singularity-commands. The others are data, and
no shell ever sees them: a `$` in them stays a `$`.
"""

from __future__ import annotations

import difflib
import ipaddress
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from remote_slurm.domain.flags import Flag, parse_flags
from remote_slurm.domain.pod import Pod
from remote_slurm.errors import Rejected

_PREFIX = "slurm-job.vk.io/"
_PREFIXES = (_PREFIX, "slurm-job.knoc.io/")
_INTERLINK = "interlink.eu/"

KNOWN = frozenset({
    "flags", "flavor", "image-root", "job-workdir", "mpi-flags", "no-clean-workdir", "pre-exec",
    "singularity-commands", "singularity-mounts", "singularity-options", "enroot-mounts",
    "enroot-options",
})  # fmt: skip
_SHELL = frozenset({"pre-exec", "singularity-commands"})
_RUNTIME_ONLY = ("image-root", "singularity-mounts", "singularity-options", "enroot-mounts", "enroot-options")
FROM_VK = frozenset({"pod-ip", "wireguard-client-snippet", "wstunnel-client-commands"})
# What the Virtual Kubelet and interLink act on themselves
_FOR_VK = frozenset({
    "disable-offload-containers", "disable-offload-init-containers", "mesh-network", "pod-subnet", "pod-vpn",
    "shadow-same-ns", "wg-keepalive-seconds", "wg-mtu", "wg-peer-public-key", "wg-private-key", "wstunnel-extra-ports",
    "wstunnel-path-prefix", "wstunnel-timeout",
})  # fmt: skip

# Of the flags, in a sentence
_SHOWN_FLAGS = 200

# How the Virtual Kubelet's script for a full mesh begins. It runs the command that it is given in a network of its own.
_MESH = "cat <<'EOFMESH' > $TMPDIR/mesh.sh"


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a pod's annotations say; `mpi_flags` is None where no mpiexec is asked for."""

    flags: tuple[Flag, ...] = ()
    flavor: str = ""
    pre_exec: str = ""
    mesh: bool = False
    workdir: str = ""
    keep_workdir: bool = False
    mpi_flags: tuple[str, ...] | None = None
    image_root: str = ""
    commands: str = ""
    mounts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    enroot_mounts: tuple[str, ...] = ()
    enroot_options: tuple[str, ...] = ()
    pod_ip: str = ""
    wireguard: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def for_a_runtime(self) -> tuple[str, ...]:
        """The names of those that mean nothing without a container runtime."""
        values = (self.image_root, self.mounts, self.options, self.enroot_mounts, self.enroot_options)
        given = zip(_RUNTIME_ONLY, values, strict=True)
        return tuple(_PREFIX + name for name, value in given if value)


def read_annotations(pod: Pod) -> Annotations:
    """Raises Rejected for a value that cannot be carried out."""
    given = pod.metadata.annotations
    ours = {name: _either(given, name) for name in KNOWN}
    theirs = {name: given.get(_INTERLINK + name, "") for name in FROM_VK}
    own, tunnel = ours["pre-exec"], theirs["wstunnel-client-commands"]
    return Annotations(
        flags=tuple(parse_flags(ours["flags"], f"the flags of pod {pod.full_name}")),
        flavor=ours["flavor"].strip(),
        pre_exec="".join(_line(text) for text in (tunnel, own) if text.strip()),
        mesh=_MESH in own,
        workdir=_workdir(ours["job-workdir"].strip()),
        keep_workdir=ours["no-clean-workdir"].strip() == "true",
        mpi_flags=_mpi_flags(ours["mpi-flags"].strip()),
        image_root=ours["image-root"].strip(),
        commands=ours["singularity-commands"].strip(),
        mounts=_mounts(_words(ours, "singularity-mounts"), "--bind"),
        options=_words(ours, "singularity-options"),
        enroot_mounts=_mounts(_words(ours, "enroot-mounts"), "--mount"),
        enroot_options=_words(ours, "enroot-options"),
        pod_ip=_address(theirs["pod-ip"].strip()),
        wireguard=theirs["wireguard-client-snippet"],
        warnings=(*_unknown(given), *_unexpanded(ours)),
    )


def given_names(pod: Pod) -> list[tuple[str, str]]:
    """Each annotation that has an effect here: the whole key, and the name behind its prefix."""
    split = ((key, key.partition("/")) for key, value in pod.metadata.annotations.items() if value.strip())
    return [
        (key, name)
        for key, (prefix, slash, name) in split
        if name in (KNOWN if prefix + slash in _PREFIXES else FROM_VK if prefix + slash == _INTERLINK else ())
    ]


def flags_note(pod: Pod) -> str:
    """Where the options of sbatch stand that a pod asks for: for who reads that Slurm refused them."""
    for prefix in _PREFIXES:
        if flags := " ".join(pod.metadata.annotations.get(f"{prefix}flags", "").split()):
            return f"the pod's annotation {prefix}flags says {flags[:_SHOWN_FLAGS]}"
    return f"the annotation {_PREFIX}flags of a pod holds options of sbatch, and this one has none"


def _either(given: Mapping[str, str], name: str) -> str:
    """The value under the newer prefix, or under the older one."""
    return next((value for prefix in _PREFIXES if (value := given.get(prefix + name, "")).strip()), "")


def _line(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _words(ours: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(ours[name]))
    except ValueError as error:
        raise Rejected(f"annotation {_PREFIX}{name} has an unfinished quotation: {ours[name]}") from error


def _mounts(given: tuple[str, ...], option: str) -> tuple[str, ...]:
    """`--bind /a:/b` as it is, and `/a:/b` as what is to be bound."""
    if not given or given[0].startswith("-"):
        return given
    return tuple(word for bind in given for word in (option, bind))


def _mpi_flags(text: str) -> tuple[str, ...] | None:
    """`true` stands for no flags beyond the number of tasks; nothing and `false` for no MPI at all."""
    if text in ("", "false"):
        return None
    flags = () if text == "true" else _words({"mpi-flags": text}, "mpi-flags")
    if "--" in flags:
        raise Rejected(f"annotation {_PREFIX}mpi-flags must be flags of mpiexec only, without '--': {text}")
    return flags


def _workdir(path: str) -> str:
    if path and (not path.startswith("/") or ".." in PurePosixPath(path).parts or any(each in path for each in "\n\0")):
        raise Rejected(f"annotation {_PREFIX}job-workdir is '{path}': it must be an absolute path, without '..'")
    return path.rstrip("/")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError as error:
        raise Rejected(f"annotation {_INTERLINK}pod-ip is '{text}', which is not an address") from error


def _unknown(given: Mapping[str, str]) -> Iterator[str]:
    for key in given:
        prefix, slash, name = key.partition("/")
        known = KNOWN if prefix + slash in _PREFIXES else FROM_VK | _FOR_VK if prefix + slash == _INTERLINK else None
        if known is not None and name not in known:
            nearest = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0)[0]
            yield f"annotation {key} is not known and has no effect: the nearest one is {prefix}/{nearest}"


def _unexpanded(ours: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(KNOWN - _SHELL - {"flags"}):
        if "$" in ours[name] or "`" in ours[name]:
            yield f"annotation {_PREFIX}{name} is no shell: $ and ` in it stay as they are"
