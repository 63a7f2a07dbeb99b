"""All keys of SlurmConfig.yaml, with types, defaults and descriptions: the reference is generated from here.

A check that looks at two keys belongs to the one that is declared later, and so runs where others are wrong.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel, to_pascal

from remote_slurm.config.block import Block, setting
from remote_slurm.config.exposure import Watch, keeps_strangers_out
from remote_slurm.config.identity import Identity
from remote_slurm.config.machine import Machine, default_state_folder
from remote_slurm.config.places import (
    STORAGE_CLASS,
    AbsoluteSitePath,
    Address,
    ClaimKey,
    ClaimPath,
    Collector,
    Command,
    ImageFolder,
    Kubeconfig,
    ListenPort,
    LocalPath,
    Shebang,
    SiteFolder,
    SitePath,
    SocketMode,
    SocketPath,
    is_loopback,
)
from remote_slurm.config.policy import Policy
from remote_slurm.config.ssh import SSH
from remote_slurm.config.tls import TLS
from remote_slurm.config.values import (
    Bytes,
    ContainerRuntime,
    Count,
    Effect,
    Flag,
    FlavorMemory,
    Format,
    ImagePull,
    Label,
    Line,
    LogFormat,
    MemoryOrNone,
    Namespace,
    PullPlace,
    Quantity,
    ResourceFlag,
    Runtime,
    SecretKey,
    SlurmFlag,
    Switch,
    Text,
    UnsupportedVolumes,
    UserId,
    VariableName,
    VolumeRule,
    Words,
    number,
    seconds,
)

_INTERLINKS_OWN = "belongs to interLink's own configuration and has no effect here"


class Accelerator(Block):
    """A kind of accelerator that the ping reports."""

    model_config = ConfigDict(alias_generator=to_camel)

    resource_type: Line = Field(description="The Kubernetes resource name, such as nvidia.com/gpu.")
    available: Quantity = Field(description="How many there are in all.")


class Resources(Block):
    """What the ping reports as the node's capacity, in place of the totals that sinfo gives."""

    model_config = ConfigDict(alias_generator=to_camel)

    cpu: Quantity | None = setting(None, "CPUs in all.")
    memory: Quantity | None = setting(None, "Memory in all, such as 512Gi.")
    pods: Quantity | None = setting(None, "Pods in all.")
    accelerators: tuple[Accelerator, ...] = setting((), "GPUs and the like.")


class Taint(Block):
    """A taint of the virtual node."""

    model_config = ConfigDict(alias_generator=to_camel)

    key: Line = Field(description="The taint's key.")
    value: Line = setting("", "The taint's value.")
    effect: Effect = Field(description="What it does: NoSchedule, PreferNoSchedule or NoExecute.")


class Flavor(Block):
    """A named set of defaults for pods."""

    name: Line = setting("", "A name for people; pods choose a flavor by its key in Flavors.")
    description: Line = setting("", "What it is for.")
    cpu_default: Annotated[int, BeforeValidator(number(0, 1_000_000))] = setting(0, "CPUs of a pod that asks for none.")
    memory_default: FlavorMemory = setting(
        0, "Memory of a pod that asks for none: 16G or 32000M in powers of 1024, or bytes."
    )
    uid: UserId | None = setting(None, "The user id to run as: see DefaultUID.")
    slurm_flags: tuple[SlurmFlag, ...] = setting((), "Options of sbatch.")


KeepFinished = Annotated[float, BeforeValidator(seconds(0, most=366 * 86_400))]


