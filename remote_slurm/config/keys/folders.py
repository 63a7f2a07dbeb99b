"""Keys for folders, and for how files reach the compute nodes."""

import os
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ValidationInfo, field_validator

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.host_defaults import Machine, default_state_folder
from remote_slurm.config.path_types import LocalPath, SiteFolder
from remote_slurm.config.scalar_types import Boolean, Bytes, seconds

KeepFinished = Annotated[float, BeforeValidator(seconds(0, maximum=366 * 86_400))]


class FolderKeys(KeyGroup):
    """Where files are, at the site and on this machine."""

    title: ClassVar[str] = "Folders and files"

    data_root_folder: SiteFolder = setting(
        ".interlink/jobs",
        "Folder for pods at the site. A relative path starts at the home directory there. Login and compute nodes "
        "use this path, which may be a link on some of them.",
    )
    state_folder: LocalPath = setting(
        "",
        "Local folder for accepted deletes that are not yet carried out at the site. Default: "
        "$XDG_STATE_HOME/remote-slurm; otherwise /var/lib/remote-slurm for root, and ~/.local/state/remote-slurm "
        "for other users.",
    )
    keep_finished: KeepFinished = setting(
        0.0,
        "Seconds to keep the folder and the logs of a finished pod at the site. 0: keep them until the pod is "
        "deleted in Kubernetes.",
    )
    shared_fs: Boolean = setting(
        default=True,
        description="Whether compute nodes see DataRootFolder. If false, each batch script carries all files "
        "to its node, states come back in the comment of the job, and logs through srun.",
        key="SHARED_FS",
        environment="SHARED_FS",
    )
    secrets_in_script: Boolean = setting(
        default=False,
        description="With SHARED_FS: false, allow Secrets in batch scripts. Slurm stores batch scripts in its "
        "own state.",
    )
    max_script_size: Bytes = setting(
        4 << 20,
        "With SHARED_FS: false, maximum size of a batch script, as a quantity: max_script_size in slurm.conf.",
    )
    fetch_seconds: Annotated[float, BeforeValidator(seconds(0))] = setting(
        60.0,
        "With SHARED_FS: false, maximum number of seconds that an ended job waits on its node until its logs are "
        "fetched.",
    )
    export_pod_data: Boolean = setting(
        default=True,
        description="Send ConfigMaps and Secrets to the site. If false, pods that need one are rejected.",
    )

    @field_validator("state_folder", mode="before")
    @classmethod
    def _of_this_machine(cls, folder: Any, info: ValidationInfo) -> Any:
        return folder or (
            info.context.state_folder if isinstance(info.context, Machine) else default_state_folder(os.environ)
        )
