"""Each key: what may stand there, what becomes of it, and what is said of anything else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.config import (
    TLS,
    Accelerator,
    Config,
    Flavor,
    Identity,
    ImagePull,
    JobArrays,
    LogFormat,
    OwnSSH,
    PodPolicy,
    Policy,
    PortForward,
    Resources,
    RunAsUser,
    Taint,
    TaintEffect,
    UnsupportedVolumes,
    Watch,
)
from remote_slurm.config.host_defaults import default_state_folder
from remote_slurm.config.model import GROUPS
from remote_slurm.config.port_forward import TokenReview
from remote_slurm.errors import Problem

Load = Callable[..., Config]
Problems = Callable[..., list[Problem]]

RIGHT = [
    (
        "PortForward",
        "{Port: 4002, TokenFile: /t, AllowedPorts: [8888, 9000-9001]}",
        "port_forward",
        PortForward(port=4002, token_file=Path("/t"), allowed_ports=("8888", "9000-9001")),
    ),
    ("PortForward", "{}", "port_forward", PortForward()),
    (
        "PortForward",
        "{Port: 4002, TokenReview: {Audiences: [remote-slurm], ShadowNamespaces: true}}\nCUSTOMKUBECONF: in-cluster",
        "port_forward",
        PortForward(port=4002, token_review=TokenReview(audiences=("remote-slurm",), shadow_namespaces=True)),
    ),
    ("SidecarPort", '"4000"', "sidecar_port", 4000),
    ("SidecarPort", "4001", "sidecar_port", 4001),
    ("SidecarPort", "0", "sidecar_port", 0),
    ("Socket", "unix:///var/run/plugin.sock", "socket", Path("/var/run/plugin.sock")),
    ("SocketMode", "660", "socket_mode", "0660"),
    (
        "TLS",
        "{CertFile: /etc/tls.crt, KeyFile: ~/tls.key, ClientCAFile: /etc/ca.crt}",
        "tls",
        TLS(cert_file=Path("/etc/tls.crt"), key_file=Path("/home/me/tls.key"), client_ca_file=Path("/etc/ca.crt")),
    ),
    (
        "Watch",
        "{Port: 0, BindAddress: 192.0.2.7, TokenFile: /etc/token, TLS: {CertFile: /c, KeyFile: /k}}",
        "watch",
        Watch(
            port=0,
            bind_address="192.0.2.7",
            token_file=Path("/etc/token"),
            tls=TLS(cert_file=Path("/c"), key_file=Path("/k")),
        ),
    ),
    ("TokenFile", "/etc/interlink/token", "token_file", Path("/etc/interlink/token")),
    ("AuditLog", "/var/log/remote-slurm/audit.json", "audit_log", Path("/var/log/remote-slurm/audit.json")),
    ("Access", "/etc/interlink/access.yaml", "access", Path("/etc/interlink/access.yaml")),
    ("SbatchPath", "/usr/bin/sbatch", "sbatch_path", "/usr/bin/sbatch"),
    ("ScancelPath", "scancel", "scancel_path", "scancel"),
    ("SqueuePath", "/opt/slurm/bin/squeue", "squeue_path", "/opt/slurm/bin/squeue"),
    ("SinfoPath", '"/usr/bin/sinfo"', "sinfo_path", "/usr/bin/sinfo"),
    (
        "CommandPrefix",
        "|\n  module load apptainer\n  ulimit -c 0\n",
        "command_prefix",
        "module load apptainer\nulimit -c 0\n",
    ),
    ("ImagePrefix", "docker://", "image_prefix", "docker://"),
    ("SingularityPath", "/opt/apptainer/bin/apptainer", "singularity_path", "/opt/apptainer/bin/apptainer"),
    ("SingularityPrefix", "nice -n '5'", "singularity_prefix", "nice -n '5'"),
    (
        "SingularityDefaultOptions",
        "[--nv, --bind, '/a b:/c']",
        "singularity_default_options",
        ("--nv", "--bind", "/a b:/c"),
    ),
    ("ExportPodData", "false", "export_pod_data", False),
    ("ExportPodData", '"true"', "export_pod_data", True),
    ("ExportPodData", "No", "export_pod_data", False),
    ("DataRootFolder", ".local/interlink/jobs/", "data_root_folder", ".local/interlink/jobs"),
    ("DataRootFolder", "~/jobs", "data_root_folder", "jobs"),
    ("DataRootFolder", "//scratch/./me/", "data_root_folder", "/scratch/me"),
    ("DataRootFolder", "/scratch/it's mine", "data_root_folder", "/scratch/it's mine"),
    ("Namespace", "vk", "namespace", "vk"),
    ("Namespace", "2024-01-01", "namespace", "2024-01-01"),
    ("Namespace", "0123", "namespace", "0123"),
    ("Tsocks", "false", "tsocks", False),
    ("TsocksPath", '"$WORK/tsocks-1.8/libtsocks.so"', "tsocks_path", "$WORK/tsocks-1.8/libtsocks.so"),
    ("TsocksLoginNode", "login01", "tsocks_login_node", "login01"),
    ("JobVariables", "[WORK, SCRATCH_*]", "job_variables", ("WORK", "SCRATCH_*")),
    ("JobArrays", "auto", "job_arrays", JobArrays.AUTO),
    ("BashPath", "/usr/local/bin/bash", "bash_path", "/usr/local/bin/bash"),
    ("LogFormat", "json", "log_format", LogFormat.JSON),
    ("VerboseLogging", "on", "verbose_logging", True),
    ("ErrorsOnlyLogging", "TRUE", "errors_only_logging", True),
    ("EnableProbes", "true", "enable_probes", True),
    ("EnableExec", "true", "enable_exec", True),
    ("ContainerRuntime", "singularity", "container_runtime", "singularity"),
    ("ContainerRuntime", "apptainer", "container_runtime", "apptainer"),
    ("ContainerRuntime", "none", "container_runtime", "none"),
    ("ContainerRuntime", "enroot", "container_runtime", "enroot"),
    ("ContainerRuntime", "podman", "container_runtime", "podman"),
    ("ContainerRuntime", "podman-hpc", "container_runtime", "podman-hpc"),
    ("RuntimePath", "/usr/bin/ch-run", "runtime_path", "/usr/bin/ch-run"),
    ("RuntimePrefix", "nice -n 5", "runtime_prefix", "nice -n 5"),
    ("RuntimeDefaultOptions", "[--quiet]", "runtime_default_options", ("--quiet",)),
    ("PodmanPath", "/usr/bin/podman", "podman_path", "/usr/bin/podman"),
    ("PodmanPrefix", "nice", "podman_prefix", "nice"),
    ("PodmanDefaultOptions", "[--init]", "podman_default_options", ("--init",)),
    ("RuntimeEnvironment", "{APPTAINER_TMPDIR: $x}", "runtime_environment", {"APPTAINER_TMPDIR": "$x"}),
    ("ImagePull", "login", "image_pull", ImagePull.LOGIN),
    ("ImagePullRetries", "0", "image_pull_retries", 0),
    (
        "ImagePullSecrets",
        "{vk/reg: ~/reg.json, other: /o.json}",
        "image_pull_secrets",
        {"vk/reg": Path("/home/me/reg.json"), "other": Path("/o.json")},
    ),
    ("ImageCacheFolder", "/scratch/images/", "image_cache_folder", "/scratch/images"),
    ("ImageCacheDays", "7", "image_cache_days", 7),
    ("ImageCacheSize", "10Gi", "image_cache_size", 10 << 30),
    ("EnrootPath", "/usr/bin/enroot", "enroot_path", "/usr/bin/enroot"),
    ("EnrootPrefix", "nice", "enroot_prefix", "nice"),
    ("EnrootDefaultOptions", '["--rw", "--root"]', "enroot_default_options", ("--rw", "--root")),
    ("DefaultUID", "1000", "default_uid", 1000),
    ("DefaultFlavor", "small", "default_flavor", "small"),
    (
        "ResourceFlags",
        "{example.com/fpga: '--gres=fpga:{count}', example.com/disk: '--tmp={mib}M', example.com/none: none}",
        "resource_flags",
        {"example.com/fpga": "--gres=fpga:{count}", "example.com/disk": "--tmp={mib}M", "example.com/none": "none"},
    ),
    (
        "Policies",
        "{team: {Namespaces: [team-*], AllowedImages: [/srv/*], AllowedHostPaths: [/srv/]}}",
        "policies",
        {"team": PodPolicy(namespaces=("team-*",), allowed_images=("/srv/*",), allowed_host_paths=("/srv",))},
    ),
    (
        "Policy",
        "{AllowedAnnotations: [flags], AllowedImages: [/srv/*], ForcedFlags: [--qos=k8s], ForbiddenFlags: [-w, --uid]}",
        "policy",
        Policy(
            allowed_annotations=("flags",),
            allowed_images=("/srv/*",),
            forced_flags=("--qos=k8s",),
            forbidden_flags=("-w", "--uid"),
        ),
    ),
    (
        "Identities",
        (
            "{physics: {Namespaces: [physics-*], ServiceAccounts: [lab/batch], "
            "SSH: {User: alice, IdentityFile: ~/alice}, DataRootFolder: /scratch/alice, "
            "Account: phys, QOS: long, Partition: gpu}, rest: {Namespaces: ['*']}}"
        ),
        "identities",
        {
            "physics": Identity(
                namespaces=("physics-*",),
                service_accounts=("lab/batch",),
                ssh=OwnSSH(user="alice", identity_file=Path("/home/me/alice")),
                data_root_folder="/scratch/alice",
                account="phys",
                qos="long",
                partition="gpu",
            ),
            "rest": Identity(namespaces=("*",)),
        },
    ),
    ("IdentityAnnotation", "example.org/identity", "identity_annotation", "example.org/identity"),
    ("RunAsUser", "ignore", "run_as_user", RunAsUser.IGNORE),
    ("UnsupportedVolumes", "leave-out", "unsupported_volumes", UnsupportedVolumes.LEAVE_OUT),
    ("AllowedHostPaths", "[/scratch, /data/shared/]", "allowed_host_paths", ("/scratch", "/data/shared")),
    (
        "PersistentVolumeClaims",
        "{team/data: /work/data, '*': '/scratch/{namespace}/{claim}'}",
        "persistent_volume_claims",
        {"team/data": "/work/data", "*": "/scratch/{namespace}/{claim}"},
    ),
    (
        "PersistentVolumeClaims",
        "{storageClass/fast: '/nvme/{namespace}'}\nCUSTOMKUBECONF: in-cluster",
        "persistent_volume_claims",
        {"storageClass/fast": "/nvme/{namespace}"},
    ),
    (
        "Flavors",
        "{small: {Name: s, Description: d, CPUDefault: 2, MemoryDefault: 8G, UID: 0, SlurmFlags: [-p short]}}",
        "flavors",
        {
            "small": Flavor(
                name="s", description="d", cpu_default=2, memory_default=8 << 30, uid=0, slurm_flags=("-p short",)
            )
        },
    ),
    ("Flavors", "{a: {MemoryDefault: 32000M}}", "flavors", {"a": Flavor(memory_default=32000 << 20)}),
    ("Flavors", "{a: {MemoryDefault: 1024}}", "flavors", {"a": Flavor(memory_default=1024)}),
    ("Flavors", "{a: {MemoryDefault: 16gb}}", "flavors", {"a": Flavor(memory_default=16 << 30)}),
    (
        "Taints",
        "[{key: k, value: v, effect: NoExecute}, {key: l, effect: PreferNoSchedule}]",
        "taints",
        (
            Taint(key="k", value="v", effect=TaintEffect.NO_EXECUTE),
            Taint(key="l", effect=TaintEffect.PREFER_NO_SCHEDULE),
        ),
    ),
    ("ResourceScriptPath", "~/bin/resources.sh", "resource_script_path", "bin/resources.sh"),
    ("BindAddress", "::1", "bind_address", "::1"),
    ("AllowUnauthenticated", "true", "allow_unauthenticated", True),
    ("PollInterval", '"2.5"', "poll_interval", 2.5),
    ("PollInterval", "1", "poll_interval", 1.0),
    ("OrphanGracePeriod", "3600", "orphan_grace_period", 3600.0),
    ("CapacityFactor", "1.5", "capacity_factor", 1.5),
    ("DefaultCPU", "2", "default_cpu", 2),
    ("DefaultMemory", "1M", "default_memory", 1_000_000),
    ("DefaultMemory", "2Gi", "default_memory", 2 << 30),
    ("DefaultMemory", "1.5G", "default_memory", 1_500_000_000),
    ("DefaultMemory", "1e6", "default_memory", 1_000_000),
    ("DefaultMemory", "0.5", "default_memory", 1),
    ("DefaultMemory", "None", "default_memory", None),
    ("MaxRequestSize", "8Mi", "max_request_size", 8 << 20),
    ("MaxLogSize", "10Mi", "max_log_size", 10 << 20),
    ("StateFolder", "/var/lib/me", "state_folder", Path("/var/lib/me")),
    ("StateFolder", "~/state", "state_folder", Path("/home/me/state")),
    (
        "Resources",
        "{cpu: 4000m, memory: 512Gi, pods: 1000, accelerators: [{resourceType: nvidia.com/gpu, available: 8}]}",
        "resources",
        Resources(
            cpu="4000m",
            memory="512Gi",
            pods="1000",
            accelerators=(Accelerator(resource_type="nvidia.com/gpu", available="8"),),
        ),
    ),
    ("ENABLE_TRACING", '"1"', "enable_tracing", True),
    ("ENABLE_TRACING", "0", "enable_tracing", False),
    ("ENABLE_TRACING", "true", "enable_tracing", True),
    ("TELEMETRY_ENDPOINT", "otel.example.org:4317", "telemetry_endpoint", "otel.example.org:4317"),
    ("TELEMETRY_ENDPOINT", "http://otel:4317/", "telemetry_endpoint", "otel:4317"),
    ("TELEMETRY_ENDPOINT", '"[::1]:4317"', "telemetry_endpoint", "[::1]:4317"),
    ("TELEMETRY_UNIQUE_ID", "site-a", "telemetry_unique_id", "site-a"),
    ("TELEMETRY_CA_CRT_FILEPATH", "/etc/ca.crt", "telemetry_ca", Path("/etc/ca.crt")),
    ("TELEMETRY_CLIENT_KEY_FILEPATH", "/etc/key.pem", "telemetry_client_key", Path("/etc/key.pem")),
    ("TELEMETRY_CLIENT_CRT_FILEPATH", "~/cert.pem", "telemetry_client_cert", Path("/home/me/cert.pem")),
    ("SHARED_FS", "false", "shared_fs", False),
    ("SecretsInScript", "true", "secrets_in_script", True),
    ("MaxScriptSize", "8Mi", "max_script_size", 8 << 20),
    ("FetchSeconds", "0", "fetch_seconds", 0.0),
    ("KeepFinished", "604800", "keep_finished", 604800.0),
    ("ScontrolPath", "/opt/slurm/bin/scontrol", "scontrol_path", "/opt/slurm/bin/scontrol"),
    ("SrunPath", "/opt/slurm/bin/srun", "srun_path", "/opt/slurm/bin/srun"),
    ("CUSTOMKUBECONF", "/etc/kube.conf", "custom_kubeconf", Path("/etc/kube.conf")),
    ("CUSTOMKUBECONF", "in-cluster", "custom_kubeconf", Path("in-cluster")),
    ("InterlinkURL", "http://interlink", "interlink_url", "http://interlink"),
    ("InterlinkPort", '"3000"', "interlink_port", "3000"),
    ("SidecarURL", "http://0.0.0.0", "sidecar_url", "http://0.0.0.0"),
    ("VKConfigPath", "/etc/vk.yaml", "vk_config_path", "/etc/vk.yaml"),
]

A_PORT = "must be a whole number from 0 to 65535"
A_COMMAND = "must be one command name or full path at the site"
ONE_LINE = "must be one line without control characters"
A_SOCKET = "must have the form unix:///path/of/the.sock"
SECONDS = "must be a number of seconds from 1 to 86400, without a unit"
A_COLLECTOR = "must be HOST:PORT of a collector that takes gRPC"
A_MODE = "must be an octal file mode that lets the owner write"
A_QUANTITY = "must be a quantity as Kubernetes writes it"
PLAIN_PATH = "must be a plain path"
OWN_FOLDER = "must be a folder of its own, such as .interlink/jobs"
SIGNS = r"must not contain : , % or \, "

WRONG = [
    ("SidecarPort", "65536", A_PORT),
    ("SidecarPort", "-1", A_PORT),
    ("SidecarPort", "4000/tcp", A_PORT),
    ("SidecarPort", "0x10", A_PORT),
    ("SidecarPort", "[4000]", A_PORT),
    ("SidecarPort", "٤٠", A_PORT),
    ("Socket", "/var/run/plugin.sock", A_SOCKET),
    ("Socket", "unix://var/run/plugin.sock", A_SOCKET),
    ("Socket", "unix:///", A_SOCKET),
    ("Socket", "tcp://0.0.0.0:4000", A_SOCKET),
    ("Socket", f"unix:///{'x' * 107}", "at most 107 bytes"),
    ("SocketMode", "0800", A_MODE),
    ("SocketMode", "rw-rw----", A_MODE),
    ("SocketMode", "0400", A_MODE),
    ("SocketMode", "0666", "allows every user of this machine to run commands at the site"),
    ("Watch", "{Port: 70000}", A_PORT),
    ("PortForward", "{Port: 70000, TokenFile: /t}", A_PORT),
    ("PortForward", "{Port: 4002}", "requires PortForward.TokenFile, .TokenReview, .TLS.ClientCAFile or Access"),
    ("PortForward", "{TokenReview: {Audience: a}}", "is not a known key: did you mean Audiences?"),
    ("PortForward", "{AllowedPorts: [http]}", "must be ports such as 8888, or ranges such as 8000-8999, not 'http'"),
    ("PortForward", "{AllowedPorts: [0]}", "must be a whole number from 1 to 65535, not '0'"),
    ("PortForward", "{AllowedPorts: [9-8]}", "from the lower port to the higher one, such as 8-9, not 9-8"),
    ("PortForward", "{MaxConnections: 0}", "must be a whole number from 1 to 500"),
    ("PortForward", "{Tokenfile: /t}", "is not a known key: did you mean TokenFile?"),
    ("Watch", "{BindAddress: 192.0.2.7}", "any client could read the logs of all pods"),
    ("Watch", "{Tokenfile: /t}", "is not a known key: did you mean TokenFile?"),
    ("TLS", "{CertFile: /c}", "must be set together with TLS.CertFile"),
    ("TLS", "{KeyFile: /k}", "must be set together with TLS.CertFile"),
    ("TLS", "{ClientCAFile: /ca}", "requires TLS.CertFile and TLS.KeyFile"),
    ("TLS", "{CertFile: /c, KeyFile: /k, CRLFile: /crl}", "requires TLS.ClientCAFile"),
    ("TLS", "{CertFile: /c, KeyFile: /k, AllowedSubjects: [CN=a]}", "requires TLS.ClientCAFile"),
    ("TLS", "{AllowedSubjects: [a b]}", "must be a subject as `openssl x509 -noout -subject -nameopt RFC2253` prints"),
    ("TLS", "{MinProtocol: TLSv1.1}", "must be one of TLSv1.2, TLSv1.3, not 'TLSv1.1'"),
    ("TLS", "{CipherString: 'ECDHE+AESGCM:ECDHE+AESGMC'}", "OpenSSL here has no ECDHE+AESGMC"),
    ("TLS", "{CipherString: 'NULL-SHA256:@SECLEVEL=0'}", "must not allow the weak cipher NULL-SHA256"),
    ("TLS", "{Certfile: /c}", "is not a known key: did you mean CertFile?"),
    ("Identities", "{a: {}, b: {}}", "a and b have the same account and folder at the site (hpcuser, .interlink/jobs)"),
    ("Identities", "{a: {Account: x}}", "a match no pod: set Namespaces or ServiceAccounts of each"),
    ("Identities", "{'a/b': {}}", "must consist of letters, digits"),
    ("Identities", "{a: {ServiceAccounts: [lab]}}", "must be namespace/name of a service account"),
    ("Policy", "{ForbiddenFlags: [--qos=x]}", "must be the name of an option of sbatch, such as qos or -p"),
    ("Policy", "{ForcedFlags: [qos]}", "must be an option of sbatch"),
    (
        "PersistentVolumeClaims",
        "{'*': '/claims/{namespace}-{claim}'}",
        "must have {namespace} and {claim} in folders of their own, such as {namespace}/{claim}",
    ),
    ("Policies", "{a: {AllowedImages: [x]}}", "a matches no pod: set its Namespaces or Identities"),
    ("Policies", "{a: {Namespaces: [x], AllowedImage: [x]}}", "is not a known key: did you mean AllowedImages?"),
    ("Policies", "{a: {Identities: [x]}}", "a names the identity 'x', which is not in Identities: none are configured"),
    ("Policies", "{'a/b': {Namespaces: [x]}}", "must consist of letters, digits"),
    ("TLS", "true", "must be a block of keys, not 'true'"),
    ("TokenFile", "~you/token", "must begin with / or ~/ or be relative to this file"),
    ("SbatchPath", "sbatch --account=me", A_COMMAND),
    ("SbatchPath", "$SLURM/bin/sbatch", A_COMMAND),
    ("ScancelPath", "~/bin/scancel", A_COMMAND),
    ("SqueuePath", "bin/squeue", A_COMMAND),
    ("SinfoPath", "--help", A_COMMAND),
    ("ScontrolPath", "--help", A_COMMAND),
    ("KeepFinished", "7d", "must be a number of seconds from 0 to 31622400, without a unit"),
    ("SrunPath", "-n", A_COMMAND),
    ("CommandPrefix", '"a\\0b"', "must not contain a NUL character"),
    ("CommandPrefix", "[module load x]", "must be a string, not a list"),
    ("ImagePrefix", '"docker://\\n"', ONE_LINE),
    ("SingularityPath", "module load apptainer; apptainer", A_COMMAND),
    ("SingularityPrefix", '"nice \'oops"', "unterminated quotation mark"),
    ("SingularityDefaultOptions", "--nv", "must be a list, such as [one, two], not '--nv'"),
    ("SingularityDefaultOptions", '["a\\nb"]', ONE_LINE),
    ("ExportPodData", "1", "must be true or false, not '1'"),
    ("ExportPodData", "truee", "must be true or false"),
    ("DataRootFolder", "../jobs", "must not contain '..'"),
    ("DataRootFolder", "/scratch/../etc", "must not contain '..'"),
    ("DataRootFolder", "$SCRATCH/jobs", PLAIN_PATH),
    ("DataRootFolder", "~you/jobs", PLAIN_PATH),
    ("DataRootFolder", '"`id`"', PLAIN_PATH),
    ("DataRootFolder", "-rf", PLAIN_PATH),
    ("DataRootFolder", '"a\\0b"', "NUL"),
    ("DataRootFolder", '"a\\nb"', ONE_LINE),
    ("DataRootFolder", '"a\\x7fb"', ONE_LINE),
    ("DataRootFolder", '"a\\u2028b"', ONE_LINE),
    ("DataRootFolder", "/scratch/%j", SIGNS),
    ("DataRootFolder", '"a:b"', SIGNS),
    ("DataRootFolder", '"a,b"', SIGNS),
    ("DataRootFolder", r"a\b", SIGNS),
    ("DataRootFolder", "/", OWN_FOLDER),
    ("DataRootFolder", ".", OWN_FOLDER),
    ("DataRootFolder", "~/", OWN_FOLDER),
    ("Namespace", "Not_A_Namespace", "must be a Kubernetes namespace"),
    ("Namespace", "a" * 64, "must be a Kubernetes namespace"),
    ("LogFormat", "xml", "must be one of text, json, not 'xml'"),
    ("Tsocks", "maybe", "must be true or false"),
    ("Tsocks", "true", "requires TsocksPath and TsocksLoginNode"),
    ("JobVariables", "['*']", "must be the name of an environment variable, or its beginning and *"),
    ("JobArrays", "true", "must be one of auto, always, off, not 'true'"),
    ("BashPath", "bash", "must be a full path, since it follows #!"),
    ("BashPath", "/usr/bin/env bash", A_COMMAND),
    ("ImagePull", "always", "node, login, never"),
    ("PersistentVolumeClaims", "{Team/data: /x}", "must be claim, namespace/claim, storageClass/name or *"),
    ("PersistentVolumeClaims", "{storageClass/: /x}", "must be claim, namespace/claim"),
    (
        "CUSTOMKUBECONF",
        "null\nPersistentVolumeClaims: {storageClass/fast: /x}",
        "the sidecar asks Kubernetes for the storage class",
    ),
    (
        "CUSTOMKUBECONF",
        "null\nPortForward: {Port: 4002, TokenReview: {Audiences: [remote-slurm]}}",
        "is required by PortForward.TokenReview: the Kubernetes API reviews the tokens of clients",
    ),
    ("ImagePullSecrets", "{A B: /x}", "must be secret, namespace/secret"),
    ("RuntimeEnvironment", "{A-B: x}", "must be the name of an environment variable"),
    ("ImageCacheFolder", "images", "must be a full path"),
    ("ImageCacheFolder", "/", "must be a folder of its own"),
    ("ContainerRuntime", "a b", "must consist of letters, digits, '.', '_' and '-', not 'a b'"),
    ("ContainerRuntime", "{}", "must be a string, not a block of keys"),
    ("DefaultUID", "-1", "must be a whole number from 0 to 4294967294"),
    ("Flavors", "[small]", "must be a block of keys, not a list"),
    ("Flavors", "{a: 3}", "must be a block of keys, not '3'"),
    ("Flavors", "{a: {MemoryDefault: 16GG}}", "must be memory such as 16G or 32000M, not '16GG'"),
    ("Flavors", "{a: {SlurmFlags: [partition=gpu]}}", "must be an option of sbatch"),
    ("Flavors", "{a: {CPUDefault: -1}}", "must be a whole number from 0"),
    ("Taints", "{key: k, effect: NoExecute}", "must be a list, such as [one, two], not a block of keys"),
    ("Taints", "[{key: k, effect: noexecute}]", "must be one of NoSchedule, PreferNoSchedule, NoExecute"),
    ("Taints", "[{effect: NoExecute}]", "is required: key of the taint"),
    ("ResourceScriptPath", "../up.sh", "must not contain '..'"),
    ("BindAddress", "localhost.example.org", "must be an IP address of this machine"),
    ("BindAddress", "300.0.0.1", "must be an IP address of this machine"),
    ("PollInterval", "0.5", SECONDS),
    ("PollInterval", "0", SECONDS),
    ("PollInterval", "10s", SECONDS),
    ("PollInterval", "nan", SECONDS),
    ("PollInterval", "inf", SECONDS),
    ("PollInterval", "86401", SECONDS),
    ("DefaultCPU", "0", "must be a whole number from 1"),
    ("DefaultCPU", "500m", "must be a whole number from 1"),
    ("DefaultMemory", "0", "must be more than 0, not '0'; or none"),
    ("DefaultMemory", "1MB", A_QUANTITY),
    ("DefaultMemory", "-1M", A_QUANTITY),
    ("DefaultMemory", "1mi", A_QUANTITY),
    ("DefaultMemory", "NaN", A_QUANTITY),
    ("DefaultMemory", "Infinity", A_QUANTITY),
    ("MaxRequestSize", "0", "must be more than 0"),
    ("MaxRequestSize", "unlimited", A_QUANTITY),
    ("StateFolder", "~you/state", "must begin with / or ~/ or be relative to this file"),
    ("Resources", "{cpu: many}", A_QUANTITY),
    (
        "Resources",
        "{accelerators: [{resourceType: nvidia.com/gpu}]}",
        "is required: total number of accelerators of this type",
    ),
    ("ENABLE_TRACING", "2", "must be true or false"),
    ("TELEMETRY_ENDPOINT", "localhost", A_COLLECTOR),
    ("TELEMETRY_ENDPOINT", "grpc://localhost:4317", A_COLLECTOR),
    ("SHARED_FS", "2", "must be true or false"),
    ("CUSTOMKUBECONF", "[a]", "must be a string, not a list"),
]


@pytest.mark.parametrize(("key", "text", "attribute", "expected"), RIGHT)
def test_right_value(load: Load, key: str, text: str, attribute: str, expected: Any) -> None:
    config = load(f"{key}: {text}")
    assert getattr(config, attribute) == expected
    assert type(getattr(config, attribute)) is type(expected)


def test_every_key_has_a_right_value_in_the_table() -> None:
    assert {key: attribute for key, _, attribute, _ in RIGHT} | {"SSH": "ssh"} == Config.keys()


@pytest.mark.parametrize(("key", "text", "sentence"), WRONG)
def test_wrong_value(problems: Problems, key: str, text: str, sentence: str) -> None:
    (problem,) = problems(f"# first line\n{key}: {text}")
    assert problem.key.startswith(key)
    assert sentence in problem.message
    assert problem.line == 2


def test_a_long_wrong_value_is_shown_in_part(problems: Problems) -> None:
    (problem,) = problems(f"SidecarPort: {'9' * 10_000}")
    assert len(problem.message) < 200


@pytest.mark.parametrize("empty", ["", '""', "~", "null"])
@pytest.mark.parametrize("key", sorted(Config.keys().keys() - {"SSH"}))
def test_an_empty_value_means_the_default(load: Load, key: str, empty: str) -> None:
    attribute = Config.keys()[key]
    assert getattr(load(f"{key}: {empty}"), attribute) == getattr(load(""), attribute)


def test_an_unknown_key_is_an_error_even_when_empty(problems: Problems) -> None:
    assert [problem.key for problem in problems("Frobnicate:")] == ["Frobnicate"]


@pytest.mark.parametrize(
    ("environ", "root", "folder"),
    [
        ({"HOME": "/home/me"}, False, "/home/me/.local/state/remote-slurm"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/state"}, False, "/state/remote-slurm"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "relative"}, False, "/home/me/.local/state/remote-slurm"),
        ({"HOME": "/root"}, True, "/var/lib/remote-slurm"),
        ({"HOME": "/root", "XDG_STATE_HOME": "/state"}, True, "/state/remote-slurm"),
    ],
)
def test_default_state_folder(environ: dict[str, str], root: bool, folder: str) -> None:  # noqa: FBT001 - a table
    assert default_state_folder(environ, root=root) == Path(folder)


LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", '"[::1]"', "localhost"]
BEYOND = [
    "0.0.0.0",  # noqa: S104 - refused
    '"::"',
    "192.0.2.7",
    "2001:db8::7",
    "169.254.1.1",
    '"::ffff:192.0.2.7"',
]


@pytest.mark.parametrize("address", LOOPBACK)
def test_the_sidecar_may_listen_on_this_machine(load: Load, address: str) -> None:
    assert load(f"BindAddress: {address}").bind_address == address.strip('"[]')


@pytest.mark.parametrize("address", BEYOND)
def test_the_sidecar_listens_beyond_this_machine_only_if_allowed(load: Load, problems: Problems, address: str) -> None:
    (problem,) = problems(f"BindAddress: {address}")
    assert (problem.key, problem.line) == ("BindAddress", 1)
    assert "could run commands at the site" in problem.message
    assert "AllowUnauthenticated: true" in problem.message
    assert load(f"BindAddress: {address}\nAllowUnauthenticated: true").bind_address == address.strip('"')
    assert load(f"BindAddress: {address}\nSocket: unix:///run/a.sock").socket == Path("/run/a.sock")


AUTHENTICATION = ["TokenFile: /etc/token", "TLS: {CertFile: /c, KeyFile: /k, ClientCAFile: /ca}"]


@pytest.mark.parametrize("authentication", AUTHENTICATION)
def test_authenticated_clients_may_come_from_other_machines(load: Load, authentication: str) -> None:
    assert load(f"BindAddress: 192.0.2.7\n{authentication}").bind_address == "192.0.2.7"


def test_encryption_alone_rejects_no_client(problems: Problems) -> None:
    (problem,) = problems("TLS: {CertFile: /c, KeyFile: /k}\nBindAddress: 192.0.2.7")
    assert problem.key == "BindAddress"
    assert "TokenFile or TLS.ClientCAFile" in problem.message


def test_a_socket_for_everybody_asks_for_a_token(load: Load) -> None:
    assert load("SocketMode: 0666\nTokenFile: /etc/token").socket_mode == "0666"
    assert load("SocketMode: 0666\nAllowUnauthenticated: true").socket_mode == "0666"


def test_a_socket_has_no_certificate(problems: Problems) -> None:
    (problem,) = problems("Socket: unix:///run/a.sock\nTLS: {CertFile: /c, KeyFile: /k}")
    assert (problem.key, problem.line) == ("TLS", 2)
    assert "SocketMode restricts access" in problem.message


def test_details_and_errors_only_exclude_each_other(problems: Problems) -> None:
    (problem,) = problems("ErrorsOnlyLogging: true\nVerboseLogging: true")
    assert (problem.key, problem.line) == ("ErrorsOnlyLogging", 1)
    assert "VerboseLogging" in problem.message


def test_the_default_flavor_is_one_of_the_flavors(problems: Problems) -> None:
    (problem,) = problems("Flavors: {small: {}, large: {}}\nDefaultFlavor: medium")
    assert str(problem) == "DefaultFlavor (line 2): must be one of Flavors (small, large), not 'medium'"


def test_a_config_cannot_be_changed(load: Load) -> None:
    config = load("")
    with pytest.raises(ValueError, match="frozen"):
        config.namespace = "other"
    with pytest.raises(ValueError, match="frozen"):
        config.ssh.port = 23


@pytest.mark.parametrize(
    ("ports", "allowed", "not_allowed"),
    [
        (("8888",), {8888}, {8887, 8889, 22}),
        (("8000-8002", "22"), {22, 8000, 8001, 8002}, {23, 7999, 8003}),
        (("1024-65535",), {1024, 65535}, {1, 22, 1023}),
    ],
)
def test_allowed_ports(ports: tuple[str, ...], allowed: set[int], not_allowed: set[int]) -> None:
    block = PortForward(allowed_ports=ports)
    assert all(block.allows(port) for port in allowed)
    assert not any(block.allows(port) for port in not_allowed)


def test_each_key_is_in_one_group_in_the_order_of_checks() -> None:
    """A check of two keys looks at the one that is declared first, which must have been read by then."""
    assert [name for group in GROUPS for name in group.model_fields] == list(Config.model_fields)
