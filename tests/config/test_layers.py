"""The environment wins over the file, and --set over both; each is named by its own name when it is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.config import Config
from remote_slurm.config.layers import environment_variables
from remote_slurm.errors import Problem

Load = Callable[..., Config]
Problems = Callable[..., list[Problem]]

ENVIRONMENT = [
    ("SIDECARPORT", "4321", "SidecarPort: 1", "sidecar_port", 4321),
    ("SBATCHPATH", "/b/sbatch", "SbatchPath: /a/sbatch", "sbatch_path", "/b/sbatch"),
    ("SCANCELPATH", "/b/scancel", "ScancelPath: /a/scancel", "scancel_path", "/b/scancel"),
    ("SQUEUEPATH", "/b/squeue", "SqueuePath: /a/squeue", "squeue_path", "/b/squeue"),
    ("SINFOPATH", "/b/sinfo", "SinfoPath: /a/sinfo", "sinfo_path", "/b/sinfo"),
    ("SINGULARITYPATH", "/b/apptainer", "SingularityPath: /a/apptainer", "singularity_path", "/b/apptainer"),
    ("SHARED_FS", "false", "SHARED_FS: true", "shared_fs", False),
    ("CUSTOMKUBECONF", "/b/kube", "CUSTOMKUBECONF: /a/kube", "custom_kubeconf", Path("/b/kube")),
    ("ENABLE_TRACING", "1", "ENABLE_TRACING: 0", "enable_tracing", True),
    ("TELEMETRY_ENDPOINT", "b:1", "TELEMETRY_ENDPOINT: a:1", "telemetry_endpoint", "b:1"),
    ("TELEMETRY_UNIQUE_ID", "b", "TELEMETRY_UNIQUE_ID: a", "telemetry_unique_id", "b"),
    ("TELEMETRY_CA_CRT_FILEPATH", "/b", "TELEMETRY_CA_CRT_FILEPATH: /a", "telemetry_ca", Path("/b")),
    ("TELEMETRY_CLIENT_KEY_FILEPATH", "/b", "TELEMETRY_CLIENT_KEY_FILEPATH: /a", "telemetry_client_key", Path("/b")),
    ("TELEMETRY_CLIENT_CRT_FILEPATH", "/b", "TELEMETRY_CLIENT_CRT_FILEPATH: /a", "telemetry_client_cert", Path("/b")),
    ("TSOCKS", "false", "Tsocks: true\nTsocksPath: /l.so\nTsocksLoginNode: h", "tsocks", False),
    ("TSOCKSPATH", "/b/lib.so", "TsocksPath: /a/lib.so", "tsocks_path", "/b/lib.so"),
]

WRONG_ENVIRONMENT = {
    "SIDECARPORT": "http",
    "SBATCHPATH": "sbatch -v",
    "SCANCELPATH": "~/scancel",
    "SQUEUEPATH": "$BIN/squeue",
    "SINFOPATH": "a/b",
    "SINGULARITYPATH": "two words",
    "SHARED_FS": "1",
    "CUSTOMKUBECONF": "~you/kube",
    "ENABLE_TRACING": "yes please",
    "TELEMETRY_ENDPOINT": "collector",
    "TELEMETRY_UNIQUE_ID": "a\nb",
    "TELEMETRY_CA_CRT_FILEPATH": "~you/ca.crt",
    "TELEMETRY_CLIENT_KEY_FILEPATH": "~you/client.key",
    "TELEMETRY_CLIENT_CRT_FILEPATH": "~you/client.crt",
    "TSOCKS": "maybe",
    "TSOCKSPATH": "a\nb",
}


@pytest.mark.parametrize(("variable", "value", "text", "attribute", "expected"), ENVIRONMENT)
def test_the_environment_wins_over_the_file(
    load: Load, variable: str, value: str, text: str, attribute: str, expected: Any
) -> None:
    assert getattr(load(text), attribute) != expected
    assert getattr(load(text, {variable: value}), attribute) == expected
    assert getattr(load("", {variable: value}), attribute) == expected


@pytest.mark.parametrize(("variable", "value", "text", "attribute", "expected"), ENVIRONMENT)
def test_an_empty_variable_counts_as_not_set(
    load: Load, variable: str, value: str, text: str, attribute: str, expected: Any
) -> None:
    del value, expected
    assert getattr(load(text, {variable: ""}), attribute) == getattr(load(text), attribute)


def test_every_variable_is_in_the_tables() -> None:
    assert {row[0] for row in ENVIRONMENT} == set(WRONG_ENVIRONMENT) == set(environment_variables())


@pytest.mark.parametrize("variable", WRONG_ENVIRONMENT)
def test_a_wrong_variable_is_named_without_a_line(problems: Problems, variable: str) -> None:
    text = next(row[2] for row in ENVIRONMENT if row[0] == variable)
    (problem,) = problems(text, {variable: WRONG_ENVIRONMENT[variable]})
    assert problem.key == f"{variable} (environment)"
    assert problem.line is None
    assert problem.message.startswith("must be")


def test_a_variable_corrects_a_wrong_file(load: Load) -> None:
    assert load("SidecarPort: x", {"SIDECARPORT": "1"}).sidecar_port == 1


def test_set_wins_over_the_environment_and_the_file(load: Load) -> None:
    assert load("SidecarPort: 1", {"SIDECARPORT": "2"}, ["SidecarPort=3"]).sidecar_port == 3


def test_the_last_set_wins(load: Load) -> None:
    assert load("", overrides=["SidecarPort=1", "SidecarPort=2"]).sidecar_port == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("Namespace=a", lambda config: config.namespace == "a"),
        ("SSH.Port=40123", lambda config: (config.ssh.port, config.ssh.user) == (40123, "hpcuser")),
        ("SSH.HostName=[a, b]", lambda config: config.ssh.host_names == ("a", "b")),
        ("SSH.IdentityFile=", lambda config: config.ssh.identity_file == Path("/keys/id")),
        ("ImagePrefix=docker://a=b", lambda config: config.image_prefix == "docker://a=b"),
        ("Flavors.large.CPUDefault=8", lambda config: config.flavors["large"].cpu_default == 8),
        (
            "Flavors.small.UID=7",
            lambda config: (config.flavors["small"].uid, config.flavors["small"].cpu_default) == (7, 2),
        ),
        ("Resources.cpu=8", lambda config: config.resources.cpu == "8"),
        ("SSH={HostName: h, User: u, IdentitiesOnly: false}", lambda config: config.ssh.host_names == ("h",)),
    ],
)
def test_set(load: Load, override: str, expected: Callable[[Config], bool]) -> None:
    text = "Flavors: {small: {CPUDefault: 2}}\nResources:"
    overrides = [override] if override != "SSH.IdentityFile=" else [override, "SSH.IdentityFile=/keys/id"]
    assert expected(load(text, overrides=overrides))


def test_set_to_nothing_means_the_default(load: Load, problems: Problems) -> None:
    assert load("Namespace: a", overrides=["Namespace="]).namespace == ""
    (problem,) = problems("", overrides=["SSH.User="])
    assert problem.key == "--set SSH.User"


def test_set_changes_one_of_two_blocks_that_an_alias_shares(load: Load) -> None:
    config = load("Flavors:\n  a: &a {UID: 1}\n  b: *a", overrides=["Flavors.b.UID=2"])
    assert {name: flavor.uid for name, flavor in config.flavors.items()} == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("override", "key", "sentence"),
    [
        ("SSH.Port=x", "SSH.Port", "must be a whole number from 1 to 65535, not 'x'"),
        ("SSH.Prot=22", "SSH.Prot", "is not a known key: did you mean Port?"),
        ("sidecarport=1", "sidecarport", "is not a known key: did you mean SidecarPort?"),
        ("SSH={HostName: h, IdentitiesOnly: no}", "SSH.User", "is required: account"),
        ("SSH.HostName=[a, 'b c']", "SSH.HostName", "must be a host name"),
        ("SidecarPort", "SidecarPort", "must have the form KEY=VALUE, such as SSH.Port=22"),
        ("=4000", "=4000", "must have the form KEY=VALUE"),
        ("SSH..Port=1", "SSH..Port=1", "must have the form KEY=VALUE"),
        ("SSH.HostName=[a", "SSH.HostName", "must be a YAML value"),
        ("CommandPrefix=a: b: c", "CommandPrefix", "must be a YAML value"),
        ("Namespace=!x y", "Namespace", "has the tag !x"),
        ("Flavors={a: {UID: 1, UID: 2}}", "Flavors.a.UID", "is set twice"),
        ("SidecarPort.x=1", "SidecarPort.x", "leads into SidecarPort, which is not a block of keys"),
        ("Taints.x=1", "Taints.x", "leads into Taints, which is not a block of keys"),
    ],
)
def test_a_wrong_set_is_named(problems: Problems, override: str, key: str, sentence: str) -> None:
    (problem,) = problems("SidecarPort: 1\nTaints: [{key: a, effect: NoExecute}]", overrides=[override])
    assert problem.key == f"--set {key}"
    assert problem.line is None
    assert sentence in problem.message


def test_all_three_are_wrong_at_once(problems: Problems) -> None:
    found = problems("PollInterval: 0", {"SIDECARPORT": "x"}, ["DefaultCPU=0"])
    assert [problem.key for problem in found] == ["PollInterval", "SIDECARPORT (environment)", "--set DefaultCPU"]
