"""An installation without the extras: it has everything but what needs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from remote_slurm.service.check.site_check import CONFIGURATION
from remote_slurm.service.kubernetes_api import NEEDS_PACKAGES

WITHOUT_EXTRAS = """
import importlib
import pkgutil
import sys

for name in ("google", "grpc", "kubernetes", "opentelemetry", "requests", "urllib3"):
    sys.modules[name] = None  # as if it is not installed

import remote_slurm
from remote_slurm.cli import main

for each in pkgutil.walk_packages(remote_slurm.__path__, "remote_slurm."):
    if each.name != "remote_slurm.api.tracing" and not each.name.endswith("__main__"):
        importlib.import_module(each.name)

sys.exit(main(sys.argv[1:]))
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *words], capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text("SSH: {HostName: 127.0.0.1, Port: 1, User: me, IdentityFile: /key}\nCUSTOMKUBECONF: in-cluster\n")
    return str(path)


def test_serve_names_the_extra_that_in_cluster_credentials_need(config: str) -> None:
    done = run("serve", "--config", config)
    assert (done.returncode, done.stderr.strip()) == (1, f"remote-slurm: {NEEDS_PACKAGES}")
    assert "pip install 'remote-slurm[kubernetes]'" in NEEDS_PACKAGES


def test_check_names_the_extra_that_is_missing(config: str) -> None:
    done = run("check", "--output", "json", "--config", config)
    first = json.loads(done.stdout)[0]
    assert (done.returncode, first["check"], first["ok"], first["remedy"]) == (1, CONFIGURATION, False, NEEDS_PACKAGES)


def test_a_pod_is_rendered_without_the_extras(config: str) -> None:
    pod = Path(__file__).parents[2] / "examples" / "hello-pod.yaml"
    done = run("render", "--config", config, str(pod))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("#!")
