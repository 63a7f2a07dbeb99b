"""The annotations of pods, declared once: their names, and what each of them is.

AllowedAnnotations, the parser in domain/plan/annotations.py and the messages are derived from the table.

Each annotation is either trusted or data. Trusted ones are shell of the account, or options of the container runtime
that can do as much: a pod may set them only if AllowedAnnotations names them. The others are data: they are parsed,
every word is checked, the rules for images and paths apply to them, and no shell reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What the value of an annotation can do."""

    DATA = auto()
    SHELL = auto()  # trusted: runs as the account, outside of containers
    OPTIONS = auto()  # trusted: options of the container runtime


class Writer(Enum):
    """Who sets an annotation."""

    USER = auto()  # slurm-job.vk.io/NAME, or slurm-job.knoc.io/NAME
    VIRTUAL_KUBELET = auto()  # interlink.eu/NAME


@dataclass(frozen=True, slots=True)
class KnownAnnotation:
    """One annotation; `name` is without the prefix. `runtime` is the container runtime that it is for, if only one."""

    name: str
    kind: Kind = Kind.DATA
    writer: Writer = Writer.USER
    runtime: str = ""

    @property
    def is_trusted(self) -> bool:
        return self.kind is not Kind.DATA


# A new runtime has a row for each of its annotations, which RuntimeAnnotations in its class names: a test compares them
KNOWN_ANNOTATIONS = (
    KnownAnnotation("array-throttle"),
    KnownAnnotation("flags"),
    KnownAnnotation("flavor"),
    KnownAnnotation("image-root"),
    KnownAnnotation("job-workdir"),
    KnownAnnotation("no-clean-workdir"),
    KnownAnnotation("mpi-flags"),
    KnownAnnotation("pre-exec", Kind.SHELL),
    KnownAnnotation("singularity-commands", Kind.SHELL),
    KnownAnnotation("singularity-mounts", runtime="singularity"),
    KnownAnnotation("singularity-options", Kind.OPTIONS, runtime="singularity"),
    KnownAnnotation("enroot-mounts", runtime="enroot"),
    KnownAnnotation("enroot-options", Kind.OPTIONS, runtime="enroot"),
    KnownAnnotation("pod-ip", writer=Writer.VIRTUAL_KUBELET),
    KnownAnnotation("wireguard-client-snippet", writer=Writer.VIRTUAL_KUBELET),
    KnownAnnotation("wstunnel-client-commands", Kind.SHELL, Writer.VIRTUAL_KUBELET),
)

DATA_ANNOTATIONS = tuple(each.name for each in KNOWN_ANNOTATIONS if not each.is_trusted)
TRUSTED_ANNOTATIONS = tuple(each.name for each in KNOWN_ANNOTATIONS if each.is_trusted)

# A field of the request, and no annotation: AllowedAnnotations names it like a trusted one
JOB_SCRIPT = "jobScript"
