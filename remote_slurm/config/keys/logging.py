"""Keys for the log, the audit log and traces."""

from typing import ClassVar

from pydantic import ValidationInfo, field_validator

from remote_slurm.config.audit import AuditPlace
from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.path_types import Collector, LocalPath
from remote_slurm.config.scalar_types import Boolean, EnvironmentBoolean, Format, LogFormat, OneLine


class LogKeys(KeyGroup):
    """What the sidecar logs."""

    title: ClassVar[str] = "Logs and audit"

    log_format: Format = setting(LogFormat.TEXT, "Format of log lines: text, or json with the same fields as keys.")
    audit_log: AuditPlace | None = setting(
        None,
        "Destination of the audit log: a local path, stdout or stderr. It has a JSON line for each create, "
        "delete, log request and rejection; see docs/audit.md.",
    )
    verbose_logging: Boolean = setting(default=False, description="Log at debug level.")
    errors_only_logging: Boolean = setting(default=False, description="Log errors only.")

    @field_validator("errors_only_logging")
    @classmethod
    def _not_both(cls, errors_only: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        if errors_only and info.data.get("verbose_logging"):
            raise ValueError("cannot be combined with VerboseLogging: set one of them to false")
        return errors_only


class TraceKeys(KeyGroup):
    """Where to send traces. The reference plugin reads these names from its environment."""

    title: ClassVar[str] = "Traces"

    enable_tracing: EnvironmentBoolean = setting(
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
