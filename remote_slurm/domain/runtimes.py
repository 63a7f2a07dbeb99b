"""What starts a container: the words of its runtime's table, in one order for all of them, and what comes before."""

from __future__ import annotations

from dataclasses import replace

from remote_slurm.config import Config, ContainerRuntime
from remote_slurm.domain.apptainer import Apptainer
from remote_slurm.domain.enroot import Enroot
from remote_slurm.domain.environment import odd_entries, shell_lines
from remote_slurm.domain.messages import checked_path, message_file
from remote_slurm.domain.podman import Podman
from remote_slurm.domain.preparing import Spell, Variables
from remote_slurm.domain.resources import gpu_vendor
from remote_slurm.domain.shell import Variable
from remote_slurm.domain.started import Command, Line, Runtime, Started
from remote_slurm.domain.volumes import Mount
from remote_slurm.errors import Rejected


def runtime_of(config: Config) -> Runtime | None:
    """The table of ContainerRuntime; None where commands run on the node itself."""
    match config.container_runtime:
        case ContainerRuntime.NONE:
            return None
        case ContainerRuntime.ENROOT:
            return Enroot(config)
        case ContainerRuntime.PODMAN | ContainerRuntime.PODMAN_HPC:
            return Podman(config)
        case _:
            return Apptainer(config)


def variables_of(runtime: Runtime | None) -> Spell:
    """How the variables of containers are written into files."""
    return runtime.variables if runtime else _on_node_variables


def _on_node_variables(variables: Variables) -> tuple[bytes, bytes]:
    return shell_lines(variables.values), odd_entries(variables.values)


def container_command(start: Started, runtime: Runtime | None) -> Command:
    """The words that the runner executes, grouped into lines for the reader. Raises Rejected."""
    front = _in_front(start)
    if runtime is None:
        return _filled(_with_odd_names(start, _on_node(start, front)))
    said = _said(start, runtime)
    if runtime.inside:
        return _filled(_with_odd_names(start, (*front, *said)))
    return _filled((*_with_odd_names(start, (*front, ())), *said))


def _filled(lines: Command) -> Command:
    return tuple(line for line in lines if line)


def _said(start: Started, runtime: Runtime) -> Command:
    container = start.container
    *before, opening = runtime.opening(start)
    return (
        *before,
        (*opening, *runtime.gpu(gpu_vendor(container))),
        runtime.folders(start),
        runtime.working_directory(start),
        runtime.annotated(start.annotations),  # of two words for the same thing, the later one counts
        *runtime.environment(start),
        *(runtime.bind(mount) for mount in (*start.prepared.mounts, *message_mounts(start, runtime))),
        runtime.image(start),
        runtime.command(start),
    )


def message_mounts(start: Started, runtime: Runtime | None) -> tuple[Mount, ...]:
    """How the container gets at its termination message; nothing, where it cannot. Raises Rejected."""
    checked_path(start.container)
    return runtime.message(start.container, message_file(start.container)) if runtime else ()


def world(start: Started, runtime: Runtime | None) -> Line:
    """How a command comes into the container's world (job/world.sh), and the words before it."""
    if runtime is None:
        on_node: Command = (("on_node", start.prepared.env_file, start.container.working_dir), ())
        return "alike", *_words(_with_odd_names(start, on_node))
    if entering := runtime.entering(start):
        return "entered", *entering
    prepared = replace(start.prepared, container=start.container.model_copy(update={"command": ("",)}), init=True)
    *lines, _ = _said(replace(start, prepared=prepared), runtime)
    return "joined", *_words(_with_odd_names(start, (*lines, ())))


def _words(lines: Command) -> Line:
    return tuple(word for line in lines for word in line)


def _with_odd_names(start: Started, lines: Command) -> Command:
    """Variables that no shell can hold reach what the last line says as words of `env`.

    The runner reads them from a file and puts them there, so that they stand in no script.
    """
    if not start.prepared.odd_env_file:
        return lines
    *before, command = lines
    before.append(("env",))
    place = sum(len(line) for line in before)
    return (("with_env", start.prepared.odd_env_file, str(place)), *before, command)


def _in_front(start: Started) -> Command:
    """What the pod's annotations put in front of the program; `prefixed` is a function of job/annotations.sh."""
    prefixed: Line = ("prefixed", start.annotations.commands) if start.annotations.commands else ()
    if start.mpi_flags is None:
        return (prefixed,)
    return (prefixed, ("mpiexec", "-np", Variable("SLURM_NTASKS", "1"), *start.mpi_flags))


def _on_node(start: Started, front: Command) -> Command:
    container = start.container
    if not container.command:
        raise Rejected(
            f"container '{container.name}' has no command, and with ContainerRuntime: none there is no image "
            "to take one from: give it one"
        )
    return (
        ("on_node", start.prepared.env_file, container.working_dir),
        *front,
        (*container.command, *container.args),
    )
