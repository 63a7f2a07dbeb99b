"""SlurmConfig.yaml, the environment and `--set` become one frozen, validated `Config`.

::

    file, environment, --set  --layers-->  one tree of text, each value knowing its origin
    tree of text  --model, ssh, values, places-->  Config
    what is wrong  --problems-->  ConfigError: every problem at once, with its key and line

Nothing here reads the files that a configuration names, at the network or at the site: that is what
`remote-slurm check` is for.
"""

from remote_slurm.config.identity import Identity, OwnSSH
from remote_slurm.config.keys.resources import Flavor
from remote_slurm.config.keys.virtual_node import Accelerator, Resources, Taint
from remote_slurm.config.listener import Watch
from remote_slurm.config.load import config_path, load_config
from remote_slurm.config.model import Config
from remote_slurm.config.policy import PodPolicy, Policy
from remote_slurm.config.port_forward import PortForward, Via
from remote_slurm.config.scalar_types import (
    ImagePull,
    JobArrays,
    LogFormat,
    RunAsUser,
    TaintEffect,
    UnsupportedVolumes,
)
from remote_slurm.config.slices import (
    AccountConfig,
    ImageConfig,
    PolicyConfig,
    ResourceDefaults,
    RuntimeConfig,
    ScriptConfig,
    TransferConfig,
    TsocksConfig,
    UserConfig,
    VolumeConfig,
)
from remote_slurm.config.ssh import SSH, JumpHost
from remote_slurm.config.tls import TLS

__all__ = [
    "SSH",
    "TLS",
    "Accelerator",
    "AccountConfig",
    "Config",
    "Flavor",
    "Identity",
    "ImageConfig",
    "ImagePull",
    "JobArrays",
    "JumpHost",
    "LogFormat",
    "OwnSSH",
    "PodPolicy",
    "Policy",
    "PolicyConfig",
    "PortForward",
    "ResourceDefaults",
    "Resources",
    "RunAsUser",
    "RuntimeConfig",
    "ScriptConfig",
    "Taint",
    "TaintEffect",
    "TransferConfig",
    "TsocksConfig",
    "UnsupportedVolumes",
    "UserConfig",
    "Via",
    "VolumeConfig",
    "Watch",
    "config_path",
    "load_config",
]
