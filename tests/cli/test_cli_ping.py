"""`remote-slurm ping`: the health check of containers, and a person's first question."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.program import Program
from tests.sidecar import Sidecar


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site that is not there, and a socket, so that the file says where the sidecar listens."""
    path = tmp_path / "SlurmConfig.yaml"
    ssh = {"HostName": "127.0.0.1", "Port": 1, "User": "nobody", "IdentityFile": str(tmp_path / "id")}
    keys = {"SSH": ssh, "Socket": f"unix://{tmp_path}/s", "StateFolder": str(tmp_path / "state")}
    path.write_text(yaml.safe_dump(keys))
    return path


def test_a_sidecar_is_well_while_its_site_is_not(config: Path) -> None:
    sidecar = Sidecar(config)
    try:
        done = Program(config)("ping")
        assert (done.returncode, done.stdout) == (0, "ok: pods 0\n")
        done = Program()("ping", "--url", sidecar.url, "--output", "json")
        assert json.loads(done.stdout)["resources"]["pods"] == "0"
    finally:
        sidecar.kill()


def test_no_sidecar_is_an_error(config: Path) -> None:
    done = Program(config)("ping")
    assert done.returncode == 1
    assert done.stderr.startswith(f"remote-slurm: no sidecar answers at unix://{config.parent}/s: ")
