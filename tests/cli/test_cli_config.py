"""`config` prints a file to begin with, a schema for editors, and what is in force."""

import json
from pathlib import Path

from remote_slurm.config import Config
from tests.cli.program import Program

FILE = "SSH: {HostName: h, User: u, IdentityFile: /k}\n"


def test_the_example_is_a_configuration_with_every_key(program: Program, tmp_path: Path) -> None:
    example = program("config", "example").stdout
    (tmp_path / "example.yaml").write_text(example)
    shown = program("config", "show", "--config", tmp_path / "example.yaml", "--output", "json")
    assert set(json.loads(shown.stdout)) == set(Config.keys())


def test_a_schema_for_editors(program: Program) -> None:
    assert json.loads(program("config", "schema").stdout)["additionalProperties"] is False


def test_what_is_in_force_names_the_file_and_the_origins(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text(FILE)
    lines = program("config", "show", "--config", path, "--set", "PollInterval=5").stdout.splitlines()
    assert lines[0] == f"# {path}, the environment and --set"
    assert "PollInterval: 5.0  # --set" in lines


def test_an_invalid_configuration_is_reported_as_by_serve(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text(f"{FILE}PollIntervall: 3\n")
    done = program("config", "show", "--config", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "PollIntervall (line 2)" in done.stderr
