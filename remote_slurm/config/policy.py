"""The blocks Policy and Policies: what pods may request from the site."""

import re
from typing import Annotated

from pydantic import BeforeValidator

from remote_slurm.config.annotation_names import DATA_ANNOTATIONS, JOB_SCRIPT, TRUSTED_ANNOTATIONS
from remote_slurm.config.block import Block, setting
from remote_slurm.config.path_types import AbsoluteSitePath
from remote_slurm.config.scalar_types import Label, OneLine, SlurmFlag, line_of_text, shown


def flag_name(value: object) -> str:
    """Accept the name of an option of sbatch, with its dashes or without them."""
    name = line_of_text(value).strip()
    if not re.fullmatch(r"-[A-Za-z]|(--)?[a-z][a-z0-9-]+", name):
        raise ValueError(f"must be the name of an option of sbatch, such as qos or -p, not {shown(value)}")
    return name


FlagName = Annotated[str, BeforeValidator(flag_name)]


class Policy(Block):
    """Rules by name. A pod that breaks a rule is rejected with its name. Patterns are as for file names (*, ?)."""

    allowed_annotations: tuple[OneLine, ...] = setting(
        DATA_ANNOTATIONS,
        "Annotations that pods may set, as patterns of the name after the `/`: [flags, flavor, image-root]. "
        "Trusted annotations run outside of containers, as the account. Each of them must be listed by its own "
        f"name, or all by *: {', '.join(TRUSTED_ANNOTATIONS)}, and {JOB_SCRIPT} for scripts in requests.",
    )
    allowed_images: tuple[OneLine, ...] = setting(
        ("*",),
        'Images that pods may use, as patterns: ["docker://registry.example.org/*", "/srv/images/*"].',
    )
    allowed_flags: tuple[FlagName, ...] = setting(
        (),
        "sbatch options that pods may set in addition to those for placement, resources, time and accounting: "
        "[container-image]. Required for options that carry environment, files or programs (export, export-file, "
        "get-user-env, bb, bbf, container, nodefile), and for options of SPANK plugins. With export, pods can run "
        "programs as the account.",
    )
    forced_flags: tuple[SlurmFlag, ...] = setting(
        (), "sbatch options of every job, such as [--account=k8s]. They override all others."
    )
    forbidden_flags: tuple[FlagName, ...] = setting((), "sbatch options that pods must not set: [reservation, -w].")


class PodPolicy(Policy):
    """Rules for the pods of some namespaces or identities, beside those of Policy. What is not listed is refused."""

    namespaces: tuple[OneLine, ...] = setting((), "Namespaces whose pods this entry applies to, as patterns.")
    identities: tuple[Label, ...] = setting((), "Names in Identities whose pods this entry applies to.")
    allowed_annotations: tuple[OneLine, ...] = setting((), "As in Policy. Empty: none.")
    allowed_images: tuple[OneLine, ...] = setting((), "As in Policy. Empty: none.")
    allowed_host_paths: tuple[AbsoluteSitePath, ...] = setting(
        (), "Folders that hostPath volumes may use, within AllowedHostPaths. Empty: none."
    )
