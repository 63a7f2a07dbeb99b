"""The page at /ui in a browser, in front of pods that tests make up: on a desk and on a phone, light and dark."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_summary import PodPhase
from remote_slurm.service.history import Mean, Sample
from tests.api.api_client import Api
from tests.browser import Browser, browser
from tests.fake_site import SlurmJob, instant_site

pytestmark = pytest.mark.xdist_group("page")  # one browser for all of them

Serve = Callable[..., Any]
AXE = Path(__file__).parents[2] / ".venv" / "tools" / "axe.min.js"
LONG = "team-a/train-resnet50-imagenet-with-a-rather-long-name-of-a-run"
NODE = "gpu-node-rack-12.cluster.example.org"
USED = JobUsage(Source.CGROUP, 6912.0, 3600, 16, 1, 3 << 30, 64 << 30)
TIMES: dict[str, Any] = {
    "submitted": 1_800_000_000,
    "start": 1_800_000_240,
    "end_time": 1_800_003_840,
    "partition": "gpu",
}
STATES = (JobState.RUNNING, JobState.PENDING, JobState.FAILED, JobState.COMPLETED)
DESK, PHONE = (1280, 900), (375, 812)


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser() as found:
        found.chrome.set_script_timeout(240)
        yield found


@dataclass
class Shown:
    """The page, and what it shows."""

    api: Api
    page: Browser

    async def on(self, screen: tuple[int, int] = DESK, scheme: str = "light") -> Browser:
        await asyncio.to_thread(self._open, screen, scheme)
        return self.page

    def _open(self, screen: tuple[int, int], scheme: str) -> None:
        self.page.size(*screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.page.chrome.get(f"{self.api.url}/ui")
        self.page.until(lambda: self.page.all("#list li"), "the pods are shown")
        self.page.until(lambda: self.page.all("#plots figure"), "the plots are shown")


@pytest.fixture
async def shown(serve: Serve, page: Browser) -> Shown:
    site = instant_site()
    for number in range(12):
        state, pod = STATES[number % 4], f"team-a-{number}"
        times = TIMES if state is not JobState.PENDING else {}
        record = Record(pod, "trainer", ContainerPhase.RUNNING, 1_800_000_240, 0, 0, 0, number=1)
        if state in (JobState.FAILED, JobState.COMPLETED):
            code = 3 if state is JobState.FAILED else 0
            record = replace(
                record, phase=ContainerPhase.TERMINATED, finished=1_800_003_840, exit_code=code, usage=USED
            )
        records = () if state is JobState.PENDING else (record,)
        site.account.add(SlurmJob(str(100 + number), pod, state, "Priority", node=NODE, **times), *records)
    api: Api = await serve(site)
    await api.looked()
    for number in range(12):
        api.pods.pod_store.add(f"team-a-{number}", f"{LONG}-{number:04}").container_names = ("trainer",)
    for minute in range(90):
        pods = Counter({PodPhase.WAITING: minute % 7, PodPhase.RUNNING: 3})
        waits = {} if minute % 9 else {"gpu": Mean(1, 3600.0), "main": Mean(2, 60.0)}
        api.pods.history.samples.append(Sample(30_000_000 + minute, pods, Mean(1, 0.4), waits))
    return Shown(api, page)


def rows(page: Browser) -> list[str]:
    found: list[str] = page.run("return [...document.querySelectorAll('#list .name')].map((each) => each.title)")
    return found


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: scripts/tools fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESK, PHONE])
async def test_the_page_breaks_no_rule_of_axe(shown: Shown, screen: tuple[int, int], scheme: str) -> None:
    page = await shown.on(screen, scheme)

    def check() -> Any:
        page.run("document.querySelector('#list li:last-child details').open = true")
        page.run("for (const each of document.querySelectorAll('#plots details')) each.open = true")
        page.until(lambda: page.text("#list li:last-child .usage"), "the usage is shown")
        page.run(AXE.read_text())
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        return page.chrome.execute_async_script(
            "const [rules, done] = arguments;"
            "const told = (each) => [each.id, each.nodes.map((node) => node.html)];"
            "axe.run(document, { runOnly: rules }).then((all) => done([all.passes.length, all.violations.map(told)]))",
            rules,
        )

    passes, violations = await asyncio.to_thread(check)
    assert violations == []
    assert passes > 20


async def test_filters_count_what_they_match(shown: Shown) -> None:
    page = await shown.on()

    def counts() -> list[str]:
        return [each.text for each in page.all("#phases button")]

    def check() -> None:
        assert counts() == ["failed 3", "waiting 3", "running 3", "succeeded 3"]
        assert page.text("#matches") == ""
        page.press("/")
        page.press("0002")
        page.until(lambda: counts() == ["failed 1"], "the counts are those of the pods that match")
        assert page.text("#matches") == "1 of 12 pods match"
        page.press(Keys.ESCAPE)
        page.until(lambda: counts()[0] == "failed 3", "all are counted again")
        page.all("#phases button")[1].click()
        page.until(lambda: page.text("#matches") == "3 of 12 pods match", "those that wait are counted")

    await asyncio.to_thread(check)


@pytest.mark.parametrize("screen", [DESK, PHONE])
async def test_a_long_name_is_on_one_line_with_its_end(shown: Shown, screen: tuple[int, int]) -> None:
    page = await shown.on(screen)

    def check() -> None:
        boxes = "const [selector, what] = arguments; const all = [...document.querySelectorAll(selector)];"
        boxes += "return all.map((each) => each.getBoundingClientRect()[what])"
        assert max(page.run(boxes, "#list .name", "height")) < 30
        assert max(page.run(boxes, "#list .end", "right")) <= screen[0]
        assert all(re.fullmatch(r".{6}\d{4}", each.text) for each in page.all("#list .name .end"))
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        page.run("document.querySelector('#list details').open = true")
        page.until(lambda: page.text("#list details[open] .facts"), "the row is open")
        assert rows(page)[0].startswith(LONG)

    await asyncio.to_thread(check)


async def test_on_a_phone_the_pods_come_first_for_everyone(shown: Shown) -> None:
    page = await shown.on(PHONE)
    first = "return document.querySelector('main > section').id"

    def check() -> None:
        assert page.run(first) == "pods"
        page.size(*DESK)
        page.until(lambda: page.run(first) == "site", "on a desk the site comes first")

    await asyncio.to_thread(check)


@pytest.mark.parametrize("screen", [DESK, PHONE])
async def test_a_pod_shows_its_node_and_what_it_used(shown: Shown, screen: tuple[int, int]) -> None:
    page = await shown.on(screen)

    def check() -> None:
        row = "#list li[data-key='team-a-2']"
        assert page.text(f"{row} .node") == NODE
        assert page.text(f"{row} .used") == "12% CPU · 5% memory"
        page.run("document.querySelector(arguments[0]).open = true", f"{row} details")
        page.until(lambda: page.text(f"{row} .usage"), "the row is open")
        used = "used 12% of 16 CPUs and 3 of 64 GiB; 1 GPU reserved; waited 4 min, ran 1 h (measured by cgroup)"
        assert page.text(f"{row} .usage") == used
        assert "used 1.9 on average: request fewer" in page.text(f"{row} .hint")

    await asyncio.to_thread(check)


async def test_the_last_hours_are_plotted_with_their_values_in_words(shown: Shown) -> None:
    page = await shown.on()

    def check() -> None:
        titles = [each.text for each in page.all("#plots figcaption")]
        assert titles == ["Pods", "Waiting time by partition", "Submission latency"]
        labels = [each.get_attribute("aria-label") or "" for each in page.all("#plots .canvas svg")]
        assert "waiting: 5 at last, at most 6. running: 3 at last, at most 3" in labels[0]
        assert "gpu: 1h at last, at most 1h. main: 30s at last, at most 30s" in labels[1]
        assert "until Slurm accepted the job: 0.4s at last" in labels[2]
        assert [each.text for each in page.all("#plots .legend li")][:2] == ["waiting", "running"]
        page.all("#plots .values summary")[0].click()
        cells = page.text("#plots .values[open] tr:nth-of-type(2)").split()
        assert cells[1:] == ["5", "3", "0"]
        assert "a restart begins anew" in page.text("#history-since")

    await asyncio.to_thread(check)


async def test_a_sidecar_that_has_just_started_says_so(serve: Serve, page: Browser) -> None:
    api: Api = await serve(instant_site(SlurmJob("7", "ns-1", JobState.RUNNING)))
    await api.looked()
    page = await Shown(api, page).on()
    assert page.text("#plots p") == "The first sample comes within a minute."
    assert page.text("#history-since").startswith("since ")


async def test_what_keeps_pods_from_starting_is_on_the_page(serve: Serve, page: Browser) -> None:
    site = instant_site(*(SlurmJob(str(number), f"ns-{number}", reason="PartitionDown") for number in range(3)))
    drained = replace(site.account.partitions[0], cpus=0, free=0, nodes=0, unusable=(("drained", 2), ("down", 1)))
    site.account.partitions, site.account.full = [drained], "No space left on device"
    api: Api = await serve(site)
    await api.looked()
    await api.pods.storage.try_it()

    def check() -> None:
        page.size(*DESK)
        page.chrome.get(f"{api.url}/ui")
        page.until(lambda: page.all("#list li"), "the pods are shown")
        assert page.text("#waiting") == "Waiting: 3 pods PartitionDown (its partition is down)"
        full = "DataRootFolder /root cannot be written: No space left on device"
        assert page.text("#verdict") == f"reachable, by login1, but pods cannot be stored: {full}"
        assert page.run("return document.body.dataset.site") == "bad"
        partition = page.text("#partitions")
        assert "0 of 0" in partition
        assert "0 nodes, 2 drained, 1 down" in partition

    await asyncio.to_thread(check)


async def test_the_arrow_keys_go_from_pod_to_pod(shown: Shown) -> None:
    page = await shown.on()
    focused = "return document.activeElement.closest('li')?.querySelector('.name').title"

    def check() -> None:
        page.all("#list summary")[0].send_keys(Keys.ARROW_DOWN)
        assert page.run(focused) == rows(page)[1]
        page.press(Keys.ARROW_UP, Keys.ENTER)
        assert page.run(focused) == rows(page)[0]
        page.until(lambda: page.all("#list details[open]"), "Enter opens it")

    await asyncio.to_thread(check)


_CLICKABLE = "a[href], button, input, summary, [tabindex='0']"
# What has the focus: its name for a screen reader, whether it is marked, and how many were reached until now
_FOCUSED = """
    const node = document.activeElement, box = node.getBoundingClientRect();
    node.dataset.reached = "yes";
    const name = node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent;
    const isMarked = getComputedStyle(node).outlineStyle !== "none" && box.width > 1 && box.height > 1;
    return [name.trim(), isMarked, document.querySelectorAll("[data-reached]").length];
