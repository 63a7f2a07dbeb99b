"""Deletes that were accepted and are not carried out yet: one small file each, so that a crash loses none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remote_slurm.errors import RemoteSlurmError
from remote_slurm.events import warn


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
    """As a sidecar of before could read it, which knows no `overrides`."""
    return {key: value for key, value in asdict(delete).items() if value is not False}


class JournalError(RemoteSlurmError):
    """The journal cannot be written, so a delete cannot be promised."""


class Journal:
    """The deletes below `folder`, which is made where it is missing. Raises JournalError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "deletes"
        self._told: set[Path] = set()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"StateFolder {folder} cannot be used: {error.strerror}; name a folder that can be written"
            ) from error

    def add(self, delete: Delete) -> None:
        """On disk before this returns."""
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
        """What stays, since its file system takes no change, is carried out again: at the site that is nothing new."""
        path = self._path(pod)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._tell_once(path, f"cannot be removed, so its delete will be carried out again: {error.strerror}")

    def __iter__(self) -> Iterator[Delete]:
        for path in sorted(self._folder.glob("[!.]*.json")):
            try:
                yield Delete(**json.loads(path.read_text()))
            except FileNotFoundError:
                pass  # another sidecar has just carried it out
            except (OSError, ValueError, TypeError) as error:
                self._tell_once(path, f"cannot be read and is left alone: {error}")

    def _tell_once(self, path: Path, what: str) -> None:
        if path not in self._told:
            self._told.add(path)
            warn(f"the journal's file {path} {what}")

    def _path(self, pod: str) -> Path:
        return self._folder / f"{pod}.json"
