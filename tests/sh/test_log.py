"""log.sh, in each shell: what of a log comes back for what `kubectl logs` can ask, and no byte more."""

import pytest
from account import Account

from remote_slurm.remote.answer import Answer

POD = "ns-1"
LINES = "".join(f"line {number}\n" for number in range(1, 8))
TEN_MIB = 10 * 1024 * 1024


@pytest.fixture
def pod(each_account: Account) -> Account:
    """An account with a pod whose container `c` printed a line a second, and was run before."""
    logs = each_account.root / POD / "logs"
    records = each_account.root / POD / "records"
    each_account.ask("recover", owns="")
    logs.mkdir(parents=True)
    records.mkdir()
    (logs / "c.log").write_text(LINES)
    (logs / ".c.sizes").write_text("".join(f"{1000 + number} {7 * number}\n" for number in range(1, 8)))
    (logs / "c.previous.log").write_text("before\n")
    (logs / "i.log").write_text("of an init container\n")
    (records / "c").write_text(f"v1 {POD} c terminated 1000 1008 0 0\n")
    return each_account


def ask(account: Account, container: str = "c", **asked: str) -> Answer:
    nothing = dict.fromkeys(("lines", "bytes", "since", "offset", "notes", "previous", "over", "follow"), "")
    return account.ask("log", pod=POD, container=container, **nothing | asked)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, LINES),
        ({"lines": "2"}, "line 6\nline 7\n"),
        ({"lines": "0"}, ""),
        ({"lines": "99"}, LINES),
        ({"bytes": "9"}, "line 1\nli"),
        ({"lines": "2", "bytes": "3"}, "lin"),
        ({"since": "1005"}, "line 5\nline 6\nline 7\n"),
        ({"since": "1"}, LINES),
        ({"since": "2000"}, ""),
        ({"since": "1005", "lines": "1"}, "line 7\n"),
        ({"since": "1005", "lines": "6"}, "line 5\nline 6\nline 7\n"),
        ({"offset": "35"}, "line 6\nline 7\n"),
        ({"previous": "yes"}, "before\n"),
        ({"follow": "yes", "lines": "1"}, "line 7\n"),
    ],
)
def test_what_comes_back(pod: Account, asked: dict[str, str], text: str) -> None:
    assert ask(pod, **asked).messages.strip("\n") == text.strip("\n")


def test_an_init_containers_log_by_its_name(pod: Account) -> None:
    assert ask(pod, "i").messages.strip() == "of an init container"


def test_times_are_those_that_the_runner_noted(pod: Account) -> None:
    assert ask(pod, notes="yes", lines="2").all("noted") == ["1006 42", "1007 49"]


@pytest.mark.parametrize(
    ("container", "asked", "word"), [("x", {}, "waiting"), ("i", {"previous": "yes"}, "noprevious")]
)
def test_where_there_is_none(pod: Account, container: str, asked: dict[str, str], word: str) -> None:
    assert ask(pod, container, **asked).has(word)


def test_a_container_that_never_started_has_what_slurm_and_the_runner_said(pod: Account) -> None:
    (pod.root / POD / "job-7.out").write_text("remote-slurm: no image\n")
    assert ask(pod, "x", over="yes").messages.strip() == "remote-slurm: no image"


@pytest.mark.parametrize("asked", [{"lines": "1"}, {"bytes": "20"}, {"offset": str(TEN_MIB)}, {"since": "2000"}])
def test_only_what_was_asked_for_crosses_the_wire(pod: Account, asked: dict[str, str]) -> None:
    log = pod.root / POD / "logs" / "c.log"
    log.write_bytes(b"x" * (TEN_MIB - 1) + b"\nthe last line\n")
    (log.parent / ".c.sizes").write_text(f"1001 {TEN_MIB}\n1002 {TEN_MIB + 14}\n")
    assert len(ask(pod, **asked).messages) <= 20