"""


@pytest.mark.parametrize("screen", [DESK, PHONE])
async def test_tab_reaches_all_that_a_mouse_does_one_after_another(shown: Shown, screen: tuple[int, int]) -> None:
    page = await shown.on(screen)

    def check() -> None:
        page.run("document.querySelector('#list details').open = true")
        page.until(lambda: page.all("#list details[open] .containers button"), "the containers are shown")
        visible = f'[...document.querySelectorAll("{_CLICKABLE}")].filter((each) => each.checkVisibility())'
        wanted = page.run(f"return {visible}.length")
        for number in range(1, wanted + 1):
            page.press(Keys.TAB)
            name, is_marked, reached = page.run(_FOCUSED)
            assert (bool(name), is_marked, reached) == (True, True, number), name

    await asyncio.to_thread(check)


async def test_the_first_link_leads_to_the_pods(shown: Shown) -> None:
    page = await shown.on()

    def check() -> None:
        page.run("document.activeElement.blur()")
        page.press(Keys.TAB, Keys.ENTER)
        page.until(lambda: page.run("return document.activeElement.id") == "pods", "the pods have the focus")
        page.press(Keys.TAB)
        assert page.run("return !!document.activeElement.closest('#pods')")

    await asyncio.to_thread(check)


async def test_the_browser_complains_about_nothing(shown: Shown) -> None:
    page = await shown.on()
    loaded = page.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert all(each.startswith(f"{shown.api.url}/ui/") for each in loaded)
    assert [each for each in page.complaints if shown.api.url in each] == []
