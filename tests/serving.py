"""A sidecar together with the site it serves."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.pods import Json, key
from tests.sidecar import PATIENCE, Client, Sidecar, looks
from tests.sites import Site
from tests.vk import VirtualKubelet, Watched

ENDLESS = {"PENDING", "RUNNING", "COMPLETING"}


@dataclass
class Serving:
    """A sidecar, the site it serves, and a Virtual Kubelet that talks to it."""

    site: Site
    config: Path
    sidecar: Sidecar
    early: dict[str, Watched] = field(default_factory=dict)  # pods that take a minute, created with the sidecar

    @property
    def client(self) -> Client:
        return self.sidecar.client

    @property
    def vk(self) -> VirtualKubelet:
        return VirtualKubelet(self.client)

    @property
    def root(self) -> str:
        """DataRootFolder."""
        return str(yaml.safe_load(self.config.read_text())["DataRootFolder"])

    @property
    def runtime(self) -> str:
        """ContainerRuntime."""
        return str(yaml.safe_load(self.config.read_text())["ContainerRuntime"])

    @property
    def journal(self) -> list[Path]:
        """The deletes that are accepted and not carried out yet."""
        return sorted(self.state_folder.glob("deletes/*.json"))

    @property
    def state_folder(self) -> Path:
        return Path(yaml.safe_load(self.config.read_text())["StateFolder"])

    @property
    def folders(self) -> set[str]:
        """What lies directly in DataRootFolder."""
        return set(self.site.exec(f"ls -A '{self.root}'").splitlines())

    def left_of(self, pod: Json) -> list[str]:
        """What lies at the site of this pod, and is no tombstone."""
        ours = [
            path for path in self.site.files(self.root) if re.search(rf"{re.escape(key(pod))}(?![A-Za-z0-9-])", path)
        ]
        stones = {f".remote-slurm/claims/{key(pod)}.{end}" for end in ("deleted", "job")}
        return [path for path in ours if path not in stones]

    def jobs_of(self, pod: Json) -> list[str]:
        """The states of all jobs that Slurm remembers of this pod."""
        return list(self.site.jobs(f"{self.root}/{key(pod)}/").values())

    def until_jobs(self, pod: Json, *states: str) -> None:
        """Wait until Slurm says so of the pod's jobs, which end a moment after its containers."""
        wait_until(lambda: self.jobs_of(pod) == [*states], f"its jobs are {states}")

    def until_gone(self, pod: Json, seconds: float = PATIENCE) -> None:
        """Wait until a delete is carried out: nothing but tombstones, no job, nothing in the journal."""
        wait_until(lambda: not self.left_of(pod), "nothing is left of the pod", seconds)
        wait_until(
            lambda: not any(key(pod) in path.name for path in self.journal), "the delete is off the journal", seconds
        )
        wait_until(lambda: not ENDLESS & {*self.jobs_of(pod)}, "its jobs have ended", seconds)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    if not any(condition() for _ in looks(seconds)):
        raise AssertionError(f"after {seconds} s it is not so that {what}")


Serve = Callable[..., Serving]
