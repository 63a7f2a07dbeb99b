"""A site from outside: what it offers, and that nothing of it stays."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.site_command import Document, batch, site

NewSite = Callable[..., Document]


def on_site(document: Document, command: str, user: str = "hpcuser") -> str:
    return site("ssh", "--name", document["name"], "--user", user, "--", command).stdout


def test_the_document_is_enough_to_log_in_with_strict_host_keys(trixie: Document) -> None:
    address = ["-p", str(trixie["port"]), f"{trixie['user']}@{trixie['host']}"]
    trust = ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={trixie['known_hosts_file']}"]
    command = ["ssh", "-F", "none", "-i", trixie["identity_file"], "-o", "BatchMode=yes", *trust, *address]
    assert subprocess.check_output([*command, "sinfo -h -p main -o %T"], text=True).strip() == "idle"
    assert trixie["slurm_version"].startswith("24.11.")


def test_up_again_agrees_or_says_what_differs(trixie: Document) -> None:
    again = site("up", "--name", trixie["name"], "--min-job-age", "5", "--output", "json")
    assert (again.returncode, json.loads(again.stdout)) == (0, trixie)
    other = site("up", "--name", trixie["name"], "--min-job-age", "6")
    assert other.returncode == 1
    assert "is running with min job age 5, not 6" in other.stderr


def test_slurm_has_what_the_readme_promises(trixie: Document) -> None:
    assert on_site(trixie, "sinfo -h -o '%P %c %G'").splitlines() == ["main* 64 gpu:4", "short 64 gpu:4"]
    assert "MinJobAge               = 5 sec" in on_site(trixie, "scontrol show config")
    assert batch(trixie, "#SBATCH --gres=gpu:2\necho $CUDA_VISIBLE_DEVICES") == "0,1\n"


@pytest.mark.parametrize("image", ["directory", "sif"])
def test_apptainer_runs_the_images_in_a_batch_job(trixie: Document, image: str) -> None:
    inner = "cat /data/in; echo new >/fresh && cat /fresh; echo no >/data/in; exit 7"
    options = "--containall --writable-tmpfs --bind $HOME/data:/data:ro"
    script = f"""
mkdir -p data; echo old >data/in
apptainer --silent exec {options} {trixie["images"][image]} /bin/sh -c '{inner}' 2>/dev/null
echo $?"""
    assert batch(trixie, script).split() == ["old", "new", "7"]


def test_alice_and_bob_are_as_noisy_as_real_accounts(trixie: Document) -> None:
    alice = on_site(trixie, "echo $shell; env", "alice").splitlines()
    assert alice[0].startswith("*** Maintenance")
    assert alice[1].endswith("/tcsh")
    assert any(line.startswith("SQUEUE_FORMAT=") for line in alice)
    assert on_site(trixie, "true", "bob").startswith("Welcome, bob")
    assert batch(trixie, "id -un", "alice").splitlines()[-1] == "alice"


def test_daemons_listen_on_loopback_only(trixie: Document) -> None:
    """On Linux's own list: state 0A is LISTEN, 0100007F is 127.0.0.1."""
    listening = {
        address
        for _, address, _, state, *_ in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if state == "0A"
    }
    facts = Path(trixie["state_folder"], "facts").read_text()
    ports = [int(port) for port in re.findall(r"^(?:sshd|slurmctld|slurmd)_port=(\d+)$", facts, re.MULTILINE)]
    assert len(ports) == 3
    for port in ports:
        assert {address for address in listening if address.endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}


def test_far_and_busy(new_site: NewSite) -> None:
    document = new_site("--rtt", "50", "--sbatch-latency", "400")
    assert document["port"] != document["sshd_port"]
    took = on_site(document, "bash -c 'TIMEFORMAT=%R; time sbatch --wrap true' 2>&1").split()[-1]
    assert float(took) >= 0.4
    start = time.monotonic()
    on_site(document, "true")
    assert time.monotonic() - start > 6 * 0.05


def test_accounting_answers_and_enforces_limits(new_site: NewSite) -> None:
    document = new_site("--accounting")
    assert batch(document, "exit 3") == ""
    deadline = time.monotonic() + 240
    while "FAILED" not in (found := on_site(document, "sacct -X -n -P -o state,exitcode,submitline")):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found == "FAILED|3:0|sbatch -o out --wait job.sh\n"


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_memory_is_enforced_by_cgroups_that_go_with_the_site(new_site: NewSite, suite: str) -> None:
    document = new_site("--enforce-memory", "--suite", suite)
    folders = [Path(f"/sys/fs/cgroup/{kind}/remote-slurm-{document['name']}") for kind in ("freezer", "memory")]
    assert [folder.is_dir() for folder in folders] == [True, True]
    batch(document, "#SBATCH --mem=40M\ndd if=/dev/zero of=/dev/null bs=200M count=1")
    assert on_site(document, "squeue --noheader --states=all --format=%T") == "OUT_OF_MEMORY\n"
    assert site("down", "--name", document["name"]).stderr == f"site: site {document['name']} is down\n"
    assert [folder.exists() for folder in folders] == [False, False]


def test_jobs_in_urgent_push_others_out(new_site: NewSite) -> None:
    document = new_site("--preemption")
    on_site(document, "sbatch --no-requeue --wrap 'sleep 60'")
    wait_until(lambda: on_site(document, "squeue --noheader --format=%T") == "RUNNING\n")
    assert batch(document, "#SBATCH --partition=urgent --exclusive\nhostname") == f"hpc-{document['name']}\n"
    assert "1 PREEMPTED" in on_site(document, "squeue --noheader --states=all --format='%A %T'").splitlines()


def test_bookworm_is_older_and_has_no_containers(new_site: NewSite) -> None:
    document = new_site("--suite", "bookworm")
    assert document["slurm_version"].startswith("22.05.")
    assert (document["runtime"], document["images"]["sif"]) == ("none", None)
    assert batch(document, "hostname") == f"hpc-{document['name']}\n"


def test_a_site_that_was_killed_is_noticed_and_leaves_nothing(trixie: Document, new_site: NewSite) -> None:
    document = new_site("--rtt", "1")
    namespace = Path(f"/proc/{document['pid']}/ns/pid").readlink()
    assert processes_in(namespace)

    os.kill(document["pid"], signal.SIGKILL)
    wait_until(lambda: not processes_in(namespace))
    dead = site("status", "--name", document["name"], "--output", "json")
    assert (dead.returncode, json.loads(dead.stdout)["state"]) == (3, "dead")

    assert site("down", "--name", document["name"]).returncode == 0
    assert not Path(document["state_folder"]).exists()
    assert "remote-slurm" not in Path("/proc/mounts").read_text()  # all of its own lie in its own namespaces
    assert on_site(trixie, "hostname") == f"hpc-{trixie['name']}\n"


def processes_in(namespace: Path) -> list[str]:
    return [process.name for process in Path("/proc").glob("[0-9]*") if namespace_of(process) == namespace]


def namespace_of(process: Path) -> Path | None:
    try:
        return (process / "ns" / "pid").readlink()
    except OSError:
        return None


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
