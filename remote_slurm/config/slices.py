"""Slices of the configuration: what one module of domain/ needs of SlurmConfig.yaml, made once from `Config`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from remote_slurm.config.identity import Identity
from remote_slurm.config.keys.resources import Flavor
from remote_slurm.config.model import Config
from remote_slurm.config.policy import PodPolicy, Policy
from remote_slurm.config.scalar_types import ImagePull, RunAsUser, UnsupportedVolumes


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """Which account at the site runs a pod."""

    identities: Mapping[str, Identity]
    annotation: str

    @classmethod
    def from_config(cls, config: Config) -> AccountConfig:
        return cls(config.identities, config.identity_annotation)


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """What pods may request. `allowed_host_paths` applies if no entry of Policies narrows it."""

    policy: Policy
    policies: Mapping[str, PodPolicy]
    accounts: AccountConfig
    allowed_host_paths: tuple[str, ...]

    @classmethod
    def from_config(cls, config: Config) -> PolicyConfig:
        return cls(config.policy, config.policies, AccountConfig.from_config(config), config.allowed_host_paths)


@dataclass(frozen=True, slots=True)
class ResourceDefaults:
    """sbatch options for resources, and the defaults of pods that request none. Sizes are in bytes."""

    resource_flags: Mapping[str, str]
    default_cpu: int
    default_memory: int | None
    flavors: Mapping[str, Flavor]
    default_flavor: str

    @classmethod
    def from_config(cls, config: Config) -> ResourceDefaults:
        return cls(
            config.resource_flags, config.default_cpu, config.default_memory, config.flavors, config.default_flavor
        )


@dataclass(frozen=True, slots=True)
class UserConfig:
    """The user id of jobs, and how to handle pods that request another one."""

    run_as_user: RunAsUser
    default_uid: int | None

    @classmethod
    def from_config(cls, config: Config) -> UserConfig:
        return cls(config.run_as_user, config.default_uid)


@dataclass(frozen=True, slots=True)
class VolumeConfig:
    """Which volumes pods may mount, and where they are at the site."""

    allowed_host_paths: tuple[str, ...]
    persistent_volume_claims: Mapping[str, str]
    unsupported: UnsupportedVolumes
    export_pod_data: bool

    @classmethod
    def from_config(cls, config: Config, allowed_host_paths: tuple[str, ...] | None = None) -> VolumeConfig:
        """`allowed_host_paths` are those of the policy that applies to the pod."""
        return cls(
            config.allowed_host_paths if allowed_host_paths is None else allowed_host_paths,
            config.persistent_volume_claims,
            config.unsupported_volumes,
            config.export_pod_data,
        )


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """Where images come from, and the cache at the site. `cache_size` is in bytes; `environment` is the runtime's."""

    prefix: str
    pull: ImagePull
    pull_retries: int
    cache_folder: str
    cache_days: int
    cache_size: int
    environment: Mapping[str, str]
    export_pod_data: bool

    @classmethod
    def from_config(cls, config: Config) -> ImageConfig:
        return cls(
            prefix=config.image_prefix,
            pull=config.image_pull,
            pull_retries=config.image_pull_retries,
            cache_folder=config.image_cache_folder,
            cache_days=config.image_cache_days,
            cache_size=config.image_cache_size,
            environment=config.runtime_environment,
            export_pod_data=config.export_pod_data,
        )


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """How the container runtime of the nodes is started.

    `path_key` is the key that sets `path`; messages name it. `prefix` are words in front of each command.
    """

    name: str
    path: str
    path_key: str
    prefix: tuple[str, ...]
    default_options: tuple[str, ...]
    bash_path: str

    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        default_path: str,
        path_key: str = "RuntimePath",
        path: str | None = None,
        prefix: str = "",
        default_options: tuple[str, ...] = (),
    ) -> RuntimeConfig:
        """Return the keys Runtime..., or else `path`, `prefix` and `default_options`: keys of the runtime itself."""
        own_options = config.runtime_default_options
        return cls(
            name=config.container_runtime,
            path=config.runtime_path or path or default_path,
            path_key="RuntimePath" if config.runtime_path else path_key,
            prefix=tuple(shlex.split(config.runtime_prefix or prefix)),
            default_options=default_options if own_options is None else own_options,
            bash_path=config.bash_path,
        )


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """How files travel to nodes that do not see DataRootFolder. `max_script_size` is in bytes."""

    scontrol_path: str
    srun_path: str
    fetch_seconds: int
    secrets_in_script: bool
    max_script_size: int

    @classmethod
    def from_config(cls, config: Config) -> TransferConfig:
        return cls(
            config.scontrol_path,
            config.srun_path,
            int(config.fetch_seconds),
            config.secrets_in_script,
            config.max_script_size,
        )


@dataclass(frozen=True, slots=True)
class TsocksConfig:
    """The tunnel that gives containers network access. The path and the host may contain variables of the job."""

    enabled: bool
    path: str
    login_node: str

    @classmethod
    def from_config(cls, config: Config) -> TsocksConfig:
        return cls(config.tsocks, config.tsocks_path, config.tsocks_login_node)


@dataclass(frozen=True, slots=True)
class ScriptConfig:
    """What every batch script contains. `max_log_size` is in bytes; `job_variables` are names and patterns."""

    bash_path: str
    command_prefix: str
    job_variables: tuple[str, ...]
    max_log_size: int

    @classmethod
    def from_config(cls, config: Config) -> ScriptConfig:
        return cls(config.bash_path, config.command_prefix, config.job_variables, config.max_log_size)
