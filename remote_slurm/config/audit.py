"""Where the audit log goes."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo

from remote_slurm.config.path_types import local_path

STREAMS = ("stdout", "stderr")


def audit_place(value: object, info: ValidationInfo) -> Path:
    """Read the path of a file, or the word stdout or stderr."""
    return Path(str(value).strip()) if str(value).strip() in STREAMS else local_path(value, info)


AuditPlace = Annotated[Path, BeforeValidator(audit_place)]
