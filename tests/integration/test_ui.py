"""The page at /ui in a real browser, in front of a real site."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from selenium.webdriver.common.keys import Keys

from tests.browser import Browser, browser
from tests.fault_proxy import FaultProxy
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serving
from tests.sidecar import Client, Sidecar
from tests.sites import Site, free_port
from tests.vk import Watched

pytestmark = pytest.mark.xdist_group("ui")  # one browser for all of them

TOKEN = "0123456789abcdef0123456789abcdef"
SHOWN = "Basic YW55Ym9keTowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg=="  # anybody:TOKEN
PORTS = [{"containerPort": 8888}, {"containerPort": 6006}]
HOSTILE = "<img src=x onerror=document.title=1><script>document.title=2</script>"


def named(name: str, *containers: Json, flags: str = "") -> Json:
    made = pod(*containers, **({"flags": flags} if flags else {}))
    made["metadata"]["name"] = name
    return made


class Shown:
    """A sidecar, a page that shows it, and what runs there."""

    def __init__(self, served: Serving, page: Browser, proxy: FaultProxy) -> None:
        self.served, self.page, self.proxy = served, page, proxy
        ticking = sh("c", f"echo '{HOSTILE}'; i=0; while :; do i=$((i+1)); echo tick $i; sleep 1; done", ports=PORTS)
        self.running = self.create(named("ticking", ticking))
        self.failed = self.create(named("broken", sh("c", "echo about to fail; exit 3")))
        self.held = self.create(named("held", sh("c", "true"), flags="-H --mem=10M"))

    def create(self, a_pod: Json) -> Watched:
        return self.served.vk.create(request(a_pod))

    @property
    def state(self) -> Json:
        return dict(json.loads(self.served.client.ask("GET", "/ui/state", None).text))

    def row(self, watched: Watched) -> str:
        """A selector."""
        return f'#list li[data-key="{key(watched.pod)}"]'

    def until_state(self, watched: Watched, state: str) -> None:
        self.page.until(lambda: self.page.text(f"{self.row(watched)} .state") == state, f"it is {state}")


@pytest.fixture(scope="module")
def shown(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder: Path = tmp_path_factory.mktemp("ui")
    token = folder / "token"
    token.write_text(TOKEN)
    with FaultProxy(site.host, site.port) as proxy, browser() as page:
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(site.known_hosts_file.read_text().replace(f"]:{site.port} ", f"]:{proxy.port} "))
        ssh = {"Port": proxy.port, "UserKnownHostsFile": str(known_hosts)}
        forward = {"Port": free_port(), "TokenFile": str(token)}
        config = site.config(
            folder, TokenFile=str(token), SSH=ssh, PortForward=forward, EnableExec=True, SidecarPort=free_port()
        )
        sidecar = Sidecar(config, token=TOKEN)
        try:
            page.size(1200, 900)
            page.show(SHOWN)
            shown = Shown(Serving(site, config, sidecar), page, proxy)
            page.chrome.get(f"{sidecar.url}/ui")
            yield shown
            for each in (shown.running, shown.failed, shown.held):
                each.delete()
        finally:
            assert sidecar.stop() == 0
            print(sidecar.log)
            assert "Traceback" not in sidecar.log


def test_one_look_shows_the_site(shown: Shown) -> None:
    page = shown.page
    page.until(lambda: page.text("#verdict").startswith("reachable, by "), "the site is reachable")
    page.until(lambda: "main (default)" in page.text("#partitions"), "the partitions are known")
    assert shown.served.site.user in page.text("#address")
    figures = page.text("#figures")
    assert all(word in figures for word in ("Round trip", "ms", "Last poll", "ago", "Running", "Waiting", "Failed"))
    assert "of 64" in page.text("#partitions")
    assert "short" in page.text("#partitions")


def test_one_look_shows_every_pod_with_its_job_state_reason_and_age(shown: Shown) -> None:
    shown.until_state(shown.running, "RUNNING")
    shown.until_state(shown.failed, "FAILED")
    shown.until_state(shown.held, "PENDING")
    for watched in (shown.running, shown.failed, shown.held):
        row = shown.row(watched)
        assert shown.page.text(f"{row} .job") == watched.job
        assert shown.page.text(f"{row} .age")[-1] in "sm"

    def reason(watched: Watched) -> str:
        return shown.page.text(f"{shown.row(watched)} .reason")

    shown.page.until(lambda: reason(shown.failed) == "c ended with exit code 3", "it says why it failed")
    shown.page.until(lambda: "JobHeldUser" in reason(shown.held), "it says why it waits")


def test_a_pod_shows_its_node_its_ports_and_how_to_forward_them(shown: Shown) -> None:
    page, row = shown.page, shown.row(shown.running)
    shown.until_state(shown.running, "RUNNING")
    node = shown.served.site.exec("hostname").strip()
    page.until(lambda: page.text(f"{row} .node") == node, "the node is shown")
    page.run("document.querySelector(arguments[0]).open = true", f"{row} details")
    page.until(lambda: page.text(f"{row} .forward span") == "ports 8888 6006", "the ports are shown")
    command = page.text(f"{row} .forward code")
    port = yaml.safe_load(shown.served.config.read_text())["PortForward"]["Port"]
    where = f"--url http://127.0.0.1:{port} --token-file TOKEN"
    assert command == f"remote-slurm port-forward {where} default/ticking 8888 6006"
    where = f"--url {shown.served.sidecar.url} --token-file TOKEN"
    container = shown.running.pod["spec"]["containers"][0]["name"]
    page.until(
        lambda: (
            page.text(f"{row} .shell code") == f"remote-slurm exec -it {where} default/ticking -c {container} -- sh"
        ),
        "the command for a shell is shown",
    )
    page.run("document.querySelector(arguments[0]).open = false", f"{row} details")
    assert page.text(f"{shown.row(shown.failed)} .forward") == ""


def test_an_ended_pod_shows_what_its_job_has_used(shown: Shown) -> None:
    page, row = shown.page, shown.row(shown.failed)
    shown.until_state(shown.failed, "FAILED")
    page.run("document.querySelector(arguments[0]).open = true", f"{row} details")
    page.until(lambda: "waited " in page.text(f"{row} .usage"), "the usage is shown")
    (reported,) = [each for each in shown.state["pods"] if each["pod"] == key(shown.failed.pod)]
    used = reported["usage"]
    assert used["source"] in {"times", "sacct"}  # a site that stays up may have accounting
    assert used["cpusReserved"] == 1
    assert 0 <= used["cpuSeconds"] <= used["wallSeconds"] + 1
    assert page.text(f"{row} .usage") == f"{used['text']} (measured by {used['source']})"
    page.run("document.querySelector(arguments[0]).open = false", f"{row} details")


def test_one_look_shows_what_failed_lately(shown: Shown) -> None:
    shown.served.vk.refused(request(named("refused", sh("c", "true"), flags="--partition=nowhere")))
    page = shown.page
    page.until(lambda: "invalid partition specified: nowhere" in page.text("#troubles"), "the refusal is shown")
    page.until(lambda: "default/broken" in page.text("#troubles"), "the failure is shown")
    assert "exit code 3" in page.text("#troubles")


def test_one_look_shows_that_the_site_cannot_be_reached(shown: Shown) -> None:
    page = shown.page
    shown.until_state(shown.running, "RUNNING")
    shown.proxy.refuse()
    shown.proxy.cut()
    page.until(lambda: page.text("#verdict").startswith("not reachable: "), "the outage is shown")
    assert page.text(f"{shown.row(shown.running)} .state") == "RUNNING"
    shown.proxy.listen()
    page.until(lambda: page.text("#verdict").startswith("reachable, by "), "it is reachable again")


def test_it_is_live_without_reloading(shown: Shown) -> None:
    shown.page.run("window.same = true")
    late = shown.create(named("late", sh("c", "true")))
    shown.until_state(late, "COMPLETED")
    late.delete()
    shown.page.until(lambda: not shown.page.all(shown.row(late)), "its row is gone")
    assert shown.page.run("return window.same") is True


def test_the_keyboard_finds_a_pod_and_opens_its_log(shown: Shown) -> None:
    page = shown.page
    shown.until_state(shown.running, "RUNNING")
    page.press("/")
    page.press("ticking")
    page.until(lambda: len(page.all("#list li")) == 1, "one pod is like that")
    page.press(Keys.TAB, Keys.ENTER)
    page.until(lambda: "tick 3" in page.text("#list pre"), "the log is shown, and grows")
    assert page.run("return document.activeElement.tagName") == "SUMMARY"
    assert HOSTILE in page.text("#list pre")
    assert page.chrome.title.endswith("remote-slurm")
    page.press(Keys.ENTER, "/")
    page.press(Keys.ESCAPE)
    page.until(lambda: len(page.all("#list li")) > 1, "all are shown again")


def names(page: Browser) -> list[str]:
    """At one moment: rows come and go."""
    found: list[str] = page.run("return [...document.querySelectorAll('#list .name')].map((each) => each.innerText)")
    return found


def test_pods_of_one_kind_only(shown: Shown) -> None:
    page = shown.page
    shown.until_state(shown.failed, "FAILED")
    (button,) = [each for each in page.all("#phases button") if each.text.startswith("failed")]
    button.click()
    page.until(lambda: names(page) == ["default/broken"], "only what failed is shown")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    page.until(lambda: len(names(page)) > 1, "all are shown again")


def test_a_phone_shows_all_of_it(shown: Shown) -> None:
    page = shown.page
    page.size(360, 740)
    try:
        assert page.run("return document.documentElement.scrollWidth") <= 360
        page.all(f"{shown.row(shown.running)} summary")[0].click()
        page.until(lambda: "tick" in page.text(f"{shown.row(shown.running)} pre"), "the log is shown")
        assert page.run("return document.documentElement.scrollWidth") <= 360
        page.all(f"{shown.row(shown.running)} summary")[0].click()
    finally:
        page.size(1200, 900)


def test_nothing_comes_from_elsewhere_and_nothing_is_changed(shown: Shown) -> None:
    page = shown.page
    loaded = page.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert loaded
    assert all(each.startswith(f"{shown.served.sidecar.url}/ui/") for each in loaded)
    assert page.all("form") == []
    assert page.complaints == []
    for method in ("POST", "PUT", "DELETE"):
        assert shown.served.client.ask(method, "/ui/state", {}).status == 405


def test_the_page_is_behind_the_same_authentication(shown: Shown) -> None:
    stranger = Client(shown.served.sidecar.url)
    for path in ("/ui", "/ui/state", "/ui/log", "/ui/page.js"):
        assert stranger.ask("GET", path, None).status == 401
