"""The image and the two containers of examples/compose, as far as that can be checked without building them.

`scripts/image try` builds both and runs a pod through them.
"""

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from remote_slurm.cli.main import COMMANDS
from remote_slurm.config import load_config

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "examples" / "compose"
DOCKERFILES = [ROOT / "Dockerfile", COMPOSE / "site" / "Dockerfile"]


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Each with its words on one line."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in joined.splitlines()]


def last_stage(dockerfile: Path) -> list[tuple[str, str]]:
    found = instructions(dockerfile)
    start = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=["sidecar", "site"])
def test_what_is_copied_is_in_the_build_context(dockerfile: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    sources = [
        source
        for word, words in instructions(dockerfile)
        if word == "COPY" and not words.startswith("--from")
        for source in words.split()[:-1]
    ]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if any(fnmatch.fnmatch(source, pattern) for pattern in ignored)] == []


def test_the_image_needs_no_root_and_says_what_it_is() -> None:
    stage = dict(last_stage(ROOT / "Dockerfile"))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert "org.opencontainers.image.version" in stage["LABEL"]
    assert "org.opencontainers.image.revision" in stage["LABEL"]


def test_the_health_check_and_the_start_are_commands_of_the_program() -> None:
    stage = dict(last_stage(ROOT / "Dockerfile"))
    assert stage["ENTRYPOINT"] == '["remote-slurm"]'
    words = yaml.safe_load(stage["CMD"]) + yaml.safe_load(stage["HEALTHCHECK"].partition("CMD ")[2])[1:]
    assert words == ["serve", "ping"]
    assert set(words) <= set(COMMANDS)


def test_the_image_keeps_what_it_must_not_forget_in_its_volume() -> None:
    stage = dict(last_stage(ROOT / "Dockerfile"))
    environment = dict(word.split("=", 1) for word in stage["ENV"].split())
    config = load_config(COMPOSE / "SlurmConfig.yaml", {"XDG_STATE_HOME": environment["XDG_STATE_HOME"]})
    assert config.state_folder == Path(stage["VOLUME"])


def test_what_the_image_leaves_out_is_not_used() -> None:
    removed = re.findall(r"rm -r \S+/site-packages/(\S+)", (ROOT / "Dockerfile").read_text())
    assert removed == ["kubernetes/aio"]
    users = [
        path
        for path in (ROOT / "remote_slurm").rglob("*.py")
        if re.search(r"kubernetes[. ].*\baio\b", path.read_text())
    ]
    assert users == [], "take the line out of the Dockerfile"


def test_the_containers_share_the_keys_and_nothing_else() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    site, sidecar = services["site"], services["sidecar"]
    config = load_config(COMPOSE / "SlurmConfig.yaml", {})
    assert config.warnings == ()
    assert config.ssh.host_names == (site["hostname"],)
    assert config.ssh.identity_file is not None
    assert config.ssh.identity_file.parent == config.ssh.user_known_hosts_file.parent == Path("/keys")
    assert set(site["volumes"]) & {volume.removesuffix(":ro") for volume in sidecar["volumes"]} == {"keys:/keys"}
    assert sidecar["read_only"]
    assert sidecar["cap_drop"] == ["ALL"]
    assert (COMPOSE / sidecar["environment"]["SLURMCONFIGPATH"].replace("/examples/compose/", "")).exists()


def test_every_file_that_the_containers_are_built_from_is_there() -> None:
    for service in yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"].values():
        build = service["build"]
        assert (COMPOSE / build["context"] / build.get("dockerfile", "Dockerfile")).exists()


def test_the_script_says_what_it_can_do() -> None:
    done = subprocess.run([ROOT / "scripts/image", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "scripts/image try" in done.stderr
