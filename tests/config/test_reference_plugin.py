"""Files of the reference plugin load as they are, with a block SSH; what does not work yet is said, not dropped."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from remote_slurm.config import SSH, Config, load_config

Load = Callable[..., Config]

EXAMPLES = Path(__file__).parents[2] / "examples" / "config"

ISSUED_KEYS = """
SidecarPort Socket SbatchPath ScancelPath SqueuePath SinfoPath CommandPrefix ImagePrefix SingularityPath
SingularityPrefix SingularityDefaultOptions ExportPodData DataRootFolder Namespace Tsocks TsocksPath TsocksLoginNode
BashPath VerboseLogging ErrorsOnlyLogging EnableProbes ContainerRuntime EnrootPath EnrootPrefix EnrootDefaultOptions
DefaultUID Flavors DefaultFlavor Taints ResourceScriptPath
"""

REFERENCE_FILE = """
SidecarURL: "http://0.0.0.0"
SidecarPort: "4000"
Socket: ""
SbatchPath: "/usr/bin/sbatch"
ScancelPath: "/usr/bin/scancel"
SqueuePath: "/usr/bin/squeue"
SinfoPath: "/usr/bin/sinfo"
CommandPrefix: ""
ImagePrefix: "docker://"
SingularityPrefix: ""
SingularityPath: "singularity"
SingularityDefaultOptions: ["--nv", "--no-eval", "--containall"]
ExportPodData: true
DataRootFolder: ".local/interlink/jobs/"
Namespace: "vk"
Tsocks: false
TsocksPath: "$WORK/tsocks-1.8beta5+ds1/libtsocks.so"
TsocksLoginNode: "login01"
BashPath: /bin/bash
VerboseLogging: true
ErrorsOnlyLogging: false
EnableProbes: true
ContainerRuntime: singularity
EnrootDefaultOptions: ["--rw"]
EnrootPrefix: ""
EnrootPath: enroot
DefaultUID: 1000
DefaultFlavor: "default"
Flavors:
  default:
    Name: "default"
    Description: "two cores"
    CPUDefault: 2
    MemoryDefault: "8G"
    SlurmFlags:
      - "--partition=normal"
"""


def test_every_key_of_the_reference_plugin_is_known() -> None:
    assert set(ISSUED_KEYS.split()) <= set(Config.keys())


def test_every_key_is_described() -> None:
    assert [key for key, name in Config.keys().items() if not Config.model_fields[name].description] == []
    assert [key for key, name in SSH.keys().items() if not SSH.model_fields[name].description] == []


def test_a_file_of_the_reference_plugin_loads_unchanged(load: Load) -> None:
    config = load(REFERENCE_FILE)
    assert (config.sidecar_port, config.socket, config.sbatch_path) == (4000, None, "/usr/bin/sbatch")
    assert (config.data_root_folder, config.namespace) == (".local/interlink/jobs", "vk")
    assert config.flavors["default"].slurm_flags == ("--partition=normal",)


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        (REFERENCE_FILE, 1_000_000),
        ("InterlinkPort: 3000", 1_000_000),
        ("SidecarURL: ''", None),
        ("SidecarURL: x\nDefaultMemory: none", None),
        ("", None),
    ],
)
def test_default_memory_is_none_unless_the_file_is_the_go_plugins(load: Load, text: str, memory: int | None) -> None:
    assert load(text).default_memory == memory


def test_it_is_warned_of_what_comes_later(load: Load) -> None:
    named = [warning.partition(":")[0] for warning in load(REFERENCE_FILE).warnings]
    assert named == ["Namespace", "SidecarURL"]


@pytest.mark.parametrize("text", ["Namespace: vk", "Namespace: team\nInterlinkURL: x"])
def test_a_namespace_that_the_go_plugin_ignores_is_warned_of(load: Load, text: str) -> None:
    warning = load(text).warnings[0]
    assert warning.startswith("Namespace: pods of namespaces other than ")
    assert warning.endswith(" are rejected; the Go plugin ignores this key: remove it to accept all pods")


def test_a_namespace_of_ones_own_choice_is_not_warned_of(load: Load) -> None:
    assert load("Namespace: team").warnings == ()


def test_a_plain_file_gives_no_warning(load: Load) -> None:
    assert load("").warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("InterlinkURL: x", "InterlinkURL: belongs to interLink's own configuration and has no effect here"),
        ("InterlinkPort: 1", "InterlinkPort: belongs to interLink's own configuration and has no effect here"),
        ("SidecarURL: x", "SidecarURL: belongs to interLink's own configuration and has no effect here: BindAddress"),
        ("VKConfigPath: x", "VKConfigPath: belongs to interLink's own configuration and has no effect here"),
    ],
)
def test_a_warning_names_the_key_and_what_happens_instead(load: Load, text: str, warning: str) -> None:
    (only,) = load(text).warnings
    assert only.startswith(warning)


@pytest.mark.parametrize(
    "text",
    [
        "Tsocks: false\nTsocksPath: /lib.so\nTsocksLoginNode: login01",
        "EnableProbes: true",
        "Flavors: {}",
        "EnrootPath: /opt/enroot\nEnrootPrefix: nice\nEnrootDefaultOptions: [--root]",
        "SHARED_FS: true",
    ],
)
def test_what_has_no_effect_is_not_warned_of(load: Load, text: str) -> None:
    assert load(text).warnings == ()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_loads_without_a_warning(path: Path) -> None:
    assert load_config(path, {"HOME": "/home/me"}).warnings == ()


def test_the_example_names_every_key_with_its_default(load: Load) -> None:
    example = EXAMPLES / "SlurmConfig.yaml"
    written = yaml.safe_load(example.read_text())
    of_interlink = {"InterlinkURL", "InterlinkPort", "SidecarURL", "VKConfigPath"}
    assert set(written) == set(Config.keys()) - of_interlink
    assert set(written["SSH"]) == set(SSH.keys())
    defaults = load("")
    assert load_config(example, {"HOME": "/home/me"}).model_copy(update={"ssh": defaults.ssh}) == defaults


def test_the_quickstart_finds_the_image_and_the_key_of_the_site() -> None:
    config = load_config(EXAMPLES / "quickstart.yaml", {}, ["SSH.Port=40123"])
    assert config.ssh.port == 40123
    assert config.ssh.identity_file == Path("/run/remote-slurm/quickstart/id_ed25519")
    assert config.image_prefix + "busybox" == "/srv/images/busybox"
