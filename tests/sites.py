"""Disposable Slurm sites for tests: `scripts/site` brings each up once per run, and takes it down at the end.

While working on a test, TEST_SITE_TRIXIE=NAME, TEST_SITE_BOOKWORM=NAME and so on let the run use sites that stay up,
with whatever options they have: TEST_SITE_TRIXIE may name a site of `scripts/site up --suite sid`.
"""

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SCRIPT = Path(__file__).parents[1] / "scripts" / "site"

# Tests look at how jobs ended, and some of these end with the first test that looks at one
_REMEMBERS = ("--min-job-age", "3600")

# What a site is called here -> how it is brought up
_KINDS = {
    "trixie": ("--suite", "trixie", *_REMEMBERS),
    "bookworm": ("--suite", "bookworm", *_REMEMBERS),
    "strict": ("--suite", "trixie", "--enforce-memory", "--preemption", *_REMEMBERS),
    # its daemons are stopped and its nodes taken down, so that nothing else may run there at the same time
    "fragile": ("--suite", "trixie", *_REMEMBERS),
    # Slurm forgets jobs soon after their end, and slurmdbd may be stopped
    "accounted": ("--suite", "trixie", "--accounting", "--min-job-age", "2"),
    # login and compute nodes share no file system
    "apart": ("--suite", "trixie", "--no-shared-fs", *_REMEMBERS),
    "apart22": ("--suite", "bookworm", "--no-shared-fs", *_REMEMBERS),
}

# RUN MARK SCRIPT SITE: take the site down if the process RUN was killed, and could not do it
_GUARD = """
tail --pid="$1" -f /dev/null
[ ! -e "$2" ] || { "$3" down --name "$4"; rm "$2"; rmdir "${2%/*}"; }
"""

_NULL = subprocess.DEVNULL

# Of root's commands inside a site
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}
_numbers = itertools.count(1)


def guard_site(name: str, mark: Path, run: str) -> None:
    """Take the site down when the process `run` is gone and the file `mark`, alone in its folder, is still there."""
    guard = ["setsid", "--fork", "bash", "-c", _GUARD, "guard", run, mark, SCRIPT, name]
    subprocess.run(guard, stdin=_NULL, stdout=_NULL, stderr=_NULL, check=True)


