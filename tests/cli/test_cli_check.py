"""`check` finds the link that breaks, says what to do, and leaves the site as it was."""

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.cli.check import LISTENING
from remote_slurm.service.check.job import JOB, NODE
from remote_slurm.service.check.ports import PORTS
from remote_slurm.service.check.site_check import CONFIGURATION, CONNECTION_CHECKS, SITE_CHECKS
from tests.cli.program import PodFile, Program, ProgramAt
from tests.sites import Site

LINKS = [CONFIGURATION, *CONNECTION_CHECKS, *SITE_CHECKS]


def findings(program: Program, *options: Any) -> None:
    done = program("check", "--output", "json", *options)
    found = json.loads(done.stdout)
    assert done.returncode == (0 if all(each["ok"] for each in found) else 1)
    return {each["check"]: each for each in found}


def broken(program: Program, link: Any, *options: Any) -> None:
    """The finding for `link`, once everything before it is good and what needs it is not checked."""
    found = findings(program, *options)
    position = LINKS.index(link)
    assert [found[name]["ok"] for name in LINKS[: position + 1]] == [True] * position + [False]
    if link not in SITE_CHECKS:
        assert all(found[name]["ok"] is None for name in LINKS[position + 1 :])
        assert found["shell" if link != "shell" else "Slurm"]["message"] == f"not checked: needs {link}"
    assert found[link]["remedy"]
    return found[link]


def test_everything_holds(program_at: ProgramAt, site: Site) -> None:
    found = findings(program_at(site))
    assert list(found) == LINKS
    assert "Slurm 24.11." in found["Slurm"]["message"]
    assert found["submission"]["message"] == "sbatch --test-only accepts a pod without further options"
    assert "apptainer version 1.4" in found["container runtime"]["message"]
    assert "GiB free" in found["DataRootFolder"]["message"]


def test_for_people(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site)("check")
    assert done.returncode == 0
    lines = [line[:2] for line in done.stdout.splitlines()]
    assert [sign for sign in lines if sign != "  "] == [*["✓ "] * len(LINKS), "? "]
    assert "\033" not in done.stdout  # no terminal, no colour


def test_without_containers(program_at: ProgramAt, site22: Any) -> None:
    found = findings(program_at(site22))
    assert "Slurm 22.05." in found["Slurm"]["message"]
    assert found["container runtime"]["message"].startswith("ContainerRuntime is none")


def test_an_account_with_another_shell(program_at: ProgramAt, site: Site) -> None:
    assert "/bin/tcsh starts" in findings(program_at(site, SSH={"User": "alice"}))["shell"]["message"]


def test_a_flavor_that_slurm_refuses(program_at: ProgramAt, site: Site) -> None:
    flavors = {"good": {"CPUDefault": 1}, "bad": {"SlurmFlags": ["--partition=nope"]}}
    found = broken(program_at(site, Flavors=flavors), "submission")
    assert found["message"].startswith("Slurm refuses pods of the flavor bad: ")
    assert "nope" in found["message"]


def test_a_noisy_profile_is_a_warning(program_at: ProgramAt, site: Site) -> None:
    shell = findings(program_at(site, SSH={"User": "bob"}))["shell"]
    assert shell["ok"]
    assert "profile prints" in shell["remedy"]


