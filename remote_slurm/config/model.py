"""The whole configuration: all groups of keys, with types, defaults and descriptions.

The reference in docs/configuration.md is generated from the groups, by scripts/tables.
"""

from typing import Any, Self

from pydantic import model_validator

from remote_slurm.config.block import KeyGroup
from remote_slurm.config.keys.connection import ConnectionKeys, PollingKeys
from remote_slurm.config.keys.containers import ContainerKeys, ImageKeys, RuntimeKeys
from remote_slurm.config.keys.folders import FolderKeys
from remote_slurm.config.keys.kubernetes import IgnoredKeys, KubernetesKeys
from remote_slurm.config.keys.listening import ListeningKeys
from remote_slurm.config.keys.logging import LogKeys, TraceKeys
from remote_slurm.config.keys.policies import PolicyKeys, VolumeKeys
from remote_slurm.config.keys.resources import ResourceKeys
from remote_slurm.config.keys.slurm import SlurmKeys
from remote_slurm.config.keys.virtual_node import VirtualNodeKeys

_GO_PLUGIN_KEYS = ("InterlinkURL", "InterlinkPort", "SidecarURL", "VKConfigPath")
# In that plugin's example files
_GO_PLUGIN_NAMESPACE = "vk"


# The documentation has the groups in the reverse order: pydantic collects the fields of the last base first
class Config(
    IgnoredKeys,
    KubernetesKeys,
    TraceKeys,
    LogKeys,
    ContainerKeys,
    ImageKeys,
    RuntimeKeys,
    ResourceKeys,
    SlurmKeys,
    VolumeKeys,
    PolicyKeys,
    FolderKeys,
    VirtualNodeKeys,
    ListeningKeys,
    PollingKeys,
    ConnectionKeys,
):
    """The whole configuration. All values are valid."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each key that was set and has no effect."""
        without_effect = (
            (field.alias, field.json_schema_extra["no_effect"])
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict)
            and "no_effect" in field.json_schema_extra
            and getattr(self, name) != field.default
        )
        return (*self._namespace_warning, *(f"{key}: {sentence}" for key, sentence in without_effect))

    @property
    def _namespace_warning(self) -> tuple[str, ...]:
        others = (self.interlink_url, self.interlink_port, self.sidecar_url, self.vk_config_path)
        if not self.namespace or not (self.namespace == _GO_PLUGIN_NAMESPACE or any(others)):
            return ()
        effect = f"pods of namespaces other than {self.namespace} are rejected"
        return (f"Namespace: {effect}; the Go plugin ignores this key: remove it to accept all pods",)

    @property
    def site_address(self) -> str:
        """The account and folder of the pods. It differs between sidecars of different sites."""
        ssh = self.ssh
        return f"{ssh.user}@{','.join(ssh.host_names)}:{ssh.port}/{self.data_root_folder.lstrip('/')}"

    def of_identity(self, name: str) -> Self:
        """The configuration that pods of one of the Identities have."""
        identity = self.identities[name]
        policy = {"forced_flags": (*self.policy.forced_flags, *identity.forced_flags)}
        return self.model_copy(
            update={
                "ssh": identity.ssh.over(self.ssh),
                "data_root_folder": identity.data_root_folder or self.data_root_folder,
                "state_folder": self.state_folder / "identities" / name,
                "policy": self.policy.model_copy(update=policy),
            }
        )

    @property
    def accounts(self) -> dict[str, Self]:
        """The configuration of each account at the site, by the names of Identities; this one, where there are none."""
        return {name: self.of_identity(name) for name in self.identities} or {"": self}

    @model_validator(mode="before")
    @classmethod
    def _keeps_the_go_plugins_default(cls, values: Any) -> Any:
        """A file of the Go plugin, which has keys of interLink itself, gets that plugin's DefaultMemory."""
        if isinstance(values, dict) and any(values.get(key) for key in _GO_PLUGIN_KEYS):
            return {"DefaultMemory": "1M", **values}
        return values


# In the order of the documentation
GROUPS = tuple(base for base in reversed(Config.__bases__) if issubclass(base, KeyGroup))
