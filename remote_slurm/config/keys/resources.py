"""Keys for the resources of jobs, for flavors and for user ids."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ValidationInfo, field_validator

from remote_slurm.config.block import Block, KeyGroup, setting
from remote_slurm.config.scalar_types import (
    Count,
    FlavorMemory,
    MemoryOrNone,
    OneLine,
    ResourceFlag,
    RunAsUser,
    SlurmFlag,
    UserId,
    UserRule,
    factor,
    number,
)


class Flavor(Block):
    """A named set of defaults for pods."""

    name: OneLine = setting("", "Display name. Pods select a flavor by its key in Flavors.")
    description: OneLine = setting("", "Purpose of the flavor.")
    cpu_default: Annotated[int, BeforeValidator(number(0, 1_000_000))] = setting(0, "CPUs for pods that request none.")
    memory_default: FlavorMemory = setting(
        0, "Memory for pods that request none: 16G or 32000M in powers of 1024, or a number of bytes."
    )
    uid: UserId | None = setting(None, "User id of the jobs, as in DefaultUID.")
    slurm_flags: tuple[SlurmFlag, ...] = setting((), "sbatch options.")


class ResourceKeys(KeyGroup):
    """Defaults for pods, and how resources become sbatch options."""

    title: ClassVar[str] = "Resources, flavors and users"

    default_cpu: Count = setting(1, "CPUs for pods that request none.")
    default_memory: MemoryOrNone = setting(
        "none",
        "Memory for pods that request none, as a quantity: 1M is 1000000 bytes, 1Mi is 1048576 bytes. none: pass no "
        "memory option, so that the default of the partition applies (DefMemPerCPU, DefMemPerNode). In a file of the "
        "Go plugin (one that sets InterlinkURL, InterlinkPort, SidecarURL or VKConfigPath), the default is 1M.",
    )
    resource_flags: Mapping[str, ResourceFlag] = setting(
        {},
        "sbatch options for Kubernetes resources, by resource name, with {count} or {mib} (the amount in MiB): "
        "`example.com/fpga: --gres=fpga:{count}`. none: request nothing from Slurm. Defaults: --gres=gpu:{count} "
        "for nvidia.com/gpu and amd.com/gpu, --cpus-per-task={count} for cpu, --mem={mib}M for memory. Sites that "
        "reject memory options need `memory: none`.",
    )
    capacity_factor: Annotated[float, BeforeValidator(factor)] = setting(
        1.0,
        "Factor for the capacity that sinfo reports. With 1, pods that exceed the capacity wait in Kubernetes. "
        "With a larger factor they wait in Slurm, where backfill and fair share apply to them.",
    )
    flavors: Mapping[str, Flavor] = setting(
        {},
        "Named sets of defaults for pods. The annotation slurm-job.vk.io/flavor selects a flavor. Otherwise a "
        "flavor with the same number of GPUs applies, then DefaultFlavor.",
    )
    default_flavor: OneLine = setting("", "Flavor of pods for which no other flavor applies.")
    default_uid: UserId | None = setting(
        None,
        "User id of jobs, unless a flavor (UID) or the pod (runAsUser) sets one. It must be the user id of the "
        "SSH account; pods that request another user id are rejected, because sbatch --uid requires root.",
        key="DefaultUID",
    )
    run_as_user: UserRule = setting(
        RunAsUser.REFUSE,
        "How to handle a pod with a runAsUser other than the account's user id, or with an fsGroup. refuse: "
        "reject the pod. ignore: run it, with a warning. Under podman its containers show that user id, under "
        "other runtimes the account's. Files always belong to the account.",
    )

    @field_validator("default_flavor")
    @classmethod
    def _names_a_flavor(cls, name: str, info: ValidationInfo) -> str:
        flavors = info.data.get("flavors")
        if name and flavors and name not in flavors:
            raise ValueError(f"must be one of Flavors ({', '.join(flavors)}), not {name!r}")
        return name
