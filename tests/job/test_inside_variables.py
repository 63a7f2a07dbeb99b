"""The variables of a container in its hooks and probes, which join it by nsenter (exec_in_container.sh)."""

import shutil
import subprocess
import sys

import pytest

from tests.job.node import BASH, Node

PLAIN = {"A": "a b", "LD_BIND_NOW": "1", "EMPTY": ""}
OF_THE_SHELL = {"IFS": "x", "UID": "12", "BASH_X": "y"}
ODD = {"db.password": "t0p", "a-b": "line\nline\n", "1x": "a=b"}


def variables_inside(node: Node, *programs: str, shell: bool = True) -> tuple[dict[str, str], str]:
    """What a hook finds, and the arguments that the `env` of an image with these programs was given."""
    path = node.root / "image"
    path.mkdir()
    for program in programs:
        (path / program).symlink_to(sys.executable if program == "python3" else shutil.which(program) or "/nowhere")
    (path / "env").write_text(f'#!/bin/sh\nprintf "%s " "$@" >>{node.root}/arguments\nexec /usr/bin/env "$@"\n')
    (path / "env").chmod(0o755)
    values = {"PATH": str(path), **PLAIN, **OF_THE_SHELL, **ODD}
    container = subprocess.Popen(["/bin/sleep", "60"], env=values)
    try:
        script = f"""
            . ./runner.sh; . ./exec_in_container.sh
            exec /usr/bin/env -i "_rs_perl=$rename_in_perl" "_rs_python=$rename_in_python" {BASH} --norc --noprofile \
                -c "$enter_clean" bash {container.pid} {"yes" if shell else "''"} 0 /usr/bin/env -0"""
        run = subprocess.run(
            [BASH, "-c", script], cwd=node.pod, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        container.kill()
        container.wait()
    assert run.returncode == 0, run.stderr
    found = dict(entry.split("=", 1) for entry in run.stdout.split("\0") if entry)
    said = node.root / "arguments"
    return found, said.read_text() if said.exists() else ""


@pytest.mark.parametrize("program", ["perl", "python3"])
def test_a_program_of_the_image_sets_names_that_no_shell_can_hold(node: Node, program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program} here")
    found, arguments = variables_inside(node, program)
    assert {name: found.get(name) for name in (*PLAIN, *OF_THE_SHELL, *ODD)} == {**PLAIN, **OF_THE_SHELL, **ODD}
    assert not [name for name in found if name.startswith("_rs_")]
    assert arguments == ""


def test_without_one_no_argument_has_their_values(node: Node) -> None:
    """They are left out. The variables of the shell itself are words of `env`."""
    found, arguments = variables_inside(node)
    assert {name: found.get(name) for name in (*PLAIN, *OF_THE_SHELL)} == {**PLAIN, **OF_THE_SHELL}
    assert not ODD.keys() & found.keys()
    assert not [name for name in found if name.startswith("_rs_")]
    assert "t0p" not in arguments
    assert "UID=12" in arguments


def test_an_image_without_a_shell_gets_what_no_loader_reads(node: Node) -> None:
    found, arguments = variables_inside(node, shell=False)
    assert (found.get("A"), found.get("EMPTY")) == ("a b", "")
    assert not {"LD_BIND_NOW", *ODD, "_rs_perl", "_rs_python"} & found.keys()
    assert arguments == ""
