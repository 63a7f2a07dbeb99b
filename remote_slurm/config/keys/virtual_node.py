"""Keys for the virtual node in Kubernetes."""

from typing import ClassVar

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from remote_slurm.config.block import Block, KeyGroup, setting
from remote_slurm.config.path_types import SitePath
from remote_slurm.config.scalar_types import Effect, Namespace, OneLine, Quantity


class Accelerator(Block):
    """A kind of accelerator that the ping reports."""

    model_config = ConfigDict(alias_generator=to_camel)

    resource_type: OneLine = Field(description="Kubernetes resource name, such as nvidia.com/gpu.")
    available: Quantity = Field(description="Total number of accelerators of this type.")


class Resources(Block):
    """What the ping reports as the node's capacity, in place of the totals that sinfo gives."""

    model_config = ConfigDict(alias_generator=to_camel)

    cpu: Quantity | None = setting(None, "Total number of CPUs.")
    memory: Quantity | None = setting(None, "Total memory, such as 512Gi.")
    pods: Quantity | None = setting(None, "Maximum number of pods.")
    accelerators: tuple[Accelerator, ...] = setting((), "GPUs and other accelerators.")


class Taint(Block):
    """A taint of the virtual node."""

    model_config = ConfigDict(alias_generator=to_camel)

    key: OneLine = Field(description="Key of the taint.")
    value: OneLine = setting("", "Value of the taint.")
    effect: Effect = Field(description="NoSchedule, PreferNoSchedule or NoExecute.")


class VirtualNodeKeys(KeyGroup):
    """What the virtual node accepts, and what the ping reports."""

    title: ClassVar[str] = "Virtual node"

    namespace: Namespace = setting(
        "", "Accept pods of this Kubernetes namespace only. Empty: accept pods of all namespaces."
    )
    taints: tuple[Taint, ...] = setting((), "Taints of the virtual node. The ping returns them to interLink.")
    resources: Resources = Field(
        default_factory=Resources,
        description="Capacity of the virtual node, in place of the totals that sinfo reports.",
    )
    resource_script_path: SitePath = setting(
        "",
        "Script at the site that prints the reply to the ping as JSON. A relative path starts at the home "
        "directory there.",
    )
