"""Keys for the container runtime, images, and running containers."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ValidationInfo, field_validator
from pydantic.alias_generators import to_pascal

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.path_types import Command, ImageFolder, LocalPath
from remote_slurm.config.scalar_types import (
    Boolean,
    Bytes,
    Count,
    ImagePull,
    Label,
    OneLine,
    PullPlace,
    SecretKey,
    VariableName,
    Words,
    number,
)


class RuntimeKeys(KeyGroup):
    """The container runtime on the compute nodes."""

    title: ClassVar[str] = "Container runtime"

    container_runtime: Label = setting(
        "singularity",
        "singularity, apptainer, enroot, podman, podman-hpc, or none. singularity and apptainer are the same "
        "program. none runs commands directly on the node.",
    )
    runtime_path: Command | None = setting(
        None,
        "Program of ContainerRuntime on the compute nodes. It overrides SingularityPath, EnrootPath and PodmanPath. "
        "Default: the value of ContainerRuntime.",
    )
    runtime_prefix: Words = setting(
        "",
        "Words before each command of ContainerRuntime. It overrides SingularityPrefix, EnrootPrefix and PodmanPrefix.",
    )
    runtime_default_options: tuple[OneLine, ...] | None = setting(
        None,
        "Options for each container. They override SingularityDefaultOptions, EnrootDefaultOptions and "
        "PodmanDefaultOptions.",
    )
    singularity_path: Command | None = setting(
        None,
        "singularity or apptainer on the compute nodes. Default: the value of ContainerRuntime.",
        environment="SINGULARITYPATH",
    )
    singularity_prefix: Words = setting("", "Words before each singularity command, such as `nice -n 5`.")
    singularity_default_options: tuple[OneLine, ...] = setting(
        (), "Options for each singularity command, after the options that are always given."
    )
    enroot_path: Command = setting("enroot", "enroot on the compute nodes.")
    enroot_prefix: Words = setting("", "Words before each enroot command.")
    enroot_default_options: tuple[OneLine, ...] = setting(("--rw",), "Options for each `enroot start`.")
    podman_path: Command | None = setting(
        None, "podman or podman-hpc on the compute nodes. Default: the value of ContainerRuntime."
    )
    podman_prefix: Words = setting("", "Words before each podman command.")
    podman_default_options: tuple[OneLine, ...] = setting(
        (), "Options for each `podman run`, after the options that are always given."
    )
    runtime_environment: Mapping[VariableName, OneLine] = setting(
        {},
        "Environment variables for the container runtime, at the login node and in jobs: APPTAINER_CACHEDIR, "
        "APPTAINER_TMPDIR, ENROOT_CACHE_PATH, STORAGE_DRIVER. By default, caches and temporary folders of the "
        "runtime are in ImageCacheFolder.",
    )


class ImageKeys(KeyGroup):
    """Where images come from, and where they are cached."""

    title: ClassVar[str] = "Images"

    image_prefix: OneLine = setting(
        "", "Prefix for image names that have no scheme and no leading /. Empty: docker://."
    )
    image_pull: PullPlace = setting(
        ImagePull.NODE,
        "Where to pull images from a registry. node: in the job. login: on the login node, before the job is "
        "submitted. never: use only images in ImageCacheFolder.",
    )
    image_pull_retries: Annotated[int, BeforeValidator(number(0, 100))] = setting(
        3, "Number of retries of a failed pull, after 10, 20, 40, ... s. Then its containers fail."
    )
    image_pull_secrets: Mapping[SecretKey, LocalPath] = setting(
        {},
        "Local paths of files that hold the .dockerconfigjson of imagePullSecrets, by `namespace/secret`, "
        "`secret`, or `*` for all others. The Virtual Kubelet does not send these Secrets.",
    )
    image_cache_folder: ImageFolder = setting(
        "",
        "Folder at the site for images, shared by all pods. Compute nodes must see it. Default: "
        ".remote-slurm/images in DataRootFolder.",
    )
    image_cache_days: Count = setting(30, "Days after which an unused image is removed from the cache.")
    image_cache_size: Bytes = setting(
        100 << 30,
        "Maximum size of the cache, as a quantity. After a pull, the least recently used images are removed.",
    )

    @field_validator("image_pull")
    @classmethod
    def _where_nodes_see_it(cls, place: ImagePull, info: ValidationInfo) -> ImagePull:
        if place is ImagePull.LOGIN and info.data.get("shared_fs") is False:
            raise ValueError("login requires SHARED_FS: true: use node or never")
        return place


class ContainerKeys(KeyGroup):
    """How containers run."""

    title: ClassVar[str] = "Running containers"

    enable_probes: Boolean = setting(
        default=False,
        description="Run startup, readiness and liveness probes. If false, pods with probes get a warning, "
        "and a container is ready when it runs.",
    )
    tsocks_path: OneLine = setting(
        "",
        "libtsocks.so on the compute nodes. The path may contain variables that jobs have, such as $WORK.",
        environment="TSOCKSPATH",
    )
    tsocks_login_node: OneLine = setting(
        "",
        "Host with network access that compute nodes reach by SSH, as user@host or host. Jobs use the account's "
        "own key at the site.",
    )
    tsocks: Boolean = setting(
        default=False,
        description="Give containers network access through a SOCKS tunnel from the node to TsocksLoginNode.",
        environment="TSOCKS",
    )
    max_log_size: Bytes = setting(
        1 << 30,
        "Maximum size of a container log at the site, as a quantity. A larger log is truncated, with a notice.",
    )

    @field_validator("tsocks")
    @classmethod
    def _with_all_it_needs(cls, tsocks: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        missing = [key for key in ("tsocks_path", "tsocks_login_node") if not info.data.get(key, "wrong")]
        if tsocks and missing:
            raise ValueError(f"requires {' and '.join(to_pascal(key) for key in missing)}")
        return tsocks
