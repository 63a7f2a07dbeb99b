"""A node that runs a pod's job: a real bash in a folder that is laid out as at a site."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from remote_slurm.domain.plan.job_parts import runner_with_parts
from remote_slurm.domain.plan.script import SOURCES
from remote_slurm.domain.records import ContainerPhase, Record, parse_records
from remote_slurm.domain.shell import words
from remote_slurm.job import SCRIPTS

# Another bash can be tried: the nodes' may be as old as 4.2
BASH = os.environ.get("TEST_BASH", "/bin/bash")
POD = "ns-1"
GRACE = 600  # longer than any test waits
CLUSTER = f"test-{os.getpid()}"
PATIENCE = 120  # seconds, where one or two are enough on a machine that does nothing else


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@dataclass(frozen=True)
class Ended:
    code: int
    output: str


class Job:
    """One run of a job script, as Slurm starts it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def term(self) -> None:
        """What `scancel --batch --signal=TERM` does: the batch shell gets the signal, and no other process."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> Ended:
        output, _ = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, output.decode())


class Node:
    """A site's DataRootFolder with one pod in it, and a node that runs its job."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.control = root / ".remote-slurm"
        self.pod = root / POD
        for folder in ("claims", "spool"):
            (self.control / folder).mkdir(parents=True)
        (self.pod / "secret").mkdir(parents=True)
        (self.pod / "secret" / "token").write_text("t0p")
        for name, text in SCRIPTS.items():
            (self.pod / name).write_bytes(text)

    def sources(self, calls: str) -> str:
        """Write runner.sh with the parts that these calls need, and return the shell that reads it."""
        runner = self.pod / "runner.sh"
        _write(runner, runner_with_parts(calls, SCRIPTS))
        return SOURCES

    def start(self, calls: str, *, job: str = "7", grace: int = GRACE, prefix: str = "", run: int = 0) -> Job:
        """`run` says how often Slurm has requeued the job."""
        script = self.pod / "job.sh"
        text = f"{prefix}\n{self.sources(calls)}pod {POD} {grace}\n{calls}\nfinish\n"
        _write(script, text.encode())
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.root), "SLURM_JOB_ID": job, "NODE": str(self.root)}
        environment["SLURMD_NODENAME"] = os.uname().nodename
        # jobs of other test processes remove what dead jobs of their own cluster have left
        environment["SLURM_CLUSTER_NAME"] = CLUSTER
        if run:
            environment["SLURM_RESTART_COUNT"] = str(run)
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return Job(subprocess.Popen([BASH, script], cwd=self.pod, env=environment, **streams))

    def run(self, calls: str, **options: object) -> Ended:
        return self.start(calls, **options).end()

    def log(self, name: str) -> str:
        """Empty where it has not begun: a container is running a moment before its log is there."""
        path = self.pod / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def record(self, name: str) -> Record | None:
        path = self.pod / "records" / name
        found = parse_records(path.read_text()) if path.exists() else []
        return found[0] if found else None

    def ended(self, name: str) -> Record:
        record = self.record(name)
        assert record is not None, f"{name} has no record"
        assert record.phase is ContainerPhase.TERMINATED
        return record

    def is_running(self, name: str) -> bool:
        record = self.record(name)
        return record is not None and record.phase is ContainerPhase.RUNNING

    def processes(self) -> list[str]:
        """What still runs of this node's jobs."""
        mark = f"NODE={self.root}\0".encode()
        return [
            path.name for path in Path("/proc").iterdir() if path.name.isdigit() and mark in _read(path / "environ")
        ]

    def arguments(self) -> str:
        """The arguments of what still runs of this node's jobs, as all users of a node see them."""
        return b" ".join(_read(Path("/proc", process, "cmdline")) for process in self.processes()).decode(
            errors="replace"
        )

    def until_empty(self) -> None:
        """Wait until nothing runs any more: who was killed may take a moment."""
        until(lambda: not self.processes())

    def clear(self) -> None:
        """End what is left of a job, as Slurm does."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _write(path: Path, content: bytes) -> None:
    """Another job may be reading the file."""
    if _read(path) != content:
        path.write_bytes(content)


def sh(script: str) -> str:
    """A container that runs a line of shell."""
    return words(["sh", "-c", script])
