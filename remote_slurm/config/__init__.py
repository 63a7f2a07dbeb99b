"""SlurmConfig.yaml, the environment and `--set` become one frozen, validated `Config`.

::

    file, environment, --set  --layers-->  one tree of text, each value knowing its origin
    tree of text  --model, ssh, values, places-->  Config
    what is wrong  --problems-->  ConfigError: every problem at once, with its key and line

Nothing here looks at the files that a configuration names, at the network or at the site: that is what
`remote-slurm check` is for.
"""

from remote_slurm.config.exposure import Watch
from remote_slurm.config.identity import Identity, OwnSSH
from remote_slurm.config.load import config_path, load_config
from remote_slurm.config.model import Accelerator, Config, Flavor, Resources, Taint
from remote_slurm.config.policy import Policy
from remote_slurm.config.ssh import SSH, JumpHost
from remote_slurm.config.tls import TLS
from remote_slurm.config.values import ContainerRuntime, ImagePull, LogFormat, TaintEffect, UnsupportedVolumes

__all__ = [
    "SSH",
    "TLS",
    "Accelerator",
    "Config",
    "ContainerRuntime",
    "Flavor",
    "Identity",
    "ImagePull",
    "JumpHost",
    "LogFormat",
    "OwnSSH",
    "Policy",
    "Resources",
    "Taint",
    "TaintEffect",
    "UnsupportedVolumes",
    "Watch",
    "config_path",
    "load_config",
]