@dataclass(frozen=True)
class Site:
    """A site that is up, and how to reach it."""

    name: str
    suite: str
    host: str
    port: int
    user: str
    identity_file: Path
    known_hosts_file: Path
    runtime: str
    pid: int  # of its init process

    def config(self, folder: Path, **overrides: Any) -> Path:
        """A SlurmConfig.yaml in `folder`, with a DataRootFolder of its own at the site.

        Overrides replace keys, and those below `SSH` one by one.
        """
        number = next(_numbers)
        keys = {
            "SSH": {
                "HostName": self.host,
                "Port": self.port,
                "User": self.user,
                "IdentityFile": str(self.identity_file),
                "UserKnownHostsFile": str(self.known_hosts_file),
            },
            "DataRootFolder": f".interlink/test-{os.getpid()}-{number}",
            "ContainerRuntime": self.runtime,
            "ImagePrefix": "/srv/images/",
            "PollInterval": 1,
            "SidecarPort": 0,
            "StateFolder": str(folder / f"state-{number}"),
            "VerboseLogging": True,
            "EnableProbes": True,
            # tests of pre-exec and the like need what operators have to allow
            # an option that no sbatch has shows its words
            "Policy": {"AllowedAnnotations": ["*"], "AllowedFlags": ["bogus"]},
        }
        keys["SSH"] |= overrides.pop("SSH", {})
        path = folder / f"SlurmConfig-{number}.yaml"
        path.write_text(yaml.safe_dump(keys | overrides, allow_unicode=True))
        return path

    def exec(self, command: str) -> str:
        """What a shell command prints, as root inside the site, in the home folder of hpcuser."""
        script = f"cd /home/hpcuser && {{ {command}\n}}"
        # `scripts/site exec` does the same with a dozen processes more; tests wait for things at the site by this
        enter = ["nsenter", "--mount", "--pid", "--uts", "--ipc", "--root", "--wd", f"--target={self.pid}", "--"]
        run = subprocess.run(
            [*enter, "bash", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=300,
            env=_ENVIRONMENT,
        )
        if run.returncode:
            raise AssertionError(f"`{command}` at the site ended with {run.returncode}: {run.stdout}{run.stderr}")
        return run.stdout

    def start_requeued(self, job: str) -> None:
        """Let a job that Slurm has requeued, and lists as pending, start at once instead of in two minutes.

        slurmd refuses to start a run in the second in which it has ended the last one ("Job credential revoked"), and
        Slurm takes that for the job's end.
        """
        self.exec(f"sleep 1.1; scontrol update jobid={job} StartTime=now")

    def archive(self, folder: str) -> bytes:
        """A tar of a folder at the site, whose files belong to root."""
        return base64.b64decode(self.exec(f"tar -C '{folder}' --owner=0 --group=0 -c . | base64 -w 0"))

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """A file of hpcuser's, with the folders above it."""
        content = base64.b64encode(text.encode()).decode()
        as_user = "setpriv --reuid hpcuser --regid hpcuser --clear-groups"
        self.exec(f"{as_user} mkdir -p '{Path(path).parent}'")
        self.exec(f"echo {content} | base64 -d | {as_user} tee '{path}' >/dev/null && chmod {mode} '{path}'")

    def files(self, root: str) -> list[str]:
        """Everything below a folder, relative to it; relative folders are hpcuser's.

        What goes away meanwhile is no failure, though find says so (-ignore_readdir_race does not cover folders).
        """
        return sorted(self.exec(f"find '{root}' -mindepth 1 -printf '%P\\n' 2>/dev/null || :").splitlines())

    def arguments(self) -> str:
        """Of all processes of hpcuser's; those of tests are root's."""
        each = "for process in $(pgrep -u hpcuser); do tr '\\0' ' ' <\"/proc/$process/cmdline\"; done 2>/dev/null"
        return self.exec(f"{each} || true")

    def jobs(self, root: str) -> dict[str, str]:
        """The state of each job, by its id, that Slurm remembers of pods below this DataRootFolder."""
        return {job: state for job, (state, script) in self._jobs().items() if _is_below(root, script)}

    def pods_of_jobs(self, root: str) -> dict[str, str]:
        """The name of the pod's folder of each of these jobs."""
        return {job: Path(script).parent.name for job, (_, script) in self._jobs().items() if _is_below(root, script)}

    def _jobs(self) -> dict[str, tuple[str, str]]:
        """The state of each job that Slurm remembers, and the path of its pod's script."""
        squeue = "SLURM_BITSTR_LEN=0 squeue --all --array --noheader --states=all --format='%i %T %o'"
        lines = self.exec(f"grep -H ' pod=' .interlink/*/.remote-slurm/arrays/*/job.sh; {squeue}")
        tasks = {
            (found[1], found[2]): found[3]
            for line in lines.splitlines()
            if (found := re.fullmatch(r".*/\.remote-slurm/arrays/([^/]+)/job\.sh: *([0-9]+)\) pod=(\S+) ;;", line))
        }
        rows = (line.split(" ", 2) for line in lines.splitlines() if re.match("[0-9_]+ [A-Z]", line))
        return {job: (state, self._script_of_pod(job, command, tasks)) for job, state, command in rows}

    @staticmethod
    def _script_of_pod(job: str, command: str, tasks: dict[tuple[str, str], str]) -> str:
        """Of a task of an array, the script of its pod."""
        above, array, rest = command.partition("/.remote-slurm/arrays/")
        pod = tasks.get((rest.partition("/")[0], job.partition("_")[2]), "")
        return f"{above}/{pod}/job.sh" if array else command


def _is_below(root: str, script: str) -> bool:
    """Not below another folder whose name begins with the same number."""
    return f"{root.rstrip('/')}/" in script


def free_port() -> int:
    """The sites of all tests have one network, whose own choices begin at 32768.

    A port that the network chooses may be the client's end of another test's connection when its server starts, and a
    client that waits for the server may connect to itself. Daemons of sites have some dozen ports of these, too.
    """
    while True:
        port = 10000 + uuid.uuid4().int % 20000
        with contextlib.suppress(OSError), socket.socket() as attempt:
            attempt.bind(("", port))
            return port


class Sites:
    """All sites of this run, whichever of its processes (pytest-xdist's workers) asks for one first."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._folder = Path(tempfile.gettempdir()) / f"remote-slurm-test-{run}"
        self._starting: dict[str, Future[Site]] = {}
        self._threads = ThreadPoolExecutor(len(_KINDS))

    def start(self, kind: str) -> None:
        """Begin to bring one up, in the background."""
        if kind not in self._starting:
            self._starting[kind] = self._threads.submit(self._up, kind)

    def get(self, kind: str) -> Site:
        """The site, once it is up; where it cannot start, the test fails with its words."""
        self.start(kind)
        return self._starting[kind].result()

    def _up(self, kind: str) -> Site:
        """`scripts/site up` agrees where another process was first, and waits for it."""
        self._folder.mkdir(exist_ok=True)
        (mark := self._folder / kind).touch()
        if not _kept(kind):
            guard_site(self._name(kind), mark, self._run)
        how = ["status"] if _kept(kind) else ["up", *_KINDS[kind]]
        command = [SCRIPT, *how, "--name", self._name(kind), "--output", "json"]
        up = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert up.returncode == 0, f"the site could not be started: {up.stderr}"
        facts = json.loads(up.stdout)
        return Site(
            name=facts["name"],
            suite=kind,
            host=facts["host"],
            port=facts["port"],
            user=facts["user"],
            identity_file=Path(facts["identity_file"]),
            known_hosts_file=Path(facts["known_hosts_file"]),
            runtime=facts["runtime"],
            pid=facts["pid"],
        )

    def down(self) -> None:
        """End whatever was started by any process of this run, also what is half up."""
        self._threads.shutdown()
        for kind in sorted(path.name for path in self._folder.glob("*")):
            if not _kept(kind):
                subprocess.run([SCRIPT, "down", "--name", self._name(kind)], check=True, capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name(self, kind: str) -> str:
        return _kept(kind) or f"test-{self._run}-{kind}"


def _kept(kind: str) -> str:
    return os.environ.get(f"TEST_SITE_{kind.upper()}", "")
