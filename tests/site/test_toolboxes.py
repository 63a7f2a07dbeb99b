"""A pod's way with the commands of other systems: BusyBox with its own first, uutils, toybox, and as BSD has them."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.domain.plan.payload import together
from tests.site.account import Account
from tests.site.local_sidecar import PATIENCE, Counted, created, ended, nodes, sidecar
from tests.site.payloads import packed
from tests.toolboxes import TOOLBOXES, path_of, shell_in

POD = "ns-1"
TEN_LINES = "".join(f"line {number}\n" for number in range(10))


@pytest.fixture(params=TOOLBOXES)
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    found = Account(tmp_path / "home", shell_in(request.param))
    found.environment["PATH"] = f"{found.bin}:{path_of(request.param, tmp_path / 'toolbox')}"
    return found


def with_log(account: Account, record: str) -> Path:
    """The log of a pod's container, whose record says `record`."""
    account.ask("recover", owns="")
    for folder in ("logs", "records"):
        (account.root / POD / folder).mkdir(parents=True)
    log = account.root / POD / "logs" / "c.log"
    log.write_text(TEN_LINES)
    (log.parent / ".c.sizes").write_text("".join(f"{1000 + number} {7 * number}\n" for number in range(10)))
    (account.root / POD / "records" / "c").write_text(f"v1 {POD} c {record}\n")
    return log


def log(account: Account, **asked: str) -> str:
    names = ("lines", "bytes", "since", "offset", "run", "notes", "previous", "over", "node_local", "follow")
    nothing: dict[str, Any] = dict.fromkeys(names, "")
    return account.ask("log", pod=POD, container="c", **nothing | asked).messages.strip("\n")


@pytest.mark.parametrize("size", [1, 65535, 65536, 200_001])
def test_a_session_goes_on_after_a_payload(account: Account, size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    for _ in range(2):
        answer = account.run("wc -c", payload[:size])
        assert (answer.exit_code, int(answer.output)) == (0, size)


async def test_a_pod_runs_once_and_is_listed_and_deleted(account: Account, tmp_path: Path) -> None:
    pod, other = Counted.at(account), Counted.at(account)
    pod.body["metadata"]["labels"] = {"app": "train"}
    other.body["metadata"] |= {"uid": "00000000-0000-4000-8000-00000000000b", "name": "other"}
    async with sidecar(account, tmp_path / "first") as first, nodes(account):
        assert await asyncio.gather(created(first, pod), created(first, other)) != []
        status = await ended(first, pod)
        await ended(first, other)
    assert status["containers"][0]["state"]["terminated"]["exitCode"] == 0
    assert len(account.jobs()) == pod.runs == 2
    listed = await account.site.list_pods()
    assert {each.job_id for each in listed} == set(account.jobs())
    assert all(each.age is not None and each.age < 3600 for each in listed)
    assert [each.labels for each in listed if each.pod == pod.pod.key] == [{"app": "train"}]
    described = await account.site.describe(pod.pod.key)
    assert described
    assert described.spec["containers"]
    assert any(path.startswith("logs/") for path, _ in described.files)
    async with sidecar(
        account, tmp_path / "second", replace(PATIENCE, search=5)
    ) as second:  # it finds them by recover.sh
        assert (await ended(second, pod))["JID"] == status["JID"]
        second.delete(pod.pod)
        async with asyncio.timeout(120):
            while (account.root / pod.pod.key).exists():  # noqa: ASYNC110 - a folder has no event
                await asyncio.sleep(0.05)


async def test_pods_that_travel_together(account: Account) -> None:
    account.ask("recover", owns="")
    answer = account.submit("ns-1 ns-2", together([packed("ns-1"), packed("ns-2")]))
    assert sorted(answer.all("submitted")) == ["ns-1 101", "ns-2 102"]


def test_what_is_asked_of_a_log_comes_back(account: Account) -> None:
    with_log(account, "terminated 1000 1008 0 0")
    if account.run("printf abc >abc; { dd bs=1 skip=1 count=0 2>/dev/null; cat; } <abc").output != b"bc":
        pytest.skip("dd of uutils 0.0.17 skips all of its input")
    for asked, text in (
        ({}, TEN_LINES),
        ({"lines": "2"}, "line 8\nline 9"),
        ({"bytes": "9"}, "line 0\nli"),
        ({"since": "1007"}, "line 6\nline 7\nline 8\nline 9"),
        ({"offset": "56"}, "line 8\nline 9"),
        ({"follow": "yes", "lines": "1"}, "line 9"),
    ):
        assert log(account, **asked) == text.strip("\n"), asked


def test_a_log_is_followed_to_its_end(account: Account) -> None:
    path = with_log(account, "running 1000 0 0 0")

    def go_on() -> None:
        for number in range(3):
            time.sleep(0.6)
            with path.open("a") as file:
                file.write(f"late {number}\n")
        (account.root / POD / "records" / "c").write_text(f"v1 {POD} c terminated 1000 1008 0 0\n")

    running = threading.Thread(target=go_on)
    running.start()
    followed = log(account, follow="yes", lines="1")
    running.join()
    assert followed == "line 9\nlate 0\nlate 1\nlate 2"
