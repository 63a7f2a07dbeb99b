"""A runtime that no site has: all that a further one takes, which is a class and a part of the job's shell."""

from dataclasses import dataclass
from typing import ClassVar

from remote_slurm.domain.plan.annotation_mounts import RuntimeAnnotations
from remote_slurm.domain.plan.container_setup import EncodedVariables, Variables
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.pod.environment import shell_lines
from remote_slurm.domain.runtimes.container_runtime import ContainerRuntime
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.images import Image
from remote_slurm.domain.runtimes.registry import RUNTIMES, Runtimes
from remote_slurm.domain.shell import Call
from remote_slurm.job import SCRIPTS


@dataclass(frozen=True)
class Toy(ContainerRuntime):
    names: ClassVar[tuple[str, ...]] = ("toy", "toy-hpc")
    annotations: ClassVar[RuntimeAnnotations] = RuntimeAnnotations("toy", mount_options=("--mount",))
    image_suffix: ClassVar[str] = ".toy"
    shell_part: ClassVar[str] = "toy"

    def encode_variables(self, variables: Variables) -> EncodedVariables:
        return EncodedVariables(shell_lines(variables.values))

    def storage_calls(self) -> tuple[Call, ...]:
        return (("toy_storage",),)

    def image_config_calls(self, start: ContainerStart) -> tuple[Call, ...]:
        return (("image_config", start.image.place, "own", *self.program),)

    def start_command(self, start: ContainerStart) -> Command:  # noqa: ARG002 - the interface
        return ((*self.program, "run", *self.config.default_options),)

    def environment_options(self, start: ContainerStart) -> Command:
        return ((f"--env={start.setup.env_file}",),)

    def mount_options(self, mount: Mount) -> Line:
        return ("--mount", f"{mount.source}={mount.target}")

    def image_argument(self, start: ContainerStart) -> Line:
        return (start.image.place,)

    def pull_command(self, image: Image) -> Line:
        return (*self.program, "pull", "@", image.name)


# job/toy.sh
TOY_PART = rb"""# What the toy does in its own way.

use_toy() {
    runtime=toy
}

toy_storage() {
    say "the toy is unpacked"
}

toy_is_log_line() {
    [[ $1 == '9 toy: '* ]]
}

toy_is_start_error() {
    [[ $1 == '9 toy: '* ]]
}

toy_lacks_working_dir() {
    [[ $1 == *'no such folder'* ]]
}

toy_mount_working_dir() {
    toy_mount=$1:$2
}

toy_adjust_command() {
    words+=(${toy_mount+"$toy_mount"})
}

toy_read_image_config() {
    image_stop=$("${@:2}" signal "$1")
}

toy_pass_variable() {
    export "TOY_$1=$2"
}

toy_end_container() {
    echo "$1" >>ended
}

toy_close() {
    say "the toy is put away"
}
"""
WITH_TOY = Runtimes((*RUNTIMES.classes, Toy))
SCRIPTS_WITH_TOY = {**SCRIPTS, "toy.sh": TOY_PART}
