"""The files of ImagePullSecrets, in place of the Secrets that the Virtual Kubelet does not send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import CreateRequest, ObjectMeta, Secret
from remote_slurm.errors import InvalidRequest


def with_pull_secrets(request: CreateRequest, config: Config) -> CreateRequest:
    """The request with the Secrets that its pod names and the configuration has.

    Raises InvalidRequest for a file that cannot be read.
    """
    return request.model_copy(update={"pull_secrets": tuple(_read(request, config))})


def _read(request: CreateRequest, config: Config) -> Iterator[Secret]:
    files = config.image_pull_secrets
    namespace = request.pod.metadata.namespace
    for reference in request.pod.spec.image_pull_secrets:
        keys = (f"{namespace}/{reference.name}", reference.name, "*")
        file = next((files[key] for key in keys if key in files), None)
        if file is not None:
            content = {".dockerconfigjson": _text(file, reference.name)}
            yield Secret(metadata=ObjectMeta(name=reference.name), string_data=content)


def _text(file: Path, name: str) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidRequest(f"ImagePullSecrets names {file} for '{name}', and it cannot be read: {reason}") from error