def test_a_wrong_configuration(program: Program, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("SSH: {HostName: h, User: u, IdentityFile: k}\nSidecarPrt: 1\n")
    found = findings(program, "--config", tmp_path / "wrong.yaml")
    assert "did you mean SidecarPort" in found[CONFIGURATION]["message"]
    assert found["address"]["message"] == "not checked: needs configuration"


def test_each_error_of_a_configuration_has_a_line(program: Program, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("SSH: {HostName: h, User: u, IdentityFile: k}\nSidecarPrt: 1\nDefaultCPU: x\n")
    lines = program("check", "--config", tmp_path / "wrong.yaml").stdout.splitlines()
    assert "SidecarPrt (line 2)" in lines[0]
    assert lines[1].split()[:3] == ["DefaultCPU", "(line", "3):"]


def test_a_name_that_does_not_resolve(program_at: ProgramAt, site: Site) -> None:
    found = broken(program_at(site), "address", "--set", "SSH.HostName=hpc.invalid")
    assert "the name does not resolve" in found["message"]


def test_a_port_without_a_listener(program_at: ProgramAt, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "refused" in broken(program_at(site), "address", "--set", f"SSH.Port={port}")["message"]


def test_a_jump_host_without_a_listener(program_at: ProgramAt, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = broken(program_at(site), "address", "--set", f"SSH.ProxyJump=me@127.0.0.1:{port}")
    assert found["message"].endswith("(ProxyJump)")
    assert found["remedy"].startswith("correct SSH.ProxyJump, ")


def test_a_command_before_the_connection_that_fails(program_at: ProgramAt, site: Site) -> None:
    found = broken(program_at(site), "address", "--set", "SSH.BeforeConnect=/no/such/renewal --now")
    assert found["message"] == "BeforeConnect (/no/such/renewal) cannot be run: No such file or directory"
    assert found["remedy"].startswith("correct SSH.BeforeConnect: ")


def test_a_port_where_something_else_listens(program_at: ProgramAt, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = ["--set", f"SSH.Port={port}", "--set", "SSH.ConnectTimeout=1"]
        assert "sent nothing within 1 s" in broken(program_at(site), "address", *options)["message"]


def test_a_host_key_that_is_not_known(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    """The name of the file may look like the end of a sentence."""
    file = tmp_path / "known. Hosts: mine"
    found = broken(program_at(site), "host key", "--set", f"SSH.UserKnownHostsFile='{file}'")
    assert "SHA256:" in found["message"]
    assert f": {file} does not exist; it offers" in found["message"]
    assert f"ssh-keyscan -p {site.port}" in found["remedy"]


@pytest.fixture
def another_key(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def test_a_host_key_that_has_changed(program_at: ProgramAt, site: Site, another_key: Any, tmp_path: Path) -> None:
    blob = another_key.with_suffix(".pub").read_text().split()[1]
    known = tmp_path / "known_hosts"
    known.write_text(f"[{site.host}]:{site.port} ssh-ed25519 {blob}\n")
    found = broken(program_at(site), "host key", "--set", f"SSH.UserKnownHostsFile={known}")
    assert "has changed" in found["message"]
    assert "may be intercepted" in found["remedy"]


def test_a_wrong_user(program_at: ProgramAt, site: Site) -> None:
    found = broken(program_at(site), "login", "--set", "SSH.User=nobody-here")
    assert "the site accepts publickey" in found["message"]
    assert "authorized_keys" in found["remedy"]


def test_a_key_that_the_site_does_not_know(program_at: ProgramAt, site: Site, another_key: Any) -> None:
    found = broken(program_at(site), "login", "--set", f"SSH.IdentityFile={another_key}")
    assert f"ssh-keygen -y -f {another_key}" in found["remedy"]


def test_a_key_that_is_not_there(program_at: ProgramAt, site: Site) -> None:
    found = broken(program_at(site), "login", "--set", "SSH.IdentityFile='/nonexistent/a: key'")
    assert found["message"] == "IdentityFile /nonexistent/a: key cannot be read (No such file or directory)"


def test_a_file_that_is_wrong_has_its_own_remedy(program_at: ProgramAt, site: Site, another_key: Path) -> None:
    another_key.chmod(0o666)
    found = broken(program_at(site), "login", "--set", f"SSH.IdentityFile={another_key}")
    assert found["message"].endswith("who could put their own key there")
    assert found["remedy"] == f"chmod 600 {another_key}"


def test_a_command_of_slurm_that_is_not_there(program_at: ProgramAt, site: Site) -> None:
    found = broken(program_at(site), "Slurm", "--set", "SqueuePath=/opt/slurm/bin/squeue")
    assert found["message"] == "/opt/slurm/bin/squeue cannot be found at the site"
    assert "set SqueuePath to what `command -v squeue` prints" in found["remedy"]


def test_a_command_whose_name_is_wrong(program_at: ProgramAt, site: Site) -> None:
    found = broken(program_at(site), "Slurm", "--set", "SqueuePath=/usr/bin/squeueue")
    assert "set SqueuePath to what `command -v squeue` prints" in found["remedy"]


def test_a_notice_before_the_version(program_at: ProgramAt, site: Site) -> None:
    text = '#!/bin/sh\\necho Notice: new since release 1.2; sbatch "$@"\\necho See you at version 1.3\\n'
    site.exec(f"printf '{text}' >/tmp/noticing; chmod 755 /tmp/noticing")
    found = findings(program_at(site), "--set", "SbatchPath=/tmp/noticing")
    assert found["Slurm"]["ok"]
    assert found["Slurm"]["message"].startswith("Slurm 24.11.")


@pytest.mark.parametrize("full", ["before", "afterwards"])
def test_a_file_system_that_is_full(program_at: ProgramAt, site: Site, full: str) -> None:
    place = f"/srv/full-{full}"
    site.exec(f"mkdir -p {place} && mount -t tmpfs -o size=64k,mode=1777 tmpfs {place}")
    try:
        if full == "afterwards":
            assert findings(program_at(site), "--set", f"DataRootFolder={place}/jobs")["DataRootFolder"]["ok"]
        site.exec(f"dd if=/dev/zero of={place}/fill bs=4k 2>/dev/null || :")
        found = broken(program_at(site), "DataRootFolder", "--set", f"DataRootFolder={place}/jobs")
    finally:
        site.exec(f"umount {place}")
    assert "full" in found["message"] or "No space left" in found["message"]
    assert found["remedy"].startswith("remove files there")


DENIED = "echo 'slurm_load_partitions: Access/permission denied' >&2"


def test_nodes_that_slurm_hides(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    """PrivateData=nodes,partitions: sinfo fails, squeue complains and lists the account's jobs, and pods run."""
    site.write("/tmp/hidden/sinfo", f"#!/bin/sh\n{DENIED}\nexit 1\n", "755")
    site.write("/tmp/hidden/squeue", f'#!/bin/sh\n{DENIED}\n[ -n "$4" ] || exit 0\nexec squeue "$@"\n', "755")
    program = program_at(site, SinfoPath="/tmp/hidden/sinfo", SqueuePath="/tmp/hidden/squeue")
    slurm = findings(program)["Slurm"]
    assert slurm["ok"]
    assert "squeue answers, with 0 jobs of this account" in slurm["message"]
    assert "sinfo failed with exit code 1: slurm_load_partitions: Access/permission denied" in slurm["message"]
    assert "set Resources" in slurm["remedy"]
    done = program("run", pod_file("echo ran"))
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_a_slurm_that_does_not_answer(program_at: ProgramAt, site: Site) -> None:
    site.exec("printf '#!/bin/sh\\necho down for maintenance >&2; exit 1\\n' >/tmp/squeue; chmod 755 /tmp/squeue")
    found = broken(program_at(site), "Slurm", "--set", "SqueuePath=/tmp/squeue")
    assert "squeue fails: down for maintenance" in found["message"]


def test_a_runtime_that_is_only_elsewhere_is_a_warning(program_at: ProgramAt, site: Site) -> None:
    runtime = findings(program_at(site), "--set", "SingularityPath=/opt/apptainer")["container runtime"]
    assert runtime["ok"]
    assert "check --job" in runtime["remedy"]


@pytest.mark.parametrize("folder", ["/root/jobs", "/proc/jobs", "/etc/passwd"])
def test_a_folder_that_cannot_be_used(program_at: ProgramAt, site: Site, folder: Path) -> None:
    found = broken(program_at(site), "DataRootFolder", "--set", f"DataRootFolder={folder}")
    assert f"DataRootFolder {folder} cannot be used at the site: mkdir: " in found["message"]


def test_the_view_from_a_compute_node(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    program = program_at(site)
    (tmp_path / "tokens").write_text("0123456789abcdef-token")
    forwards = ("--set", "PortForward.Port=0", "--set", f"PortForward.TokenFile={tmp_path / 'tokens'}")
    found = findings(program, "--job", *forwards)
    assert [name for name in found if name != LISTENING] == [*LINKS, JOB, *NODE]
    ways = "from the login node (ssh) and through a step of the job (srun, with perl)"
    assert found[PORTS]["message"] == f"forwarded {ways}"
    assert "ran on node" in found[JOB]["message"]
    assert "apptainer version 1.4" in found[NODE[1]]["message"]
    assert _pods_left(site, program) == []


def test_a_login_node_that_is_to_pull_images_needs_the_runtime(program_at: ProgramAt, site: Site) -> None:
    options = ("--set", "SingularityPath=/opt/apptainer", "--set", "ImagePull=login")
    found = broken(program_at(site), "container runtime", *options)
    assert "not on the login node, and ImagePull is login" in found["message"]
    assert "set SingularityPath to its full path there" in found["remedy"]


# As site wrappers do that add an account to the script
COPYING_SBATCH = """\
#!/bin/bash
cp "${@: -1}" "/tmp/copy-$$"
exec sbatch "${@:1:$#-1}" "/tmp/copy-$$"
"""


def test_a_node_without_the_runtime_and_an_sbatch_that_copies(program_at: ProgramAt, site: Site) -> None:
    site.write("/tmp/copying-sbatch", COPYING_SBATCH, "755")
    options = ("--set", "SingularityPath=/opt/apptainer", "--set", "SbatchPath=/tmp/copying-sbatch")
    found = findings(program_at(site), "--job", *options)
    assert found[JOB]["ok"]
    assert "the site's sbatch submits a copy of the script" in found[JOB]["message"]
    assert "set SbatchPath to Slurm's own sbatch" in found[JOB]["remedy"]
    assert found[NODE[0]]["ok"]
    assert found[NODE[1]]["ok"] is False
    assert "CommandPrefix" in found[NODE[1]]["remedy"]


def test_a_job_that_slurm_refuses(program_at: ProgramAt, site: Site) -> None:
    program = program_at(site)
    found = findings(program, "--job", "--flags=--partition=nope")
    assert "invalid partition specified: nope" in found[JOB]["message"]
    assert "--flags" in found[JOB]["remedy"]
    assert _pods_left(site, program) == []


def test_a_job_that_does_not_start_in_time(program_at: ProgramAt, site: Site) -> None:
    program = program_at(site)
    found = findings(program, "--job", "--timeout", "3", "--flags=--hold")
    assert "has not ended within 3 s" in found[JOB]["message"]
    assert "JobHeldUser" in found[JOB]["message"]
    assert _pods_left(site, program) == []
    assert set(site.jobs(program.root).values()) <= {"CANCELLED"}


def _pods_left(site: Site, program: Program) -> None:
    return [name for name in site.files(program.root) if not name.startswith(".remote-slurm")]
