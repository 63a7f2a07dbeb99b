"""The runtimes that ContainerRuntime in SlurmConfig.yaml can select.

A new runtime is a file of this folder, its class here, and its part of the job's shell (job/<name>.sh). The rules for
container runtimes in docs/contributing.md list the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.plan.annotations import AnnotationNames
from remote_slurm.domain.runtimes.apptainer import Apptainer
from remote_slurm.domain.runtimes.enroot import Enroot
from remote_slurm.domain.runtimes.on_node import OnNode
from remote_slurm.domain.runtimes.podman import Podman, PodmanHPC
from remote_slurm.domain.runtimes.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Runtimes:
    """Runtimes by the values of ContainerRuntime."""

    classes: tuple[type[Runtime], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The values of ContainerRuntime."""
        return tuple(name for each in self.classes for name in each.names)

    @property
    def annotations(self) -> AnnotationNames:
        return AnnotationNames(tuple(each.annotations for each in self.classes if each.annotations))

    def configure(self, config: Config) -> Runtime:
        """Return the runtime that the configuration selects; semantic_checks.py has refused unknown names."""
        return next(each for each in self.classes if config.container_runtime in each.names).configure(config)


RUNTIMES = Runtimes((Apptainer, Enroot, Podman, PodmanHPC, OnNode))
