"""The program as a person starts it: a process with arguments, two streams and an exit code."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests import forked_program
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM

Done = subprocess.CompletedProcess[str]

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Program:
    """`remote-slurm COMMAND ... --config FILE`, where there is a configuration."""

    config: Path | None = None
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, command: str, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = forked_program.run(self._words(command, arguments), stdin, ENVIRONMENT, PATIENCE)
        assert "Traceback" not in done.stderr
        assert "unexpected" not in done.stderr
        return done

    def start(self, command: str, *arguments: object) -> subprocess.Popen[str]:
        """The same, left running; it is killed at the end of the test."""
        process = subprocess.Popen(
            [PROGRAM, *self._words(command, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.running.append(process)
        return process

    @property
    def root(self) -> str:
        """DataRootFolder."""
        assert self.config
        return str(yaml.safe_load(self.config.read_text())["DataRootFolder"])

    def _words(self, command: str, arguments: tuple[object, ...]) -> list[str]:
        config = ["--config", str(self.config)] if self.config else []
        return [command, *config, *map(str, arguments)]


ProgramAt = Callable[..., Program]
PodFile = Callable[..., Path]
