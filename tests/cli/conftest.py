"""The program, with and without a site; and pods to run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.program import PodFile, Program, ProgramAt
from tests.sites import Site


@pytest.fixture
def program() -> Program:
    """Without a configuration."""
    return Program()


@pytest.fixture
def program_at(tmp_path: Path) -> Iterator[ProgramAt]:
    """With the configuration of a site; further arguments are keys of it."""
    made: list[Program] = []

    def make(site: Site, **overrides: object) -> Program:
        made.append(Program(site.config(tmp_path, **{"VerboseLogging": False, **overrides})))
        return made[-1]

    yield make
    for process in (each for program in made for each in program.running):
        process.kill()
        process.communicate()


@pytest.fixture
def pod_file(tmp_path: Path) -> PodFile:
    """A file with one pod of one container, which runs a script."""

    def write(script: str, name: str = "pod", **keys: object) -> Path:
        container = {"name": "main", "image": "busybox", "command": ["/bin/sh", "-c", script]}
        container["resources"] = {"limits": {"memory": "20Mi"}}
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 3, "containers": [container], **keys}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"kind": "Pod", "metadata": {"name": name}, "spec": spec}))
        return path

    return write
