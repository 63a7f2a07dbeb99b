"""What is said of a wrong file: everything at once, with keys, lines, and what would be right."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.config import Config, load_config
from remote_slurm.errors import ConfigError, Problem

Load = Callable[..., Config]
Problems = Callable[..., list[Problem]]

YAML = "tag:yaml.org,2002:"
MANY_MISTAKES = """\
SidecarPort: 99999
sbatchpath: /usr/bin/sbatch
BindAddress: 0.0.0.0
VerboseLogging: true
ErrorsOnlyLogging: true
ImagePull: cloud
PollInterval: 10s
DataRootFolder: $SCRATCH/jobs
Namespace: one
Namespace: two
HostName: login.example.org
Taints:
  - key: a
    effect: Never
  - 7
Flavors:
  gpu:
    CPUDefualt: 3
CommandPrefix:
  - module load x
Frobnicate: 1
SSH:
  HostName: [login1, login2:22]
  IdentityFiles: /keys/id
  ProxyJump: me@::1
"""


def test_all_mistakes_of_a_file_are_reported_in_the_order_of_lines(problems: Problems) -> None:
    found = problems(MANY_MISTAKES, ssh="")
    assert [(problem.line, problem.key) for problem in found] == [
        (1, "SidecarPort"),
        (2, "sbatchpath"),
        (3, "BindAddress"),
        (5, "ErrorsOnlyLogging"),
        (6, "ImagePull"),
        (7, "PollInterval"),
        (8, "DataRootFolder"),
        (10, "Namespace"),
        (11, "HostName"),
        (14, "Taints[0].effect"),
        (15, "Taints[1]"),
        (18, "Flavors.gpu.CPUDefualt"),
        (19, "CommandPrefix"),
        (21, "Frobnicate"),
        (22, "SSH.User"),
        (22, "SSH.IdentityFile"),
        (23, "SSH.HostName[1]"),
        (24, "SSH.IdentityFiles"),
        (25, "SSH.ProxyJump"),
    ]


def test_a_further_check_names_keys_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text("ContainerRuntime: docker\nSSH: {HostName: h, User: u, IdentityFile: /k}\n")
    wrong = [Problem("ContainerRuntime", "must be none"), Problem("", "is wrong as a whole")]
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, check=lambda config: wrong if config.container_runtime == "docker" else [])
    assert [(each.line, each.key) for each in caught.value.problems] == [(1, "ContainerRuntime"), (None, "")]


def test_a_further_check_reads_the_valid_values_beside_wrong_ones(tmp_path: Path) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text(
        "PollInterval: abc\n"
        "ContainerRuntime: docker\n"
        "Policies:\n"
        "  team: {Namespaces: [team], AllowedFlags: [qos, 7 8]}\n"
        "  other: [wrong]\n"
        "SSH: {HostName: h}\n"
    )

    def check(config: Config) -> list[Problem]:
        assert config.poll_interval == 10
        assert config.policies["team"].allowed_flags == ("qos",)
        return [Problem("ContainerRuntime", f"is {config.container_runtime}")]

    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, check=check)
    assert [(each.line, each.key) for each in caught.value.problems] == [
        (1, "PollInterval"),
        (2, "ContainerRuntime"),
        (4, "Policies.team.AllowedFlags[1]"),
        (5, "Policies.other"),
        (6, "SSH.User"),
        (6, "SSH.IdentityFile"),
    ]


def test_the_error_as_text_has_one_line_for_each_mistake(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("SidecarPort: x\nPollInterval: 0")
    file = tmp_path / "SlurmConfig.yaml"
    assert str(caught.value).splitlines() == [
        f"{file}: SidecarPort (line 1): must be a whole number from 0 to 65535, not 'x'",
        f"{file}: PollInterval (line 2): must be a number of seconds from 1 to 86400, without a unit, not '0'",
    ]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("sidecarport: 1", "sidecarport", "is not a known key: did you mean SidecarPort?"),
        ("SIDECARPORT: 1", "SIDECARPORT", "is not a known key: did you mean SidecarPort?"),
        ("SidecarProt: 1", "SidecarProt", "is not a known key: did you mean SidecarPort?"),
        ("sqeuepath: x", "sqeuepath", "is not a known key: did you mean SqueuePath?"),
        ("Shared_FS: true", "Shared_FS", "is not a known key: did you mean SHARED_FS?"),
        ("IdentityFile: /x", "IdentityFile", "is not a known key: did you mean IdentityFile inside SSH?"),
        ("proxyjump: x", "proxyjump", "is not a known key: did you mean ProxyJump inside SSH?"),
        (
            "Frobnicate: 1",
            "Frobnicate",
            "is not a known key: `remote-slurm config example` prints all of them",
        ),
        (
            "Flavors: {a: {memorydefault: 1}}",
            "Flavors.a.memorydefault",
            "is not a known key: did you mean MemoryDefault?",
        ),
        ("Taints: [{Key: a, key: a, effect: NoExecute}]", "Taints[0].Key", "is not a known key: did you mean key?"),
        (
            "Resources: {accelerators: [{resourcetype: a, resourceType: a, available: 1}]}",
            "Resources.accelerators[0].resourcetype",
            "is not a known key: did you mean resourceType?",
        ),
        ("Resources: {nodes: 1}", "Resources.nodes", "is not a known key: known are cpu, memory, pods, accelerators"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(problems: Problems, text: str, key: str, message: str) -> None:
    assert problems(text) == [Problem(key, message, 1)]


@pytest.mark.parametrize(
    ("text", "key", "line", "message"),
    [
        ("Namespace: a\nNamespace: b", "Namespace", 2, "is set twice, first in line 1: keep one of them"),
        ("Namespace: a\n\nNamespace: a", "Namespace", 3, "is set twice, first in line 1: keep one of them"),
        (
            "Flavors:\n  a: {}\n  b: {}\n  a: {}",
            "Flavors.a",
            4,
            "is set twice, first in line 2: keep one of them",
        ),
        (
            "Namespace: !vault x",
            "Namespace",
            1,
            "has the tag !vault, which means nothing here: write the value itself",
        ),
        (
            "Namespace: !!python/object/apply:os.system [id]",
            "Namespace",
            1,
            f"has the tag {YAML}python/object/apply:os.system, which means nothing here: write the value itself",
        ),
        ("Flavors: &a\n  small: *a", "Flavors.small", 1, "contains itself"),
        ("Flavors:\n  ? [a]\n  : {}", "Flavors", 2, "has a list or a block in place of a key"),
        ("Flavors:\n  <<: text", "Flavors", 2, "merges with << what is not a block of keys"),
    ],
)
def test_a_wrong_form(problems: Problems, text: str, key: str, line: int, message: str) -> None:
    assert problems(text)[0] == Problem(key, message, line)


def test_aliases_and_merges_mean_what_they_mean_in_yaml(load: Load) -> None:
    config = load(
        "Flavors:\n  a: &a {CPUDefault: 2, UID: 5}\n  b: {<<: *a, UID: 6}\n  c: *a\n  d: {<<: [{UID: 1}, *a]}"
    )
    flavors = {name: (flavor.cpu_default, flavor.uid) for name, flavor in config.flavors.items()}
    assert flavors == {"a": (2, 5), "b": (2, 6), "c": (2, 5), "d": (2, 1)}


def test_aliases_of_aliases_do_not_explode(problems: Problems) -> None:
    rows = ["SingularityDefaultOptions: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"K{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    found = problems("\n".join([*rows, "Namespace: *a29", "Flavors: *a29"]))
    assert [problem.key for problem in found][-2:] == ["Namespace", "Flavors"]
    assert all(len(problem.message) < 200 for problem in found)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", None, "is empty: `remote-slurm config example` prints all keys"),
        (b"# nothing but words\n", None, "is empty: `remote-slurm config example` prints all keys"),
        (b"{}", None, "is empty: `remote-slurm config example` prints all keys"),
        (b"- a\n- b\n", None, "must be a block of keys: `remote-slurm config example` prints all keys"),
        (b"just text", None, "must be a block of keys: `remote-slurm config example` prints all keys"),
        (b"a: 1\nb: [1, 2\nc: 3\n", 3, "is not YAML: expected ',' or ']', but got ':'"),
        (b"a: 1\n\tb: 2\n", 2, "is not YAML: found character '\\t' that cannot start any token"),
        (b"a: 1\n---\nb: 2\n", 2, "is not YAML: expected a single document in the stream but found another document"),
        (b"a: *b\n", 1, "is not YAML: found undefined alias 'b'"),
        (b"a: '\x00'\n", None, "is not YAML: it holds a character that YAML does not allow"),
        (b"a: " + b"[" * 20000, None, "is not YAML: it is nested too deeply"),
        (b"a: 1\nb: \xff\xfe\n", None, "is not UTF-8 text (byte 0xff in line 2): save it as UTF-8"),
        ("a: 1".encode("utf-16"), None, "is UTF-16, not UTF-8 text: save it as UTF-8"),
    ],
)
def test_a_file_that_is_no_configuration_gives_one_sentence(
    tmp_path: Path, content: bytes, line: int | None, message: str
) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert caught.value.source == str(path)
    assert caught.value.problems == [Problem("", message, line)]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {})


def test_a_byte_order_mark_and_windows_line_ends_are_read_over(load: Load) -> None:
    assert load("\ufeffNamespace: a\r\nSidecarPort: 1\r\n").namespace == "a"


def test_the_file_that_is_named_wins_over_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "absent.yaml", {"SLURMCONFIGPATH": os.devnull})
    assert str(caught.value) == f"{tmp_path}/absent.yaml: does not exist"


def test_slurmconfigpath_names_the_file(load: Load, tmp_path: Path) -> None:
    load("Namespace: a")  # writes it
    path = str(tmp_path / "SlurmConfig.yaml")
    assert load_config(None, {"SLURMCONFIGPATH": path}).namespace == "a"
    with pytest.raises(ConfigError, match=r"does not exist \(SLURMCONFIGPATH names it\)"):
        load_config(None, {"SLURMCONFIGPATH": path + "x"})


@pytest.mark.skipif(Path("/etc/interlink/SlurmConfig.yaml").exists(), reason="this machine has the default file")
@pytest.mark.parametrize("environ", [{}, {"SLURMCONFIGPATH": ""}])
def test_the_default_file(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, environ)
    assert str(caught.value) == (
        "/etc/interlink/SlurmConfig.yaml: does not exist: name yours with --config FILE or in REMOTE_SLURM_CONFIG or "
        "SLURMCONFIGPATH"
    )
