"""image_config.sh: the OCI configuration of an image, read out of a SIF."""

import json
import subprocess
from pathlib import Path

import pytest

from remote_slurm.domain.shell import quote, words
from remote_slurm.job import SCRIPTS
from tests.job.node import BASH

# Prints what `apptainer sif` does; the configuration is the second object of its kind
PROGRAM = """\
case $2 in
    list)
        printf '%s\\n' ---- 'ID |GROUP' '1 |1 |NONE |1-2 |Def.FILE' '2 |1 |NONE |2-3 |JSON.Generic' \\
            '3 |1 |NONE |3-4 |JSON.Generic'
        ;;
    info) if [ "$3" = 3 ]; then echo 'Name: oci-config.json'; else echo 'Name: inspect-metadata.json'; fi ;;
    dump) cat "$4.json" ;;
esac
"""


PARTS = ("runner.sh", "working_dirs.sh", "hooks.sh", "image_config.sh", "apptainer.sh")


def applied(folder: Path, config: object, reported: str = "") -> list[str]:
    """The variables that a shell finds in the script, the working directory and the signal."""
    (folder / "program").write_text(PROGRAM)
    (folder / "i.sif").write_text("")
    (folder / "i.sif.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in PARTS:
        (folder / name).write_bytes(SCRIPTS[name])
    script = (
        f"for part in {' '.join(PARTS)}; do . ./$part; done; mkdir -p .runner; name=c; use_apptainer; {reported}\n"
        f"image_config i.sif image {quote(BASH)} ./program\napply_image_config\n"
        '[[ ! -e .runner/c.image-env.sh ]] || env -i "$BASH" --norc -c ". ./.runner/c.image-env.sh; env -0"\n'
        'printf "%s\\0" "dir=${APPTAINER_PWD-}" "signal=$stop_signal" "bind=${APPTAINER_BIND-}"'
    )
    ran = subprocess.run([BASH, "-c", script], cwd=folder, capture_output=True, check=True)
    assert ran.stderr == b""
    return ran.stdout.decode().split("\0")[:-1]


BIND = "bind=.runner/c.image-env.sh:/.singularity.d/env/10-docker2singularity.sh:ro"
VALUES = {"A": '`date` $(id) "q" it\'s \\ & <x>', "B": "", "C": "a=b ] } { [ , :", "D": "line\nline\ttab", "HOME": "/h"}


def test_what_apptainer_ignores_is_given_to_it(tmp_path: Path) -> None:
    config = {
        "Labels": {"Env": "no", "WorkingDir": "/no", "x": "[{"},
        "ExposedPorts": {"80/tcp": {}},
        "Env": [f"{name}={value}" for name, value in VALUES.items()] + ["odd.name=x", "UID=7", "GID=7", "EUID=7"],
        "Entrypoint": ["./app.sh", "StopSignal"],
        "WorkingDir": "/opt/my app",
        "StopSignal": "SIGRTMIN+3",
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1000},
        "ArgsEscaped": True,
        "Volumes": {"/data/it's": {}, "/cache": {}},
    }
    *variables, folder, signal, bind = applied(tmp_path, config)
    found = dict(each.split("=", 1) for each in variables)
    assert {name: found.get(name) for name in VALUES} == VALUES
    script = (tmp_path / ".runner/c.image-env.sh").read_text()
    # Apptainer's interpreter has UID, GID and EUID read-only, and would write that into the log of the container
    assert not any(f"export {name}=" in script for name in ("odd.name", "UID", "GID", "EUID"))
    assert """set -- env 'odd.name=x' 'UID=7' 'GID=7' 'EUID=7' "$@"\n""" in script
    assert "test -e '/cache' || { /bin/mkdir -p '/cache' || /usr/bin/mkdir -p '/cache'; } 2>/dev/null\n" in script
    assert (folder, signal, bind) == ("dir=/opt/my app", "signal=RTMIN+3", BIND)


@pytest.mark.parametrize("config", ["", "{}", "not JSON", '{"Env":[', {"StopSignal": "x; y", "Env": None}])
def test_what_says_nothing_changes_nothing(tmp_path: Path, config: object) -> None:
    assert applied(tmp_path, config) == ["dir=", "signal=TERM", "bind="]


def test_the_pods_own_signal_wins(tmp_path: Path) -> None:
    assert "signal=INT" in applied(tmp_path, {"StopSignal": "SIGUSR1"}, reported="stop_signal INT")


NO_COMMAND = (
    "not started: image docker://x names no program (it has neither ENTRYPOINT nor CMD): set command for container 'c'"
)

END = """end_without_image() { printf '%s\\0' "$no_image_reason" "not started: $no_image"; exit; }"""


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({}, True),
        ({"Entrypoint": None, "Cmd": [], "Env": ["A=1"], "Labels": {"Cmd": "no"}}, True),
        ({"Cmd": ["sh"]}, False),
        ({"Entrypoint": ["/app"]}, False),
        ('{"Env":["A=1"]', False),  # cut off: nothing is known
        ("", False),
    ],
)
def test_an_image_that_names_no_program(tmp_path: Path, config: object, refused: bool) -> None:  # noqa: FBT001
    """Apptainer runs a shell that prints its variables, with exit code 0."""
    said = applied(tmp_path, config, f"{END}; image_gives_command docker://x")
    assert (said == ["CreateContainerError", NO_COMMAND]) is refused


@pytest.mark.parametrize("prefix", [[], ["pixi", "run"], ["tool", "--silent", "run"]])
@pytest.mark.parametrize(("odd", "begins", "ends"), [("x", "exec", ["./app.sh", "b c"]), ("", "run", [])])
def test_variables_that_no_shell_can_hold_reach_the_program(
    tmp_path: Path, prefix: list[str], odd: str, begins: str, ends: list[str]
) -> None:
    """The script that Apptainer runs for `run` drops them. RuntimePrefix may have words of the same name."""
    for name in PARTS:
        (tmp_path / name).write_bytes(SCRIPTS[name])
    program = words([*prefix, "./a program"])
    script = (
        f"for part in {' '.join(PARTS)}; do . ./$part; done; use_apptainer\n"
        f"has_odd={odd} program_from=docker://x image_program=(./app.sh 'b c') image_config=(i.sif image {program})\n"
        f"exec() {{ shift; printf '%s\\0' \"$@\"; }}; begin mpiexec run {program} --silent run --pwd run i.sif"
    )
    ran = subprocess.run([BASH, "-c", script], cwd=tmp_path, capture_output=True, check=True, text=True)
    started = ["mpiexec", "run", *prefix, "./a program", "--silent", begins, "--pwd", "run", "i.sif", *ends]
    assert ran.stdout.split("\0")[:-1] == started
