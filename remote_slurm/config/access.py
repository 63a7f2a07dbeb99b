"""The file that Access names: which clients may do what, for the pods of which namespaces."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.host_defaults import Machine, home_folder
from remote_slurm.config.layers import Layers
from remote_slurm.config.path_types import LocalPath
from remote_slurm.config.scalar_types import Label, OneLine, shown
from remote_slurm.config.subjects import Subject
from remote_slurm.config.yaml_file import read_document, validated


class Verb(StrEnum):
    """What a client may ask; each endpoint belongs to one verb."""

    CREATE = "create"
    STATUS = "status"
    DELETE = "delete"
    LOGS = "logs"
    LIST = "list"
    INFO = "info"
    METRICS = "metrics"
    FORWARD = "forward"
    EXEC = "exec"


# Those whose answers are about pods, which have a namespace
_OF_PODS = frozenset({Verb.CREATE, Verb.STATUS, Verb.DELETE, Verb.LOGS, Verb.LIST, Verb.FORWARD, Verb.EXEC})


def verb(value: object) -> Verb:
    """Read a verb; the nearest one is named if there is no such verb."""
    words = [each.value for each in Verb]
    if isinstance(value, str) and value in words:
        return Verb(value)
    near = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    raise ValueError(f"must be verbs of {', '.join(words)}, not {shown(value)}{hint}")


class Grant(Block):
    """What one client, or several that show the same, may do."""

    token_file: LocalPath | None = setting(None, "The client must send a token of this file, as for TokenFile.")
    subjects: tuple[Subject, ...] = setting(
        (), "The client must show a certificate with one of these subjects, as for TLS.AllowedSubjects."
    )
    verbs: tuple[Annotated[Verb, BeforeValidator(verb)], ...] = Field(
        description="What the client may do: create, status, delete, logs, list, info, metrics, forward, exec."
    )
    namespaces: tuple[OneLine, ...] = setting(
        (), 'The namespaces, as patterns, of the pods that it may name or see: ["*"].'
    )

    @field_validator("verbs")
    @classmethod
    def _for_somebody(cls, verbs: tuple[Verb, ...], info: ValidationInfo) -> tuple[Verb, ...]:
        if not info.data.get("token_file", "wrong") and not info.data.get("subjects", "wrong"):
            raise ValueError("let no client in: the entry needs TokenFile or Subjects")
        return verbs

    @field_validator("namespaces")
    @classmethod
    def _of_verbs(cls, namespaces: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        of_pods = [each for each in info.data.get("verbs", ()) if each in _OF_PODS]
        if of_pods and not namespaces:
            raise ValueError(f'is required for {", ".join(of_pods)}: ["*"] matches every namespace')
        return namespaces


class AccessFile(Block):
    """The whole file."""

    clients: Mapping[Label, Grant] = Field(description="What each client may do, by a name for the log.")


def load_access(path: Path, key: str = "Access") -> Mapping[str, Grant]:
    """Return the grants by the names of clients. Raises ConfigError with everything that is wrong."""
    layers = Layers()
    layers.lay_file(read_document(path, key=key, example="Clients has a block for each client"))
    folder = path.absolute().parent
    return validated(path, layers, AccessFile, Machine(folder, home_folder(os.environ), folder)).clients
