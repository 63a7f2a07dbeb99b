"""tsocks.sh: what leads connections through the tunnel reaches every container, whatever its runtime reads."""

import pytest

from tests.job.node import Node

FILES = {
    "a file of variables": "A='1'\n",
    "a file without any": "",
    "enroot's script": "set -a\nA='1'\nset +a\nexec \"$@\"\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_each_container_loads_it(node: Node, text: str) -> None:
    (node.pod / "secret/env-main").write_text(text)
    show = """sh -c 'set -a; . ./secret/env-main; env' sh env"""
    assert node.run(f"preload /.tsocks\ncontainer main {show}").code == 0
    reported = node.log("main").splitlines()
    assert {"LD_PRELOAD=/.tsocks/libtsocks.so", "TSOCKS_CONF_FILE=/.tsocks/tsocks.conf"} <= set(reported)
    assert not text or "A=1" in reported
