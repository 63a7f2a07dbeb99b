"""Two sites with the same controls: the fake one, and the real scripts with stand-ins for Slurm."""

import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path

from remote_slurm.domain.records import ContainerPhase, Reason, Record
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.site.site import Site
from tests.fake_site import FakeAccount, FakeSite, SlurmJob
from tests.site.account import Account, LocalShells

CONTAINER = "c"


class Lab(ABC):
    """An account at a site, and what happens there. Each pod has one container."""

    @abstractmethod
    def sidecar(self, *, owner: bool = True) -> Site:
        """A sidecar that has not recovered yet."""

    @abstractmethod
    def lose_next_reply(self, site: Site) -> None: ...

    # --- Slurm ---

    @abstractmethod
    def refuse(self, words: str) -> None:
        """The next sbatch fails."""

    @abstractmethod
    def kill_sbatch(self) -> None:
        """The next sbatch is killed after slurmctld has accepted the job."""

    @abstractmethod
    def break_squeue(self) -> None: ...

    @abstractmethod
    def break_sinfo(self) -> None: ...

    @abstractmethod
    def fill(self, words: str) -> None:
        """Commands that write to the file system fail with these words; none of them: there is room again."""

    @abstractmethod
    def resource_script(self, text: str, exit_code: int = 0) -> None:
        """The site has a script for ResourceScriptPath, which prints this text."""

    @abstractmethod
    def enable_accounting(self) -> None: ...

    @abstractmethod
    def jobs(self) -> dict[str, JobState]: ...

    @abstractmethod
    def hold(self, pod: str, job_id: str) -> None:
        """As if the submission had broken off before the release of the job."""

    # --- the job ---

    @abstractmethod
    def start(self, pod: str, job_id: str) -> bool:
        """Whether its container runs: the fence decides."""

    @abstractmethod
    def end(self, pod: str, job_id: str, exit_code: int = 0) -> None: ...

    @abstractmethod
    def log(self, pod: str, text: str) -> None:
        """The container prints text."""

    @abstractmethod
    def node_folder(self, pod: str, job_id: str) -> NodeFolder: ...

    @abstractmethod
    def has_secrets(self, pod: str) -> bool: ...


class FakeLab(Lab):
    def __init__(self) -> None:
        self.account = FakeAccount(sbatch_seconds=0)

    def sidecar(self, *, owner: bool = True) -> FakeSite:
        return FakeSite(self.account, owner=owner, round_trip=0)

    def lose_next_reply(self, site: Site) -> None:
        assert isinstance(site, FakeSite)
        site.fates.append("cut after")

    def refuse(self, words: str) -> None:
        self.account.moods.append(words)

    def kill_sbatch(self) -> None:
        self.account.moods.append("killed after sbatch")

    def break_squeue(self) -> None:
        self.account.squeue_fails = "squeue failed"

    def break_sinfo(self) -> None:
        self.account.sinfo_fails = "sinfo failed with exit code 1: Access/permission denied"

    def fill(self, words: str) -> None:
        self.account.full = words

    def resource_script(self, text: str, exit_code: int = 0) -> None:
        self.account.resources, self.account.resource_script_fails = text, exit_code != 0

    def enable_accounting(self) -> None:
        self.account.accounting = "on"

    def jobs(self) -> dict[str, JobState]:
        return {job.id: job.state for job in self.account.jobs.values()}

    def hold(self, pod: str, job_id: str) -> None:
        self.account.fences.pop(pod, None)
        self.account.jobs[job_id].reason = "JobHeldUser"

    def start(self, pod: str, job_id: str) -> bool:
        job = self.account.jobs.setdefault(job_id, SlurmJob(job_id, pod))
        self.account.start(job)
        return job.state is JobState.RUNNING

    def end(self, pod: str, job_id: str, exit_code: int = 0) -> None:
        del pod
        self.account.finish(self.account.jobs[job_id], exit_code)

    def log(self, pod: str, text: str) -> None:
        self.account.logs[pod] = self.account.logs.get(pod, b"") + text.encode()

    def node_folder(self, pod: str, job_id: str) -> NodeFolder:
        del pod
        return NodeFolder(job_id, "/node")

    def has_secrets(self, pod: str) -> bool:
        return pod in self.account.secrets


