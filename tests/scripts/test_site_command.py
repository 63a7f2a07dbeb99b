"""The command line of `scripts/site`: what it refuses, with one sentence each."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.scripts.site_command import SITE, site


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "one of up, down, status, ssh, exec is needed"),
        (["sideways"], "there is no command 'sideways'"),
        (["up", "--suite", "jessie"], "--suite takes trixie, bookworm or sid, not 'jessie'"),
        (["up", "--rtt", "soon"], "--rtt takes a whole number of milliseconds, not 'soon'"),
        (["up", "--rtt"], "--rtt takes a whole number of milliseconds, not ''"),
        (["up", "--name", "../../etc"], "--name takes lower-case letters, digits and -, not '../../etc'"),
        (["up", "now"], "up takes options only, not 'now'"),
        (["down", "--accounting"], "down has no option --accounting"),
        (["exec"], "exec needs a command"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_2(arguments: list[str], sentence: str) -> None:
    refused = site(*arguments)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("site: ")
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_help_teaches_by_example() -> None:
    helped = site("--help")
    assert helped.returncode == 0
    assert "scripts/site up --rtt 100" in helped.stdout


def test_without_root_it_says_what_to_do_instead() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scripts = Path(folder, "scripts")
        shutil.copytree(SITE.parent, scripts)
        Path(folder).chmod(0o755)
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", scripts / "site", "up"]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("site: up needs root")
    assert "sudo" in refused.stderr


def test_a_site_that_is_not_there_is_absent_and_down_is_content() -> None:
    status = site("status", "--name", "nobody-has-this", "--output", "json")
    assert (status.returncode, status.stdout) == (3, '{"name": "nobody-has-this", "state": "absent"}\n')
    assert site("down", "--name", "nobody-has-this").returncode == 0
