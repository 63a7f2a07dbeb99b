"""The annotations that change a pod's job, read once into one value.

::

    slurm-job.vk.io/      annotations of users; slurm-job.knoc.io/ is the older prefix and means the same
    interlink.eu/         annotations of the Virtual Kubelet

config/annotation_names.py declares them, and which ones are data. No shell reads data: a `$` in it stays a `$`.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath

from remote_slurm.config.annotation_names import KNOWN_ANNOTATIONS, Kind, Writer
from remote_slurm.domain.plan.annotation_mounts import AnnotationMount, RuntimeAnnotations
from remote_slurm.domain.plan.mpi_flags import check_mpi_flags
from remote_slurm.domain.pod.limits import OPTION_CHARACTERS, check_path
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.pod.resources import requests_sentence
from remote_slurm.domain.slurm.flags import Flag, parse_flags
from remote_slurm.errors import InvalidRequest

_PREFIX = "slurm-job.vk.io/"
_PREFIXES = (_PREFIX, "slurm-job.knoc.io/")
_INTERLINK = "interlink.eu/"

_COMMON = tuple(each for each in KNOWN_ANNOTATIONS if not each.runtime)
_FOR_ALL_RUNTIMES = frozenset(each.name for each in _COMMON if each.writer is Writer.USER)
_SHELL = frozenset(each.name for each in _COMMON if each.kind is Kind.SHELL)
_TRUSTED = frozenset(each.name for each in _COMMON if each.is_trusted)
WRITTEN_BY_VIRTUAL_KUBELET = frozenset(each.name for each in _COMMON if each.writer is Writer.VIRTUAL_KUBELET)
# What the Virtual Kubelet and interLink act on themselves
_READ_BY_VIRTUAL_KUBELET = frozenset({
    "disable-offload-containers", "disable-offload-init-containers", "mesh-network", "pod-subnet", "pod-vpn",
    "shadow-same-ns", "wg-keepalive-seconds", "wg-mtu", "wg-peer-public-key", "wg-private-key", "wstunnel-extra-ports",
    "wstunnel-path-prefix", "wstunnel-timeout",
})  # fmt: skip

# Of the flags, in a sentence
_SHOWN_FLAGS = 200
# Warnings about unknown annotations: to find the nearest known one takes a millisecond each
_FEW = 30

# How the Virtual Kubelet's script for a full mesh begins. It runs the command that it is given in a network of its own.
_MESH = "cat <<'EOFMESH' > $TMPDIR/mesh.sh"


@dataclass(frozen=True, slots=True)
class Annotations:
    """The annotations of a pod; `mpi_flags` is None if the pod does not request mpiexec."""

    flags: tuple[Flag, ...] = ()
    flavor: str = ""
    array_throttle: str = ""
    pre_exec: str = ""
    mesh: bool = False
    workdir: str = ""
    keep_workdir: bool = False
    mpi_flags: tuple[str, ...] | None = None
    image_root: str = ""
    commands: str = ""
    mounts: Mapping[str, tuple[AnnotationMount, ...]] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pod_ip: str = ""
    wireguard: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def for_runtimes(self) -> tuple[str, ...]:
        """The names of the given annotations that have no effect without a container runtime."""
        names = [*(["image-root"] if self.image_root else [])]
        for name in self.mounts:
            names += [f"{name}-mounts"] if self.mounts[name] else []
            names += [f"{name}-options"] if self.options[name] else []
        return tuple(_PREFIX + name for name in names)


@dataclass(frozen=True, slots=True)
class AnnotationNames:
    """The names of annotations, without their prefix. Some exist for each of the `runtimes`."""

    runtimes: tuple[RuntimeAnnotations, ...]

    @property
    def known(self) -> frozenset[str]:
        return _FOR_ALL_RUNTIMES.union(*({each.mounts, each.options} for each in self.runtimes))

    @property
    def trusted(self) -> frozenset[str]:
        """Annotations that no other rule limits: AllowedAnnotations must list each by its name, or all by `*`."""
        return _TRUSTED | {each.options for each in self.runtimes}


def read_annotations(pod: Pod, names: AnnotationNames) -> Annotations:
    """Return the annotations of a pod. Raises InvalidRequest for a value that cannot be carried out."""
    given, known = pod.metadata.annotations, names.known
    ours = {name: _either(given, name) for name in known}
    theirs = {name: given.get(_INTERLINK + name, "") for name in WRITTEN_BY_VIRTUAL_KUBELET}
    own, tunnel = ours["pre-exec"], theirs["wstunnel-client-commands"]
    return Annotations(
        flags=tuple(parse_flags(ours["flags"], f"the flags of pod {pod.full_name}")),
        flavor=ours["flavor"].strip(),
        array_throttle=_throttle(ours["array-throttle"].strip()),
        pre_exec="".join(_line(text) for text in (tunnel, own) if text.strip()),
        mesh=_MESH in own,
        workdir=_workdir(ours["job-workdir"].strip()),
        keep_workdir=ours["no-clean-workdir"].strip() == "true",
        mpi_flags=_mpi_flags(ours["mpi-flags"].strip()),
        image_root=ours["image-root"].strip(),
        commands=ours["singularity-commands"].strip(),
        mounts={each.name: _mounts(ours, each) for each in names.runtimes},
        options={each.name: _words(ours, each.options) for each in names.runtimes},
        pod_ip=_address(theirs["pod-ip"].strip()),
        wireguard=theirs["wireguard-client-snippet"],
        warnings=(*islice(_unknown(given, known), _FEW), *_unexpanded(ours)),
    )


def given_names(pod: Pod, names: AnnotationNames) -> list[tuple[str, str]]:
    """Return each annotation of the pod that has an effect here, as its key and the name behind the prefix."""
    known = names.known
    split = ((key, key.partition("/")) for key, value in pod.metadata.annotations.items() if value.strip())
    by_prefix = dict.fromkeys(_PREFIXES, known) | {_INTERLINK: WRITTEN_BY_VIRTUAL_KUBELET}
    return [(key, name) for key, (prefix, slash, name) in split if name in by_prefix.get(prefix + slash, ())]


def flags_note(pod: Pod) -> str:
    """What a pod requests from Slurm, and in which fields: part of the message if Slurm refuses the pod."""
    requested = requests_sentence(pod)
    notes = [f"the pod's resources request {requested}"] if requested else []
    for prefix in _PREFIXES:
        if flags := " ".join(pod.metadata.annotations.get(f"{prefix}flags", "").split()):
            notes.append(f"the pod's annotation {prefix}flags is {flags[:_SHOWN_FLAGS]}")
            break
    return "; ".join(notes) or f"the annotation {_PREFIX}flags sets sbatch options, and the pod has none"


def _either(given: Mapping[str, str], name: str) -> str:
    """The value under the newer prefix, or under the older one."""
    return next((value for prefix in _PREFIXES if (value := given.get(prefix + name, "")).strip()), "")


def _line(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _words(ours: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = ours[name]
    if not text:
        return ()
    if len(text) > OPTION_CHARACTERS:
        raise InvalidRequest(f"annotation {_PREFIX}{name} has {len(text)} characters: {OPTION_CHARACTERS} are allowed")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        # without the value, which may hold a credential
        raise InvalidRequest(f"annotation {_PREFIX}{name} has an unterminated quotation mark") from error


def _mounts(ours: Mapping[str, str], runtime: RuntimeAnnotations) -> tuple[AnnotationMount, ...]:
    return runtime.read_mounts(_words(ours, runtime.mounts), f"annotation {_PREFIX}{runtime.mounts}")


def _mpi_flags(text: str) -> tuple[str, ...] | None:
    """`true` means no flags beyond the number of tasks; an empty value and `false` mean no MPI."""
    if text in ("", "false"):
        return None
    words = () if text == "true" else _words({"mpi-flags": text}, "mpi-flags")
    return check_mpi_flags(words, f"annotation {_PREFIX}mpi-flags")


def _workdir(path: str) -> str:
    if path and (not path.startswith("/") or ".." in PurePosixPath(path).parts or any(each in path for each in "\n\0")):
        raise InvalidRequest(
            f"invalid annotation {_PREFIX}job-workdir '{path}': must be an absolute path, without '..'"
        )
    return check_path(path.rstrip("/"), f"annotation {_PREFIX}job-workdir")


def refuse_workdir(workdir: str, key: str, root: str) -> None:
    """Reject a job-workdir whose folder for the pod is in DataRootFolder, or contains it. The job checks links, too.

    There it would be a part of pods' folders, which containers must not reach. Raises InvalidRequest.
    """
    if not workdir or not root.startswith("/"):
        return  # below the home folder: only the job knows where that is
    folder = PurePosixPath(workdir, key)
    if folder.is_relative_to(root) or PurePosixPath(root).is_relative_to(folder):
        raise InvalidRequest(
            f"invalid annotation {_PREFIX}job-workdir '{workdir}': must not be in DataRootFolder, {root}"
        )


def _throttle(text: str) -> str:
    if text and not _THROTTLE.fullmatch(text):
        raise InvalidRequest(
            f"invalid annotation {_PREFIX}array-throttle '{text[:_SHOWN_FLAGS]}': must be the number of tasks of a job "
            "array that may run at once, 1 or more"
        )
    return text


_THROTTLE = re.compile("[1-9][0-9]{0,6}")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError as error:
        raise InvalidRequest(f"invalid annotation {_INTERLINK}pod-ip '{text}': must be an IP address") from error


def _unknown(given: Mapping[str, str], ours: frozenset[str]) -> Iterator[str]:
    by_prefix = dict.fromkeys(_PREFIXES, ours)
    by_prefix[_INTERLINK] = WRITTEN_BY_VIRTUAL_KUBELET | _READ_BY_VIRTUAL_KUBELET
    for key in given:
        prefix, slash, name = key.partition("/")
        known = by_prefix.get(prefix + slash)
        if known is not None and name not in known:
            begin = name.lower()[:_SHOWN_FLAGS]
            nearest = difflib.get_close_matches(begin, sorted(known), n=1, cutoff=0)[0]
            shown = key[:_SHOWN_FLAGS]
            yield f"unknown annotation {shown} has no effect: did you mean {prefix}/{nearest}?"


def _unexpanded(ours: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(ours.keys() - _SHELL - {"flags"}):
        if "$" in ours[name] or "`" in ours[name]:
            yield f"annotation {_PREFIX}{name} is not expanded by a shell: $ and ` in it have no effect"