class Config(Block):
    """The whole configuration, validated: whoever holds one may trust it."""

    # Reaching the site
    ssh: SSH = Field(alias="SSH", description="How the site is reached: HostName, User and IdentityFile at least.")
    poll_interval: Annotated[float, BeforeValidator(seconds(1))] = setting(
        10.0, "Seconds between two squeue at the site, however many pods there are."
    )

    orphan_grace_period: Annotated[float, BeforeValidator(seconds(0))] = setting(
        0.0,
        "Seconds after which a job is cancelled whose pod Kubernetes does not ask for while it asks for others, at "
        "least 120; 0: such jobs are only listed, in /system-info and by `remote-slurm status`.",
    )

    # Listening
    sidecar_port: ListenPort = setting(
        4000, "The TCP port that interLink talks to; 0 takes any free one.", environment="SIDECARPORT"
    )
    socket: SocketPath | None = setting(
        None, "Listen on this unix socket instead of a TCP port, as unix:///path/of/the.sock."
    )
    tls: TLS = Field(
        default_factory=TLS, alias="TLS", description="HTTPS on the TCP port: CertFile, KeyFile and ClientCAFile."
    )
    token_file: LocalPath | None = setting(
        None,
        "Who asks must show a token of this file, on this machine: `Authorization: Bearer <token>`. One a line, read "
        "again when the file changes.",
    )
    allow_unauthenticated: Flag = setting(
        default=False,
        description="Listen where others can reach it without showing anything, though whoever does can run shell.",
    )
    socket_mode: SocketMode = setting(
        "0600",
        "The file mode of the Socket: 0660 opens it to a group. One that everybody may write to needs a TokenFile or "
        "AllowUnauthenticated: true.",
    )
    bind_address: Address = setting(
        "127.0.0.1",
        "The address to listen on. One that other machines can reach needs a TokenFile, TLS.ClientCAFile or "
        "AllowUnauthenticated: true.",
    )
    watch: Watch = Field(
        default_factory=Watch, description="A second TCP port, for people and Prometheus: Port, BindAddress and more."
    )
    max_request_size: Bytes = setting(
        64 << 20,
        "The largest request that is read, as a quantity: ConfigMaps and Secrets travel in requests.",
    )
    namespace: Namespace = setting("", "Accept only pods of this Kubernetes namespace; empty: of all of them.")
    taints: tuple[Taint, ...] = setting((), "Taints of the virtual node, sent with the ping's answer.")
    resources: Resources = Field(
        default_factory=Resources, description="What the ping reports instead of the totals from sinfo."
    )
    resource_script_path: SitePath = setting(
        "", "A script at the site whose JSON answers the ping; relative: below the home directory there."
    )

    # Folders
    data_root_folder: SiteFolder = setting(
        ".interlink/jobs", "The folder for pods at the site; relative: below the home directory there."
    )
    state_folder: LocalPath = setting(
        "",
        "The folder on this machine for deletes that the site has not seen yet. Default: "
        "$XDG_STATE_HOME/remote-slurm; for root /var/lib/remote-slurm, else ~/.local/state/remote-slurm.",
    )
    keep_finished: KeepFinished = setting(
        0.0,
        "Seconds for which the folder of a finished pod stays at the site with its logs; 0: until the pod is deleted "
        "in Kubernetes.",
    )
    shared_fs: Flag = setting(
        default=True,
        description="Compute nodes see DataRootFolder. If false, each batch script carries all files to its node, "
        "states come back in the job's comment, and logs by srun.",
        key="SHARED_FS",
        environment="SHARED_FS",
    )
    secrets_in_script: Flag = setting(
        default=False,
        description="With SHARED_FS: false, let Secrets travel in batch scripts, which lie in Slurm's own state.",
    )
    max_script_size: Bytes = setting(
        4 << 20,
        "With SHARED_FS: false, the longest batch script that Slurm takes there, as a quantity: max_script_size in "
        "slurm.conf.",
    )
    fetch_seconds: Annotated[float, BeforeValidator(seconds(0))] = setting(
        60.0, "With SHARED_FS: false, for how long an ended job waits on its node until its logs were fetched."
    )
    export_pod_data: Flag = setting(
        default=True,
        description="Send ConfigMaps and Secrets to the site; if false, pods that need one are refused.",
    )

    # What pods may ask for
    policy: Policy = Field(
        default_factory=Policy, description="Rules for pods; who breaks one is refused with its name."
    )

    identities: Mapping[Label, Identity] = setting(
        {},
        "Accounts at the site for pods of different owners, by a name: Namespaces, ServiceAccounts, SSH, "
        "DataRootFolder, Account, QOS, Partition. Each has a connection of its own. A pod that none is for is refused; "
        "without any, all pods run as SSH.User.",
    )
    identity_annotation: Line = setting(
        "", "The annotation by which a pod names one of the Identities that are for it, in place of the first of them."
    )

    # Volumes, at the site
    allowed_host_paths: tuple[AbsoluteSitePath, ...] = setting(
        (),
        "The folders at the site that hostPath volumes may name, with all that is in them; a link must not lead out of "
        "them. Empty: whatever the account may use.",
    )
    persistent_volume_claims: Mapping[ClaimKey, ClaimPath] = setting(
        {},
        "The path at the site of each persistentVolumeClaim: by `namespace/claim`, `claim`, "
        "`storageClass/name` (asked of Kubernetes, with CUSTOMKUBECONF), or `*` for all others. {namespace} and "
        "{claim} may stand in a path, whose folder is then made when it is missing.",
    )

    unsupported_volumes: VolumeRule = setting(
        UnsupportedVolumes.REFUSE,
        "What becomes of a pod that mounts a volume of a kind that a Slurm job cannot have, such as nfs or csi: "
        "refuse, or leave-out: it runs with all others, and its log and this one say what is missing.",
    )

    # Slurm, at the site
    sbatch_path: Command = setting(
        "sbatch", "sbatch at the site; the PATH there finds a bare name.", environment="SBATCHPATH"
    )
    scancel_path: Command = setting("scancel", "scancel at the site.", environment="SCANCELPATH")
    squeue_path: Command = setting("squeue", "squeue at the site.", environment="SQUEUEPATH")
    sinfo_path: Command = setting("sinfo", "sinfo at the site.", environment="SINFOPATH")
    scontrol_path: Command = setting("scontrol", "scontrol at the site, where SHARED_FS is false.")
    srun_path: Command = setting("srun", "srun at the site, where SHARED_FS is false.")
    bash_path: Shebang = setting("/bin/bash", "bash on the nodes: the first line of each job script.")
    command_prefix: Text = setting("", "Shell that each batch script begins with, before anything of ours.")
    default_cpu: Count = setting(1, "CPUs of a pod that asks for none.")
    default_memory: MemoryOrNone = setting(
        1_000_000,
        "Memory of a pod that asks for none, as a quantity (1M is 1000000 bytes, 1Mi is 1048576); none "
        "leaves it to the partition.",
    )

    resource_flags: Mapping[str, ResourceFlag] = setting(
        {},
        "Options of sbatch for Kubernetes resources, by their name, with {count} or {mib} (the amount in MiB), such as "
        "`example.com/fpga: --gres=fpga:{count}`; none: nothing is asked of Slurm. nvidia.com/gpu and amd.com/gpu have "
        "--gres=gpu:{count}.",
    )
    flavors: Mapping[str, Flavor] = setting(
        {},
        "Named sets of defaults, by name: CPUDefault, MemoryDefault, UID, SlurmFlags. A pod gets the one that its "
        "annotation slurm-job.vk.io/flavor names, else one for as many GPUs as it asks for, else DefaultFlavor.",
    )
    default_flavor: Line = setting("", "The flavor of a pod that gets no other.")
    default_uid: UserId | None = setting(
        None,
        "The user id that jobs run as, unless a flavor (UID) or the pod (runAsUser) names one. Only the SSH account's "
        "own can be had: others need root, and pods that ask for them are refused.",
        key="DefaultUID",
    )

    # Containers, on the nodes
    container_runtime: Runtime = setting(
        ContainerRuntime.SINGULARITY,
        "singularity, apptainer (the same under another name), enroot, podman, podman-hpc, or none: the command runs "
        "on the node itself.",
    )
    singularity_path: Command = setting(
        "",
        "singularity or apptainer on the nodes. Default: the word that ContainerRuntime says.",
        environment="SINGULARITYPATH",
    )
    singularity_prefix: Words = setting("", "Words before each call of singularity, such as `nice -n 5`.")
    singularity_default_options: tuple[Line, ...] = setting(
        (), "Options for each call of singularity, after those that are always given."
    )
    enroot_path: Command = setting("enroot", "enroot on the nodes.")
    enroot_prefix: Words = setting("", "Words before each call of enroot.")
    enroot_default_options: tuple[Line, ...] = setting(("--rw",), "Options for each `enroot start`.")
    podman_path: Command = setting(
        "", "podman or podman-hpc on the nodes. Default: the word that ContainerRuntime says."
    )
    podman_prefix: Words = setting("", "Words before each call of podman.")
    podman_default_options: tuple[Line, ...] = setting(
        (), "Options for each `podman run`, after those that are always given."
    )
    runtime_environment: Mapping[VariableName, Line] = setting(
        {},
        "Variables for the runtime itself, as they are, wherever it runs: APPTAINER_CACHEDIR, APPTAINER_TMPDIR, "
        "ENROOT_CACHE_PATH, STORAGE_DRIVER and the like. Its caches and temporary folders lie in ImageCacheFolder "
        "otherwise.",
    )

    # Images
    image_prefix: Line = setting(
        "", "Put before an image's name, unless that begins with / or names a scheme; empty: docker://."
    )
    image_pull: PullPlace = setting(
        ImagePull.NODE,
        "Where images of registries are pulled: node, in the job; login, on the login node before the job is "
        "submitted; never, so that they have to be in ImageCacheFolder.",
    )
    image_pull_retries: Annotated[int, BeforeValidator(number(0, 100))] = setting(
        3, "How often a pull that failed is tried again, after 10, 20, 40, ... s, before its containers fail."
    )
    image_pull_secrets: Mapping[SecretKey, LocalPath] = setting(
        {},
        "The file of each imagePullSecret, on this machine: what its .dockerconfigjson holds. By `namespace/secret`, "
        "`secret`, or `*` for all others. The Virtual Kubelet does not send them.",
    )
    image_cache_folder: ImageFolder = setting(
        "",
        "The folder at the site where images are kept, for all pods; compute nodes have to see it. Default: "
        ".remote-slurm/images in DataRootFolder.",
    )
    image_cache_days: Count = setting(30, "Images that no pod has used for so many days leave the cache.")
    image_cache_size: Bytes = setting(
        100 << 30,
        "How large the cache may become, as a quantity: images that were not used for longest leave it, after a pull.",
    )

    enable_probes: Flag = setting(
        default=False,
        description="Carry out startup, readiness and liveness probes. If false, as where the reference plugin has no "
        "such key, pods that have some get a warning, and a container counts as ready once it runs.",
    )

    tsocks_path: Line = setting(
        "",
        "libtsocks.so on the nodes; variables that jobs have there, such as $WORK, may stand in it.",
        environment="TSOCKSPATH",
    )
    tsocks_login_node: Line = setting(
        "",
        "The host that nodes reach by ssh, with the account's own key there, and that has network: user@host or host.",
    )
    tsocks: Flag = setting(
        default=False,
        description="Give containers network through a SOCKS tunnel from the node to TsocksLoginNode.",
        environment="TSOCKS",
    )

    max_log_size: Bytes = setting(
        1 << 30,
        "How long the log of a container may become at the site, as a quantity: one that passes it begins anew, and "
        "says so.",
    )

    # Logging
    log_format: Format = setting(
        LogFormat.TEXT, "What a line of log looks like: text, or json with the same fields as keys."
    )
    verbose_logging: Flag = setting(default=False, description="Log details.")
    errors_only_logging: Flag = setting(default=False, description="Log errors only.")

    # Traces, by the names that the reference plugin reads from its environment
    enable_tracing: Switch = setting(
        default=False,
        description="1: send a span for each request, and for each operation at the site, to an OpenTelemetry "
        "collector. Needs the extra `tracing`.",
        key="ENABLE_TRACING",
        environment="ENABLE_TRACING",
    )
    telemetry_endpoint: Collector = setting(
        "localhost:4317",
        "Where the collector takes gRPC.",
        key="TELEMETRY_ENDPOINT",
        environment="TELEMETRY_ENDPOINT",
    )
    telemetry_unique_id: Line = setting(
        "",
        "The service is called Plugin-<this> in traces; default: a new UUID at each start.",
        key="TELEMETRY_UNIQUE_ID",
        environment="TELEMETRY_UNIQUE_ID",
    )
    telemetry_ca: LocalPath | None = setting(
        None,
        "The authority, in PEM, that has signed the collector's certificate; without it spans go out unencrypted.",
        key="TELEMETRY_CA_CRT_FILEPATH",
        environment="TELEMETRY_CA_CRT_FILEPATH",
    )
    telemetry_client_key: LocalPath | None = setting(
        None,
        "The key of our own certificate, where the collector asks for one.",
        key="TELEMETRY_CLIENT_KEY_FILEPATH",
        environment="TELEMETRY_CLIENT_KEY_FILEPATH",
    )
    telemetry_client_cert: LocalPath | None = setting(
        None,
        "Our own certificate, in PEM.",
        key="TELEMETRY_CLIENT_CRT_FILEPATH",
        environment="TELEMETRY_CLIENT_CRT_FILEPATH",
    )

    # What comes with later versions
    custom_kubeconf: Kubeconfig | None = setting(
        None,
        "The kubeconfig of a service account, on this machine, or `in-cluster`: Events tell what becomes of pods, "
        "ConfigMaps and Secrets that did not come with a pod are fetched, and a pod that is gone is not submitted.",
        key="CUSTOMKUBECONF",
        environment="CUSTOMKUBECONF",
    )
    # Keys that stand in many files of the reference plugin, which ignores them
    interlink_url: Line = setting("", "Accepted and not used.", later=_INTERLINKS_OWN)
    interlink_port: Line = setting("", "Accepted and not used.", later=_INTERLINKS_OWN)
    sidecar_url: Line = setting(
        "", "Accepted and not used.", later=f"{_INTERLINKS_OWN}: BindAddress is where the sidecar listens"
    )
    vk_config_path: Line = setting("", "Accepted and not used.", later=_INTERLINKS_OWN)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Name, in a sentence each, the keys that were set to something that they do not do (yet)."""
        later = (
            (field.alias, field.json_schema_extra["later"])
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict)
            and "later" in field.json_schema_extra
            and getattr(self, name) != field.default
        )
        return tuple(f"{key}: {sentence}" for key, sentence in later)

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

    @field_validator("identities")
    @classmethod
    def _each_has_its_own_folder(cls, identities: Mapping[str, Identity], info: ValidationInfo) -> Any:
        """Two connections that poll the same folder would take it from each other."""
        ssh, folder = info.data.get("ssh"), info.data.get("data_root_folder")
        seen: dict[tuple[str, str], str] = {}
        for name, identity in identities.items():
            user = identity.ssh.user or (ssh.user if ssh else "")
            place = user, identity.data_root_folder or folder or ""
            if place in seen:
                raise ValueError(
                    f"{seen[place]} and {name} have the same account and folder at the site ({user}, {place[1]}): give "
                    "one of them another SSH.User or DataRootFolder, or make them one"
                )
            seen[place] = name
        nobody = [name for name, each in identities.items() if not each.namespaces and not each.service_accounts]
        if nobody:
            raise ValueError(f"no pod can be for {', '.join(nobody)}: give each of them Namespaces or ServiceAccounts")
        return identities

    @field_validator("tls")
    @classmethod
    def _on_tcp(cls, tls: TLS, info: ValidationInfo) -> TLS:
        if tls.enabled and info.data.get("socket"):
            raise ValueError("is for the TCP port: with a Socket, SocketMode says who may connect")
        return tls

    @field_validator("socket_mode")
    @classmethod
    def _not_for_everybody(cls, mode: str, info: ValidationInfo) -> str:
        if not int(mode, 8) & 0o002 or keeps_strangers_out(info):
            return mode
        raise ValueError(
            f"{mode} lets everybody on this machine run shell at the site as SSH.User: use 0660 and a group, or set "
            "a TokenFile, or AllowUnauthenticated: true where something else keeps strangers out"
        )

    @property
    def runtime_path(self) -> str:
        """The program of ContainerRuntime; empty for none."""
        match self.container_runtime:
            case ContainerRuntime.NONE:
                return ""
            case ContainerRuntime.ENROOT:
                return self.enroot_path
            case ContainerRuntime.PODMAN | ContainerRuntime.PODMAN_HPC:
                return self.podman_path
            case _:
                return self.singularity_path

    @property
    def runtime_key(self) -> str:
        """The key that says where it is."""
        names = {"enroot": "EnrootPath", "podman": "PodmanPath", "podman-hpc": "PodmanPath"}
        return names.get(self.container_runtime.value, "SingularityPath")

    @field_validator("bind_address")
    @classmethod
    def _only_this_machine(cls, address: str, info: ValidationInfo) -> str:
        if info.data.get("socket", "wrong") or is_loopback(address) or keeps_strangers_out(info):
            return address
        raise ValueError(
            f"{address} can be reached from other machines, and whoever reaches the port can run shell at "
            "the site as SSH.User: use 127.0.0.1 or a Socket, set a TokenFile or TLS.ClientCAFile, or "
            "AllowUnauthenticated: true where something else keeps strangers out"
        )

    @field_validator("state_folder", mode="before")
    @classmethod
    def _of_this_machine(cls, folder: Any, info: ValidationInfo) -> Any:
        return folder or (
            info.context.state_folder if isinstance(info.context, Machine) else default_state_folder(os.environ)
        )

    @field_validator("singularity_path", mode="before")
    @classmethod
    def _by_the_runtimes_name(cls, path: Any, info: ValidationInfo) -> Any:
        is_apptainer = info.data.get("container_runtime") is ContainerRuntime.APPTAINER
        return path or ("apptainer" if is_apptainer else "singularity")

    @field_validator("podman_path", mode="before")
    @classmethod
    def _podman_or_podman_hpc(cls, path: Any, info: ValidationInfo) -> Any:
        is_hpc = info.data.get("container_runtime") is ContainerRuntime.PODMAN_HPC
        return path or ("podman-hpc" if is_hpc else "podman")

    @field_validator("tsocks")
    @classmethod
    def _with_all_it_needs(cls, tsocks: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        missing = [key for key in ("tsocks_path", "tsocks_login_node") if not info.data.get(key, "wrong")]
        if tsocks and missing:
            raise ValueError(f"needs {' and '.join(to_pascal(key) for key in missing)} as well")
        return tsocks

    @field_validator("image_pull")
    @classmethod
    def _where_nodes_see_it(cls, place: ImagePull, info: ValidationInfo) -> ImagePull:
        if place is ImagePull.LOGIN and info.data.get("shared_fs") is False:
            raise ValueError("login needs SHARED_FS: true, since nodes would not see the images: use node or never")
        return place

    @field_validator("errors_only_logging")
    @classmethod
    def _not_both(cls, errors_only: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        if errors_only and info.data.get("verbose_logging"):
            raise ValueError("contradicts VerboseLogging, which is true as well: set one of the two to false")
        return errors_only

    @field_validator("custom_kubeconf")
    @classmethod
    def _knows_storage_classes(cls, kubeconfig: Any, info: ValidationInfo) -> Any:
        claims = info.data.get("persistent_volume_claims", {})
        if kubeconfig is None and any(key.startswith(STORAGE_CLASS) for key in claims):
            raise ValueError(
                f"is needed where PersistentVolumeClaims has keys that begin with {STORAGE_CLASS}: "
                "only Kubernetes knows the storage class of a claim"
            )
        return kubeconfig

    @field_validator("default_flavor")
    @classmethod
    def _names_a_flavor(cls, name: str, info: ValidationInfo) -> str:
        flavors = info.data.get("flavors")
        if name and flavors and name not in flavors:
            raise ValueError(f"must be one of Flavors ({', '.join(flavors)}), not {name!r}")
        return name
