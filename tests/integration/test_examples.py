"""Every pod of examples/ runs on a real site, side by side with the others, and does what its file says."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from remote_slurm.cli.documents import read_documents
from remote_slurm.cli.request import create_request
from tests.serving import Serve, Serving
from tests.sidecar import Sidecar
from tests.sites import Site
from tests.vk import Watched

EXAMPLES = Path(__file__).parents[2] / "examples"
PODS = sorted(path.name.removesuffix("-pod.yaml") for path in EXAMPLES.glob("*-pod.yaml"))

# What pods of them need, as quickstart's configuration has it
KEYS = ("PersistentVolumeClaims", "Flavors")

# Example -> container -> the end of its log
LOGS: dict[str, dict[str, str]] = {
    "hello": {"hello": "step 5 of 5\ndone\n"},
    "settings": {"prepare": "prepared\n"},
    "volumes": {
        "main": """\
hello from a ConfigMap
640 /settings/sub/greeting.txt
400 /credentials/token
644 /all/settings/greeting.txt
a7ade6f11cc9c0580eca571bef517069  -
a file of the pod's
-----BEGIN CERTIFICATE-----
bGluZSBieSBsaW5l
-----END CERTIFICATE-----
team="physics"
100
/bin/sh: can't create /settings/sub/greeting.txt: Read-only file system
a ConfigMap cannot be written
"""
    },
    "scratch": {"reader": "from the writer\nls: /etc/mine: No such file or directory\n/home/hpcuser:\n\n/tmp:\n"},
    "paths": {"main": "shared\nkept\n"},
    "environment": {
        "main": """\
it's "$HOME" `id`
hello world
0
/tmp
<world is expanded>
<$(NAME) is not>
<>
<  blanks  >
""",
        "odd-name": "\ndiscovery.type=single-node\n",
        "entrypoint": "the image says what runs\n",
    },
    "flags": {"hello-world": "hello world\n"},
    "gpu": {"main": "this node has a GPU for the pod\n"},
    "mpi": {"ring": " of 4, all ranks together are 6\n"},
    "options": {"main": "a b\n5\n"},
    "deadline": {"main": "told to stop\n"},
    "probes": {"web": "ran 2 times\n"},
    "hooks": {"main": "postStart in the /tmp of the container\npreStop, before SIGTERM\ntold to end\n"},
    "restart": {"main": "the second run succeeds\n"},
    "sidecar": {"main": "counted to 5\n"},
    "apart": {"main": "hello from the script\n"},
    "messages": {"log": "input.csv has no header\n"},
}
FAILS = {"deadline", "hooks", "messages"}

# Example -> container -> what it says of its end
MESSAGES = {
    "messages": {
        "usual": "all 12 files are read",
        "own": "loss 0.03 after 9 epochs",
        "log": "reading input.csv\ninput.csv has no header",
    }
}


@pytest.fixture(scope="module")
def running(strict_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Watched]]:
    """All of them at a site that enforces memory: six name none."""
    quickstart = yaml.safe_load((EXAMPLES / "config" / "quickstart.yaml").read_text())
    config = strict_site.config(tmp_path_factory.mktemp("examples"), **{key: quickstart[key] for key in KEYS})
    served = Serving(strict_site, config, Sidecar(config))
    yield {name: served.vk.create(create_request(read_documents(EXAMPLES / f"{name}-pod.yaml"))) for name in PODS}
    assert served.sidecar.stop() == 0
    assert "Traceback" not in served.sidecar.log


@pytest.mark.parametrize("name", PODS)
def test_an_example_does_what_it_says(running: dict[str, Watched], name: str) -> None:
    over = running[name].until_over()
    logs = {container: over.log(container) for container in LOGS[name]}
    assert over.phase == ("Failed" if name in FAILS else "Succeeded"), logs
    for container, log in logs.items():
        assert log.endswith(LOGS[name][container])
    for container, message in MESSAGES.get(name, {}).items():
        assert over.terminated(container)["message"] == message


def test_examples_do_the_same_at_the_example_of_a_site_with_podman(site: Site, serve: Serve) -> None:
    keys = ("ContainerRuntime", "PodmanDefaultOptions", "RuntimeEnvironment")
    podman = yaml.safe_load((EXAMPLES / "config" / "podman.yaml").read_text())
    served = serve(site, **{key: podman[key] for key in keys})
    names = ("volumes", "messages")
    running = {name: served.vk.create(create_request(read_documents(EXAMPLES / f"{name}-pod.yaml"))) for name in names}
    for name in names:
        over = running[name].until_over()
        assert over.phase == ("Failed" if name in FAILS else "Succeeded")
        # Podman reads the two outputs through two pipes: a line of one can come within a line of the other
        for container, said in LOGS[name].items():
            assert Counter(said) <= Counter(over.log(container))
        for container, message in MESSAGES.get(name, {}).items():
            assert Counter(over.terminated(container)["message"]) == Counter(message)