class RealLab(Lab):
    def __init__(self, home: Path, shell: list[str]) -> None:
        self.account = Account(home, shell)
        self.account.tell("sacct.fails", "Slurm accounting storage is disabled")  # a last line without an end
        self.account.command("sinfo", "echo PARTITION AVAIL")
        self._shells: dict[Site, LocalShells] = {}

    def sidecar(self, *, owner: bool = True) -> RemoteSite:
        shells = LocalShells(self.account)
        site = RemoteSite(shells, self.account.config, owner=owner)
        self._shells[site] = shells
        return site

    def lose_next_reply(self, site: Site) -> None:
        self._shells[site].loses_next_reply = True

    def refuse(self, words: str) -> None:
        self.account.refuse(words)
        self.account.tell("sbatch.once")

    def kill_sbatch(self) -> None:
        self.account.tell("sbatch.dies")
        self.account.tell("sbatch.once")

    def break_squeue(self) -> None:
        self.account.tell("squeue.fails", "slurm_load_jobs error")

    def break_sinfo(self) -> None:
        self.account.command("sinfo", "echo slurm_load_partitions: Access/permission denied >&2; exit 1")

    def fill(self, words: str) -> None:
        self.account.command("head", f"echo '{words}' >&2; exit 1" if words else 'exec /usr/bin/head "$@"')

    def resource_script(self, text: str, exit_code: int = 0) -> None:
        self.account.command("resources", f"echo to people >&2\nprintf '%s' '{text}'\nexit {exit_code}\n")

    def enable_accounting(self) -> None:
        (self.account.slurm / "sacct.fails").unlink()
        self._tell_accounting()

    def _tell_accounting(self) -> None:
        now = int(time.time())
        lines = [
            f"{job}|{state.value}|0:0|{now}|{now}|{now}|main|n1|cpu=1|sbatch {self._script(job)}"
            for job, state in self.jobs().items()
        ]
        self.account.tell("sacct.says", "".join(f"{line}\n" for line in lines))

    def _script(self, job_id: str) -> str:
        return (self.account.slurm / "jobs" / job_id / "command").read_text()

    def jobs(self) -> dict[str, JobState]:
        states = {job: self.account.slurm / "jobs" / job / "state" for job in self.account.jobs()}
        return {job: JobState.parse(file.read_text()) for job, file in states.items()}

    def hold(self, pod: str, job_id: str) -> None:
        (self.account.claims / f"{pod}.job").unlink(missing_ok=True)
        (self.account.root / pod / "released").unlink(missing_ok=True)
        (self.account.slurm / "jobs" / job_id / "held").touch()

    def start(self, pod: str, job_id: str) -> bool:
        fence = self.account.claims / f"{pod}.job"
        if job_id not in self.account.jobs():
            self.account.job(job_id, "PENDING", self.account.root / pod / "job.sh")
        try:
            fence.symlink_to(job_id)
        except FileExistsError:
            if fence.readlink().name != job_id:
                self._set(job_id, JobState.FAILED)
                return False
        self._set(job_id, JobState.RUNNING)
        self._record(pod, ContainerPhase.RUNNING)
        return True

    def end(self, pod: str, job_id: str, exit_code: int = 0) -> None:
        self._set(job_id, JobState.FAILED if exit_code else JobState.COMPLETED)
        self._record(pod, ContainerPhase.TERMINATED, exit_code)

    def _set(self, job_id: str, state: JobState) -> None:
        self.account.tell(f"jobs/{job_id}/state", state.value)
        if not (self.account.slurm / "sacct.fails").exists():
            self._tell_accounting()

    def _record(self, pod: str, phase: ContainerPhase, exit_code: int = 0) -> None:
        moment = int(time.time())
        ended = moment if phase is ContainerPhase.TERMINATED else 0
        line = f"v1 {pod} {CONTAINER} {phase.value} {moment} {ended} {exit_code} 0\n"
        (self.account.root / pod / "records").mkdir(exist_ok=True)
        (self.account.root / pod / "records" / CONTAINER).write_text(line)
        (self.account.root / ".remote-slurm" / "spool" / f"{pod}.{CONTAINER}").write_text(line)

    def log(self, pod: str, text: str) -> None:
        folder = self.account.root / pod / "logs"
        folder.mkdir(exist_ok=True)
        with (folder / f"{CONTAINER}.log").open("a") as file:
            file.write(text)

    def node_folder(self, pod: str, job_id: str) -> NodeFolder:
        folder = self.account.home / "node"
        shutil.copytree(self.account.root / pod, folder / pod)
        (folder / pod / "logs").mkdir(exist_ok=True)
        return NodeFolder(job_id, str(folder))

    def has_secrets(self, pod: str) -> bool:
        return (self.account.root / pod / "secret").exists()


def running(pod: str) -> Record:
    """The record of a container that runs, without its times."""
    return Record(pod, CONTAINER, ContainerPhase.RUNNING, 0, 0, 0, 0)


def ended(pod: str, exit_code: int) -> Record:
    """The record of a container that has ended, without its times."""
    reason = Reason.ERROR if exit_code else Reason.COMPLETED
    return Record(pod, CONTAINER, ContainerPhase.TERMINATED, 0, 0, exit_code, 0, reason=reason)
