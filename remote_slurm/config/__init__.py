"""SlurmConfig.yaml, the environment and `--set` become one frozen, validated `Config`.

::

    file, environment, --set  --layers-->  one tree of text  --model, ssh, values-->  Config
                                             each value knows where it came from  --problems-->  ConfigError

Everything that can be wrong in a configuration is found here, at once, and said with its key and line. Nothing here
looks at the files that a configuration names, at the network or at the site: that is for `remote-slurm check`.
"""

from remote_slurm.config.load import load_config
from remote_slurm.config.model import Accelerator, Config, Flavor, Resources, Taint
from remote_slurm.config.ssh import SSH, JumpHost
from remote_slurm.config.values import ContainerRuntime, TaintEffect

__all__ = [
    "SSH",
    "Accelerator",
    "Config",
    "ContainerRuntime",
    "Flavor",
    "JumpHost",
    "Resources",
    "Taint",
    "TaintEffect",
    "load_config",
]
