"""A site that refuses the key, or whose host key has changed: one attempt, then silence until it is corrected."""

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fault_proxy import FaultProxy
from tests.pods import pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.ssh.ssh_server import make_key
from tests.vk import assert_sentence


def is_silent_and_says_why(proxy: FaultProxy, served: Serving, reason: str) -> None:
    """It goes on answering, quickly and from memory, and connects no more."""
    wait_until(lambda: reason in served.sidecar.log, "the reason is in the log")
    known = served.client.system_info()
    assert reason in known["error"]
    assert known["slurm_connected"] is False
    connections = proxy.connections
    # info has asked for itself, and the poll may come a moment later
    wait_until(lambda: served.client.ping()["resources"]["pods"] == "0", "the node has no room")
    assert served.client.status(pod(sh("c", "true"))).json == []
    for _ in range(2):
        refused = served.client.create(request(pod(sh("c", "true"))))
        assert_sentence(refused)
        assert (refused.status, reason in refused.text) == (503, True)
    assert proxy.connections == connections


def works(served: Serving) -> None:
    assert served.vk.create(request(pod(sh("c", "true")))).until_over().phase == "Succeeded"


def test_a_key_that_is_refused_is_shown_again_once_its_file_has_changed(
    site: Site, through: Any, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "key")
    proxy, served = through(site, SSH={"IdentityFile": str(key)})
    is_silent_and_says_why(proxy, served, "was refused with")
    assert proxy.connections == 1
    shutil.copy(site.identity_file, key)
    works(served)


def test_a_changed_host_key_is_tried_again_with_new_known_hosts(site: Site, through: Any, tmp_path: Path) -> None:
    known_hosts = tmp_path / "others"
    proxy, served = through(site, reachable=False, SSH={"UserKnownHostsFile": str(known_hosts)})
    where = f"[{site.host}]:{proxy.port}"
    other = make_key(tmp_path / "host").with_suffix(".pub").read_text()
    known_hosts.write_text(f"{where} {other}")
    proxy.listen()
    is_silent_and_says_why(proxy, served, "host key")
    known_hosts.write_text(site.known_hosts_file.read_text().replace(f"[{site.host}]:{site.port}", where))
    works(served)


def test_a_folder_that_other_accounts_can_write_to(site: Site, serve: Serve) -> None:
    """They could rename a pod's folder, and put one with their own job.sh in its place."""
    root = f"/srv/{uuid.uuid4()}"
    site.exec(f"install -d -o hpcuser -g hpcuser -m 2777 {root}")
    served = serve(site, DataRootFolder=root)
    reported = f"run `chmod go-w {root}` at the site"
    wait_until(lambda: reported in served.sidecar.log, "the sidecar names the folder and the command")
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(served.client.create, request(pod(sh("c", "true"))))
        assert served.client.ping()["resources"]["pods"] == "0"
        site.exec(f"chmod go-w {root}")
        assert waiting.result().status == 200
    works(served)
    site.exec(f"rm -rf {root}")


def test_an_account_that_is_locked(fragile_site: Site, through: Any) -> None:
    proxy, served = through(fragile_site)
    works(served)
    fragile_site.exec("usermod --lock hpcuser")
    try:
        proxy.cut()
        is_silent_and_says_why(proxy, served, "was refused with")
        assert proxy.connections == 2
    finally:
        fragile_site.exec("usermod -p '*' hpcuser")
