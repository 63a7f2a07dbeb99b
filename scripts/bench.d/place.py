"""A site for measuring, and a sidecar that serves it: each has one half of the processors, as two machines would.

The client, and the network between sidecar and site, belong to neither machine: they run on whichever half is idle.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import sites
from tests.pods import Json, pod, request, sh
from tests.sidecar import Client, Sidecar

_PROCESSORS = sorted(os.sched_getaffinity(0))
_HALF = max(1, len(_PROCESSORS) // 2)
SITE_PROCESSORS = _PROCESSORS[:_HALF]
OUR_PROCESSORS = _PROCESSORS[_HALF:] or _PROCESSORS
_AT_THE_SITE = ["taskset", "-c", ",".join(map(str, SITE_PROCESSORS))]


@dataclass(frozen=True)
class Place:
    """A site that is up. `direct_port` is its sshd's, without the proxy that delays."""

    site: sites.Site
    direct_port: int
    folder: Path

    def account(self, script: str, seconds: float = 600) -> str:
        """What a script of the site's account prints, run there and not over SSH."""
        return self._run(["su", "hpcuser", "-c", "cd && exec bash -s"], script, seconds)

    def root(self, script: str, seconds: float = 600) -> str:
        """The same as root."""
        return self._run(["bash", "-s"], script, seconds)

    def _run(self, command: list[str], script: str, seconds: float) -> str:
        command = [*_AT_THE_SITE, sites.SCRIPT, "exec", "--name", self.site.name, "--", *command]
        run = subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=seconds)
        if run.returncode:
            raise RuntimeError(f"at the site: {run.stdout}{run.stderr}")
        return run.stdout

    def cancel_all(self) -> None:
        self.account("scancel -u hpcuser; while squeue --noheader --me | grep -q .; do sleep 0.2; done")

    @contextlib.contextmanager
    def sidecar(self, **overrides: Any) -> Iterator[Serving]:
        """`remote-slurm serve`, connected and with its sessions open."""
        keys = {"VerboseLogging": False, "ContainerRuntime": "none"} | overrides
        config = self.site.config(self.folder, **keys)
        os.sched_setaffinity(0, OUR_PROCESSORS)
        running = Sidecar(config)
        os.sched_setaffinity(0, _PROCESSORS)
        try:
            serving = Serving(running, running.client, Path(config))
            serving.until_ready()
            yield serving
        finally:
            running.stop(70)


@dataclass(frozen=True)
class Serving:
    process: Sidecar
    client: Client
    config: Path

    @property
    def pid(self) -> int:
        """The server's; its supervisor does nothing while the server runs."""
        supervisor = self.process.process.pid
        return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])

    @property
    def cpu_seconds(self) -> float:
        values = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, what: str = "VmRSS") -> float:
        """VmRSS is the memory now, VmHWM the most that it ever was."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """The sidecar's event loop and its client before all else that runs: milliseconds are measured.

        Ten thousand bodies may lie here, which the client's own garbage collection need not look at meanwhile.
        """
        gc.collect()
        gc.freeze()
        before = os.nice(0)
        for pid in (self.pid, os.getpid()):
            os.setpriority(os.PRIO_PROCESS, pid, -15)
        yield
        for pid in (self.pid, os.getpid()):
            os.setpriority(os.PRIO_PROCESS, pid, before)

    def until_ready(self) -> None:
        # an answer of the site, whatever it is, means that there is a session
        while self.client.system_info()["error"]:
            pass


def _free_the_line(port: int) -> None:
    """The proxy that delays was started with the processors of the site, of which it is no part."""
    proxies = subprocess.run(["pgrep", "-f", f"delay-proxy.py {port} "], check=False, stdout=subprocess.PIPE, text=True)
    for pid in proxies.stdout.split():
        os.sched_setaffinity(int(pid), _PROCESSORS)


@contextlib.contextmanager
def place(*options: str) -> Iterator[Place]:
    """A site of its own with these options of `scripts/site up`, for as long as the context lasts."""
    name = f"bench-{os.getpid()}"
    command = [*_AT_THE_SITE, sites.SCRIPT, "up", "--name", name, *options, "--output", "json"]
    os.sched_setaffinity(0, OUR_PROCESSORS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            site = sites.Site(
                **{key: facts[key] for key in ("name", "suite", "host", "port", "user", "runtime", "pid")},
                identity_file=Path(facts["identity_file"]),
                known_hosts_file=Path(facts["known_hosts_file"]),
            )
            _free_the_line(site.port)
            yield Place(site, facts["sshd_port"], Path(folder))
        finally:
            subprocess.run([sites.SCRIPT, "down", "--name", name], check=True, capture_output=True)


def held_pod() -> Json:
    """The create of a small pod whose job stays in the queue: what is measured is not the work of jobs."""
    return request(pod(sh("c", "true"), flags="--hold"))
