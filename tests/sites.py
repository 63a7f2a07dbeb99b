"""Disposable Slurm sites for tests: `scripts/site` brings each up once per run, and takes it down at the end.

While working on a test, TEST_SITE_TRIXIE=NAME and TEST_SITE_BOOKWORM=NAME let the run use sites that stay up.
"""

import itertools
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SCRIPT = Path(__file__).parents[1] / "scripts" / "site"

# What a site is called here -> how it is brought up
_KINDS = {
    "trixie": ("--suite", "trixie"),
    "bookworm": ("--suite", "bookworm"),
    "strict": ("--suite", "trixie", "--enforce-memory", "--preemption"),
}

_numbers = itertools.count(1)


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
        }
        keys["SSH"] |= overrides.pop("SSH", {})
        path = folder / f"SlurmConfig-{number}.yaml"
        path.write_text(yaml.safe_dump(keys | overrides, allow_unicode=True))
        return path

    def exec(self, command: str) -> str:
        """What a shell command prints, as root inside the site, in the home folder of hpcuser."""
        script = f"cd /home/hpcuser && {{ {command}\n}}"
        run = subprocess.run(
            [SCRIPT, "exec", "--name", self.name, "--", "bash", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        if run.returncode:
            raise AssertionError(f"`{command}` at the site ended with {run.returncode}: {run.stdout}{run.stderr}")
        return run.stdout

    def files(self, root: str) -> list[str]:
        """Everything below a folder, relative to it; relative folders are hpcuser's."""
        return sorted(self.exec(f"[ ! -d '{root}' ] || find '{root}' -mindepth 1 -printf '%P\\n'").splitlines())

    def jobs(self, root: str) -> dict[str, str]:
        """The state of each job, by its id, that Slurm remembers of pods below this DataRootFolder."""
        lines = self.exec("squeue --all --noheader --states=all --format='%A %T %o'").splitlines()
        return {job: state for job, state, command in (line.split(" ", 2) for line in lines) if root in command}


@dataclass
class Sites:
    """All sites of this run."""

    _starting: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _up: dict[str, Site] = field(default_factory=dict)

    def start(self, suite: str) -> None:
        """Begin to bring one up, in the background."""
        if suite not in self._starting:
            command = [SCRIPT, "up", "--name", self._name(suite), *_KINDS[suite], "--output", "json"]
            self._starting[suite] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

    def get(self, suite: str) -> Site:
        """The site, once it is up; where it cannot start, the test fails with its words."""
        if suite not in self._up:
            self.start(suite)
            answer, words = self._starting[suite].communicate()
            assert self._starting[suite].returncode == 0, f"the site could not be started: {words}"
            facts = json.loads(answer)
            self._up[suite] = Site(
                name=facts["name"],
                suite=suite,
                host=facts["host"],
                port=facts["port"],
                user=facts["user"],
                identity_file=Path(facts["identity_file"]),
                known_hosts_file=Path(facts["known_hosts_file"]),
                runtime=facts["runtime"],
            )
        return self._up[suite]

    def down(self) -> None:
        """End whatever was started, also what is half up."""
        for suite, up in self._starting.items():
            if suite not in self._up:
                up.communicate()
            if not _kept(suite):
                subprocess.run([SCRIPT, "down", "--name", self._name(suite)], check=True, capture_output=True)
        self._starting.clear()

    def _name(self, suite: str) -> str:
        return _kept(suite) or f"test-{os.getpid()}-{suite}"


def _kept(suite: str) -> str:
    return os.environ.get(f"TEST_SITE_{suite.upper()}", "")
