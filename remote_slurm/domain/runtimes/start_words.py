"""Words around the command line of a container, which are the same for all runtimes."""

from __future__ import annotations

from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.shell import Hidden, Variable


def command_prefix(start: ContainerStart) -> Command:
    """Return what the pod's annotations put in front of the program; `prefixed` is a function of job/annotations.sh."""
    prefixed: Line = ("prefixed", Hidden(start.annotations.commands)) if start.annotations.commands else ()
    if start.mpi_flags is None:
        return (prefixed,)
    return (prefixed, ("mpiexec", "-np", Variable("SLURM_NTASKS", "1"), *start.mpi_flags))


def with_env_words(start: ContainerStart, lines: Command) -> Command:
    """Set the variables of the shell itself in front of the command, which is the last line."""
    if not start.setup.env_words:
        return lines
    *before, command = lines
    return (*before, ("env", *start.setup.env_words), command)


def with_carrier(start: ContainerStart, lines: Command, index: int, kept: str = "") -> Command:
    """Let the runner put the carrier in front of line `index`: it sets the variables that no shell can hold.

    `kept` is as in ContainerRuntime.kept_variables.
    """
    if not start.setup.carried_file:
        return lines
    position = sum(len(line) for line in lines[:index])
    return (("with_env", start.setup.carried_file, f"kept={kept}", f"at={position}"), *lines)


def flat(lines: Command) -> Line:
    return tuple(word for line in lines for word in line)


def without_empty(lines: Command) -> Command:
    return tuple(line for line in lines if line)
