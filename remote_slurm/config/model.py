"""All keys of SlurmConfig.yaml, with types, defaults and descriptions: the reference is generated from here.

A check that looks at two keys belongs to the one that is declared later, and so runs where others are wrong.
"""

import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel, to_pascal

from remote_slurm.config.audit import AuditPlace
from remote_slurm.config.block import Block, setting
from remote_slurm.config.host_defaults import Machine, default_state_folder
from remote_slurm.config.identity import Identity
from remote_slurm.config.listener import Watch, requires_authentication
from remote_slurm.config.path_types import (
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
from remote_slurm.config.policy import PodPolicy, Policy
from remote_slurm.config.port_forward import PortForward
from remote_slurm.config.scalar_types import (
    Bytes,
    Count,
    Effect,
    Flag,
    FlavorMemory,
    Format,
    ImagePull,
    Label,
    LogFormat,
    MemoryOrNone,
    Namespace,
    OneLine,
    PullPlace,
    Quantity,
    ResourceFlag,
    RunAsUser,
    SecretKey,
    SlurmFlag,
    Switch,
    Text,
    UnsupportedVolumes,
    UserId,
    UserRule,
    VariableName,
    VariablePattern,
    VolumeRule,
    Words,
    factor,
    number,
    seconds,
)
from remote_slurm.config.ssh import SSH
from remote_slurm.config.tls import TLS

_INTERLINKS_OWN = "belongs to interLink's own configuration and has no effect here"
_GO_PLUGIN_KEYS = ("InterlinkURL", "InterlinkPort", "SidecarURL", "VKConfigPath")


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


KeepFinished = Annotated[float, BeforeValidator(seconds(0, most=366 * 86_400))]


class Config(Block):
    """The whole configuration. All values are valid."""

    # Reaching the site
    ssh: SSH = Field(
        alias="SSH",
        description="Connection to the site. HostName and User are required, and IdentityFile unless IdentitiesOnly is "
        "false.",
    )
    poll_interval: Annotated[float, BeforeValidator(seconds(1))] = setting(
        10.0,
        "Seconds between two squeue calls at the site, for any number of pods. Three times that, up to 30 s, while no "
        "pod and no job is left.",
    )

    orphan_grace_period: Annotated[float, BeforeValidator(seconds(0))] = setting(
        900.0,
        "Seconds after which an orphan is cancelled, at least 120. An orphan is a pending or running job whose "
        "pod Kubernetes does not ask for, while it asks for other pods. 0: list orphans in /system-info and "
        "`remote-slurm status`, and cancel none.",
    )

    # Listening
    sidecar_port: ListenPort = setting(
        4000, "TCP port for interLink. 0 selects a free port.", environment="SIDECARPORT"
    )
    socket: SocketPath | None = setting(
        None, "Unix socket to listen on instead of a TCP port, as unix:///path/to/socket."
    )
    tls: TLS = Field(default_factory=TLS, alias="TLS", description="HTTPS on the TCP port.")
    token_file: LocalPath | None = setting(
        None,
        "Local path of bearer tokens, one per line. Clients must send `Authorization: Bearer <token>`. The file "
        "is read again when it changes.",
    )
    access: LocalPath | None = setting(
        None,
        "Local path of a file that lists which clients may use which operations on pods of which namespaces. It "
        "also applies to Watch.Port, and is read again when it changes. Tokens in TokenFile still allow all "
        "operations.",
    )
    allow_unauthenticated: Flag = setting(
        default=False,
        description="Allow unauthenticated access on a non-loopback address. Anyone who can connect can run "
        "commands at the site.",
    )
    socket_mode: SocketMode = setting(
        "0600",
        "File mode of Socket; 0660 also admits its group. A mode that admits all users requires TokenFile, Access "
        "or AllowUnauthenticated: true.",
    )
    bind_address: Address = setting(
        "127.0.0.1",
        "Address to listen on. A non-loopback address requires TokenFile, Access, TLS.ClientCAFile or "
        "AllowUnauthenticated: true.",
    )
    watch: Watch = Field(default_factory=Watch, description="Second TCP port, for browsers and Prometheus.")
    port_forward: PortForward = Field(
        default_factory=PortForward, description="TCP port for `remote-slurm port-forward`."
    )
    max_request_size: Bytes = setting(
        32 << 20,
        "Maximum size of a request, as a quantity. A create request holds the ConfigMaps and Secrets of a pod, "
        "each up to 1.5 MiB, once for each container that mounts them. The sidecar needs up to 15 times as much "
        "memory.",
    )
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

    # Folders
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
    shared_fs: Flag = setting(
        default=True,
        description="Whether compute nodes see DataRootFolder. If false, each batch script carries all files "
        "to its node, states come back in the comment of the job, and logs through srun.",
        key="SHARED_FS",
        environment="SHARED_FS",
    )
    secrets_in_script: Flag = setting(
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
    export_pod_data: Flag = setting(
        default=True,
        description="Send ConfigMaps and Secrets to the site. If false, pods that need one are rejected.",
    )

    # What pods may ask for
    policy: Policy = Field(
        default_factory=Policy,
        description="Rules for all pods. A pod that breaks a rule is rejected with the name of the rule.",
    )

    identities: Mapping[Label, Identity] = setting(
        {},
        "Accounts at the site for pods of different owners, by name. Each identity has its own connection. A pod "
        "that matches no identity is rejected. Empty: all pods run as SSH.User.",
    )
    identity_annotation: OneLine = setting(
        "",
        "Annotation by which a pod selects one of the Identities that match it. Without the annotation, the first "
        "match applies.",
    )

    # Volumes, at the site
    allowed_host_paths: tuple[AbsoluteSitePath, ...] = setting(
        (),
        "Folders at the site that hostPath volumes may use, with everything below them. Links must not lead out "
        "of them. Empty: all paths that the account can use.",
    )
    policies: Mapping[Label, PodPolicy] = setting(
        {},
        "Rules for the pods of some Namespaces or Identities, by name, in addition to Policy. The first entry "
        "that matches a pod applies to it, and allows only what it lists. With any entry, pods that match no "
        "entry are rejected.",
    )
    persistent_volume_claims: Mapping[ClaimKey, ClaimPath] = setting(
        {},
        "Paths at the site for persistentVolumeClaims, by `namespace/claim`, `claim`, `storageClass/name` "
        "(requires CUSTOMKUBECONF), or `*` for all others. A path may contain {namespace} and {claim}; such a "
        "folder is created if it is missing.",
    )

    unsupported_volumes: VolumeRule = setting(
        UnsupportedVolumes.REFUSE,
        "How to handle a pod that mounts a volume of a type that a Slurm job cannot have, such as nfs or csi. "
        "refuse: reject the pod. leave-out: run the pod without the volume, and report it in the logs of the pod "
        "and of the sidecar.",
    )

    # Slurm, at the site
    sbatch_path: Command = setting(
        "sbatch", "sbatch at the site. A bare name is searched in the PATH there.", environment="SBATCHPATH"
    )
    scancel_path: Command = setting("scancel", "scancel at the site.", environment="SCANCELPATH")
    squeue_path: Command = setting("squeue", "squeue at the site.", environment="SQUEUEPATH")
    sinfo_path: Command = setting("sinfo", "sinfo at the site.", environment="SINFOPATH")
    scontrol_path: Command = setting("scontrol", "scontrol at the site, for SHARED_FS: false.")
    srun_path: Command = setting("srun", "srun at the site, for SHARED_FS: false.")
    bash_path: Shebang = setting("/bin/bash", "bash on the compute nodes: the first line of each batch script.")
    command_prefix: Text = setting(
        "",
        "Shell commands at the beginning of each batch script, such as `module load apptainer`. The job reads the "
        "node's /etc/profile first.",
    )
    job_variables: tuple[VariablePattern, ...] = setting(
        (),
        "Variables that jobs keep from the submitting environment or from the site's TaskProlog: [WORK, "
        "SCRATCH_*]. Jobs always keep TMPDIR, KRB5CCNAME, XDG_RUNTIME_DIR, the locale, proxies, GPUs and Slurm's "
        "own variables. All others are dropped.",
    )
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

    # Containers, on the nodes
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

    # Images
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

    enable_probes: Flag = setting(
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
    tsocks: Flag = setting(
        default=False,
        description="Give containers network access through a SOCKS tunnel from the node to TsocksLoginNode.",
        environment="TSOCKS",
    )

    max_log_size: Bytes = setting(
        1 << 30,
        "Maximum size of a container log at the site, as a quantity. A larger log is truncated, with a notice.",
    )

    # Logging
    log_format: Format = setting(LogFormat.TEXT, "Format of log lines: text, or json with the same fields as keys.")
    audit_log: AuditPlace | None = setting(
        None,
        "Destination of the audit log: a local path, stdout or stderr. It has a JSON line for each create, "
        "delete, log request and rejection; see docs/audit.md.",
    )
    verbose_logging: Flag = setting(default=False, description="Log at debug level.")
    errors_only_logging: Flag = setting(default=False, description="Log errors only.")

    # Traces, by the names that the reference plugin reads from its environment
    enable_tracing: Switch = setting(
        default=False,
        description="1: send a span for each request and for each operation at the site to an OpenTelemetry "
        "collector. Requires the extra `tracing`.",
        key="ENABLE_TRACING",
        environment="ENABLE_TRACING",
    )
    telemetry_endpoint: Collector = setting(
        "localhost:4317",
        "gRPC address of the collector.",
        key="TELEMETRY_ENDPOINT",
        environment="TELEMETRY_ENDPOINT",
    )
    telemetry_unique_id: OneLine = setting(
        "",
        "Suffix of the service name in traces: Plugin-<suffix>. Default: a new UUID at each start.",
        key="TELEMETRY_UNIQUE_ID",
        environment="TELEMETRY_UNIQUE_ID",
    )
    telemetry_ca: LocalPath | None = setting(
        None,
        "Local path of the certificate authority of the collector, in PEM. Without it, spans are sent unencrypted.",
        key="TELEMETRY_CA_CRT_FILEPATH",
        environment="TELEMETRY_CA_CRT_FILEPATH",
    )
    telemetry_client_key: LocalPath | None = setting(
        None,
        "Local path of the private key of TELEMETRY_CLIENT_CRT_FILEPATH.",
        key="TELEMETRY_CLIENT_KEY_FILEPATH",
        environment="TELEMETRY_CLIENT_KEY_FILEPATH",
    )
    telemetry_client_cert: LocalPath | None = setting(
        None,
        "Local path of the client certificate for the collector, in PEM.",
        key="TELEMETRY_CLIENT_CRT_FILEPATH",
        environment="TELEMETRY_CLIENT_CRT_FILEPATH",
    )

    # What comes with later versions
    custom_kubeconf: Kubeconfig | None = setting(
        None,
        "Local path of the kubeconfig of a service account, or `in-cluster`. With it, the sidecar creates Events "
        "on pods, fetches ConfigMaps and Secrets that are missing in a request, and submits no pod that no longer "
        "exists.",
        key="CUSTOMKUBECONF",
        environment="CUSTOMKUBECONF",
    )
    # Keys in many files of the reference plugin, which ignores them
    interlink_url: OneLine = setting("", "Accepted, without effect.", later=_INTERLINKS_OWN)
    interlink_port: OneLine = setting("", "Accepted, without effect.", later=_INTERLINKS_OWN)
    sidecar_url: OneLine = setting(
        "", "Accepted, without effect.", later=f"{_INTERLINKS_OWN}: BindAddress is where the sidecar listens"
    )
    vk_config_path: OneLine = setting("", "Accepted, without effect.", later=_INTERLINKS_OWN)

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

    @model_validator(mode="before")
    @classmethod
    def _keeps_the_go_plugins_default(cls, values: Any) -> Any:
        """A file of the Go plugin, which has keys of interLink itself, gets that plugin's DefaultMemory."""
        if isinstance(values, dict) and any(values.get(key) for key in _GO_PLUGIN_KEYS):
            return {"DefaultMemory": "1M", **values}
        return values

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
                    "one of them another SSH.User or DataRootFolder, or merge them"
                )
            seen[place] = name
        unmatched = [name for name, each in identities.items() if not each.namespaces and not each.service_accounts]
        if unmatched:
            names = ", ".join(unmatched)
            raise ValueError(f"{names} match no pod: set Namespaces or ServiceAccounts of each")
        return identities

    @field_validator("policies")
    @classmethod
    def _each_is_for_some_pods(cls, policies: Mapping[str, PodPolicy], info: ValidationInfo) -> Any:
        identities, paths = info.data.get("identities"), info.data.get("allowed_host_paths")
        for name, policy in policies.items():
            if not policy.namespaces and not policy.identities:
                raise ValueError(f"{name} matches no pod: set its Namespaces or Identities")
            for unknown in [each for each in policy.identities if identities is not None and each not in identities]:
                known = ", ".join(identities or ()) or "none are configured"
                raise ValueError(f"{name} names the identity {unknown!r}, which is not in Identities: {known}")
            for path in policy.allowed_host_paths:
                if paths and not any(PurePosixPath(path).is_relative_to(each) for each in paths):
                    raise ValueError(f"{name} allows {path}, which AllowedHostPaths does not: {', '.join(paths)}")
        return policies

    @field_validator("tls")
    @classmethod
    def _on_tcp(cls, tls: TLS, info: ValidationInfo) -> TLS:
        if tls.enabled and info.data.get("socket"):
            raise ValueError("cannot be combined with Socket: SocketMode restricts access to the socket")
        return tls

    @field_validator("socket_mode")
    @classmethod
    def _not_for_everybody(cls, mode: str, info: ValidationInfo) -> str:
        if not int(mode, 8) & 0o002 or requires_authentication(info):
            return mode
        raise ValueError(
            f"{mode} allows every user of this machine to run commands at the site as SSH.User: use 0660 and a "
            "group, or "
            "set TokenFile, or AllowUnauthenticated: true if something else restricts access"
        )

    @field_validator("bind_address")
    @classmethod
    def _only_this_machine(cls, address: str, info: ValidationInfo) -> str:
        if info.data.get("socket", "wrong") or is_loopback(address) or requires_authentication(info):
            return address
        raise ValueError(
            f"{address} is reachable from other machines, where any client could run commands at the site as "
            "SSH.User: use "
            "127.0.0.1 or Socket, or set TokenFile or TLS.ClientCAFile, or AllowUnauthenticated: true if a firewall or "
            "proxy restricts access"
        )

    @field_validator("port_forward")
    @classmethod
    def _has_clients(cls, block: PortForward, info: ValidationInfo) -> PortForward:
        if block.port is None or block.token_file or block.tls.client_ca_file or info.data.get("access", "wrong"):
            return block
        raise ValueError(
            "needs a PortForward.TokenFile, PortForward.TLS.ClientCAFile or Access: clients of PortForward.Port reach "
            "programs of all pods, and are never admitted unauthenticated"
        )

    @field_validator("state_folder", mode="before")
    @classmethod
    def _of_this_machine(cls, folder: Any, info: ValidationInfo) -> Any:
        return folder or (
            info.context.state_folder if isinstance(info.context, Machine) else default_state_folder(os.environ)
        )

    @field_validator("tsocks")
    @classmethod
    def _with_all_it_needs(cls, tsocks: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        missing = [key for key in ("tsocks_path", "tsocks_login_node") if not info.data.get(key, "wrong")]
        if tsocks and missing:
            raise ValueError(f"requires {' and '.join(to_pascal(key) for key in missing)}")
        return tsocks

    @field_validator("image_pull")
    @classmethod
    def _where_nodes_see_it(cls, place: ImagePull, info: ValidationInfo) -> ImagePull:
        if place is ImagePull.LOGIN and info.data.get("shared_fs") is False:
            raise ValueError("login requires SHARED_FS: true: use node or never")
        return place

    @field_validator("errors_only_logging")
    @classmethod
    def _not_both(cls, errors_only: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        if errors_only and info.data.get("verbose_logging"):
            raise ValueError("cannot be combined with VerboseLogging: set one of them to false")
        return errors_only

    @field_validator("custom_kubeconf")
    @classmethod
    def _knows_storage_classes(cls, kubeconfig: Any, info: ValidationInfo) -> Any:
        claims = info.data.get("persistent_volume_claims", {})
        if kubeconfig is None and any(key.startswith(STORAGE_CLASS) for key in claims):
            raise ValueError(
                f"is required by keys of PersistentVolumeClaims that begin with {STORAGE_CLASS}: the sidecar asks "
                "Kubernetes "
                "for the storage class of a claim"
            )
        return kubeconfig

    @field_validator("default_flavor")
    @classmethod
    def _names_a_flavor(cls, name: str, info: ValidationInfo) -> str:
        flavors = info.data.get("flavors")
        if name and flavors and name not in flavors:
            raise ValueError(f"must be one of Flavors ({', '.join(flavors)}), not {name!r}")
        return name
