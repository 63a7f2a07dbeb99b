"""Deletes that were accepted and are not carried out yet: one small file each, so that a crash loses none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remote_slurm.config.strict_modes import unsafe_folder
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import warning


@dataclass(frozen=True, slots=True)
class Delete:
    """A pod to be deleted: the name of its folder, its name for people, and its grace period in seconds.

    `overrides`: the grace period takes the place of the one that the pod was created with, which its runner knows.
    """

    pod: str
    name: str
    grace_seconds: int
    overrides: bool = False


def _written(delete: Delete) -> dict[str, Any]:
    """The form that an earlier version reads, which does not know `overrides`."""
    return {key: value for key, value in asdict(delete).items() if value is not False}


class JournalError(RemoteSlurmError):
    """The journal cannot be written, so that a delete cannot be accepted."""


class Journal:
    """The deletes in `folder`, which is created if it is missing. Raises JournalError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "deletes"
        self._logged: set[Path] = set()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = unsafe_folder(folder) or unsafe_folder(self._folder)
        except OSError as error:
            raise JournalError(
                f"StateFolder {folder} cannot be used: {error.strerror}; name a folder that can be written"
            ) from error
        if found:
            raise JournalError(
                f"StateFolder {folder} is not used, since other accounts could write to it and delete pods: {found}"
            )

    def add(self, delete: Delete) -> None:
        """Write the delete to disk. Raises JournalError."""
        path = self._path(delete.pod)
        hidden = path.with_name(f".{path.name}")
        try:
            with hidden.open("w") as file:
                json.dump(_written(delete), file)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(path)
        except OSError as error:
            raise JournalError(f"the delete could not be written to {path}: {error.strerror}") from error

    def done(self, pod: str) -> None:
        """Remove the delete. If its file cannot be removed, the delete is carried out again, which changes nothing."""
        path = self._path(pod)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._log_once("cannot remove a journal file, its delete will be carried out again", path, error)

    def __iter__(self) -> Iterator[Delete]:
        for path in sorted(self._folder.glob("[!.]*.json")):
            try:
                yield Delete(**json.loads(path.read_text()))
            except FileNotFoundError:
                pass  # another sidecar has carried it out in the meantime
            except (OSError, ValueError, TypeError) as error:
                self._log_once("cannot read a journal file, leaving it", path, error)

    def _log_once(self, message: str, path: Path, error: Exception) -> None:
        if path not in self._logged:
            self._logged.add(path)
            reason = error.strerror if isinstance(error, OSError) else error
            warning(message, path=path, reason=reason)

    def _path(self, pod: str) -> Path:
        return self._folder / f"{pod}.json"
