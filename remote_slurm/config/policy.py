"""The block Policy: what a pod may ask of the site, whoever may create pods."""

import re
from typing import Annotated

from pydantic import BeforeValidator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.values import Line, SlurmFlag, line_of_text, shown


def flag_name(value: object) -> str:
    """Accept the name of an option of sbatch, with its dashes or without them."""
    name = line_of_text(value).strip()
    if not re.fullmatch(r"-[A-Za-z]|(--)?[a-z][a-z0-9-]+", name):
        raise ValueError(f"must be the name of an option of sbatch, such as qos or -p, not {shown(value)}")
    return name


FlagName = Annotated[str, BeforeValidator(flag_name)]


class Policy(Block):
    """Rules by name: a pod that breaks one is refused, and told which one. Patterns are those of file names (*, ?)."""

    allowed_annotations: tuple[Line, ...] = setting(
        ("*",),
        "The annotations that pods may set, as patterns of their names behind the `/`: [flags, flavor, image-root]. "
        "pre-exec, singularity-commands and wstunnel-client-commands run shell as the account.",
    )
    allowed_images: tuple[Line, ...] = setting(
        ("*",),
        "The images that pods may run, as patterns of what the runtime is asked for: "
        '["docker://registry.example.org/*", "/srv/images/*"].',
    )
    forced_flags: tuple[SlurmFlag, ...] = setting(
        (), "Options of sbatch that every job has, [--account=k8s]: they win over all others."
    )
    forbidden_flags: tuple[FlagName, ...] = setting(
        (), "Options of sbatch that the flags of a pod may not name: [reservation, -w]."
    )
