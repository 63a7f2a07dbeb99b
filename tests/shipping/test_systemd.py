"""The systemd unit: it starts the program as it is, and keeps it small."""

from pathlib import Path

import pytest

from remote_slurm.api.app import SHUTDOWN_SECONDS
from remote_slurm.cli.main import COMMANDS
from remote_slurm.config import Config
from remote_slurm.config.host_defaults import default_state_folder

UNITS = Path(__file__).parents[2] / "examples" / "systemd"
UNIT = UNITS / "remote-slurm.service"

Settings = dict[str, list[str]]


@pytest.fixture
def service() -> Settings:
    """The section [Service]; a key may stand there several times."""
    section, found = "", Settings()
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(key, []).append(value)
    return found


def test_it_serves_with_the_usual_configuration(service: Settings) -> None:
    (command,) = service["ExecStart"]
    program, word, *options = command.split()
    assert (Path(program).name, word) == ("remote-slurm", "serve")
    assert word in COMMANDS
    assert options == ["--config", "/etc/interlink/SlurmConfig.yaml"]


def test_requests_in_flight_may_finish(service: Settings) -> None:
    assert int(service["TimeoutStopSec"][0]) > SHUTDOWN_SECONDS


def test_the_state_is_in_the_folder_that_systemd_makes(service: Settings) -> None:
    environment = dict(word.split("=", 1) for word in service["Environment"])
    state = default_state_folder({"XDG_STATE_HOME": environment["XDG_STATE_HOME"].replace("%S", "/var/lib")})
    assert str(state) == f"/var/lib/{service['StateDirectory'][0]}"


@pytest.mark.parametrize(
    "hardening", ["NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"]
)
def test_it_may_do_no_more_than_it_needs(service: Settings, hardening: str) -> None:
    assert service[hardening] == ["yes"]
    assert service["User"] == ["remote-slurm"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == [""]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LimitCORE", "0"),
        ("LimitNOFILE", "65536"),
        ("KeyringMode", "private"),
        ("DevicePolicy", "closed"),
        ("UMask", "0077"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ],
)
def test_limits_and_modes(service: Settings, key: str, value: str) -> None:
    """LimitCORE: a core file would hold keys and Secrets."""
    assert service[key] == [value]


def test_the_socket_unit_listens_where_the_configuration_says_by_default() -> None:
    lines = (UNITS / "remote-slurm.socket").read_text().splitlines()
    fields = Config.model_fields
    address, port = fields["bind_address"].default, fields["sidecar_port"].default
    assert f"ListenStream={address}:{port}" in lines
    assert "FileDescriptorName=sidecar" in lines  # the name that api/app.py looks for


def test_the_service_says_when_it_answers(service: Settings) -> None:
    assert service["Type"] == ["notify"]
