"""What the command line says before it does anything: help with examples, and a sentence for bad input."""

import subprocess
import sys

import pytest

from remote_slurm.cli.main import COMMANDS
from tests.cli.program import Program
from tests.sidecar import PROGRAM


def test_help_has_the_commands_and_examples(program: Program) -> None:
    done = program("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert "examples:" in done.stdout


def test_without_a_command_the_help_lists_them() -> None:
    done = subprocess.run([PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "list the pods at the site, or the named pods only" in done.stderr


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["runn", "pod.yaml"], "there is no command 'runn' (did you mean run?): `remote-slurm --help` lists"),
        (["dance"], "there is no command 'dance': `remote-slurm --help` lists the commands"),
        (["check", "--jobs"], "unrecognized arguments: --jobs (did you mean --job?)"),
        (["status", "--lable=app"], "unrecognized arguments: --lable=app"),
        (["status", "--selecter=app"], "unrecognized arguments: --selecter=app (did you mean --selector?)"),
    ],
)
def test_the_nearest_name_of_what_is_not_known(program: Program, words: list[str], nearest: str) -> None:
    done = program(*words)
    assert done.returncode == 2
    assert nearest in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_teaches_by_examples(program: Program, command: str) -> None:
    done = program(command, "--help")
    assert done.returncode == 0
    examples = done.stdout.partition("examples:")[2]
    assert 2 <= examples.count(f"remote-slurm {command}") <= 5
    assert all(len(line) <= 120 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dance"], "there is no command 'dance'"),
        (["run"], "the following arguments are required: POD.yaml"),
        (["run", "--url", "localhost:4000", "pod.yaml"], "must be http://HOST:PORT, https://"),
        (["ping", "--url", "http://127.0.0.1:65536"], "with a port from 1 to 65535, not 'http://127.0.0.1:65536'"),
        (["status", "--url", "http://127.0.0.1:http"], "with a port from 1 to 65535, not"),
        (["top", "--url", "https://[::1"], "must be http://HOST:PORT, https://"),
        (["logs", "--url", "http://:80", "p"], "must be http://HOST:PORT, https://"),
        (["run", "--container"], "expected one argument"),
        (["logs", "--tail", "-2", "x"], "must be a number of lines from 1"),
        (["delete", "--grace-period", "1.5", "x"], "must be a number of seconds from 0"),
        (["check", "--timeout", "soon"], "must be a number of seconds, such as 60"),
    ],
)
def test_a_wrong_command_line_is_answered_in_a_line(program: Program, words: list[str], sentence: str) -> None:
    done = program(*words)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words", [["check"], ["render", "pod.yaml"], ["run", "-"], ["status"], ["logs", "x"], ["delete", "x"]]
)
def test_a_configuration_that_is_not_there_is_named(program: Program, words: list[str]) -> None:
    done = program(
        *words,
        "--config",
        "/nonexistent/SlurmConfig.yaml",
        stdin="{kind: Pod, metadata: {name: x}, spec: {containers: [{name: y}]}}",
    )
    assert done.returncode == 1
    assert "/nonexistent/SlurmConfig.yaml" in done.stdout + done.stderr or "pod.yaml cannot be read" in done.stderr


def test_the_version(program: Program) -> None:
    assert program("--version").stdout.startswith("remote-slurm ")


# Of a sidecar, of the configuration, and what only terminals or files need
_HEAVY = (
    "remote_slurm.service",
    "remote_slurm.ssh.connection",
    "remote_slurm.config",
    "pydantic",
    "paramiko",
    "rich",
    "yaml",
)
_CLIENTS = {
    "describe": ["x"],
    "delete": ["x"],
    "logs": ["x"],
    "ping": [],
    "status": [],
    "top": [],
    "wait": ["--for=ended", "x"],
}


def test_a_client_of_a_sidecar_loads_no_server() -> None:
    """Half a second of CPU for each command, and 40 MB."""
    script = (
        "import sys\n"
        "from remote_slurm.cli.main import main\n"
        f"for command, words in {_CLIENTS}.items():\n"
        "    assert main([command, '--url', 'http://127.0.0.1:1', *words]) == 1\n"
        f"print([name for name in {_HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
