"""What is in force, and where each value comes from."""

from pathlib import Path

import pytest
import yaml

from remote_slurm.config import Config, load_config
from remote_slurm.config.in_force import MASK, lines_in_force
from remote_slurm.config.json_schema import config_schema
from remote_slurm.config.load import load_layers, validated_config

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "config").glob("*.yaml"))
FILE = """\
SSH:
  HostName: a.example.org
  User: u
  IdentityFile: /k
  ProxyJump: me@b.example.org:23,[::1]
PollInterval: 7
DefaultFlavor: ""
Flavors: {big: {CPUDefault: 8}}
"""


def shown(folder: Path, text: str, environ: dict[str, str] | None = None, *overrides: str) -> list[str]:
    path = folder / "SlurmConfig.yaml"
    path.write_text(text)
    layers = load_layers(path, environ or {}, overrides)
    return list(lines_in_force(validated_config(path, layers, environ or {}), layers))


def test_each_value_has_its_origin(tmp_path: Path) -> None:
    lines = shown(tmp_path, FILE, {"SIDECARPORT": "5000"}, "SSH.Port=2222", "Taints=[{key: k, effect: NoSchedule}]")
    assert {
        "  HostName: [a.example.org]  # line 2",
        "  Port: 2222  # --set",
        "  ConnectTimeout: 10.0  # default",
        "  ProxyJump: me@b.example.org:23,u@[::1]  # line 5",
        "PollInterval: 7.0  # line 6",
        "DefaultFlavor: ''  # default",
        "SidecarPort: 5000  # SIDECARPORT",
        "KeepFinished: 0.0  # default",
    } <= set(lines)
    assert next(line for line in lines if line.startswith("Taints")).endswith("# --set")
    assert [line for line in lines if line.startswith("    CPUDefault")] == ["    CPUDefault: 8  # line 8"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_is_a_file_of_the_same_values(tmp_path: Path, path: Path) -> None:
    before = load_config(path, {}, ["RuntimeEnvironment={}"])
    layers = load_layers(path, {}, ["RuntimeEnvironment={}"])
    (tmp_path / "again.yaml").write_text("\n".join(lines_in_force(before, layers)))
    assert load_config(tmp_path / "again.yaml", {}) == before


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("RuntimeEnvironment: {A: hunter2}", "hunter2"),
        ("CommandPrefix: export GITLAB_TOKEN=hunter2; module load x", "hunter2"),
        ('RuntimeDefaultOptions: ["--docker-password", "x", "--password=hunter2"]', "hunter2"),
        ('RuntimeDefaultOptions: ["--docker-password", "hunter2"]', "hunter2"),
        ("CommandPrefix: export TOKEN='a b hunter2'", "hunter2"),
        ('CommandPrefix: "curl -H \\"Authorization: Bearer hunter2\\" https://example.org"', "hunter2"),
        ("RuntimePrefix: env https_proxy=http://me:hunter2@proxy.example.org:3128", "hunter2"),
        ("SSH: {HostName: h, User: u, IdentityFile: /k, BeforeConnect: renew --token hunter2}", "hunter2"),
    ],
)
def test_what_may_be_a_secret_is_masked(tmp_path: Path, line: str, hidden: str) -> None:
    ssh = "" if line.startswith("SSH") else "SSH: {HostName: h, User: u, IdentityFile: /k}\n"
    text = "\n".join(shown(tmp_path, ssh + line))
    assert hidden not in text
    assert MASK in text


def test_a_path_of_a_file_with_secrets_is_shown(tmp_path: Path) -> None:
    text = "SSH: {HostName: h, User: u, IdentityFile: /k, BeforeConnect: renew --token-file /etc/token}\n"
    lines = shown(tmp_path, f"{text}TokenFile: /etc/tokens")
    assert "TokenFile: /etc/tokens  # line 2" in lines
    assert any("renew --token-file /etc/token " in line for line in lines)


def test_the_schema_has_each_key_with_its_description_and_rejects_others() -> None:
    schema = config_schema()
    assert set(schema["properties"]) == set(Config.keys())
    assert all(each["description"] for each in schema["properties"].values())
    blocks = [schema, *(block for block in schema["$defs"].values() if "properties" in block)]
    assert [block["additionalProperties"] for block in blocks] == [False] * len(blocks)
    assert schema["properties"]["PollInterval"]["default"] == 10


def test_the_schema_accepts_each_spelling_of_a_value() -> None:
    """Such as `"22"` for a number, `yes` for a flag, and one word for a list: only blocks have a type."""
    schema = config_schema()
    typed = {key for key, each in schema["properties"].items() if "type" in each}
    for path in EXAMPLES:
        values = yaml.safe_load(path.read_text())
        assert all(isinstance(values[key], dict | list) for key in typed & set(values)), (path, typed)
    assert "type" not in schema["$defs"]["SSH"]["properties"]["Port"]
    assert "type" not in schema["properties"]["VerboseLogging"]
