"""`remote-slurm ping`: the health check of containers, and a person's first question."""

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from remote_slurm.cli.ping import sentence
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
        first, second = done.stdout.splitlines()
        assert done.returncode == 0
        assert re.fullmatch("ok: pods 0: site unreachable(, retry in [0-9]+ s)?", first)
        assert second.startswith("  cannot reach 127.0.0.1 port 1: ")
        done = Program()("ping", "--url", sidecar.url, "--output", "json")
        assert json.loads(done.stdout)["resources"]["pods"] == "0"
    finally:
        sidecar.kill()


NONE = {"status": "ok", "resources": {"pods": "0"}}
REFUSED = {
    "reachable": False,
    "error": "login of me at\nlogin was refused",
    "cause": "KeyRefused",
    "retryInSeconds": 1740.0,
    "retryFile": "/etc/id",
}


def test_a_refused_key_is_the_reason_that_there_is_no_room() -> None:
    now = time.mktime((2026, 11, 30, 14, 3, 0, 0, 0, -1))
    first, second, *_ = sentence("ok", NONE, REFUSED, now).splitlines()
    assert first == "ok: pods 0: SSH key refused, retry at 14:32 or when /etc/id changes"
    assert second == "  login of me at login was refused"


def test_a_slow_squeue_is_reported_with_the_interval_that_follows_from_it() -> None:
    answer = {"status": "ok", "resources": {"cpu": "8", "pods": "100"}}
    site = {"reachable": True, "squeueIsSlow": True, "squeueSeconds": 12.3, "pollIntervalSeconds": 100}
    first, second = sentence("ok", answer, site, 0).splitlines()
    assert first == "ok: cpu 8, pods 100"
    assert second == "  squeue is slow (12 s): the site is polled every 100 s"


def test_a_squeue_that_fails_is_the_reason_that_there_is_no_room() -> None:
    site = {"reachable": False, "error": "squeue failed with exit code 1", "cause": "SlurmFailed", "retryInSeconds": 0}
    assert sentence("ok", NONE, site, 0) == "ok: pods 0: Slurm command failed\n  squeue failed with exit code 1"


def test_a_site_that_accepts_the_key_again_needs_a_touch_of_the_file() -> None:
    assert "`touch /etc/id`" not in sentence("ok", NONE, REFUSED | {"cause": "HostKeyRefused"}, 0)
    last = sentence("ok", NONE, REFUSED, 0).splitlines()[-1]
    assert last == "  after a correction at the site, run `touch /etc/id` or restart the sidecar to connect at once"


def test_a_full_home_is_the_reason_that_there_is_no_room() -> None:
    full = "DataRootFolder /home/me/jobs cannot be written:\nNo space left on device"
    site = {"reachable": True, "storageError": full, "storageRetryInSeconds": 28.4}
    answer = {"status": "ok", "resources": {"cpu": "4", "pods": "0"}}
    assert sentence("ok", answer, site, 0).splitlines() == [
        "ok: cpu 4, pods 0: pods cannot be stored at the site, retry in 28 s",
        "  DataRootFolder /home/me/jobs cannot be written: No space left on device",
    ]


@pytest.mark.parametrize(("more", "reason"), [({}, "sinfo has not reported"), ({"cpu": "4"}, "allows no pods")])
def test_a_reachable_site_may_have_no_room(more: dict[str, str], reason: str) -> None:
    answer = {"status": "ok", "resources": {"pods": "0", **more}}
    assert reason in sentence("ok", answer, {"reachable": True}, 0)


def test_room_needs_no_reason() -> None:
    answer = {"status": "ok", "resources": {"cpu": "4", "memory": "8Mi", "pods": "1000"}}
    assert sentence("superseded: why", answer, {}, 0) == "superseded: why: cpu 4, memory 8Mi, pods 1000"


def test_no_sidecar_is_an_error(config: Path) -> None:
    done = Program(config)("ping")
    assert done.returncode == 1
    assert done.stderr.startswith(f"remote-slurm: no sidecar answers at unix://{config.parent}/s: ")
